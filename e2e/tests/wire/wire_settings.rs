//! Settings as they come from Kafka: its own default file starts a broker, what asks for protection that is not there
//! stops the start, and the API refuses, takes or tells as the table says.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Process, Waited, binary, until};
use ottla_operator_kafka_admin::{
    AdminClient, ConfigAlteration, ConfigOp, ConfigResource, Endpoint, ErrorCode, NewTopic,
};

use crate::clients::PATIENCE;
use crate::turns::beside_others;

/// What Apache Kafka ships as config/server.properties, but for ports, which are this test's own, and the folder.
const KAFKAS_DEFAULT_FILE: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:CONTROLLER_PORT
listeners=PLAINTEXT://:CLIENT_PORT,CONTROLLER://:CONTROLLER_PORT
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:CLIENT_PORT,CONTROLLER://localhost:CONTROLLER_PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=FOLDER
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_default_file_starts_a_broker_that_takes_refuses_and_tells_as_the_table_says() -> Result<()> {
    let _turn = beside_others().await;
    let folder = tempfile::Builder::new().prefix("ottla-settings-").tempdir()?;
    let [client, controller, http] = free_ports()?;
    let text = KAFKAS_DEFAULT_FILE
        .replace("CLIENT_PORT", &client.to_string())
        .replace("CONTROLLER_PORT", &controller.to_string())
        .replace("FOLDER", &folder.path().join("data").display().to_string());
    std::fs::create_dir(folder.path().join("data"))?;
    let mut broker = start(folder.path(), &format!("{text}ottla.metrics.listener=127.0.0.1:{http}\n"))?;
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port: client };
    let admin = AdminClient::new(vec![endpoint], Duration::from_secs(10));
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: Some(1),
        replication_factor: Some(1),
        config: BTreeMap::from([("compression.type".to_owned(), "zstd".to_owned())]),
    };
    until("a topic is made", PATIENCE, async || {
        if let Some(status) = broker.ended()? {
            anyhow::bail!("the broker ended with {status}:\n{}", broker.log());
        }
        Ok(match admin.create_topics(std::slice::from_ref(&topic), false).await {
            Ok(outcomes) if outcomes.values().all(Result::is_ok) => Waited::Done(()),
            other => Waited::not_yet(format!("{other:?}")),
        })
    })
    .await?;
    let alter = async |name: &str, value: &str| {
        let ops = BTreeMap::from([(name.to_owned(), ConfigOp::Set(value.to_owned()))]);
        let alteration = ConfigAlteration { resource: ConfigResource::Topic("t".to_owned()), ops };
        let outcome = admin.alter_configs(&[alteration], false).await?.into_iter().next();
        anyhow::Ok(outcome.context("the resource is answered")?)
    };
    let refused = alter("remote.storage.enable", "true").await?.err().context("it is refused")?;
    ensure!(refused.code == ErrorCode::InvalidConfig, "{refused}");
    ensure!(refused.message.contains("there is no remote tier"), "{refused}");
    ensure!(alter("preallocate", "false").await?.is_ok(), "the default asks for nothing");
    ensure!(alter("follower.replication.throttled.replicas", "0:1").await?.is_ok(), "it is inert");
    let log = broker.log();
    for told in ["compression.type has no effect", "follower.replication.throttled.replicas has no effect"] {
        ensure!(log.contains(told), "the log does not tell {told:?}:\n{log}");
    }
    let status = broker.stop(PATIENCE).await?;
    ensure!(status.success(), "the broker ended with {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_asks_for_protection_that_is_not_there_stops_the_start() -> Result<()> {
    let _turn = beside_others().await;
    let folder = tempfile::Builder::new().prefix("ottla-settings-").tempdir()?;
    let authorizer = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let mut broker = start(folder.path(), &format!("node.id=1\n{authorizer}\nsuper.users=User:admin\n"))?;
    let status = until("the broker gives up", PATIENCE, async || {
        Ok(broker.ended()?.map_or_else(|| Waited::not_yet(broker.log()), Waited::Done))
    })
    .await?;
    let log = broker.log();
    ensure!(!status.success(), "it ended with {status}");
    for told in ["authorizer.class.name cannot be", "super.users cannot be", "there is no authorizer yet"] {
        ensure!(log.contains(told), "the log does not tell {told:?}:\n{log}");
    }
    Ok(())
}

fn start(folder: &Path, properties: &str) -> Result<Process> {
    let file = folder.join("server.properties");
    std::fs::write(&file, properties)?;
    let arguments = ["--config".into(), file.into_os_string()];
    Process::start(&binary("ottla-broker")?, &arguments, &folder.join("log"))
}

/// Ports that are free now.
fn free_ports() -> Result<[u16; 3]> {
    let bind = || std::net::TcpListener::bind(("127.0.0.1", 0));
    let held = [bind()?, bind()?, bind()?];
    let port = |socket: &std::net::TcpListener| anyhow::Ok(socket.local_addr()?.port());
    Ok([port(&held[0])?, port(&held[1])?, port(&held[2])?])
}
