//! The counters that hot paths touch: plain atomics, no locks but for finding a topic's counters once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;

/// Kafka's API keys end below this; the private ones of the brokers share the last slot.
const API_SLOTS: usize = 128;
/// Upper bounds in microseconds of the request time histogram; the last bucket has none.
pub const TIME_BUCKETS_MICROS: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];

/// What is counted per API key.
#[derive(Debug, Default)]
pub struct ApiCounters {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Sum of the times from a frame's arrival to its answer.
    pub time_micros: AtomicU64,
    /// Counts per bucket of [`TIME_BUCKETS_MICROS`], not cumulative; one more for the rest.
    pub time_buckets: [AtomicU64; TIME_BUCKETS_MICROS.len() + 1],
}

/// What is counted per topic.
#[derive(Debug, Default)]
pub struct TopicCounters {
    /// Bytes produced by clients.
    pub bytes_in: AtomicU64,
    /// Bytes fetched by clients.
    pub bytes_out: AtomicU64,
    /// Records produced by clients.
    pub messages_in: AtomicU64,
    /// Produce requests' partitions that failed.
    pub failed_produce: AtomicU64,
    /// Fetch requests' partitions that failed.
    pub failed_fetch: AtomicU64,
    /// Bytes replicated to followers.
    pub replication_bytes_out: AtomicU64,
    /// Bytes replicated from leaders.
    pub replication_bytes_in: AtomicU64,
}

impl TopicCounters {
    fn add(&self, other: &TopicCounters) {
        let pairs = [
            (&self.bytes_in, &other.bytes_in),
            (&self.bytes_out, &other.bytes_out),
            (&self.messages_in, &other.messages_in),
            (&self.failed_produce, &other.failed_produce),
            (&self.failed_fetch, &other.failed_fetch),
            (&self.replication_bytes_out, &other.replication_bytes_out),
            (&self.replication_bytes_in, &other.replication_bytes_in),
        ];
        for (ours, theirs) in pairs {
            ours.fetch_add(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// The counters of topics, and what topics counted that are gone: sums over all topics never fall.
#[derive(Debug, Default)]
struct Topics {
    present: BTreeMap<String, Arc<TopicCounters>>,
    /// Of dropped topics whose partitions may still count: as many as are being closed at a time.
    leaving: Vec<Arc<TopicCounters>>,
    /// The sum of those that nobody counts in any more.
    gone: TopicCounters,
}

impl Topics {
    fn let_go(&mut self) {
        for counters in self.leaving.extract_if(.., |counters| Arc::strong_count(counters) == 1) {
            self.gone.add(&counters);
        }
    }
}

/// All counters of the process.
#[derive(Debug)]
pub struct Metrics {
    apis: Vec<ApiCounters>,
    topics: RwLock<Topics>,
    /// Open connections of clients.
    pub client_connections: AtomicI64,
    /// Open connections of other brokers.
    pub broker_connections: AtomicI64,
    /// Members removed from in-sync sets led by this broker.
    pub isr_shrinks: AtomicU64,
    /// Members added to in-sync sets led by this broker.
    pub isr_expands: AtomicU64,
    /// Leader elections decided while this broker was the active controller.
    pub leader_elections: AtomicU64,
    /// Those of them whose leader was not known to have all that is committed.
    pub unclean_elections: AtomicU64,
    /// Partitions whose log failed and is offline on this broker.
    pub offline_log_partitions: AtomicI64,
    /// What compaction did.
    pub cleaner: CleanerCounters,
}

/// What compaction did.
#[derive(Debug, Default)]
pub struct CleanerCounters {
    /// Passes that got to their end.
    pub passes: AtomicU64,
    /// Bytes that these read.
    pub bytes_read: AtomicU64,
    /// Bytes that these wrote.
    pub bytes_written: AtomicU64,
    /// Partitions that cannot be compacted.
    pub uncleanable: AtomicI64,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            apis: (0..API_SLOTS).map(|_| ApiCounters::default()).collect(),
            topics: RwLock::default(),
            client_connections: AtomicI64::new(0),
            broker_connections: AtomicI64::new(0),
            isr_shrinks: AtomicU64::new(0),
            isr_expands: AtomicU64::new(0),
            leader_elections: AtomicU64::new(0),
            unclean_elections: AtomicU64::new(0),
            offline_log_partitions: AtomicI64::new(0),
            cleaner: CleanerCounters::default(),
        }
    }
}

impl Metrics {
    /// Counts one answered request.
    pub fn request(&self, api_key: i16, micros: u64) {
        let api = self.api(api_key);
        api.requests.fetch_add(1, Ordering::Relaxed);
        api.time_micros.fetch_add(micros, Ordering::Relaxed);
        let bucket = TIME_BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        api.time_buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// Where the requests of an API are counted; keys beyond the table share its last place.
    pub fn api(&self, api_key: i16) -> &ApiCounters {
        let slot = usize::try_from(api_key).unwrap_or(API_SLOTS).min(API_SLOTS - 1);
        &self.apis[slot]
    }

    /// The counters of a topic, made on first use; hosted partitions keep the handle.
    pub fn topic(&self, name: &str) -> Arc<TopicCounters> {
        if let Some(found) = self.topics.read().present.get(name) {
            return Arc::clone(found);
        }
        Arc::clone(self.topics.write().present.entry(name.to_owned()).or_default())
    }

    /// Forgets a topic that no longer exists here.
    pub fn drop_topic(&self, name: &str) {
        let mut topics = self.topics.write();
        if let Some(counters) = topics.present.remove(name) {
            topics.leaving.push(counters);
        }
        topics.let_go();
    }

    /// Each topic with its counters, in order of names.
    pub fn topics(&self) -> Vec<(String, Arc<TopicCounters>)> {
        let topics = self.topics.read();
        topics.present.iter().map(|(name, counters)| (name.clone(), Arc::clone(counters))).collect()
    }

    /// The sums over all topics since the start, those included that are gone.
    pub fn all_topics(&self) -> TopicCounters {
        let mut topics = self.topics.write();
        topics.let_go();
        let sum = TopicCounters::default();
        let counted = topics.present.values().chain(&topics.leaving).map(|counters| &**counters);
        counted.chain([&topics.gone]).for_each(|counters| sum.add(counters));
        sum
    }
}
