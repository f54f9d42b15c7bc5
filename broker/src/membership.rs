//! Whether this node's directory may take part in the quorum that its settings name.
//!
//! A voter whose metadata log was lost has forgotten its vote, and would form a second, empty quorum under the id of the
//! first. It is refused before anything is opened. That it took part is remembered in `meta.properties`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use ottla_broker_config::BrokerConfig;
use ottla_broker_log::{
    CLEAN_SHUTDOWN_FILE, Disk, METADATA_DIR, PartitionDir, is_metadata_log, read_meta_properties,
    write_meta_properties,
};
use ottla_broker_quorum::{MetadataLog, holds_log};

/// What the directory says.
struct Found {
    /// It remembers to have been in the quorum.
    is_member: bool,
    /// The metadata log is there, with a vote, entries or a snapshot.
    has_log: bool,
    /// Something that only a broker of a formed cluster leaves behind.
    left: Option<PathBuf>,
    /// The metadata log's folder under a name that it was given.
    renamed: Option<PathBuf>,
}

/// Refuses a voter whose metadata log is gone, or that would form a quorum where there was one.
pub fn check(disk: &dyn Disk, dir: &Path, config: &BrokerConfig) -> anyhow::Result<()> {
    if !config.quorum.voters.iter().any(|voter| voter.id == config.node_id) {
        return Ok(());
    }
    let found = find(disk, dir)?;
    if found.has_log {
        // On a full disk it waits for a later start.
        remember(disk, dir).unwrap_or_else(|error| not_remembered(&error));
        return Ok(());
    }
    let (shown, folder) = (dir.display(), dir.join(METADATA_DIR));
    let folder = folder.display();
    let restore = match &found.renamed {
        Some(renamed) => format!("rename {} back to {folder}", renamed.display()),
        None => format!("put {folder} back as it was"),
    };
    let is_alone = config.quorum.voters.len() == 1;
    if found.is_member {
        let lost = match is_alone {
            true => "it is the only voter: without the folder the cluster's metadata is lost",
            false => {
                "if it is lost, empty the whole directory: the node then joins as a new voter and the others fill it"
            }
        };
        bail!(
            "{shown} belongs to a voter whose metadata log is gone: {restore}; {lost}; nothing was changed"
        );
    }
    if config.quorum.bootstrapped {
        if is_alone {
            bail!(
                "{shown} holds no metadata log, but ottla.bootstrapped says that the cluster has formed, and this node is its \
                 only voter: mount the right volume; if the data is lost, ottla.bootstrapped=false forms a new cluster"
            );
        }
        tracing::info!(dir = %shown, "the cluster has formed before: this voter waits until the others take it in");
        return Ok(());
    }
    if let Some(left) = found.left {
        bail!(
            "{shown} holds no metadata log, but {}, so that its cluster has formed before, and this voter would form a \
             second one: {restore}, or set ottla.bootstrapped=true if other voters hold the metadata; nothing was changed",
            left.display()
        );
    }
    Ok(())
}

/// Remembers that this node is in the quorum, once it is.
pub async fn remember_when_formed(disk: Arc<dyn Disk>, dir: PathBuf, log: Arc<dyn MetadataLog>) {
    let mut end = log.committed_end();
    if end.wait_for(|end| end.get() > 0).await.is_err() {
        return;
    }
    let remembered = tokio::task::spawn_blocking(move || remember(&*disk, &dir)).await;
    if let Ok(Err(error)) = remembered {
        not_remembered(&error);
    }
}

fn not_remembered(error: &anyhow::Error) {
    let error = format!("{error:#}");
    tracing::warn!(error, "the quorum is not noted in meta.properties; the next start does it");
}

fn remember(disk: &dyn Disk, dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    let found = read_meta_properties(disk, dir).with_context(|| format!("read {shown}/meta.properties"))?;
    let Some(mut identity) = found.filter(|identity| !identity.quorum_member) else { return Ok(()) };
    identity.quorum_member = true;
    write_meta_properties(disk, dir, &identity).with_context(|| format!("write {shown}/meta.properties"))
}

fn find(disk: &dyn Disk, dir: &Path) -> anyhow::Result<Found> {
    let shown = dir.display();
    let identity =
        read_meta_properties(disk, dir).with_context(|| format!("read {shown}/meta.properties"))?;
    let folder = dir.join(METADATA_DIR);
    let has_log = holds_log(disk, &folder).with_context(|| format!("look into {}", folder.display()))?;
    let (mut left, mut renamed) = (None, None);
    for path in disk.list_dir(dir).with_context(|| format!("list {shown}"))? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if is_metadata_log(name) && name != METADATA_DIR {
            renamed = Some(path);
        } else if name == CLEAN_SHUTDOWN_FILE || PartitionDir::parse(name).is_some() {
            left = left.or(Some(path));
        }
    }
    let is_member = identity.is_some_and(|identity| identity.quorum_member);
    Ok(Found { is_member, has_log, left: left.or_else(|| renamed.clone()), renamed })
}

