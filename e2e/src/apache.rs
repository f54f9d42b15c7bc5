//! A cluster of Apache Kafka's own brokers on loopback, for what Ottla's programs do to any Kafka.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ottla_operator_kafka_admin::{AdminClient, Endpoint};
use tempfile::TempDir;

use crate::brokers::{Ports, free_ports};
use crate::clients::{Kafka, Place};
use crate::command::run;
use crate::process::Process;
use crate::wait::{Waited, until};

/// How long the brokers may take to serve, beside other work on a small machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Any valid id.
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";
/// Small buffers and few threads, so that three brokers fit beside everything else; leaders stay where they are put.
const SETTINGS: &str = "log.cleaner.dedupe.buffer.size=2097152\nnum.network.threads=1\nnum.io.threads=2\n\
                        background.threads=2\nauto.leader.rebalance.enable=false\n\
                        offsets.topic.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n";

/// The running cluster, ids from 0 and a rack each; dropping it kills the brokers and removes the data.
#[derive(Debug)]
pub struct ApacheBrokers {
    dir: TempDir,
    ports: Vec<Ports>,
    processes: Vec<Process>,
}

impl ApacheBrokers {
    /// Starts `count` brokers that all vote, and waits until every one is in service.
    pub async fn start(kafka: &Kafka, count: usize) -> Result<ApacheBrokers> {
        let dir = tempfile::Builder::new().prefix("ottla-apache-").tempdir().context("make a folder")?;
        let mut brokers = ApacheBrokers { dir, ports: free_ports(count).await?, processes: Vec::new() };
        let formats = (0..count).map(|id| {
            let settings = brokers.folder(id).join("server.properties");
            std::fs::create_dir_all(brokers.folder(id)).context("make a broker's folder")?;
            std::fs::write(&settings, brokers.properties(id)).context("write the settings")?;
            let mut format = kafka.tool(&Place::here(), "kafka-storage")?;
            format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(&settings);
            Ok(tokio::spawn(run(format, PATIENCE)))
        });
        for format in formats.collect::<Result<Vec<_>>>()? {
            format.await.context("format a data folder")??;
        }
        for id in 0..count {
            let mut server = kafka.tool(&Place::here(), "kafka-server-start")?;
            server.arg(brokers.folder(id).join("server.properties"));
            brokers.processes.push(Process::start_command(&server, &brokers.folder(id).join("log"))?);
        }
        brokers.until_ready().await?;
        Ok(brokers)
    }

    /// Where clients begin: every broker.
    pub fn bootstrap(&self) -> String {
        let each = self.ports.iter().map(|ports| format!("127.0.0.1:{}", ports.kafka));
        each.collect::<Vec<_>>().join(",")
    }

    /// The port of a broker for clients.
    pub fn port(&self, id: usize) -> u16 {
        self.ports[id].kafka
    }

    /// An admin client of the cluster.
    pub fn admin(&self) -> AdminClient {
        let endpoint = |ports: &Ports| Endpoint { host: "127.0.0.1".to_owned(), port: ports.kafka };
        AdminClient::new(self.ports.iter().map(endpoint).collect(), Duration::from_secs(10))
    }

    async fn until_ready(&mut self) -> Result<()> {
        let admin = self.admin();
        let count = self.processes.len();
        until("every broker of Kafka in service", PATIENCE, async || {
            for process in &mut self.processes {
                if let Some(status) = process.ended()? {
                    bail!("a broker ended with {status}:\n{}{}", process.log(), process.errors());
                }
            }
            let found = admin.describe_cluster().await?;
            match found.brokers.iter().filter(|broker| !broker.fenced).count() {
                serving if serving == count => Ok(Waited::Done(())),
                serving => Ok(Waited::not_yet(format!("{serving} of {count} serve"))),
            }
        })
        .await
    }

    fn folder(&self, id: usize) -> PathBuf {
        self.dir.path().join(format!("broker-{id}"))
    }

    fn properties(&self, id: usize) -> String {
        let Ports { kafka, internal, .. } = self.ports[id];
        // As many copies of the internal topics as there can be, up to Kafka's own three.
        let copies = self.ports.len().min(3);
        let voters = self.ports.iter().enumerate();
        let voters = voters.map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.internal));
        format!(
            "process.roles=broker,controller\nnode.id={id}\nbroker.rack=rack-{id}\n\
             controller.quorum.voters={}\nlisteners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{internal}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}\ncontroller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\nlog.dirs={}\n\
             offsets.topic.replication.factor={copies}\ntransaction.state.log.replication.factor={copies}\n\
             transaction.state.log.num.partitions=1\ntransaction.state.log.min.isr=1\n{SETTINGS}",
            voters.collect::<Vec<_>>().join(","),
            self.folder(id).join("data").display(),
        )
    }
}
