//! Breaking the nodes of a kind cluster, and mending them.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::cleanup::undo;
use crate::cluster::Cluster;
use crate::command::run;
use crate::wait::{Waited, until};

/// One call of docker; stopping and starting a node takes 6 s.
const DOCKER_LIMIT: Duration = Duration::from_secs(60);
/// The cluster notices a silent node after 8 s, and a node that comes back after a start needs 10 s.
const NOTICE_LIMIT: Duration = Duration::from_secs(120);

/// One worker.
#[derive(Clone)]
pub struct Node {
    cluster: Cluster,
    name: String,
}

/// What is being done to a node. Dropping it mends the node, so that a test that fails leaves no broken node behind.
pub struct Fault {
    node: Node,
    mend: Option<Mend>,
}

#[derive(Clone, Debug)]
enum Mend {
    Unpause,
    Start,
    LinkUp { link: String, helper_image: String },
}

impl Node {
    pub(crate) fn new(cluster: &Cluster, name: &str) -> Node {
        Node { cluster: cluster.clone(), name: name.to_owned() }
    }

    /// The node's name in Kubernetes and in docker.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every process of the node stops and none ends: a machine that hangs.
    ///
    /// # Errors
    /// When docker fails; so do the others.
    pub async fn pause(&self) -> Result<Fault> {
        docker(&["pause", &self.name]).await?;
        Ok(Fault { node: self.clone(), mend: Some(Mend::Unpause) })
    }

    /// Every process of the node ends at once: a power cut.
    pub async fn kill(&self) -> Result<Fault> {
        docker(&["kill", &self.name]).await?;
        Ok(Fault { node: self.clone(), mend: Some(Mend::Start) })
    }

    /// The node runs on and no packet reaches or leaves it: a cut cable. The far end of the cable is cut: taking down
    /// the node's own end would also drop its routes, which nobody would put back.
    pub async fn cut_link(&self) -> Result<Fault> {
        let index = docker(&["exec", &self.name, "cat", "/sys/class/net/eth0/iflink"]).await?;
        let image =
            docker(&["inspect", "--format", "{{.Config.Image}}", &self.name]).await?.trim().to_owned();
        let links = docker(&host_ip(&image, &["-o", "link"])).await?;
        let link = links
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{}: ", index.trim())))
            .and_then(|rest| rest.split(['@', ':']).next())
            .with_context(|| format!("find link {} of {}", index.trim(), self.name))?
            .to_owned();
        docker(&host_ip(&image, &["link", "set", &link, "down"])).await?;
        Ok(Fault { node: self.clone(), mend: Some(Mend::LinkUp { link, helper_image: image }) })
    }

    /// SIGKILL for the processes of a pod on this node, from outside: our images have no program to do it with.
    ///
    /// # Errors
    /// When docker fails, or no container of that pod runs here.
    pub async fn kill_pod_processes(&self, namespace: &str, pod: &str) -> Result<()> {
        const SCRIPT: &str = r#"
            containers=$(crictl ps --quiet --label io.kubernetes.pod.namespace="$1" --label io.kubernetes.pod.name="$2")
            [ -n "$containers" ]
            for container in $containers; do
                kill -KILL "$(crictl inspect --output go-template --template '{{.info.pid}}' "$container")"
            done"#;
        docker(&["exec", &self.name, "sh", "-euc", SCRIPT, "sh", namespace, pod]).await.map(drop)
    }

    /// Waits until Kubernetes sees the node as ready, or as not ready.
    ///
    /// # Errors
    /// When it does not within two minutes.
    pub async fn until_ready(&self, ready: bool) -> Result<()> {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        until(&format!("{} to be ready: {ready}", self.name), NOTICE_LIMIT, async || {
            let status = self.cluster.kubectl(&["get", "node", &self.name, "--output", path]).await?;
            Ok(if (status == "True") == ready { Waited::Done(()) } else { Waited::NotYet(status) })
        })
        .await
    }
}

impl Fault {
    /// Mends the node and waits until it is ready.
    ///
    /// # Errors
    /// When docker fails, or the node is not ready within two minutes.
    pub async fn mend(mut self) -> Result<()> {
        if let Some(mend) = self.mend.take() {
            let arguments = mend.arguments(&self.node.name);
            docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        }
        self.node.until_ready(true).await
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if let Some(mend) = self.mend.take() {
            let arguments = mend.arguments(&self.node.name);
            undo("docker", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

impl Mend {
    fn arguments(&self, node: &str) -> Vec<String> {
        match self {
            Mend::Unpause => vec!["unpause".to_owned(), node.to_owned()],
            Mend::Start => vec!["start".to_owned(), node.to_owned()],
            Mend::LinkUp { link, helper_image } => {
                host_ip(helper_image, &["link", "set", link, "up"]).into_iter().map(str::to_owned).collect()
            }
        }
    }
}

/// `ip` in the network of the machine that docker runs on, in a container of an image that is there anyway: so links
/// can be cut without root and without `ip` on this side.
fn host_ip<'a>(image: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["run", "--rm", "--privileged", "--network", "host", "--entrypoint", "ip", image];
    all.extend_from_slice(arguments);
    all
}

async fn docker<S: AsRef<str>>(arguments: &[S]) -> Result<String> {
    let mut command = Command::new("docker");
    command.args(arguments.iter().map(AsRef::as_ref));
    run(command, DOCKER_LIMIT).await
}
