//! Real data: every flight of January 2013 in and out, once, in order per aircraft.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, Kcat, Place, checkout, kafka, kcat, output};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::clients::{PATIENCE, create_topic};

/// Lines of the file without its header.
const FLIGHTS: usize = 27_004;
/// Consumers that share the partitions.
const MEMBERS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_flight_by_kcat_reaches_a_group_once_and_in_order() -> Result<()> {
    let Some(kcat) = kcat() else { return Ok(()) };
    let brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "flights", 12, 3).await?;
    let flights = keyed_flights()?;
    let mut command = kcat.command(&Place::here(), &brokers.bootstrap());
    command.args(["-P", "-t", "flights", "-K", "\t", "-X", "acks=all", "-X", "enable.idempotence=true"]);
    let poured = output(command, flights.as_bytes(), PATIENCE).await?;
    ensure!(poured.status.success(), "kcat: {}", poured.stderr);
    let read = read_in_group(&kcat, &brokers, "flights").await?;
    check(&flights, &read)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flight_by_kafkas_console_producer_reaches_a_group_once_and_in_order() -> Result<()> {
    let (Some(kcat), Some(kafka)) = (kcat(), kafka()) else { return Ok(()) };
    let brokers = Brokers::start(BrokersOptions::new(3)).await?;
    create_topic(&brokers, "flights", 12, 3).await?;
    let flights = keyed_flights()?;
    let mut command = kafka.tool(&Place::here(), "kafka-console-producer")?;
    command.args(["--bootstrap-server", &brokers.bootstrap(), "--topic", "flights"]);
    command.args(["--reader-property", "parse.key=true", "--command-property", "acks=all"]);
    let poured = output(command, flights.as_bytes(), PATIENCE).await?;
    ensure!(poured.status.success(), "kafka-console-producer: {}", poured.stderr);
    let read = read_in_group(&kcat, &brokers, "flights").await?;
    check(&flights, &read)?;
    let mut command = kafka.tool(&Place::here(), "kafka-consumer-groups")?;
    command.args(["--bootstrap-server", &brokers.bootstrap(), "--describe", "--group", "readers"]);
    let described = output(command, b"", PATIENCE).await?;
    ensure!(described.stdout.matches("flights").count() == 12, "{}", described.stdout);
    Ok(())
}

/// Each flight as `tail number, tab, line`, the header left out.
fn keyed_flights() -> Result<String> {
    let path = checkout().join("examples/flights/flights-2013-01.csv");
    let text = std::fs::read_to_string(path).context("read the flights")?;
    let keyed = text.lines().skip(1).map(|line| {
        let key = line.split(',').nth(11).unwrap_or_default();
        format!("{key}\t{line}\n")
    });
    Ok(keyed.collect())
}

/// A record as a consumer printed it: key and value.
type Read = (String, String);

/// Three consumers of one group read until they have as many records as there are flights.
async fn read_in_group(kcat: &Kcat, brokers: &Brokers, topic: &str) -> Result<Vec<(i32, Vec<Read>)>> {
    let (sender, mut lines) = tokio::sync::mpsc::channel(1024);
    let mut members: Vec<Child> = Vec::new();
    for _ in 0..MEMBERS {
        let mut member = start_member(kcat.command(&Place::here(), &brokers.bootstrap()), topic)?;
        let mut printed = BufReader::new(member.stdout.take().context("no output")?).lines();
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = printed.next_line().await {
                if sender.send(line).await.is_err() {
                    return;
                }
            }
        });
        members.push(member);
    }
    let mut by_partition: BTreeMap<i32, BTreeMap<i64, Read>> = BTreeMap::new();
    let mut count = 0;
    let collect = async {
        while count < FLIGHTS {
            let line = lines.recv().await.context("the consumers ended")?;
            let mut parts = line.splitn(4, '|');
            let mut next = || parts.next().context("a short line");
            let (partition, offset): (i32, i64) = (next()?.parse()?, next()?.parse()?);
            let read = (next()?.to_owned(), next()?.to_owned());
            let doubled = by_partition.entry(partition).or_default().insert(offset, read);
            ensure!(doubled.is_none(), "offset {offset} of partition {partition} came twice");
            count += 1;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, collect).await.context("the group does not read everything")??;
    for member in &mut members {
        member.kill().await.context("end a consumer")?;
    }
    Ok(by_partition
        .into_iter()
        .map(|(partition, reads)| (partition, reads.into_values().collect()))
        .collect())
}

fn start_member(mut command: Command, topic: &str) -> Result<Child> {
    command.args(["-G", "readers", topic, "-q", "-u", "-X", "auto.offset.reset=earliest"]);
    command.args(["-X", "session.timeout.ms=10000", "-f", "%p|%o|%k|%s\\n"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().context("start a consumer")
}

/// Every flight once, and those of one aircraft in the order of the file.
fn check(flights: &str, read: &[(i32, Vec<Read>)]) -> Result<()> {
    let by_key = |lines: Vec<(&str, &str)>| {
        let mut keyed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in lines {
            keyed.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        keyed
    };
    let sent = by_key(flights.lines().filter_map(|line| line.split_once('\t')).collect());
    let all = read.iter().flat_map(|(_, reads)| reads);
    let got = by_key(all.map(|(key, value)| (key.as_str(), value.as_str())).collect());
    let count: usize = got.values().map(Vec::len).sum();
    ensure!(count == FLIGHTS, "{count} flights came back");
    for (key, expected) in &sent {
        // Without a key a flight goes anywhere, so only the set is the same.
        let mut found = got.get(key).cloned().unwrap_or_default();
        let mut expected = expected.clone();
        if key.is_empty() {
            found.sort();
            expected.sort();
        }
        ensure!(found == expected, "the flights of {key:?} differ");
    }
    Ok(())
}
