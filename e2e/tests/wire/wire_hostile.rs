//! Bytes that no client sends: each costs its own connection and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::ApiKey;
use ottla_e2e::{Brokers, BrokersOptions, Waited, http_get, until};
use ottla_operator_kafka_admin::{ConfigAlteration, ConfigOp, ConfigResource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::turns::beside_others;

/// How long the broker may take to close a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that has taken nothing for so long does not read.
const STANDSTILL: Duration = Duration::from_secs(1);
/// The most that a broker which does little ever has in memory, built without optimization.
const PEAK_KIB_MAX: u64 = 96 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_close_their_connection_and_nothing_else() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    let frames: [(&str, Vec<u8>); 9] = [
        ("a negative length", vec![0xff, 0xff, 0xff, 0xff]),
        ("2 GiB announced", vec![0x7f, 0xff, 0xff, 0xff]),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a frame without a header", vec![0, 0, 0, 1, 0]),
        ("an unknown API", framed(&[0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("a version that no API has", framed(&[0, 3, 0x7f, 0xff, 0, 0, 0, 1, 0xff, 0xff])),
        ("a client id that is longer than the frame", framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, b'x'])),
        ("a huge array in Metadata", framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff])),
        (
            "a broker's request on the clients' listener",
            framed(&[0x4e, 0x20, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0]),
        ),
    ];
    for (what, bytes) in frames {
        ensure!(is_closed(port, &bytes).await?, "{what} did not close the connection");
    }
    is_unharmed(&brokers).await
}

/// Bodies that fit no schema, behind a header that fits: each ends its connection or is answered, whatever the API.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_behind_a_valid_header_costs_its_connection_at_most() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    let pid = brokers.process(0)?.id().context("it runs")?;
    let bodies: [(&str, Vec<u8>); 6] = [
        ("nothing", vec![]),
        ("a byte", vec![0]),
        ("negative counts", vec![0xff; 64]),
        ("huge counts", [0x7f, 0xff, 0xff, 0xff].repeat(16)),
        ("huge compact counts", [0, 0xff, 0xff, 0xff, 0xff, 0x0f].repeat(16)),
        ("one element that ends early", vec![0, 0, 0, 1, 0, 1, 0x61]),
    ];
    let mut count = 0;
    for api in ApiKey::ALL.iter().copied() {
        let (first, last) = (*api.versions().start(), *api.versions().end());
        for version in [first, last, last + 1] {
            for (what, body) in &bodies {
                let mut frame = header(api, version)?;
                frame.extend_from_slice(body);
                ends(port, &framed(&frame)).await.with_context(|| format!("{what} in {api:?} {version}"))?;
                count += 1;
            }
        }
    }
    println!("hostile: {count} frames, the broker's memory peaked at {} KiB", peak_kib(pid)?);
    ensure!(peak_kib(pid)? < PEAK_KIB_MAX, "{count} frames cost {} KiB", peak_kib(pid)?);
    is_unharmed(&brokers).await
}

/// 200 connections announce 100 MiB each, and then send nothing. That their announcements were read is shown by the
/// answers to a request in front of them.
#[tokio::test(flavor = "multi_thread")]
async fn announced_frames_cost_no_memory() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let pid = brokers.process(0)?.id().context("it runs")?;
    let mut request = framed(&header(ApiKey::ApiVersions, 0)?);
    request.extend_from_slice(&(100i32 << 20).to_be_bytes());
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", brokers.ports(0).kafka)).await?;
        stream.write_all(&request).await?;
        let read = async {
            let len = stream.read_i32().await?;
            stream.read_exact(&mut vec![0; usize::try_from(len).unwrap_or(0)]).await
        };
        tokio::time::timeout(CLOSE_TIMEOUT, read).await.context("no answer")??;
        held.push(stream);
    }
    println!("hostile: 200 announced frames, the broker's memory peaked at {} KiB", peak_kib(pid)?);
    ensure!(peak_kib(pid)? < PEAK_KIB_MAX, "200 announced frames of 100 MiB cost {} KiB", peak_kib(pid)?);
    is_unharmed(&brokers).await
}

