//! Groups of the consumer protocol (KIP-848), as Kafka's own consumer and tools use them.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use ottla_broker_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use ottla_e2e::{Brokers, BrokersOptions, Kafka, Kcat, Place, Process, Waited, kafka, kcat, run, until};
use ottla_operator_kafka_admin::Connection;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::clients::{PATIENCE, create_topic, kcat_to, tool};
use crate::turns::beside_others;

const TOPIC: &str = "numbers";
const GROUP: &str = "readers";
const PARTITIONS: i32 = 6;

/// Kafka's console consumer as a member of a group of the consumer protocol.
struct Member {
    process: Process,
}

impl Member {
    fn start(
        kafka: &Kafka,
        brokers: &Brokers,
        folder: &TempDir,
        name: &str,
        wanted: &[&str],
    ) -> Result<Member> {
        let mut command = kafka.tool(&Place::here(), "kafka-console-consumer")?;
        command.args(["--bootstrap-server", &brokers.bootstrap(), "--group", GROUP]).args(wanted);
        let properties =
            ["group.protocol=consumer", "auto.offset.reset=earliest", "auto.commit.interval.ms=200"];
        for property in properties {
            command.args(["--consumer-property", property]);
        }
        Ok(Member { process: Process::start_command(&command, &folder.path().join(name))? })
    }

    /// The numbers that it has printed.
    fn numbers(&self) -> Vec<u32> {
        self.process.log().lines().filter_map(|line| line.parse().ok()).collect()
    }
}

async fn write(kcat: &Kcat, brokers: &Brokers, topic: &str, numbers: std::ops::Range<u32>) -> Result<()> {
    let mut command = kcat_to(kcat, brokers);
    command.args(["-P", "-t", topic, "-X", "acks=all", "-X", "partitioner=random"]).stdin(Stdio::piped());
    let mut client = command.spawn().context("start kcat")?;
    let text: String = numbers.map(|number| format!("{number}\n")).collect();
    client.stdin.take().context("no input")?.write_all(text.as_bytes()).await?;
    ensure!(client.wait().await?.success(), "kcat could not write");
    Ok(())
}

/// Waits until the members have printed all numbers below `end` between them.
async fn until_read(members: &[&Member], end: u32) -> Result<()> {
    until("the group has read everything", PATIENCE, async || {
        let read: BTreeSet<u32> = members.iter().flat_map(|member| member.numbers()).collect();
        Ok(match read.len() == end as usize {
            true => Waited::Done(()),
            false => Waited::not_yet(read.len()),
        })
    })
    .await
}

