//! Who serves after `kubectl scale`: the example and topics of other sizes. Every topic ends spread over all brokers, and
//! so do bytes and leaders.

use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::{
    FLIGHTS_COUNT, Placed, SIZED_TOPICS, Shares, Stopwatch, Waited, flights_input, output, sized_input, until,
};

use crate::cluster_scale::at_rest;
use crate::demo::{Demo, START_LIMIT};

/// A step of scaling with little data takes half a minute, ten seconds of which verify that brokers are empty.
const STEP_LIMIT: Duration = Duration::from_secs(240);
/// Leaders are where they belong within this time after a scaling.
const LEADERS_WITHIN: Duration = Duration::from_secs(60);
/// A producer pours a topic in within seconds.
const POUR_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn new_brokers_serve_their_share_of_every_topic() -> Result<()> {
    let Some(demo) = Demo::start("shares").await? else { return Ok(()) };
    demo.start_cluster().await?;
    demo.apply(include_str!("../../../examples/flights/topic.yaml")).await?;
    demo.wait("kafkatopic/flights", "Ready", START_LIMIT).await?;
    for (name, partitions, _) in SIZED_TOPICS {
        demo.create_topic(name, partitions).await?;
    }
    pour(&demo).await?;
    for (replicas, new) in [(5, [3, 4].as_slice()), (3, &[])] {
        let clock = Stopwatch::start();
        demo.kubectl(&["scale", "kafkacluster/demo", &format!("--replicas={replicas}")]).await?;
        until(&format!("{replicas} balanced brokers"), STEP_LIMIT, async || {
            let (object, status) = demo.status().await?;
            let current = status.observed_generation == object.metadata.generation;
            Ok(match current && at_rest(&status, replicas) {
                true => Waited::Done(()),
                false => Waited::NotYet(format!(
                    "{:?} {:?} {:?}",
                    status.conditions, status.rebalance, status.drain
                )),
            })
        })
        .await?;
        println!("{replicas} brokers after {:.1?}", clock.elapsed());
        until("even topics, bytes and leaders", LEADERS_WITHIN, async || {
            Ok(match observe(&demo).await?.check(new) {
                Ok(()) => Waited::Done(()),
                Err(problem) => Waited::NotYet(format!("{problem:#}")),
            })
        })
        .await?;
        println!("even {:.1?} after the spec was changed", clock.elapsed());
    }
    demo.remove().await
}

/// All flights, and topics of other sizes; a group that has read makes the topic of groups.
async fn pour(demo: &Demo) -> Result<()> {
    let inputs = SIZED_TOPICS.into_iter().map(|(name, _, records)| (name, sized_input(records)));
    for (topic, input) in inputs.chain([("flights", flights_input())]) {
        let mut kcat = demo.kcat();
        kcat.args(["-P", "-t", topic, "-K", "\\t", "-X", "acks=all", "-X", "enable.idempotence=true"]);
        let poured = output(kcat, input.as_bytes(), POUR_LIMIT).await?;
        ensure!(poured.status.success(), "{topic}: {}{}", poured.stdout, poured.stderr);
    }
    let mut readers = demo.readers("readers", &["flights"], 1).await?;
    readers.until_got(FLIGHTS_COUNT, POUR_LIMIT).await?;
    readers.stop().await.map(drop)
}

/// Where everything is, by the brokers' metadata, the pods' nodes and the status.
async fn observe(demo: &Demo) -> Result<Shares> {
    let metadata = demo.metadata().await?;
    let placed = metadata.partitions().map(|(topic, each)| Placed {
        topic: topic.to_owned(),
        replicas: each.replicas(),
        leader: each.leader,
    });
    let (_, status) = demo.status().await?;
    let bytes =
        status.brokers.iter().filter_map(|broker| Some((broker.id, u64::try_from(broker.bytes?).ok()?)));
    Ok(Shares { partitions: placed.collect(), bytes: bytes.collect(), racks: demo.zones().await? })
}
