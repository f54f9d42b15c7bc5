//! Bytes that no client sends: each costs its own connection and nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::{Brokers, BrokersOptions, http_get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the broker may take to close a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_close_their_connection_and_nothing_else() -> Result<()> {
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let port = brokers.ports(0).kafka;
    let frames: [(&str, Vec<u8>); 7] = [
        ("a negative length", vec![0xff, 0xff, 0xff, 0xff]),
        ("2 GiB announced", vec![0x7f, 0xff, 0xff, 0xff]),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a frame without a header", vec![0, 0, 0, 1, 0]),
        ("an unknown API", framed(&[0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
        ("a huge array in Metadata", framed(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff])),
        (
            "a broker's request on the clients' listener",
            framed(&[0x4e, 0x20, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0]),
        ),
    ];
    for (what, bytes) in frames {
        ensure!(is_closed(port, &bytes).await?, "{what} did not close the connection");
    }
    ensure!(http_get(brokers.ports(0).http, "/readyz").await?.starts_with("ready"), "the broker suffered");
    ensure!(!brokers.process(0)?.log().contains("panicked"), "something panicked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_frames_cost_no_memory() -> Result<()> {
    let brokers = Brokers::start(BrokersOptions::new(1)).await?;
    let pid = brokers.process(0)?.id().context("it runs")?;
    let before = resident_kib(pid)?;
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", brokers.ports(0).kafka)).await?;
        stream.write_all(&(100i32 << 20).to_be_bytes()).await?;
        held.push(stream);
    }
    // An answer to a later request shows that the announcements were read.
    http_get(brokers.ports(0).http, "/metrics").await?;
    let grown = resident_kib(pid)?.saturating_sub(before);
    ensure!(grown < 100 << 10, "200 announced frames of 100 MiB cost {grown} KiB");
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

fn resident_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
