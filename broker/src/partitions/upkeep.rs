//! What hosted partitions need from time to time: ISR checks, retention, flushes, checkpoints, closing.

use std::sync::Arc;
use std::time::Duration;

use ottla_broker_log::{HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, RECOVERY_POINTS_FILE};
use ottla_broker_replication::Effects;
use ottla_broker_types::{DurationMs, MonotonicMs, Offset};

use super::hosted::HostedPartition;
use crate::broker::Broker;
use crate::controller::Standing;
use crate::stop::until_true;

/// How often deadlines are looked at; ISR members may lag by seconds, so this is fine-grained enough.
const TICK: Duration = Duration::from_millis(250);

/// How often directories are looked for whose time has come; their delay is of minutes.
const REMOVAL_TICK: Duration = Duration::from_secs(1);

/// Offsets of partitions as they were found.
type Found = Vec<(Arc<HostedPartition>, Offset)>;

/// Runs until the broker stops.
pub async fn run(broker: Arc<Broker>) {
    let mut stopping = broker.stopping();
    let mut deadlines = Deadlines::start(&broker);
    let mut strays_set_aside = false;
    while !*stopping.borrow() {
        let _ = tokio::time::timeout(TICK, until_true(&mut stopping)).await;
        tokio::task::block_in_place(|| {
            let now = broker.clock.now();
            for hosted in broker.partitions.all() {
                hosted.tick(now);
            }
            if !strays_set_aside && *broker.controller.standing().borrow() == Standing::Active {
                strays_set_aside = broker.partitions.set_strays_aside(now.mono).unwrap_or_else(|error| {
                    tracing::warn!(%error, "files of partitions that left stay behind");
                    true
                });
            }
            deadlines.run(&broker, now.mono);
        });
    }
}

/// Flushes every log from time to time, apart from what must not wait for the disk, until the broker stops.
pub async fn run_flushes(broker: Arc<Broker>) {
    let mut stopping = broker.stopping();
    let interval = broker.config.logs.recovery_checkpoint_ms.to_std();
    while tokio::time::timeout(interval, until_true(&mut stopping)).await.is_err() {
        tokio::task::block_in_place(|| flush(&broker));
    }
}

/// Removes the files of deleted partitions when their time has come, apart from what must not wait for the disk, until
/// the broker stops.
pub async fn run_removals(broker: Arc<Broker>) {
    let mut stopping = broker.stopping();
    while tokio::time::timeout(REMOVAL_TICK, until_true(&mut stopping)).await.is_err() {
        let now = broker.clock.now().mono;
        let leftovers = broker.partitions.opener().leftovers();
        tokio::task::block_in_place(|| leftovers.remove_due(now, || *stopping.borrow()));
    }
}

struct Deadlines {
    retention: MonotonicMs,
    checkpoint: MonotonicMs,
}

impl Deadlines {
    fn start(broker: &Broker) -> Deadlines {
        let now = broker.clock.now().mono;
        Deadlines {
            retention: now.plus(broker.config.logs.retention_check_ms),
            checkpoint: now.plus(broker.config.replication.high_watermark_checkpoint_ms),
        }
    }

    fn run(&mut self, broker: &Broker, now: MonotonicMs) {
        if is_due(&mut self.retention, now, broker.config.logs.retention_check_ms) {
            retain(broker);
        }
        if is_due(&mut self.checkpoint, now, broker.config.replication.high_watermark_checkpoint_ms) {
            checkpoint(broker);
        }
    }
}

fn is_due(deadline: &mut MonotonicMs, now: MonotonicMs, interval: DurationMs) -> bool {
    if now < *deadline {
        return false;
    }
    *deadline = now.plus(interval);
    true
}

fn retain(broker: &Broker) {
    let now = broker.clock.now();
    for hosted in broker.partitions.all() {
        let deleted = hosted.maintain("retention", |replica| replica.apply_retention(now));
        // Removing files takes long and needs no lock.
        let removed = deleted.map(|deleted| broker.partitions.opener().remove(&deleted));
        if let Some(Err(error)) = removed {
            tracing::warn!(partition = %hosted.id, %error, "old segments cannot be removed");
        }
    }
}

fn flush(broker: &Broker) {
    let mut points = Found::new();
    for hosted in broker.partitions.all() {
        let begun =
            hosted.maintain("begin a flush", |replica| Ok((replica.begin_flush()?, Effects::default())));
        let Some(plan) = begun else { continue };
        // The disk may take seconds: producers go on meanwhile.
        let synced = broker.partitions.opener().sync(&plan);
        let point =
            hosted.maintain("flush", |replica| Ok((replica.finish_flush(plan, synced)?, Effects::default())));
        points.extend(point.map(|point| (hosted, point)));
    }
    save(broker, RECOVERY_POINTS_FILE, points);
}

fn checkpoint(broker: &Broker) {
    let mut high_watermarks = Found::new();
    let mut log_starts = Found::new();
    for hosted in broker.partitions.all() {
        if let Some((high_watermark, log_start)) =
            hosted.read(|replica| (replica.high_watermark(), replica.log().log_start()))
        {
            if log_start > Offset::ZERO {
                log_starts.push((Arc::clone(&hosted), log_start));
            }
            high_watermarks.push((hosted, high_watermark));
        }
    }
    save(broker, HIGH_WATERMARKS_FILE, high_watermarks);
    save(broker, LOG_STARTS_FILE, log_starts);
}

fn save(broker: &Broker, file: &'static str, found: Found) {
    let is_hosted = |hosted: &HostedPartition| {
        broker
            .partitions
            .find_life(&hosted.id, hosted.topic_id)
            .is_some_and(|now| std::ptr::eq(&*now, hosted))
    };
    let still_hosted = || {
        let found = found.into_iter().filter(|(hosted, _)| is_hosted(hosted));
        found.map(|(hosted, offset)| (hosted.id.clone(), offset)).collect()
    };
    if let Err(error) = broker.partitions.opener().checkpoint(file, still_hosted) {
        tracing::warn!(
            error = format!("{error:#}"),
            "a checkpoint is not written; recovery would take longer"
        );
    }
}

/// Closes every log and marks the directory clean, if all of them closed.
pub fn close(broker: &Broker) {
    checkpoint(broker);
    let mut points = Found::new();
    let recovered = broker.partitions.opener().is_recovered(&broker.partitions);
    let mut all_closed = recovered.unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "the shutdown counts as unclean");
        false
    });
    for hosted in broker.partitions.all() {
        let offline = hosted.is_offline();
        let closed = hosted.take().map(|mut replica| replica.close().map(|()| replica.log().log_end()));
        match closed {
            Some(Ok(end)) => {
                points.push((hosted, end));
            }
            Some(Err(error)) => {
                tracing::warn!(partition = %hosted.id, %error, "the log cannot be closed; it is recovered at the next start");
                all_closed = false;
            }
            None => all_closed &= !offline,
        }
    }
    save(broker, RECOVERY_POINTS_FILE, points);
    if let Some(epoch) = broker.controller.broker_epoch().filter(|_| all_closed)
        && let Err(error) = broker.partitions.opener().mark_clean(epoch)
    {
        tracing::warn!(error = format!("{error:#}"), "the shutdown counts as unclean");
    }
}
