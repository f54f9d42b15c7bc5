//! The Kubernetes cluster under test: what `e2e/run cluster` started, or any other that `KUBECONFIG` names.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::clients::Place;
use crate::command::{output, run};
use crate::namespace::Namespace;
use crate::nodes::Node;
use crate::requirement::unmet;

/// One call of kubectl that does not wait for anything takes far less, also on a machine that is busy building.
const KUBECTL_LIMIT: Duration = Duration::from_secs(60);
/// Loading an image of 150 MB onto four nodes takes 9 s on two cores.
const LOAD_LIMIT: Duration = Duration::from_secs(120);

/// A cluster that answers. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    kind: Option<String>,
    image: String,
}

impl Cluster {
    /// Connects to the cluster that `KUBECONFIG` names; none, and a visible skip, where no cluster is given.
    ///
    /// # Errors
    /// When the cluster that is given does not answer.
    pub async fn given() -> Result<Option<Cluster>> {
        if std::env::var_os("KUBECONFIG").is_none() {
            unmet("no Kubernetes cluster is given", "make e2e, or name one in KUBECONFIG");
            return Ok(None);
        }
        let client = kube::Client::try_default().await.context("read KUBECONFIG")?;
        client.apiserver_version().await.context("ask the API server for its version")?;
        Ok(Some(Cluster {
            client,
            kind: std::env::var("OTTLA_E2E_KIND").ok(),
            image: std::env::var("OTTLA_E2E_IMAGE").unwrap_or_else(|_| "ottla:dev".to_owned()),
        }))
    }

    /// A client of the API server with the rights of an administrator.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The image under test, which the nodes have or can pull.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// A namespace of the test's own, gone when the value is dropped.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn namespace(&self, prefix: &str) -> Result<Namespace> {
        Namespace::create(self, prefix).await
    }

    /// Runs kubectl and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("kubectl");
        command.args(arguments);
        run(command, KUBECTL_LIMIT).await
    }

    /// `kubectl apply` of a manifest; what the API server said, or refused with, is in the result's texts.
    ///
    /// # Errors
    /// When kubectl cannot be run at all.
    pub async fn apply(
        &self,
        namespace: &str,
        manifest: &str,
    ) -> Result<std::result::Result<String, String>> {
        let mut command = Command::new("kubectl");
        command.args(["apply", "--namespace", namespace, "--filename", "-"]);
        let ended = output(command, manifest.as_bytes(), KUBECTL_LIMIT).await?;
        Ok(if ended.status.success() { Ok(ended.stdout) } else { Err(ended.stderr) })
    }

    /// The workers, in the order of their names; none, and a visible skip, where the cluster is not the harness's own
    /// and its nodes must not be broken.
    ///
    /// # Errors
    /// When kind does not answer.
    pub async fn workers(&self) -> Result<Option<Vec<Node>>> {
        let Some(kind) = &self.kind else {
            unmet("the nodes of a given cluster are not broken", "make e2e without KUBECONFIG");
            return Ok(None);
        };
        let mut command = Command::new("kind");
        command.args(["get", "nodes", "--name", kind]);
        let names = run(command, KUBECTL_LIMIT).await?;
        let mut workers: Vec<Node> =
            names.lines().filter(|name| name.contains("-worker")).map(|name| Node::new(self, name)).collect();
        workers.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(Some(workers))
    }

    /// Where foreign clients reach pods by the names that they advertise; none, and a visible skip, where the
    /// cluster's network cannot be entered.
    ///
    /// # Errors
    /// When docker does not answer.
    pub async fn place(&self, namespace: &str) -> Result<Option<Place>> {
        let Some(kind) = &self.kind else {
            unmet("the network of a given cluster cannot be entered", "make e2e without KUBECONFIG");
            return Ok(None);
        };
        Place::in_node(&format!("{kind}-control-plane"), namespace).await.map(Some)
    }

    /// Gives the image under test a second name that every node knows, for a roll to another image. With
    /// `KUBECONFIG`, `OTTLA_E2E_IMAGE_NEXT` names it.
    ///
    /// # Errors
    /// When docker or kind fails, or nothing names a second image.
    pub async fn next_image(&self) -> Result<String> {
        if let Ok(name) = std::env::var("OTTLA_E2E_IMAGE_NEXT") {
            return Ok(name);
        }
        let kind = self.kind.as_ref().context("OTTLA_E2E_IMAGE_NEXT names no image to roll to")?;
        let next = format!("{}-next", self.image);
        let mut tag = Command::new("docker");
        tag.args(["tag", &self.image, &next]);
        run(tag, KUBECTL_LIMIT).await?;
        let mut load = Command::new("kind");
        load.args(["load", "docker-image", "--name", kind, &next]);
        run(load, LOAD_LIMIT).await?;
        Ok(next)
    }
}
