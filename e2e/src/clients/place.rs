//! Where a foreign client runs: on this machine, or inside a cluster's network.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::cleanup::undo;
use crate::command::run;

/// The name server of a kind cluster: the tenth address of its services, as kubeadm lays it down.
const CLUSTER_DNS: &str = "198.19.0.10";

/// Where a foreign client runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Place(Option<Arc<InNode>>);

/// The network of a node, with the programs of this machine and the names of a namespace. Brokers advertise the names
/// of their pods, which nobody outside of the cluster can resolve. Each program is a container, labelled so that
/// those that still run are found at the end.
#[derive(Debug)]
struct InNode {
    node: String,
    image: String,
    files: TempDir,
}

impl Place {
    /// This machine, for clusters of local processes.
    pub fn here() -> Place {
        Place(None)
    }

    pub(crate) async fn in_node(node: &str, namespace: &str) -> Result<Place> {
        let mut inspect = Command::new("docker");
        inspect.args(["inspect", "--format", "{{.Config.Image}}", node]);
        let image = run(inspect, Duration::from_secs(20)).await?.trim().to_owned();
        let files = TempDir::new().context("make a folder for name resolution")?;
        let names = format!(
            "nameserver {CLUSTER_DNS}\nsearch {namespace}.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
        );
        std::fs::write(files.path().join("resolv.conf"), names).context("write resolv.conf")?;
        Ok(Place(Some(Arc::new(InNode { node: node.to_owned(), image, files }))))
    }

    /// A command for `program` of this machine, run here or there. `folders` beside /usr and /etc are seen by it under
    /// their own names.
    pub fn command(&self, program: impl AsRef<OsStr>, folders: &[&Path]) -> Command {
        let Some(there) = &self.0 else { return Command::new(program) };
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--interactive", "--label", &there.label()]);
        command.args(["--network", &format!("container:{}", there.node)]);
        for folder in [Path::new("/usr"), Path::new("/etc")].iter().chain(folders) {
            command.args(["--volume", &format!("{0}:{0}:ro", folder.display())]);
        }
        let resolver: PathBuf = there.files.path().join("resolv.conf");
        command.args(["--volume", &format!("{}:/etc/resolv.conf:ro", resolver.display())]);
        // The node image is there anyway; of it only the links from /lib and /bin into /usr are used.
        command.args(["--entrypoint", "/usr/bin/env", &there.image]).arg(program);
        command
    }
}

impl InNode {
    fn label(&self) -> String {
        format!("ottla-e2e-place={}", self.files.path().display())
    }
}

impl Drop for InNode {
    /// Ends what was started here: killing docker's command line does not end the container.
    fn drop(&mut self) {
        let all = format!(
            "docker ps --quiet --filter label={} | xargs --no-run-if-empty docker rm --force",
            self.label()
        );
        undo("sh", &["-c", &all]);
    }
}
