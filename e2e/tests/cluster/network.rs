//! Foreign clients run on this machine and see the cluster as a pod does: brokers advertise names that nobody else can
//! resolve or reach.

use std::time::Duration;

use anyhow::Result;
use ottla_e2e::{Cluster, run};

#[tokio::test]
async fn a_program_of_this_machine_resolves_the_names_of_the_cluster() -> Result<()> {
    let Some(cluster) = Cluster::given().await? else { return Ok(()) };
    let Some(place) = cluster.place("default").await? else { return Ok(()) };
    let mut look_up = place.command("getent", &[]);
    look_up.args(["hosts", "kubernetes"]);
    let found = run(look_up, Duration::from_secs(20)).await?;
    assert!(found.contains("kubernetes.default.svc.cluster.local"), "{found}");
    Ok(())
}

#[tokio::test]
async fn a_program_of_this_machine_reaches_the_services_of_the_cluster() -> Result<()> {
    let Some(cluster) = Cluster::given().await? else { return Ok(()) };
    let Some(place) = cluster.place("default").await? else { return Ok(()) };
    let mut connect = place.command("bash", &[]);
    connect.args(["-c", "exec 3<> /dev/tcp/kubernetes.default.svc.cluster.local/443"]);
    run(connect, Duration::from_secs(20)).await.map(drop)
}
