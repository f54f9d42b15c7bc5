//! Compacts the logs of topics with `cleanup.policy=compact`, the filthiest first, on threads that nothing else waits for.
//!
//! Only partitions that noted themselves are looked at (`touched.rs`), so that thousands of others cost nothing. One whose
//! log cannot be compacted is named once and passed over for as long as this broker runs, as in Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ottla_broker_config::DynamicBrokerConfig;
use ottla_broker_log::{CleanError, CleanResources, CleanStats, Cleanable, filthiest};
use ottla_broker_types::{TopicId, TopicPartition};
use parking_lot::Mutex;
use tokio::task::{JoinError, JoinSet};

use super::hosted::HostedPartition;
use crate::broker::Broker;
use crate::clock;
use crate::stop::until_true;

/// Reads of a pass take at least so much at once, however little memory there is: a disk reads as much in one turn.
const CHUNK_BYTES_MIN: usize = 64 << 10;
/// Records of one batch may unfold into so many times the memory of the maps,
const DECODED_PER_MAP: usize = 4;
/// and no more: as much as a lookup by time decompresses.
const DECODED_BYTES_MAX: usize = 64 << 20;
/// The longest sleep of a pass that is too fast, so that it soon hears of the broker's end.
const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long after a setting has changed it counts at the latest, where `log.cleaner.backoff.ms` is longer.
const LOOK_MAX: Duration = Duration::from_secs(15);

/// A pass that has ended.
type Ended = (Arc<HostedPartition>, Result<CleanStats, CleanError>);

/// Runs passes until the broker stops; then ends those that are under way.
pub async fn run(broker: Arc<Broker>) {
    if !broker.config.logs.cleaner_enabled {
        return;
    }
    let mut stopping = broker.stopping();
    let mut cleaner = Cleaner::default();
    let mut passes = JoinSet::new();
    while !*stopping.borrow() {
        let config = settings(&broker);
        let backoff = config.cleaner_backoff_ms.to_std().clamp(Duration::from_millis(1), LOOK_MAX);
        while passes.len() < config.cleaner_threads as usize
            && let Some(next) = tokio::task::block_in_place(|| cleaner.next(&broker))
        {
            let (broker, throttle) = (Arc::clone(&broker), Arc::clone(&cleaner.throttle));
            let data = broker.data.clone();
            passes.spawn_blocking_on(move || pass(&broker, next, &throttle), &data);
        }
        tokio::select! {
            Some(ended) = passes.join_next() => cleaner.ended(&broker, ended),
            () = until_true(&mut stopping) => {}
            () = tokio::time::sleep(backoff) => cleaner.tried.clear(),
        }
    }
    while passes.join_next().await.is_some() {}
}

fn settings(broker: &Broker) -> DynamicBrokerConfig {
    let view = broker.view();
    DynamicBrokerConfig::resolve(view.broker_layers(broker.node_id, &broker.config.statics))
}

fn pass(broker: &Broker, hosted: Arc<HostedPartition>, throttle: &Throttle) -> Ended {
    let config = settings(broker);
    let stopping = broker.stopping();
    let rate = config.cleaner_bytes_per_second_max;
    let mut pace = |bytes| {
        throttle.wait(broker, bytes, rate, || *stopping.borrow());
        !*stopping.borrow()
    };
    let seed = u64::from_le_bytes(clock::entropy());
    let done = hosted.compact(broker, resources(&config, broker.cleaner_bytes_max), seed, &mut pace);
    (hosted, done)
}

/// What one of the threads may take.
fn resources(config: &DynamicBrokerConfig, map_bytes_max: usize) -> CleanResources {
    let threads = config.cleaner_threads.max(1) as usize;
    let map_bytes = usize::try_from(config.cleaner_map_bytes).unwrap_or(usize::MAX).min(map_bytes_max);
    CleanResources {
        map_bytes: map_bytes / threads,
        map_load_percent: config.cleaner_map_load_percent,
        // One half for what is read, the other for what is written.
        chunk_bytes: (config.cleaner_io_bytes as usize / threads / 2).max(CHUNK_BYTES_MIN),
        decoded_bytes_max: (map_bytes_max / threads).saturating_mul(DECODED_PER_MAP).min(DECODED_BYTES_MAX),
    }
}