/// Waits until `kafka-consumer-groups --describe` tells of so many members that have partitions.
async fn until_shared(kafka: &Kafka, brokers: &Brokers, members: usize) -> Result<()> {
    until("the members share the partitions", PATIENCE, async || {
        let told =
            tool(kafka, brokers, "kafka-consumer-groups", &format!("--describe --group {GROUP}")).await?;
        let rows = told.lines().filter(|line| line.starts_with(GROUP));
        let owners: BTreeSet<&str> = rows.clone().filter_map(|row| row.split_whitespace().nth(6)).collect();
        let is_shared =
            owners.len() == members && !owners.contains("-") && rows.count() == PARTITIONS as usize;
        Ok(if is_shared { Waited::Done(()) } else { Waited::not_yet(told) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_consumers_of_the_consumer_protocol_share_a_topic_and_lose_nothing() -> Result<()> {
    let (Some(kafka), Some(kcat)) = (kafka(), kcat()) else { return Ok(()) };
    let _turn = beside_others().await;
    let mut brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, TOPIC, PARTITIONS, 3).await?;
    let folder = TempDir::new()?;
    write(&kcat, &brokers, TOPIC, 0..100).await?;
    let first = Member::start(&kafka, &brokers, &folder, "first", &["--topic", TOPIC])?;
    until_read(&[&first], 100).await?;
    let second = Member::start(&kafka, &brokers, &folder, "second", &["--topic", TOPIC])?;
    until_shared(&kafka, &brokers, 2).await?;
    write(&kcat, &brokers, TOPIC, 100..200).await?;
    until_read(&[&first, &second], 200).await?;
    let told =
        tool(&kafka, &brokers, "kafka-consumer-groups", &format!("--describe --group {GROUP} --state"))
            .await?;
    ensure!(told.contains("uniform") && told.contains("Stable"), "{told}");
    let told = tool(&kafka, &brokers, "kafka-consumer-groups", "--list --type consumer").await?;
    ensure!(told.lines().any(|line| line.starts_with(GROUP)), "{told}");
    // The coordinator is killed; another reads the group from its log.
    let described = brokers.admin().describe_topics(Some(&["__consumer_offsets".to_owned()])).await?;
    let leaders: Vec<_> = described[0].partitions.iter().filter_map(|partition| partition.leader).collect();
    let coordinator = usize::try_from(leaders.first().context("a leader")?.0)?;
    brokers.kill(coordinator).await?;
    write(&kcat, &brokers, TOPIC, 200..300).await?;
    until_read(&[&first, &second], 300).await?;
    brokers.start_broker(coordinator)?;
    brokers.until_ready(coordinator).await?;
    // One leaves in order, and the other takes over.
    second.process.signal("TERM").await?;
    until_shared(&kafka, &brokers, 1).await?;
    write(&kcat, &brokers, TOPIC, 300..400).await?;
    until_read(&[&first, &second], 400).await?;
    let doubled = first.numbers().len() + second.numbers().len();
    println!("400 numbers were read, {} of them twice", doubled - 400);
    Ok(())
}

/// A member that leaves it to the coordinator which topics a pattern stands for, as only newer clients can.
struct PatternMember {
    connection: Connection,
    id: &'static str,
    epoch: i32,
    /// Partitions that it has.
    count: usize,
}

impl PatternMember {
    async fn beat(&mut self, pattern: &str) -> Result<()> {
        let joins = self.epoch == 0;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id.into(),
            member_epoch: self.epoch,
            rebalance_timeout_ms: if joins { 10_000 } else { -1 },
            subscribed_topic_regex: joins.then(|| pattern.to_owned().into()),
            topic_partitions: joins.then(Vec::new),
            ..Default::default()
        };
        let answer = |answer: ConsumerGroupHeartbeatResponse<'_>| {
            let partitions = answer.assignment.map(|assignment| {
                assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum::<usize>()
            });
            (
                answer.error_code,
                answer.error_message.map(|text| text.into_owned()),
                answer.member_epoch,
                partitions,
            )
        };
        let (code, message, epoch, partitions) = self.connection.call(&request, answer).await?;
        ensure!(code == 0, "{}: {message:?}", ErrorCode::from_wire(code).name());
        (self.epoch, self.count) = (epoch, partitions.unwrap_or(self.count));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_follows_topics_that_are_made_later() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    for (topic, partitions) in [("numbers-a", 2), ("others", 3)] {
        create_topic(&brokers, topic, partitions, 1).await?;
    }
    // A reader of any group makes the topic of groups.
    write(&kcat, &brokers, "others", 0..1).await?;
    let mut client = kcat_to(&kcat, &brokers);
    client.args(["-G", "others", "others", "-c", "1", "-X", "auto.offset.reset=earliest"]);
    run(client, PATIENCE).await?;
    let connection = Connection::open(&brokers.bootstrap(), PATIENCE).await?;
    let mut member = PatternMember { connection, id: "member", epoch: 0, count: 0 };
    member.beat("numbers-.*").await?;
    ensure!(member.count == 2, "{} partitions of the topic that is there", member.count);
    create_topic(&brokers, "numbers-b", 4, 1).await?;
    until("the new topic is assigned, too", PATIENCE, async || {
        member.beat("numbers-.*").await?;
        Ok(if member.count == 6 { Waited::Done(()) } else { Waited::not_yet(member.count) })
    })
    .await?;
    (member.id, member.epoch) = ("another", 0);
    let refused = member.beat("numbers-(").await;
    let said = refused.map_or_else(|error| format!("{error:#}"), |()| "it was taken".to_owned());
    ensure!(said.contains("INVALID_REGULAR_EXPRESSION"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_the_consumer_protocol_is_reset_and_deleted_by_kafkas_tool() -> Result<()> {
    let (Some(kafka), Some(kcat)) = (kafka(), kcat()) else { return Ok(()) };
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    create_topic(&brokers, TOPIC, PARTITIONS, 1).await?;
    write(&kcat, &brokers, TOPIC, 0..20).await?;
    let folder = TempDir::new()?;
    let member = Member::start(&kafka, &brokers, &folder, "member", &["--topic", TOPIC])?;
    until_read(&[&member], 20).await?;
    let delete = format!("--delete --group {GROUP}");
    let refused = tool(&kafka, &brokers, "kafka-consumer-groups", &delete).await;
    let said = refused.unwrap_or_else(|error| format!("{error:#}"));
    ensure!(said.contains("not empty") || said.contains("NonEmpty"), "{said}");
    member.process.signal("TERM").await?;
    let reset = format!("--reset-offsets --to-earliest --execute --topic {TOPIC} --group {GROUP}");
    until("the group is empty and can be reset", PATIENCE, async || {
        let told = tool(&kafka, &brokers, "kafka-consumer-groups", &reset).await?;
        let rows =
            told.lines().filter(|line| line.starts_with(GROUP) && line.trim_end().ends_with(" 0")).count();
        Ok(if rows == PARTITIONS as usize { Waited::Done(()) } else { Waited::not_yet(told) })
    })
    .await?;
    let told = tool(&kafka, &brokers, "kafka-consumer-groups", &delete).await?;
    ensure!(told.contains("was successful"), "{told}");
    Ok(())
}
