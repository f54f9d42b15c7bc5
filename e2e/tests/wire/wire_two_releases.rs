//! Brokers of two releases side by side: a cluster that is upgraded under load, and goes back to the former release.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Kcat, Place, Readers, Waited, binary, former_broker, kcat, until};
use ottla_operator_kafka_admin::{ConfigAlteration, ConfigOp, ConfigResource, NewTopic};

use crate::clients::{Counter, PATIENCE, create_topic, kcat_to, read_all, until_in_sync};
use crate::turns::beside_others;

const BROKERS: usize = 3;
/// Runs the test.
const RUN: &str = "OTTLA_TWO_RELEASES";
/// What is written without a pause.
const TOPIC: &str = "numbers";
/// Acknowledged numbers with each mixture of releases.
const NUMBERS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_to_this_release_and_back_to_the_former_one_under_load() -> Result<()> {
    if std::env::var_os(RUN).is_none() {
        println!("SKIPPED two releases: builds the former one, minutes more; set {RUN} to run it");
        return Ok(());
    }
    let Some(kcat) = kcat() else { return Ok(()) };
    let Some(former) = former_broker().await? else { return Ok(()) };
    let _turn = beside_others().await;
    let options = BrokersOptions::new(BROKERS).running(former.clone());
    let mut brokers = Brokers::start(options).await?;
    create_topic(&brokers, TOPIC, 1, BROKERS as i16).await?;
    let counter = Counter::start(kcat_to(&kcat, &brokers), TOPIC, &["-p", "0"])?;
    let (mut step, mut got) = (0, 0);
    for program in [binary("ottla-broker")?, former] {
        for id in 0..BROKERS {
            step += 1;
            counter.goes_on(NUMBERS).await?;
            exchange(&mut brokers, id, &program).await?;
            administers(&brokers, step).await?;
        }
        // The group begins where it stopped with the other release.
        got += read_on(kcat, &brokers, 1).await?;
    }
    let sent = counter.stop().await?;
    got += read_on(kcat, &brokers, sent - got).await?;
    println!("{sent} numbers were acknowledged, and the group got {got}");
    ensure!(got == sent, "the group got {got} of {sent}");
    let found = read_all(kcat_to(&kcat, &brokers), TOPIC).await?;
    let values: Vec<&str> = found.values().flatten().map(|(_, value)| value.as_str()).collect();
    let expected: Vec<String> = (0..sent).map(|number| number.to_string()).collect();
    ensure!(values == expected, "numbers are lost, doubled or in another order");
    Ok(())
}

/// Lets the group read `least` more numbers; how many it got.
async fn read_on(kcat: Kcat, brokers: &Brokers, least: usize) -> Result<usize> {
    let client = || kcat.command(&Place::here(), &brokers.bootstrap());
    let mut readers = Readers::start(client, "group", &[TOPIC], 1).await?;
    readers.until_got(least, PATIENCE).await?;
    Ok(readers.stop().await?.iter().map(Vec::len).sum())
}

/// Has a broker run another program, as a roll does: it stops in order, and the next one waits until it is in sync.
async fn exchange(brokers: &mut Brokers, id: usize, program: &Path) -> Result<()> {
    brokers.stop(id).await?;
    brokers.use_program(id, program.to_owned());
    brokers.start_broker(id)?;
    brokers.until_ready(id).await?;
    until_in_sync(brokers, TOPIC).await
}

/// A topic is made, changed and described through each broker, whichever of the releases has the active controller.
async fn administers(brokers: &Brokers, step: usize) -> Result<()> {
    for id in 0..BROKERS {
        let admin = brokers.admin_of([id]);
        let name = format!("through-{id}-at-{step}");
        let topic = NewTopic {
            name: name.clone(),
            partitions: Some(2),
            replication_factor: Some(3),
            ..NewTopic::default()
        };
        let made = admin.create_topics(&[topic], false).await?;
        made.get(&name).context("no answer for the topic")?.clone()?;
        let ops = BTreeMap::from([("retention.ms".to_owned(), ConfigOp::Set("3600000".to_owned()))]);
        let alteration = ConfigAlteration { resource: ConfigResource::Topic(name.clone()), ops };
        admin.alter_configs(&[alteration], false).await?;
        // The controller answers for a topic when it knows of it; this broker learns of it a moment later.
        until("the broker knows the topic", PATIENCE, async || {
            let told = admin.describe_topics(Some(std::slice::from_ref(&name))).await?;
            let count = told.first().map_or(0, |topic| topic.partitions.len());
            Ok(if count == 2 { Waited::Done(()) } else { Waited::not_yet(count) })
        })
        .await?;
    }
    Ok(())
}
