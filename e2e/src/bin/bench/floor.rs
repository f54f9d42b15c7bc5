//! The floor: the least that a broker must do, in the simplest program that does it. It runs as a child process of
//! the bench and is measured as brokers are.
//!
//! `produce`: receives into one buffer, appends that to a file, and acknowledges each whole frame.
//! `fetch`: answers each request with a `sendfile` of one chunk.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What one `recv` takes at most, as in the published floor figures.
const BUFFER_BYTES: usize = 256 << 10;
/// The length of an acknowledgement, its 4-byte length included: about that of a Produce answer for one partition.
const ACK_BYTES: usize = 64;

/// Runs as `floor produce PORT FOLDER FRAME_BYTES` or `floor fetch PORT FILE REQUEST_BYTES CHUNK_BYTES`, until it is
/// killed. It serves one connection after the other.
pub fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["produce", port, folder, frame_bytes] => {
            let listener = listen(port)?;
            let frame_bytes = frame_bytes.parse().context("FRAME_BYTES")?;
            for count in 0_u64.. {
                let (stream, _) = listener.accept().context("accept")?;
                append(stream, &Path::new(folder).join(count.to_string()), frame_bytes)?;
            }
            Ok(())
        }
        ["fetch", port, file, request_bytes, chunk_bytes] => {
            let listener = listen(port)?;
            let file = File::open(file).context("open the file to send")?;
            let request_bytes = request_bytes.parse().context("REQUEST_BYTES")?;
            let chunk_bytes = chunk_bytes.parse().context("CHUNK_BYTES")?;
            loop {
                let (stream, _) = listener.accept().context("accept")?;
                send(stream, &file, request_bytes, chunk_bytes)?;
            }
        }
        _ => bail!("floor produce PORT FOLDER FRAME_BYTES | floor fetch PORT FILE REQUEST_BYTES CHUNK_BYTES"),
    }
}

fn listen(port: &str) -> Result<TcpListener> {
    let port: u16 = port.parse().context("PORT")?;
    TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("listen on {port}"))
}

fn append(mut stream: TcpStream, path: &Path, frame_bytes: usize) -> Result<()> {
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut ack = [0; ACK_BYTES];
    ack[..4].copy_from_slice(&((ACK_BYTES - 4) as u32).to_be_bytes());
    let acks = ack.repeat(BUFFER_BYTES.div_ceil(frame_bytes) + 1);
    let mut pending_bytes = 0;
    loop {
        let count = stream.read(&mut buffer).context("receive")?;
        if count == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..count]).context("append")?;
        pending_bytes += count;
        let whole = pending_bytes / frame_bytes;
        pending_bytes %= frame_bytes;
        if whole > 0 {
            stream.write_all(&acks[..whole * ACK_BYTES]).context("acknowledge")?;
        }
    }
}

fn send(mut stream: TcpStream, file: &File, request_bytes: usize, chunk_bytes: usize) -> Result<()> {
    stream.set_nodelay(true).context("set TCP_NODELAY")?;
    let chunks = file.metadata().context("the file to send")?.len() / chunk_bytes as u64;
    let mut request = vec![0; request_bytes];
    let mut next = 0;
    while stream.read_exact(&mut request).is_ok() {
        let mut position = next * chunk_bytes as u64;
        let end = position + chunk_bytes as u64;
        next = (next + 1) % chunks.max(1);
        stream.write_all(&(chunk_bytes as u32).to_be_bytes()).context("send the length")?;
        while position < end {
            let left = (end - position) as usize;
            let sent = rustix::fs::sendfile(&stream, file, Some(&mut position), left).context("sendfile")?;
            if sent == 0 {
                bail!("the file ended early");
            }
        }
    }
    Ok(())
}