/// Which partitions may need a pass. As many as are hosted at most.
#[derive(Default)]
struct Cleaner {
    /// Those with something to compact, as far as is known.
    dirty: BTreeSet<TopicPartition>,
    running: BTreeSet<TopicPartition>,
    /// Those whose pass was ended early, until the next look.
    tried: BTreeSet<TopicPartition>,
    /// Those that cannot be compacted, by the life of their topic.
    uncleanable: BTreeMap<TopicPartition, TopicId>,
    throttle: Arc<Throttle>,
}

impl Cleaner {
    /// The partition to compact next; it counts as running.
    fn next(&mut self, broker: &Broker) -> Option<Arc<HostedPartition>> {
        self.dirty.extend(broker.partitions.touched().take_dirty());
        let now = broker.clock.now();
        let mut clean = BTreeSet::new();
        let mut found: Vec<(Arc<HostedPartition>, Cleanable)> = Vec::new();
        for id in self.dirty.iter().filter(|id| !self.running.contains(id) && !self.tried.contains(id)) {
            let hosted = broker.partitions.find_at(id);
            let known = self.uncleanable.get(id);
            match hosted.filter(|hosted| known != Some(&hosted.topic_id)) {
                Some(hosted) => match hosted.cleanable(now) {
                    Some(cleanable) => found.push((hosted, cleanable)),
                    None => {
                        clean.insert(id.clone());
                    }
                },
                None => {
                    clean.insert(id.clone());
                }
            }
        }
        self.dirty.retain(|id| !clean.contains(id));
        let next = filthiest(found)?;
        self.running.insert(next.id.clone());
        Some(next)
    }

    fn ended(&mut self, broker: &Broker, ended: Result<Ended, JoinError>) {
        let (hosted, done) = match ended {
            Ok(ended) => ended,
            // Which one is not known: it counts as running, and so it is passed over.
            Err(error) => return tracing::error!(%error, "a pass of the cleaner broke off"),
        };
        self.running.remove(&hosted.id);
        let metrics = &broker.metrics.cleaner;
        match done {
            Ok(stats) => {
                metrics.passes.fetch_add(1, Ordering::Relaxed);
                metrics.bytes_read.fetch_add(stats.bytes_read, Ordering::Relaxed);
                metrics.bytes_written.fetch_add(stats.bytes_written, Ordering::Relaxed);
                tracing::debug!(partition = %hosted.id, ?stats, "compacted");
            }
            Err(error) if error.is_passing() => {
                tracing::debug!(partition = %hosted.id, %error, "not compacted now");
                self.tried.insert(hosted.id.clone());
            }
            Err(error) => {
                tracing::warn!(partition = %hosted.id, %error, "the log cannot be compacted and grows: check its disk, or let another replica replace this one; it is tried again when the broker starts anew");
                self.uncleanable.insert(hosted.id.clone(), hosted.topic_id);
            }
        }
        self.uncleanable.retain(|id, life| broker.partitions.find_life(id, *life).is_some());
        metrics.uncleanable.store(self.uncleanable.len() as i64, Ordering::Relaxed);
    }
}

/// Holds passes to a rate, all of them together.
#[derive(Default)]
struct Throttle {
    /// Microseconds of the clock before which nothing more may be read or written.
    free_at: Mutex<u64>,
}

