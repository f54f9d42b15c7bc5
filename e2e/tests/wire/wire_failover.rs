//! A broker dies: writes go on, and nothing that was acknowledged is lost or doubled.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Stopwatch, Waited, kcat, until};
use ottla_operator_kafka_admin::AdminClient;
use tokio::io::AsyncWriteExt;

use crate::clients::{PATIENCE, create_topic, describe, producer, read_all, until_in_sync};

/// Records sent before, during and after the failure.
const RECORDS: usize = 3_000;
/// From the kill to a new leader that is not the killed one.
const FAILOVER_MAX: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_leader_loses_and_doubles_nothing() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "t", 1, 3).await?;
    until_in_sync(&brokers, "t").await?;
    let leader = describe(&brokers, "t").await?.partitions[0].leader.context("no leader")?;

    let mut client = producer(&kcat, &brokers, "t")?;
    let mut input = client.stdin.take().context("no input")?;
    for number in 0..RECORDS / 3 {
        input.write_all(format!("{number}\n").as_bytes()).await?;
    }
    input.flush().await?;
    let watch = Stopwatch::start();
    brokers.kill(usize::try_from(leader.0)?).await?;
    for number in RECORDS / 3..RECORDS {
        input.write_all(format!("{number}\n").as_bytes()).await?;
    }
    drop(input);
    let next = until_led_by_another(&brokers.admin(), leader.0).await?;
    let elapsed = watch.elapsed();
    println!("failover: broker {} led {} ms after the kill of broker {leader}", next, elapsed.as_millis());
    ensure!(elapsed <= FAILOVER_MAX, "a new leader took {elapsed:?}");

    let output = tokio::time::timeout(PATIENCE, client.wait_with_output()).await.context("kcat hangs")??;
    ensure!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    let found = read_all(&kcat, &brokers, "t").await?;
    let values: Vec<&str> = found[&0].iter().map(|(_, value)| value.as_str()).collect();
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    ensure!(values == expected, "{} records came back of {RECORDS}, or in another order", values.len());

    brokers.start_broker(usize::try_from(leader.0)?)?;
    brokers.until_ready(usize::try_from(leader.0)?).await?;
    until_in_sync(&brokers, "t").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_active_controller_moves_it_in_seconds() -> Result<()> {
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "before", 1, 3).await?;
    let controller = brokers.admin().describe_quorum().await?.leader.context("no controller")?;
    let watch = Stopwatch::start();
    brokers.kill(usize::try_from(controller.0)?).await?;
    create_topic(&brokers, "after", 1, 2).await?;
    let elapsed = watch.elapsed();
    println!(
        "failover: a topic was created {} ms after the kill of the active controller",
        elapsed.as_millis()
    );
    ensure!(elapsed <= FAILOVER_MAX, "the controller's work went on after {elapsed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_restart_of_each_broker_loses_nothing() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "t", 1, 3).await?;
    let mut client = producer(&kcat, &brokers, "t")?;
    let mut input = client.stdin.take().context("no input")?;
    for id in 0..3 {
        until_in_sync(&brokers, "t").await?;
        for number in id * 1_000..(id + 1) * 1_000 {
            input.write_all(format!("{number}\n").as_bytes()).await?;
        }
        brokers.stop(id).await?;
        brokers.start_broker(id)?;
        brokers.until_ready(id).await?;
    }
    drop(input);
    let output = tokio::time::timeout(PATIENCE, client.wait_with_output()).await.context("kcat hangs")??;
    ensure!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    let found = read_all(&kcat, &brokers, "t").await?;
    let values: Vec<&str> = found[&0].iter().map(|(_, value)| value.as_str()).collect();
    let expected: Vec<String> = (0..3_000).map(|number| number.to_string()).collect();
    ensure!(values == expected, "{} records came back of 3000, or in another order", values.len());
    Ok(())
}

async fn until_led_by_another(admin: &AdminClient, killed: i32) -> Result<i32> {
    until("another broker leads", PATIENCE, async || {
        let described = admin.describe_topics(Some(&["t".to_owned()])).await?;
        match described
            .first()
            .and_then(|topic| topic.partitions.first())
            .and_then(|partition| partition.leader)
        {
            Some(leader) if leader.0 != killed => Ok(Waited::Done(leader.0)),
            leader => Ok(Waited::not_yet(format!("the leader is {leader:?}"))),
        }
    })
    .await
}
