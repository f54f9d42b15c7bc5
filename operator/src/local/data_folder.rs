//! What outlives the operator: the status and what the API server would hold, in the cluster's data folder.
//!
//! I/O: `state.json` and chunks of an approved plan, written beside and renamed; `lock`, held while the cluster runs; `meta.properties` of brokers.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use ottla_broker_types::NodeId;
use ottla_operator_crd::{KafkaClusterStatus, KafkaTopicStatus};
use ottla_operator_planner::names;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct State {
    /// The cluster's status.
    pub(super) status: KafkaClusterStatus,
    /// The topics' status by the names of their objects.
    pub(super) topics: BTreeMap<String, KafkaTopicStatus>,
    /// Processes that there shall be, and their revision; `None` before the first.
    pub(super) fleet: Option<FleetSpec>,
}

/// What a StatefulSet says on Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FleetSpec {
    /// Brokers 0 to `replicas - 1` run.
    pub(super) replicas: i32,
    /// The revision of those that are started now.
    pub(super) revision: String,
}

/// The data folder of one cluster, locked.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    written: Option<State>,
    // The lock ends with the file.
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be and locks it.
    pub(super) fn open(root: PathBuf) -> anyhow::Result<Folder> {
        std::fs::create_dir_all(&root)
            .with_context(|| format!("make {}: choose another folder with --data", root.display()))?;
        // Brokers get its path in their settings and may run elsewhere.
        let root = root.canonicalize().with_context(|| format!("find {}", root.display()))?;
        let lock = OpenOptions::new().create(true).append(true).open(root.join("lock"));
        let lock = lock.with_context(|| format!("write to {}", root.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!(
                "another ottla-operator runs this cluster on {}: stop it, or give other --data and --port",
                root.display()
            );
        }
        Ok(Folder { root, written: None, _lock: lock })
    }

    /// The folder of a broker.
    pub(super) fn broker(&self, id: NodeId) -> PathBuf {
        self.root.join(format!("broker-{id}"))
    }

    /// What was kept; the default for a new cluster.
    pub(super) fn load(&mut self) -> anyhow::Result<State> {
        let path = self.root.join("state.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let state: State = serde_json::from_slice(&text).with_context(|| {
            format!("{} is damaged: remove it, and the cluster's id is taken from its data", path.display())
        })?;
        self.written = Some(state.clone());
        Ok(state)
    }

    /// Keeps `state` if it differs from what is kept.
    pub(super) fn save(&mut self, state: &State) -> anyhow::Result<()> {
        if self.written.as_ref() == Some(state) {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(state).context("write the state")?;
        let (path, beside) = (self.root.join("state.json"), self.root.join("state.json.new"));
        std::fs::write(&beside, text).with_context(|| format!("write {}", beside.display()))?;
        std::fs::rename(&beside, &path).with_context(|| format!("write {}", path.display()))?;
        self.written = Some(state.clone());
        Ok(())
    }

    /// Brokers that have a folder, with the cluster id that their data bears.
    pub(super) fn brokers(&self) -> BTreeMap<NodeId, Option<String>> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("broker-")?.parse().ok().and_then(NodeId::from_wire)
        });
        ids.map(|id| (id, cluster_id(&self.broker(id)))).collect()
    }

    /// Keeps a chunk of the plan of moves that was approved, as the ConfigMap that it is on Kubernetes.
    pub(super) fn keep_plan(&self, map: &ConfigMap) -> anyhow::Result<()> {
        let name = map.metadata.name.as_deref().unwrap_or_default();
        let path = self.root.join(format!("{name}.json"));
        let text = serde_json::to_vec(map).context("write the plan")?;
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// The chunks that are kept. One that cannot be read is none: then the plan is made and approved anew.
    pub(super) fn plan(&self) -> Vec<ConfigMap> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let chunks = entries.filter(|entry| {
            let name = entry.file_name().into_string().ok();
            name.is_some_and(|name| name.strip_suffix(".json").and_then(names::chunk_of).is_some())
        });
        chunks.filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()).collect()
    }

    /// Lets go of a chunk.
    pub(super) fn forget_plan(&self, name: &str) -> anyhow::Result<()> {
        let path = self.root.join(format!("{name}.json"));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("delete {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Deletes the data of a broker.
    pub(super) fn delete(&self, id: NodeId) -> anyhow::Result<()> {
        let path = self.broker(id);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("delete {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The id in Kafka's `meta.properties`.
fn cluster_id(broker: &Path) -> Option<String> {
    let text = std::fs::read_to_string(broker.join("data/meta.properties")).ok()?;
    text.lines().find_map(|line| line.trim().strip_prefix("cluster.id=").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_only_one_may_hold_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("demo");
        let mut folder = Folder::open(root.clone()).expect("it is free");
        assert_eq!(folder.load().expect("it is new"), State::default());
        let fleet = Some(FleetSpec { replicas: 5, revision: "r".to_owned() });
        let state = State { fleet, ..State::default() };
        folder.save(&state).expect("it is written");
        let second = Folder::open(root.clone()).expect_err("it is held").to_string();
        assert!(second.contains("another ottla-operator"), "{second}");
        drop(folder);
        assert_eq!(Folder::open(root).expect("it is free").load().expect("it is whole"), state);
    }

    #[test]
    fn a_plan_that_was_approved_is_kept_until_it_is_let_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path().to_owned()).expect("it is free");
        let mut map = ConfigMap::default();
        map.metadata.name = Some("demo-plan-0".to_owned());
        folder.keep_plan(&map).expect("it is written");
        assert_eq!(folder.plan(), [map]);
        folder.forget_plan("demo-plan-0").expect("it is deleted");
        folder.forget_plan("demo-plan-0").expect("it is deleted already");
        assert!(folder.plan().is_empty());
    }

    #[test]
    fn data_without_state_still_tells_its_cluster() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path().to_owned()).expect("it is free");
        let data = folder.broker(NodeId(3)).join("data");
        std::fs::create_dir_all(&data).expect("it is made");
        std::fs::write(data.join("meta.properties"), "version=1\ncluster.id=abc\n").expect("it is written");
        assert_eq!(folder.brokers(), BTreeMap::from([(NodeId(3), Some("abc".to_owned()))]));
        folder.delete(NodeId(3)).expect("it is deleted");
        assert!(folder.brokers().is_empty());
    }
}
