//! A rack that the platform names after a broker has registered is registered, too, and nobody notices.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Waited, kcat, until};

use crate::clients::{Counter, PATIENCE, create_topic, describe, kcat_to, read_all, until_in_sync};
use crate::turns::beside_others;

#[tokio::test(flavor = "multi_thread")]
async fn a_rack_that_comes_late_is_registered_without_a_restart() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let dir = tempfile::tempdir().context("make a folder")?;
    let file = dir.path().join("rack");
    let path = file.to_str().context("a path of text")?;
    let options = BrokersOptions::new(3).with("ottla.broker.rack.file", path);
    let brokers = Brokers::start(options).await?;
    create_topic(&brokers, "t", 6, 3).await?;
    until_in_sync(&brokers, "t").await?;
    let leaders = leaders(&brokers).await?;
    let counter = Counter::start(kcat_to(&kcat, &brokers), "t", &[])?;
    for rack in ["late", "moved"] {
        name(&file, rack)?;
        until_all_say(&brokers, rack).await?;
        counter.goes_on(100).await?;
    }
    let sent = counter.stop().await?;
    ensure!(self::leaders(&brokers).await? == leaders, "leaders changed");
    until_in_sync(&brokers, "t").await?;
    let stored: usize = read_all(kcat_to(&kcat, &brokers), "t").await?.values().map(Vec::len).sum();
    ensure!(stored == sent, "{stored} of {sent} records came back");
    Ok(())
}

/// Writes the file as the kubelet does: it is there as a whole or not at all.
fn name(file: &Path, rack: &str) -> Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, rack).context("write the rack")?;
    std::fs::rename(&beside, file).context("name the rack")
}

/// Waits until every broker is registered with `rack`, and says on the way if one leaves service.
async fn until_all_say(brokers: &Brokers, rack: &str) -> Result<()> {
    until("the rack of every broker", PATIENCE, async || {
        let cluster = brokers.admin().describe_cluster().await?;
        ensure!(cluster.brokers.iter().all(|broker| !broker.fenced), "a broker is out of service");
        let all = cluster.brokers.iter().all(|broker| broker.rack.as_deref() == Some(rack));
        Ok(if all { Waited::Done(()) } else { Waited::not_yet(format!("{:?}", cluster.brokers)) })
    })
    .await
}

async fn leaders(brokers: &Brokers) -> Result<Vec<(i32, i32)>> {
    let topic = describe(brokers, "t").await?;
    let leader = |id: Option<ottla_broker_types::NodeId>| id.map_or(-1, |id| id.get());
    Ok(topic.partitions.iter().map(|each| (each.index.get(), leader(each.leader))).collect())
}
