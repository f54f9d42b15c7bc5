//! A disk that fills up under a broker.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_broker_types::NodeId;
use ottla_e2e::{Brokers, BrokersOptions, Kcat, Place, Waited, http_get, kcat, output, until};
use ottla_operator_kafka_admin::{ConfigAlteration, ConfigOp, ConfigResource, NewTopic};

use crate::turns::beside_others;

const TOPIC: &str = "filling";
/// The smallest volume on which ten segments fit above the floor.
const VOLUME_BYTES: u64 = 32 << 20;
const LIMIT: Duration = Duration::from_secs(30);

/// Sends records of 500 kB until one of them is refused for two seconds, or `count` are taken; whether all were.
async fn produce(kcat: Kcat, brokers: &Brokers, count: usize) -> Result<bool> {
    let mut command = kcat.command(&Place::here(), &brokers.bootstrap());
    command.args([
        "-P",
        "-t",
        TOPIC,
        "-p",
        "0",
        "-X",
        "message.timeout.ms=2000",
        "-X",
        "batch.num.messages=1",
    ]);
    let input = vec![[vec![b'x'; 500_000], vec![b'\n']].concat(); count].concat();
    let said = output(command, &input, LIMIT).await?;
    Ok(said.status.success() && !said.stderr.contains("failed"))
}

async fn is_full(brokers: &Brokers) -> Result<bool> {
    Ok(http_get(brokers.ports(0).http, "/metrics").await?.contains("\nottla_disk_full 1\n"))
}

fn topic(name: &str) -> NewTopic {
    let config = BTreeMap::from([("segment.bytes".to_owned(), "1048576".to_owned())]);
    NewTopic { name: name.to_owned(), partitions: Some(1), config, ..NewTopic::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_records_serves_the_rest_and_heals_by_retention() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1).on_volumes(VOLUME_BYTES)).await?;
    let admin = brokers.admin();
    admin.create_topics(&[topic(TOPIC)], false).await?;
    let taken = produce(kcat, &brokers, 4).await?;
    ensure!(taken, "an empty disk takes records:\n{}", brokers.process(0)?.log());
    let taken = produce(kcat, &brokers, 70).await?;
    ensure!(!taken && is_full(&brokers).await?, "a disk of 32 MiB holds no 37 MB");
    let told = admin.describe_log_dirs(NodeId(0)).await?;
    ensure!(told.usable_bytes == Some(0), "whoever asks how much fits is told that nothing does: {told:?}");
    let log = brokers.process(0)?.log();
    ensure!(
        log.contains("takes no records") && log.contains("retention.bytes"),
        "it says what helps:\n{log}"
    );

    // Metadata are written on.
    let outcome = admin.create_topics(&[topic("another")], false).await?;
    ensure!(outcome.values().all(Result::is_ok), "{outcome:?}");

    let ops = BTreeMap::from([("retention.bytes".to_owned(), ConfigOp::Set("4194304".to_owned()))]);
    let less = ConfigAlteration { resource: ConfigResource::Topic(TOPIC.to_owned()), ops };
    admin.alter_configs(&[less], false).await?;
    until("the disk has space again", LIMIT, async || match is_full(&brokers).await? {
        true => Ok(Waited::not_yet("full")),
        false => Ok(Waited::Done(())),
    })
    .await?;
    let taken = produce(kcat, &brokers, 4).await?;
    ensure!(taken, "records are taken again:\n{}", brokers.process(0)?.log());
    brokers.process(0)?;
    Ok(())
}