impl Throttle {
    /// Waits for the turn of `bytes`, or until `is_over`.
    fn wait(&self, broker: &Broker, bytes: u64, bytes_per_second: Option<u64>, is_over: impl Fn() -> bool) {
        let Some(rate) = bytes_per_second else { return };
        let turn = self.take(broker.clock.micros(), bytes, rate);
        while !is_over() {
            let left = Duration::from_micros(turn.saturating_sub(broker.clock.micros()));
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(SLEEP_MAX));
        }
    }

    /// When so many bytes may be read or written, in microseconds: what was taken before goes first.
    fn take(&self, now: u64, bytes: u64, bytes_per_second: u64) -> u64 {
        const MICROS: u128 = 1_000_000;
        let cost = u128::from(bytes) * MICROS / u128::from(bytes_per_second.max(1));
        let mut free_at = self.free_at.lock();
        let turn = now.max(*free_at);
        *free_at = turn.saturating_add(u64::try_from(cost).unwrap_or(u64::MAX));
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::partitions::RequiredAcks;
    use crate::testing::Rig;
    use ottla_broker_log::{CLEANED_ENDS_FILE, Disk, OpenMode, SimDisk, SimError, SimFault, SimOp};
    use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
    use ottla_broker_replication::{EpochEnd, FollowerFetched};
    use ottla_broker_types::{LeaderEpoch, Offset};

    fn append(rig: &Rig, hosted: &HostedPartition, key: &str, value: &[u8]) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(Some(key.as_bytes()), Some(value), 1);
        let mut batch = builder.build().unwrap().to_vec();
        hosted.append(rig.broker.clock.now(), &mut batch, RequiredAcks::Leader).unwrap();
    }

    /// A compacted topic with tiny segments, `count` versions of one key in it.
    fn dirty(rig: &mut Rig, topic: &str, count: usize) -> Arc<HostedPartition> {
        let hosted = rig.topic(topic, &[1]);
        rig.set(topic, "cleanup.policy", "compact");
        rig.set(topic, "internal.segment.bytes", "500");
        (0..count).for_each(|n| append(rig, &hosted, "k", n.to_string().as_bytes()));
        hosted
    }

    fn run_next(rig: &Rig, cleaner: &mut Cleaner) -> Option<TopicPartition> {
        let next = cleaner.next(&rig.broker)?;
        let id = next.id.clone();
        let ended = pass(&rig.broker, next, &Throttle::default());
        cleaner.ended(&rig.broker, Ok(ended));
        Some(id)
    }

    /// The checkpoint's text.
    fn checkpointed(rig: &Rig, disk: &SimDisk) -> String {
        let file = disk.open(&rig.dir().join(CLEANED_ENDS_FILE), OpenMode::Read).unwrap();
        let mut text = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut text, 0).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn size(hosted: &HostedPartition) -> Option<u64> {
        hosted.read(|replica| replica.log().size_bytes())
    }

    #[test]
    fn the_filthiest_compacted_topic_is_compacted_and_checkpointed() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        let (few, many) = (dirty(&mut rig, "few", 10), dirty(&mut rig, "many", 100));
        let other = rig.topic("other", &[1]);
        (0..100).for_each(|_| append(&rig, &other, "k", b"v"));
        let before = size(&other);
        let mut cleaner = Cleaner::default();
        assert_eq!(
            run_next(&rig, &mut cleaner),
            Some(few.id.clone()),
            "both are dirty as a whole: the first"
        );
        assert_eq!(run_next(&rig, &mut cleaner), Some(many.id.clone()));
        assert_eq!(run_next(&rig, &mut cleaner), None);
        assert!(cleaner.dirty.is_empty(), "nothing is looked at again");
        assert!(size(&many).is_some_and(|bytes| bytes < 2_000), "{:?}", size(&many));
        assert_eq!(size(&other), before);
        let end = many.read(|replica| replica.log().cleaned_end().get()).unwrap();
        assert!(end > 90, "{end}");
        assert!(checkpointed(&rig, &disk).contains(&format!("many 0 {end}\n")));
        assert_eq!(rig.broker.metrics.cleaner.passes.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_pass_that_cannot_begin_rests_until_the_next_look() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        let hosted = dirty(&mut rig, "t", 50);
        disk.inject(SimFault { op: SimOp::ListDir, skip: 0, error: SimError::TooManyFiles });
        let mut cleaner = Cleaner::default();
        assert_eq!(run_next(&rig, &mut cleaner), Some(hosted.id.clone()));
        assert_eq!(run_next(&rig, &mut cleaner), None, "it is not begun again at once");
        assert!(!hosted.is_offline());
        cleaner.tried.clear();
        assert_eq!(run_next(&rig, &mut cleaner), Some(hosted.id.clone()));
        assert_eq!(rig.broker.metrics.cleaner.passes.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_log_that_cannot_be_compacted_is_counted_and_passed_over() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        let hosted = dirty(&mut rig, "t", 50);
        let path = rig.dir().join(Path::new("t-0/00000000000000000000.log"));
        disk.open(&path, OpenMode::Write).unwrap().write_all_at(b"?", 65).unwrap();
        let mut cleaner = Cleaner::default();
        assert_eq!(run_next(&rig, &mut cleaner), Some(hosted.id.clone()));
        assert_eq!(rig.broker.metrics.cleaner.uncleanable.load(Ordering::Relaxed), 1);
        append(&rig, &hosted, "k", b"more");
        assert_eq!(run_next(&rig, &mut cleaner), None);
        assert!(!hosted.is_offline(), "it is served all the same");
    }

    #[test]
    fn a_log_that_was_cut_is_not_said_to_be_compacted_above_the_cut() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        let hosted = rig.topic("t", &[2, 1]);
        rig.set("t", "cleanup.policy", "compact");
        rig.set("t", "internal.segment.bytes", "500");
        let now = rig.broker.clock.now();
        let fetch = |records: &[u8], diverging| {
            let high_watermark = Some(Offset::MAX);
            let fetched = FollowerFetched { high_watermark, log_start: None, diverging, records };
            let position = hosted.next_fetch().unwrap().position;
            hosted.apply_fetched(now, &position, Ok(fetched)).unwrap();
        };
        for base_offset in 0..50 {
            let options = BatchOptions { base_offset, leader_epoch: 0, ..BatchOptions::default() };
            let mut builder = BatchBuilder::new(options);
            builder.append(Some(b"k"), Some(b"v"), 1);
            fetch(&builder.build().unwrap(), None);
        }
        run_next(&rig, &mut Cleaner::default()).unwrap();
        let cleaned_end = || hosted.read(|replica| replica.log().cleaned_end()).unwrap();
        assert!(cleaned_end() > Offset::clamped(40), "{}", cleaned_end());
        let end = Offset::clamped(30);
        fetch(&[], Some(EpochEnd { epoch: LeaderEpoch(0), end }));
        assert!(cleaned_end() <= end);
        hosted.settle_log(&rig.broker).unwrap();
        assert!(checkpointed(&rig, &disk).contains(&format!("t 0 {}\n", cleaned_end())));
    }

    #[test]
    fn passes_share_one_rate() {
        let throttle = Throttle::default();
        assert_eq!(throttle.take(100, 500, 1_000), 100);
        assert_eq!(throttle.take(100, 500, 1_000), 500_100);
        assert_eq!(throttle.take(200, 1, 1_000), 1_000_100);
        assert_eq!(throttle.take(9_000_000, 1, 1_000), 9_000_000, "what was not used is not saved up");
    }

    #[test]
    fn each_thread_has_its_share_of_memory_and_a_small_broker_takes_less() {
        let nothing = ottla_broker_config::ConfigMap::new();
        let layers = ottla_broker_config::BrokerLayers {
            dynamic: &nothing,
            dynamic_default: &nothing,
            statics: &nothing,
        };
        let mut config = DynamicBrokerConfig::resolve(layers);
        config.cleaner_threads = 2;
        let of = |bytes| resources(&config, bytes);
        assert_eq!((of(usize::MAX).map_bytes, of(usize::MAX).map_load_percent), (64 << 20, 90));
        assert_eq!((of(2 << 20).map_bytes, of(2 << 20).decoded_bytes_max), (1 << 20, 4 << 20));
        assert_eq!(of(2 << 20).chunk_bytes, 128 << 10);
    }
}
