//! What hosted partitions need from time to time: ISR checks, retention, flushes, checkpoints, closing.

use std::sync::Arc;
use std::time::Duration;

use ottla_broker_log::{HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, RECOVERY_POINTS_FILE};
use ottla_broker_replication::Effects;
use ottla_broker_types::{DurationMs, MonotonicMs, Now, Offset, TopicPartition};

use super::hosted::HostedPartition;
use super::parallel::{SYNCS_MAX, in_parallel};
use super::sync::sync_all;
use crate::broker::Broker;
use crate::controller::Standing;
use crate::stop::until_true;

/// How often deadlines are looked at; ISR members may lag by seconds, so this is fine-grained enough.
const TICK: Duration = Duration::from_millis(250);

/// How often files and directories are looked for whose time has come; their delay is of minutes.
const REMOVAL_TICK: Duration = Duration::from_secs(1);
/// How often retention runs while the disk has no space for records.
const RETENTION_IN_NEED: DurationMs = DurationMs(1_000);

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
            broker.partitions.opener().space().measure();
            for id in broker.partitions.touched().take_checks(now.mono) {
                broker.partitions.find_at(&id).iter().for_each(|hosted| hosted.tick(now));
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

/// Flushes the logs to which something was appended from time to time, and those whose `flush.ms` are over as soon as that is seen, apart from what must
/// not wait for the disk, until the broker stops.
pub async fn run_flushes(broker: Arc<Broker>) {
    let mut stopping = broker.stopping();
    let logs = &broker.config.logs;
    let tick = logs.flush_check_ms.to_std().min(TICK).max(Duration::from_millis(1));
    let mut all_due = broker.clock.now().mono.plus(logs.recovery_checkpoint_ms);
    while tokio::time::timeout(tick, until_true(&mut stopping)).await.is_err() {
        let now = broker.clock.now();
        tokio::task::block_in_place(|| {
            if is_due(&mut all_due, now.mono, logs.recovery_checkpoint_ms) {
                flush(&broker);
            } else {
                flush_due(&broker, now);
            }
        });
    }
}

fn flush_due(broker: &Broker, now: Now) {
    let noted = find(broker, broker.partitions.touched().take_flushes(now.mono));
    let due: Vec<_> = noted.into_iter().filter(|hosted| hosted.take_flush(now)).collect();
    sync_all(broker, &due);
}

/// Removes the files of deleted partitions when their time has come, apart from what must not wait for the disk, until
/// the broker stops.
pub async fn run_removals(broker: Arc<Broker>) {
    let mut stopping = broker.stopping();
    while tokio::time::timeout(REMOVAL_TICK, until_true(&mut stopping)).await.is_err() {
        let now = broker.clock.now().mono;
        let (leftovers, space) = (broker.partitions.opener().leftovers(), broker.partitions.opener().space());
        tokio::task::block_in_place(|| leftovers.remove_due(now, space.is_low(), || *stopping.borrow()));
    }
}

struct Deadlines {
    retention: MonotonicMs,
    high_watermarks: MonotonicMs,
    log_starts: MonotonicMs,
    producers: MonotonicMs,
}

impl Deadlines {
    fn start(broker: &Broker) -> Deadlines {
        let now = broker.clock.now().mono;
        Deadlines {
            retention: now.plus(broker.config.logs.retention_check_ms),
            high_watermarks: now.plus(broker.config.replication.high_watermark_checkpoint_ms),
            log_starts: now.plus(broker.config.logs.log_start_checkpoint_ms),
            producers: now.plus(broker.config.logs.producer_check_ms),
        }
    }

    fn run(&mut self, broker: &Broker, now: MonotonicMs) {
        let logs = &broker.config.logs;
        if broker.partitions.opener().space().is_low() {
            self.retention = self.retention.min(now.plus(RETENTION_IN_NEED));
        }
        if is_due(&mut self.retention, now, logs.retention_check_ms) {
            retain(broker);
        }
        if is_due(&mut self.high_watermarks, now, broker.config.replication.high_watermark_checkpoint_ms) {
            checkpoint_high_watermarks(broker);
        }
        if is_due(&mut self.log_starts, now, logs.log_start_checkpoint_ms) {
            checkpoint_log_starts(broker);
        }
        if is_due(&mut self.producers, now, logs.producer_check_ms) {
            expire_producers(broker);
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
    let opener = broker.partitions.opener();
    let view = broker.view();
    for hosted in broker.partitions.all() {
        let deleted = hosted.maintain("retention", |replica| replica.apply_retention(now));
        if let Some(deleted) = deleted.filter(|deleted| deleted.segment_count > 0) {
            let delay = opener.file_delete_delay(broker, &view, hosted.id.topic.as_str());
            opener.remove(deleted, now.mono.plus(delay));
        }
    }
}

fn expire_producers(broker: &Broker) {
    let now = broker.clock.now();
    for hosted in broker.partitions.all() {
        hosted
            .maintain("forget producers", |replica| Ok((replica.expire_producers(now), Effects::default())));
    }
}

fn flush(broker: &Broker) {
    let unsettled = find(broker, broker.partitions.touched().take_unsettled());
    save(broker, RECOVERY_POINTS_FILE, offsets(unsettled, |hosted| hosted.settle_log(broker)));
}

fn checkpoint_high_watermarks(broker: &Broker) {
    let moved = find(broker, broker.partitions.touched().take_high_watermarks());
    save(broker, HIGH_WATERMARKS_FILE, offsets(moved, HostedPartition::save_high_watermark));
}

fn checkpoint_log_starts(broker: &Broker) {
    let moved = find(broker, broker.partitions.touched().take_log_starts());
    save(broker, LOG_STARTS_FILE, offsets(moved, HostedPartition::save_log_start));
}

/// Those that are still hosted, in the order of names.
fn find(broker: &Broker, mut ids: Vec<TopicPartition>) -> Vec<Arc<HostedPartition>> {
    ids.sort();
    ids.dedup();
    ids.iter().filter_map(|id| broker.partitions.find_at(id)).collect()
}

fn offsets(
    partitions: Vec<Arc<HostedPartition>>,
    offset: impl Fn(&HostedPartition) -> Option<Offset>,
) -> Found {
    let of = |hosted: Arc<HostedPartition>| offset(&hosted).map(|offset| (hosted, offset));
    partitions.into_iter().filter_map(of).collect()
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
    checkpoint_high_watermarks(broker);
    checkpoint_log_starts(broker);
    let mut points = Found::new();
    let recovered = broker.partitions.opener().is_recovered(&broker.partitions);
    let mut all_closed = recovered.unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "the shutdown counts as unclean");
        false
    });
    let all = broker.partitions.all();
    let outcomes = in_parallel(SYNCS_MAX, &all, |hosted| {
        let offline = hosted.is_offline();
        let closed = hosted.take().map(|mut replica| replica.close().map(|()| replica.log().log_end()));
        (offline, closed)
    });
    for (hosted, (offline, closed)) in all.into_iter().zip(outcomes) {
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

#[cfg(test)]
mod tests {
    use ottla_broker_log::SimDisk;
    use ottla_broker_protocol::batch::Compression;

    use super::*;
    use crate::partitions::RequiredAcks;
    use crate::testing::{Rig, batch};

    #[test]
    fn records_are_durable_once_flush_ms_are_over() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        let hosted = rig.topic("t", &[1]);
        rig.set("t", "flush.ms", "1000");
        let now = rig.broker.clock.now();
        hosted.append(now, &mut batch(Compression::None), RequiredAcks::Leader).unwrap();
        let durable = || hosted.read(|replica| replica.log().recovery_point().get());
        let after = |ms| Now { mono: now.mono.plus(DurationMs(ms)), ..now };
        flush_due(&rig.broker, after(999));
        assert_eq!(durable(), Some(0));
        flush_due(&rig.broker, after(1_000));
        assert_eq!(durable(), Some(1));
    }

    /// What upkeep finds to do, by kind: checks, high watermarks, log starts, flushes.
    fn found(broker: &Broker) -> [Vec<String>; 4] {
        let touched = broker.partitions.touched();
        let never = MonotonicMs(u64::MAX);
        let lists = [
            touched.take_checks(never),
            touched.take_high_watermarks(),
            touched.take_log_starts(),
            touched.take_unsettled(),
        ];
        lists.map(|list| list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn upkeep_finds_what_changed_and_passes_idle_partitions_over() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        let names: Vec<String> = (1..=50).map(|len| "t".repeat(len)).collect();
        let topics: Vec<_> = names.iter().map(|name| rig.topic(name, &[1])).collect();
        let round = |rig: &Rig| {
            flush(&rig.broker);
            checkpoint_high_watermarks(&rig.broker);
            checkpoint_log_starts(&rig.broker);
        };
        (0..3).for_each(|_| round(&rig));
        assert_eq!(found(&rig.broker), <[Vec<String>; 4]>::default(), "all is saved and settled");
        let now = rig.broker.clock.now();
        topics[3].append(now, &mut batch(Compression::None), RequiredAcks::Leader).unwrap();
        let touched = || vec![topics[3].id.to_string()];
        assert_eq!(found(&rig.broker), [vec![], touched(), vec![], touched()]);
        topics[3].delete_records(None).unwrap();
        assert_eq!(found(&rig.broker)[2], touched(), "it begins elsewhere");
    }

    #[test]
    fn a_follower_that_lags_is_looked_at_when_its_time_has_come() {
        let mut rig = Rig::new();
        let hosted = rig.topic("t", &[1, 2]);
        let now = rig.broker.clock.now();
        hosted.append(now, &mut batch(Compression::None), RequiredAcks::Leader).unwrap();
        let lag_max = DurationMs(30_000);
        let touched = rig.broker.partitions.touched();
        assert_eq!(touched.take_checks(now.mono.plus(DurationMs(29_000))), []);
        let late = now.mono.plus(lag_max).plus(DurationMs(1_000));
        assert_eq!(touched.take_checks(late), vec![hosted.id.clone()]);
        hosted.tick(Now { mono: late, ..now });
        assert_eq!(rig.broker.partitions.isr_queue().waiting_count(), 1, "it shall leave the ISR");
        assert_eq!(touched.take_checks(MonotonicMs(u64::MAX)), [], "nothing to do before the answer");
    }

    #[test]
    fn a_stop_syncs_what_changed_and_nothing_else() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        let names: Vec<String> = (1..=100).map(|len| "t".repeat(len)).collect();
        let topics: Vec<_> = names.iter().map(|name| rig.topic(name, &[1])).collect();
        for _ in 0..2 {
            flush(&rig.broker);
        }
        topics[3]
            .append(rig.broker.clock.now(), &mut batch(Compression::None), RequiredAcks::Leader)
            .unwrap();
        let before = disk.sync_count();
        close(&rig.broker);
        let synced = disk.sync_count() - before;
        assert!(synced < 20, "{synced} syncs for one of 100 logs, three checkpoints and a marker");
    }
}
