//! The faults of the harness are real: each takes a node away and gives it back. Tests that build on them would
//! otherwise pass on a healthy cluster.

use anyhow::Result;
use ottla_e2e::{Cluster, Fault, Node, Stopwatch};

async fn worker() -> Result<Option<Node>> {
    let Some(cluster) = Cluster::given().await? else { return Ok(None) };
    Ok(cluster.workers().await?.and_then(|workers| workers.into_iter().next_back()))
}

/// Waits until the fault shows and mends it; prints how long both took.
async fn shows_and_heals(node: &Node, what: &str, fault: Fault) -> Result<()> {
    let watch = Stopwatch::start();
    node.until_ready(false).await?;
    let noticed = watch.elapsed();
    fault.mend().await?;
    println!("{what}: noticed after {noticed:.1?}, mended after {:.1?} more", watch.elapsed() - noticed);
    Ok(())
}

#[tokio::test]
async fn a_paused_node_is_not_ready_until_it_goes_on() -> Result<()> {
    let Some(node) = worker().await? else { return Ok(()) };
    shows_and_heals(&node, "pause", node.pause().await?).await
}

#[tokio::test]
async fn a_killed_node_is_not_ready_until_it_is_started() -> Result<()> {
    let Some(node) = worker().await? else { return Ok(()) };
    shows_and_heals(&node, "kill", node.kill().await?).await
}

#[tokio::test]
async fn a_node_with_a_cut_link_is_not_ready_until_it_is_mended() -> Result<()> {
    let Some(node) = worker().await? else { return Ok(()) };
    shows_and_heals(&node, "cut link", node.cut_link().await?).await
}
