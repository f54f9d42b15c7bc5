//! Brokers die without a word: others take over within seconds.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Node, Stopwatch, longest_pause};

use crate::demo::{Demo, START_LIMIT};

/// From a kill to the next acknowledged write of the partition that waits longest.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// Records a second, over all partitions.
const RATE: u32 = 300;

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Role {
    Leader,
    Controller,
}

/// How.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// Its process, which its container's restart brings back.
    Process,
    /// Its process and the pod around it, which the StatefulSet makes anew.
    Pod,
}

#[tokio::test]
async fn writes_go_on_within_seconds_of_a_kill_and_nothing_acknowledged_is_lost() -> Result<()> {
    let Some(demo) = Demo::start("failover").await? else { return Ok(()) };
    let Some(nodes) = demo.cluster.workers().await? else { return Ok(()) };
    demo.start_cluster().await?;
    demo.create_topic("load", 12).await?;
    let load = demo.load("load", RATE).await?;
    let mut pauses = Vec::new();
    for (role, blow) in [
        (Role::Leader, Blow::Process),
        (Role::Controller, Blow::Process),
        (Role::Leader, Blow::Pod),
        (Role::Controller, Blow::Pod),
    ] {
        demo.until_in_sync(START_LIMIT).await?;
        let broker = victim(&demo, role).await?;
        load.goes_on(300, START_LIMIT).await?;
        let from = load.acks().len();
        let watch = Stopwatch::start();
        strike(&demo, &nodes, broker, blow).await?;
        load.goes_on(3_000, START_LIMIT).await?;
        demo.until_in_sync(START_LIMIT).await?;
        let (partition, pause) = longest_pause(&load.acks()[from.saturating_sub(300)..]);
        println!(
            "{role:?} {blow:?}: broker {broker} killed; partition {partition} paused longest, {pause:.1?}; \
             all copies in sync after {:.1?}",
            watch.elapsed()
        );
        pauses.push((role, blow, pause));
    }
    let history = load.stop().await?;
    ensure!(history.failures.is_empty(), "failed produces: {:?}", history.failures.first());
    history.check(demo.kcat()).await?;
    for (role, blow, pause) in pauses {
        ensure!(pause <= PAUSE_MAX, "{role:?} {blow:?}: writes paused for {pause:.1?}");
    }
    demo.remove().await
}

/// The broker that leads a partition, or the one that leads the metadata quorum.
async fn victim(demo: &Demo, role: Role) -> Result<i32> {
    match role {
        Role::Leader => {
            let metadata = demo.metadata().await?;
            let mut load = metadata.partitions().filter(|(topic, _)| *topic == "load");
            load.next().map(|(_, each)| each.leader).context("the topic has no partition")
        }
        Role::Controller => {
            let said = demo.tool("kafka-metadata-quorum", &["describe", "--status"]).await?;
            let leader = said.lines().find_map(|line| line.strip_prefix("LeaderId:"));
            leader.and_then(|id| id.trim().parse().ok()).with_context(|| format!("no leader in: {said}"))
        }
    }
}

async fn strike(demo: &Demo, nodes: &[Node], broker: i32, blow: Blow) -> Result<()> {
    let host = demo.node_of(broker).await?;
    let node = nodes.iter().find(|node| node.name() == host).context("its node is none of the workers")?;
    let pod = format!("demo-broker-{broker}");
    node.kill_pod_processes(demo.namespace(), &pod).await?;
    match blow {
        Blow::Process => Ok(()),
        Blow::Pod => demo.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0"]).await.map(drop),
    }
}