#[cfg(test)]
mod tests {
    use ottla_broker_config::load_broker;
    use ottla_broker_log::{MetaProperties, RealDisk};
    use ottla_broker_types::{ClusterId, DirectoryId, NodeId, Uuid};

    use super::*;

    /// A formatted directory of node 1 with `folders` in it; those that end in '/' stay empty.
    struct Rig {
        dir: tempfile::TempDir,
    }

    impl Rig {
        fn formatted(is_member: bool) -> Rig {
            let dir = tempfile::tempdir().unwrap();
            let identity = MetaProperties {
                cluster_id: ClusterId("c".to_owned()),
                node_id: NodeId(1),
                directory_id: Some(DirectoryId(Uuid([1; 16]))),
                quorum_member: is_member,
            };
            write_meta_properties(&RealDisk, dir.path(), &identity).unwrap();
            Rig { dir }
        }

        fn with(self, path: &str) -> Rig {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
            self
        }

        /// What `check` says with these voters; an empty text is its consent.
        fn check(&self, voters: &str, bootstrapped: bool) -> String {
            let pairs = [
                ("node.id", "1".to_owned()),
                ("ottla.cluster.id", "c".to_owned()),
                ("controller.quorum.voters", voters.to_owned()),
                ("ottla.bootstrapped", bootstrapped.to_string()),
            ];
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
            let (config, _) = load_broker(pairs.into()).unwrap();
            check(&RealDisk, self.dir.path(), &config)
                .err()
                .map_or_else(String::new, |error| format!("{error:#}"))
        }

        fn is_member(&self) -> bool {
            read_meta_properties(&RealDisk, self.dir.path()).unwrap().unwrap().quorum_member
        }
    }

    const ALONE: &str = "1@h:1";
    const THREE: &str = "1@h:1,2@h:2,3@h:3";

    #[test]
    fn a_voter_that_was_in_a_quorum_never_starts_without_its_metadata_log() {
        for bootstrapped in [false, true] {
            let said = Rig::formatted(true).check(THREE, bootstrapped);
            assert!(
                said.contains("metadata log is gone: put") && said.contains("empty the whole directory"),
                "{said}"
            );
            let emptied =
                Rig::formatted(true).with("__cluster_metadata-0/committed").check(ALONE, bootstrapped);
            assert!(emptied.contains("the only voter"), "{emptied}");
        }
    }

    #[test]
    fn no_quorum_forms_where_partitions_or_a_clean_stop_tell_of_an_earlier_one() {
        let unique = Uuid([7; 16]);
        let deleted = format!("t-0.{unique}-delete/f");
        for left in ["t-0/00000000000000000000.log", &deleted, ".kafka_cleanshutdown"] {
            let rig = Rig::formatted(false).with(left);
            for voters in [ALONE, THREE] {
                let said = rig.check(voters, false);
                assert!(
                    said.contains("would form a second one: put") && said.contains("ottla.bootstrapped=true"),
                    "{said}"
                );
            }
            assert_eq!(rig.check(THREE, true), "", "a broker that became a voter is taken in by the others");
            assert_eq!(rig.check("2@h:2", false), "", "no voter");
        }
    }

    #[test]
    fn a_folder_of_the_quorum_that_was_renamed_is_named_and_forms_no_second_quorum() {
        let renamed = format!("__cluster_metadata-0.{}-delete", Uuid([7; 16]));
        let rig = Rig::formatted(false).with(&format!("{renamed}/00000000000000000000.qlog"));
        let said = rig.check(ALONE, false);
        assert!(said.contains(&renamed) && said.contains("would form a second one"), "{said}");
    }

    #[test]
    fn the_only_voter_of_a_cluster_that_has_formed_does_not_wait_for_ever_with_an_empty_disk() {
        let said = Rig::formatted(false).check(ALONE, true);
        assert!(said.contains("mount the right volume"), "{said}");
    }

    #[test]
    fn a_new_cluster_forms_and_a_voter_with_its_log_starts_and_is_remembered() {
        assert_eq!(Rig::formatted(false).check(ALONE, false), "");
        assert_eq!(Rig::formatted(false).check(THREE, false), "");
        assert_eq!(Rig::formatted(false).check(THREE, true), "", "an empty voter is taken in by the others");
        let rig = Rig::formatted(false).with("__cluster_metadata-0/vote").with("t-0/f");
        assert_eq!(rig.check(ALONE, false), "");
        assert!(rig.is_member());
    }
}
