//! Reads a shard's log. Requests get COORDINATOR_LOAD_IN_PROGRESS meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ottla_broker_coordinator::{Loading, Shard};
use ottla_broker_protocol::Segment;
use ottla_broker_types::DurationMs;

use super::hosted_shard::HostedShard;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::partitions::HostedPartition;

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;
/// How often a log that takes long says how far it is.
const TELL_EVERY: DurationMs = DurationMs(5_000);
/// How often a wait for the high watermark looks whether it still has a point.
const RECHECK: Duration = Duration::from_secs(1);

/// Reads the whole log into an empty shard and waits until what was read is committed; `None` if the shard was given up
/// first.
pub(super) async fn load<S: Shard<Reply: Send> + Send + 'static>(
    broker: &Broker,
    hosted: &Arc<HostedShard<S>>,
    empty: S,
) -> anyhow::Result<Option<Loading<S>>> {
    let (reading, clock) = (Arc::clone(hosted), broker.clock);
    let read = tokio::task::spawn_blocking(move || read(&reading, clock, empty));
    let Some(loading) = read.await.context("read the log")?? else { return Ok(None) };
    while !hosted.is_gone() {
        let advanced = hosted.await_commits();
        let looking = Arc::clone(hosted);
        let committed_end = broker.disk.run(false, move || looking.committed_end()).await;
        if loading.may_serve(committed_end) {
            return Ok(Some(loading));
        }
        // Whether the wait ended by an advance or by time, the state is looked at again.
        let _ = tokio::time::timeout(RECHECK, advanced.woken()).await;
    }
    Ok(None)
}

fn read<S: Shard>(hosted: &HostedShard<S>, clock: Clock, empty: S) -> anyhow::Result<Option<Loading<S>>> {
    let partition: &HostedPartition = &hosted.partition;
    let offline = "the partition's log has failed";
    let (start, end) =
        partition.read(|replica| (replica.log().log_start(), replica.log().log_end())).context(offline)?;
    let mut loading = Loading::new(empty, start, end);
    let mut told = clock.now().mono;
    while let Some(next) = loading.next() {
        if hosted.is_gone() {
            return Ok(None);
        }
        let read =
            partition.read(|replica| replica.log().read(next, READ_BYTES, end, true)).context(offline)??;
        let bytes = gather(&read.segments, read.bytes)?;
        for error in loading.read(&bytes).context("read a batch of a coordinator's records")? {
            tracing::warn!(partition = %partition.id, %error, "a coordinator's record is skipped");
        }
        let now = clock.now().mono;
        if now.since(told) >= TELL_EVERY {
            told = now;
            tracing::info!(partition = %partition.id, progress = %loading.progress(), "a coordinator is loading");
        }
    }
    Ok(Some(loading))
}

fn gather(segments: &[Segment], len: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    for segment in segments {
        match segment {
            Segment::Bytes(part) => bytes.extend_from_slice(part),
            Segment::File(range) => {
                let start = bytes.len();
                bytes.resize(start + range.len, 0);
                range.file.read_exact_at(&mut bytes[start..], range.position).context("read the log")?;
            }
        }
    }
    Ok(bytes)
}