/// Clients that send large frames at the same time share one budget of 64 MiB, whatever they are full of.
#[tokio::test(flavor = "multi_thread")]
async fn large_frames_of_garbage_share_one_budget() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let pid = brokers.process(0)?.id().context("it runs")?;
    let mut frame = header(ApiKey::Produce, *ApiKey::Produce.versions().end())?;
    frame.resize(16 << 20, 0x7f);
    let (port, frame) = (brokers.ports(0).kafka, Arc::new(framed(&frame)));
    let clients: Vec<_> = (0..24)
        .map(|_| {
            let frame = Arc::clone(&frame);
            tokio::spawn(async move { ends(port, &frame).await })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    println!("hostile: 24 frames of 16 MiB, the broker's memory peaked at {} KiB", peak_kib(pid)?);
    ensure!(peak_kib(pid)? < (64 << 10) + PEAK_KIB_MAX, "24 frames of 16 MiB cost {} KiB", peak_kib(pid)?);
    is_unharmed(&brokers).await
}

/// Clients that ask and ask and never read: each holds a few MiB of answers at most, and others are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_holds_little_memory() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let pid = brokers.process(0)?.id().context("it runs")?;
    let request = framed(&header(ApiKey::ApiVersions, 0)?).repeat(1_000);
    let mut held = Vec::new();
    for _ in 0..4 {
        let stream = TcpStream::connect(("127.0.0.1", brokers.ports(0).kafka)).await?;
        // Until the broker reads no more: it does not, while its answers are not taken.
        let mut sent = 0;
        while tokio::time::timeout(STANDSTILL, stream.writable()).await.is_ok() {
            match stream.try_write(&request) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            ensure!(sent < 256 << 20, "the broker goes on reading");
        }
        held.push(stream);
    }
    println!("hostile: 4 clients that never read, the broker's memory peaked at {} KiB", peak_kib(pid)?);
    ensure!(peak_kib(pid)? < 4 * (8 << 10) + PEAK_KIB_MAX, "4 clients cost {} KiB", peak_kib(pid)?);
    is_unharmed(&brokers).await
}

/// The limit is set while the broker runs, holds for the next connection, and is taken back by a client that is there.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_gets_as_many_connections_as_it_may_open() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    let admin = brokers.admin();
    let limit = async |op: ConfigOp| {
        let ops = BTreeMap::from([("max.connections.per.ip".to_owned(), op)]);
        let alteration = ConfigAlteration { resource: ConfigResource::AllBrokers, ops };
        let outcomes = admin.alter_configs(&[alteration], false).await?;
        ensure!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        anyhow::Ok(())
    };
    limit(ConfigOp::Set("3".to_owned())).await?;
    let mut held = Vec::new();
    until("a connection is refused", CLOSE_TIMEOUT, async || match is_answered(port).await? {
        Some(stream) => {
            held.push(stream);
            ensure!(held.len() < 4, "{} connections from one address are served", held.len());
            Ok(Waited::not_yet("another one is served"))
        }
        None => Ok(Waited::Done(())),
    })
    .await?;
    limit(ConfigOp::Delete).await?;
    until("connections are served again", CLOSE_TIMEOUT, async || match is_answered(port).await? {
        Some(_) => Ok(Waited::Done(())),
        None => Ok(Waited::not_yet("the connection is refused")),
    })
    .await?;
    is_unharmed(&brokers).await
}

/// A connection that was answered; `None` if the broker closed it instead.
async fn is_answered(port: u16) -> Result<Option<TcpStream>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // It may be closed before it is written to.
    let _ = stream.write_all(&framed(&header(ApiKey::ApiVersions, 0)?)).await;
    let read =
        tokio::time::timeout(CLOSE_TIMEOUT, stream.read_i32()).await.context("no answer and no end")?;
    Ok(read.is_ok().then_some(stream))
}

/// The broker is ready, answers a client, and has not panicked.
async fn is_unharmed(brokers: &Brokers) -> Result<()> {
    ensure!(http_get(brokers.ports(0).http, "/readyz").await?.starts_with("ready"), "the broker suffered");
    brokers.admin().describe_cluster().await.context("another client is not served")?;
    ensure!(!brokers.process(0)?.log().contains("panicked"), "something panicked");
    Ok(())
}

fn header(api: ApiKey, version: i16) -> Result<Vec<u8>> {
    let mut bytes = [api.code(), version].map(i16::to_be_bytes).concat();
    // Correlation id 7, client id "t".
    bytes.extend_from_slice(&[0, 0, 0, 7, 0, 1, b't']);
    // Flexible versions have tagged fields behind the client id; an older one takes the byte for its body's first.
    bytes.push(0);
    Ok(bytes)
}

/// Sends the bytes, closes the sending side, and waits for the end of the connection, with or without answers.
async fn ends(port: u16, bytes: &[u8]) -> Result<()> {
    let (mut read, mut write) = TcpStream::connect(("127.0.0.1", port)).await?.into_split();
    let send = async {
        // The broker may close before it has read everything.
        let _ = write.write_all(bytes).await;
        let _ = write.shutdown().await;
    };
    let mut answer = Vec::new();
    let both = async { tokio::join!(send, read.read_to_end(&mut answer)).1 };
    let ended = tokio::time::timeout(CLOSE_TIMEOUT, both).await.context("the connection stays open")?;
    // A reset ends it as well as a close.
    drop(ended);
    Ok(())
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

async fn is_closed(port: u16, bytes: &[u8]) -> Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(CLOSE_TIMEOUT, stream.read_to_end(&mut answer)).await;
    Ok(matches!(read, Ok(Ok(0) | Err(_))))
}

/// The most that the process has had in memory so far.
fn peak_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
