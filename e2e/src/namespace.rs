//! A namespace for one test, with what a reader of a failed test wants to see.

use std::time::Duration;

use anyhow::Result;
use tokio::process::Command;

use crate::cleanup::undo;
use crate::cluster::Cluster;
use crate::command::run;

/// What one look at a namespace may take.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// A namespace that is deleted when the value is dropped. When the test panics, pods, events and the status of our
/// own resources are printed first; and with `OTTLA_E2E_KEEP` the namespace stays.
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) async fn create(cluster: &Cluster, prefix: &str) -> Result<Namespace> {
        // Unlike any other run's on the same cluster; process ids repeat only after thousands of runs.
        let name = format!("{prefix}-{}", std::process::id());
        cluster.kubectl(&["create", "namespace", &name]).await?;
        Ok(Namespace { name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything that explains the state of the namespace, as a person would look it up.
    pub async fn describe(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "kafkacluster,kafkatopic,pods,pvc", "-o", "wide"][..],
            &["get", "kafkacluster,kafkatopic", "-o", "yaml"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "--selector=app.kubernetes.io/name=ottla", "--all-containers", "--prefix", "--tail=40"],
        ] {
            let mut command = Command::new("kubectl");
            command.args(["--namespace", &self.name]).args(arguments);
            let said = run(command, LOOK_LIMIT).await.unwrap_or_else(|error| error.to_string());
            text.push_str(&format!("--- kubectl {}\n{said}\n", arguments.join(" ")));
        }
        text
    }

    fn describe_blocking(&self) {
        for arguments in [
            "get kafkacluster,kafkatopic,pods,pvc -o wide",
            "get events --sort-by=.lastTimestamp",
            "logs --selector=app.kubernetes.io/name=ottla --all-containers --prefix --tail=40",
        ] {
            eprintln!("--- kubectl {arguments}");
            let mut command = std::process::Command::new("kubectl");
            command.args(["--namespace", &self.name, "--request-timeout=20s"]).args(arguments.split(' '));
            let _ = command.status();
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.describe_blocking();
        }
        if std::env::var_os("OTTLA_E2E_KEEP").is_none() {
            undo("kubectl", &["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]);
        }
    }
}
