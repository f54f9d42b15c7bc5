//! Who serves after a scale-up: the example and topics of other sizes in local mode, with racks that are uneven, even or
//! none. Every topic ends spread over all brokers, and so do bytes and leaders.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_types::NodeId;
use ottla_e2e::{
    FLIGHTS_COUNT, Kcat, Place, Placed, Readers, SIZED_TOPICS, Shares, Stopwatch, Waited, flights_input,
    kcat, output, sized_input, until,
};
use ottla_operator_kafka_admin::{AdminClient, Endpoint, NewTopic};

use crate::clients::PATIENCE;
use crate::turns::beside_others;
use crate::wire_scale::{free_port_base, set_replicas, start_local, until_scaled};

/// Leaders are where they belong within this time after a scaling.
const LEADERS_WITHIN: Duration = Duration::from_secs(60);
/// Runs racks that are even, and none, too.
const ALL: &str = "OTTLA_SCALE_ALL";

/// How brokers are spread over racks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Racks {
    /// Two, two and one of five.
    Uneven,
    /// Two each of six.
    Even,
    /// None.
    None,
}

#[tokio::test(flavor = "multi_thread")]
async fn new_brokers_serve_their_share_of_every_topic() -> Result<()> {
    scale(Racks::Uneven, 5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn new_brokers_serve_their_share_where_racks_are_even_and_where_there_are_none() -> Result<()> {
    if std::env::var_os(ALL).is_none() {
        println!("SKIPPED even racks and none: a minute more; set {ALL} to run them");
        return Ok(());
    }
    scale(Racks::None, 5).await?;
    scale(Racks::Even, 6).await
}

async fn scale(racks: Racks, count: i32) -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    println!("racks: {racks:?}");
    let folder = tempfile::Builder::new().prefix("ottla-shares-").tempdir()?;
    let port = free_port_base()?;
    let mut local = start_local(folder.path(), port, racks != Racks::None).await?;
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port };
    let admin = AdminClient::new(vec![endpoint], Duration::from_secs(10));
    pour(&kcat, &admin, &format!("127.0.0.1:{port}")).await?;
    let new: Vec<i32> = (3..count).collect();
    for (replicas, new) in [(count, new.as_slice()), (3, &[])] {
        let told = local.log().lines().count();
        set_replicas(folder.path(), usize::try_from(replicas)?)?;
        until_scaled(&mut local, usize::try_from(replicas)?, told).await?;
        let watch = Stopwatch::start();
        until_even(&admin, racks, replicas, new).await?;
        println!("{replicas} brokers: even {:.1?} after all was said to be done", watch.elapsed());
    }
    let status = local.stop(PATIENCE).await?;
    ensure!(status.success(), "local mode ended with {status}");
    check_log(folder.path(), count)
}

/// All flights, and topics of other sizes; a group that has read makes the topic of groups.
async fn pour(kcat: &Kcat, admin: &AdminClient, bootstrap: &str) -> Result<()> {
    let client = || kcat.command(&Place::here(), bootstrap);
    let topics = SIZED_TOPICS.map(|(name, partitions, _)| NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions.cast_signed()),
        replication_factor: Some(3),
        ..NewTopic::default()
    });
    for outcome in admin.create_topics(&topics, false).await?.into_values() {
        outcome?;
    }
    let inputs = SIZED_TOPICS.into_iter().map(|(name, _, records)| (name, sized_input(records)));
    for (topic, input) in inputs.chain([("flights", flights_input())]) {
        let mut producer = client();
        producer.args(["-P", "-t", topic, "-K", "\t", "-X", "acks=all", "-X", "enable.idempotence=true"]);
        let poured = output(producer, input.as_bytes(), PATIENCE).await?;
        ensure!(poured.status.success(), "{topic}: {}{}", poured.stdout, poured.stderr);
    }
    let mut readers = Readers::start(client, "readers", &["flights"], 1).await?;
    readers.until_got(FLIGHTS_COUNT, PATIENCE).await?;
    readers.stop().await.map(drop)
}

/// Waits until everything is even, leaders included.
async fn until_even(admin: &AdminClient, racks: Racks, brokers: i32, new: &[i32]) -> Result<()> {
    until("even topics, bytes and leaders", LEADERS_WITHIN, async || {
        let shares = observe(admin, racks, brokers).await?;
        Ok(match shares.check(new) {
            Ok(()) => Waited::Done(()),
            Err(problem) => Waited::not_yet(format!("{problem:#}")),
        })
    })
    .await
}

async fn observe(admin: &AdminClient, racks: Racks, brokers: i32) -> Result<Shares> {
    let rack = |id: i32| match racks {
        Racks::None => String::new(),
        Racks::Even | Racks::Uneven => format!("{}", id % 3),
    };
    let mut partitions = Vec::new();
    for topic in admin.describe_topics(None).await? {
        partitions.extend(topic.partitions.iter().map(|each| Placed {
            topic: topic.name.clone(),
            replicas: each.replicas.iter().map(|id| id.0).collect(),
            leader: each.leader.map_or(-1, |id| id.0),
        }));
    }
    let mut bytes = BTreeMap::new();
    for id in 0..brokers {
        let dirs = admin.describe_log_dirs(NodeId(id)).await?;
        bytes.insert(id, dirs.replicas.values().map(|replica| replica.bytes).sum());
    }
    Ok(Shares { racks: (0..brokers).map(|id| (id, rack(id))).collect(), partitions, bytes })
}

/// The status that local mode keeps tells of the last plan.
fn check_log(folder: &Path, brokers: i32) -> Result<()> {
    let path = folder.join("data/demo/state.json");
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).context("read the state")?)?;
    let told = &state["status"]["rebalance"];
    println!("after {brokers} brokers and 3 again: {told}");
    ensure!(told["phase"] == "Done", "{told}");
    Ok(())
}
