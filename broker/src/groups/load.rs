//! Loading a shard from its partition's log. Requests get COORDINATOR_LOAD_IN_PROGRESS meanwhile.
//!
//! The log is read to its end, and the shard opens only when the high watermark has reached that end: what another
//! leader could still take back is never served.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ottla_broker_coordinator::GroupShard;
use ottla_broker_node::Reader;
use ottla_broker_protocol::Segment;
use ottla_broker_types::{DurationMs, Offset};

use super::hosted_shard::HostedShard;
use crate::broker::Broker;
use crate::controller::Standing;
use crate::partitions::{FetchWaiter, HostedPartition};

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;
/// Pause after a failed attempt.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often a wait for the high watermark looks whether it still has a point.
const RECHECK: Duration = Duration::from_secs(1);

/// Loads the shard after `pause`, on a task of its own that ends when the shard is given up.
pub(super) fn spawn(broker: &Arc<Broker>, shard: &Arc<HostedShard>, pause: DurationMs) {
    let (broker, hosted) = (Arc::clone(broker), Arc::clone(shard));
    let data = broker.data.clone();
    data.spawn(async move {
        tokio::time::sleep(pause.to_std()).await;
        // Until this broker has caught up, its metadata may show leaderships and topics of the past.
        let caught_up =
            broker.controller.standing().wait_for(|standing| *standing == Standing::Active).await.is_ok();
        while caught_up && !hosted.is_gone() {
            match load(&broker, &hosted).await {
                Ok(()) => return,
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(partition = %hosted.partition.id, error, "groups cannot be loaded; trying again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    });
}

async fn load(broker: &Arc<Broker>, hosted: &Arc<HostedShard>) -> anyhow::Result<()> {
    let started = broker.clock.micros();
    let empty = GroupShard::new(broker.groups.limits().clone(), broker.groups.draw_seed());
    let partition = Arc::clone(&hosted.partition);
    let read =
        tokio::task::spawn_blocking(move || replay(&partition, empty)).await.context("read the log")?;
    let (mut shard, end) = read?;
    if !reached(hosted, end).await {
        return Ok(());
    }
    shard.loaded(broker.clock.now());
    let groups = shard.list().count();
    if hosted.install(shard) {
        let micros = broker.clock.micros().saturating_sub(started);
        tracing::debug!(partition = %hosted.partition.id, epoch = hosted.epoch.0, groups, micros, "groups loaded");
        drop_deleted_topics(broker, hosted);
        broker.groups.timers_changed();
    }
    Ok(())
}

/// Waits until everything below `end` is committed; false if the shard was given up first.
async fn reached(hosted: &HostedShard, end: Offset) -> bool {
    let waiter = Arc::new(FetchWaiter::default());
    hosted.partition.watch(&waiter, 0, Reader::Client);
    while !hosted.is_gone() {
        if hosted.partition.read(|replica| replica.high_watermark()).is_some_and(|reached| reached >= end) {
            return true;
        }
        // Whether the wait ended by an advance or by time, the state is looked at again.
        let _ = tokio::time::timeout(RECHECK, waiter.woken()).await;
    }
    false
}

/// Reads the whole log into the shard; returns where it ended.
fn replay(partition: &HostedPartition, mut shard: GroupShard) -> anyhow::Result<(GroupShard, Offset)> {
    let offline = "the partition's log has failed";
    let (mut from, end) =
        partition.read(|replica| (replica.log().log_start(), replica.log().log_end())).context(offline)?;
    while from < end {
        let read =
            partition.read(|replica| replica.log().read(from, READ_BYTES, end, true)).context(offline)??;
        let bytes = gather(&read.segments, read.bytes)?;
        let replayed = shard.replay_batches(&bytes).context("read a batch of group records")?;
        for error in replayed.skipped {
            tracing::warn!(partition = %partition.id, %error, "a group record is skipped");
        }
        // Compaction may have taken the last batches of the range.
        let Some(next) = replayed.next else { break };
        from = next;
    }
    Ok((shard, end))
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

/// Topics may have been deleted while nobody coordinated these groups.
fn drop_deleted_topics(broker: &Arc<Broker>, hosted: &Arc<HostedShard>) {
    let view = broker.view();
    let topics = hosted.with(|loaded| loaded.shard.topics()).unwrap_or_default();
    for topic in topics.iter().filter(|topic| view.topic(topic.as_str()).is_none()) {
        // What cannot be written now goes at the next load.
        let _ = hosted.decide(broker, |loaded, _| ((), loaded.shard.topic_deleted(topic)));
    }
}
