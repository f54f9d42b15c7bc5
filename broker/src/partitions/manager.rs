//! The set of hosted partitions, kept equal to what the metadata assigns to this broker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_log::{Trouble, advice, trouble};
use ottla_broker_metadata::image::PartitionRef;
use ottla_broker_metadata::record::ConfigResource;
use ottla_broker_metadata::{ImageChanges, Partition};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{Became, Replica};
use ottla_broker_types::{DurationMs, MonotonicMs, PartitionIndex, TopicId, TopicName, TopicPartition};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::codes::DiskError;
use super::fetcher::Fetchers;
use super::hosted::HostedPartition;
use super::isr_sender::IsrQueue;
use super::open::{NotOpened, Opener};
use super::parallel::{in_parallel, opening_max};
use super::sync::SyncQueue;
use super::touched::Touched;
use crate::broker::Broker;
use crate::stop::Fatal;
use crate::view::View;

/// How long one look at all partitions waits for those that are written to; an append of a large batch takes less.
const FACTS_PATIENCE: Duration = Duration::from_millis(100);

/// Facts of one hosted partition, for metrics and DescribeLogDirs.
#[derive(Clone, Debug)]
pub struct PartitionFacts {
    /// By name: metrics and tools know no topic ids.
    pub id: TopicPartition,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// First offset.
    pub log_start: i64,
    /// First offset that is not there yet.
    pub log_end: i64,
    /// First offset that is not committed.
    pub high_watermark: i64,
    /// Whether this broker leads it.
    pub is_leader: bool,
    /// Whether it leads it with replicas out of sync.
    pub is_under_replicated: bool,
    /// Whether it leads it with just enough in sync for acks=all.
    pub is_at_min_isr: bool,
    /// Whether it leads it with too few in sync for acks=all.
    pub is_under_min_isr: bool,
}

impl PartitionFacts {
    /// The facts of `id` now.
    pub fn of(id: &TopicPartition, replica: &Replica) -> PartitionFacts {
        PartitionFacts {
            id: id.clone(),
            size_bytes: replica.log().size_bytes(),
            log_start: replica.log().log_start().get(),
            log_end: replica.log().log_end().get(),
            high_watermark: replica.high_watermark().get(),
            is_leader: replica.is_leader(),
            is_under_replicated: replica.is_under_replicated(),
            is_at_min_isr: replica.is_at_min_isr(),
            is_under_min_isr: replica.is_under_min_isr(),
        }
    }
}

/// Following it costs nothing: while another broker leads, this copy is made anew from that one's.
const DAMAGED_ADVICE: &str = "what was synced is damaged: keep the files; while another broker leads the partition, this one may be given an empty volume and fetches its copies anew";
/// Pause before logs are opened again that could not be for lack of something.
const REOPEN_PAUSE: DurationMs = DurationMs(1_000);

#[derive(Default)]
struct Unopened {
    partitions: Vec<PartitionRef>,
    due: MonotonicMs,
}

/// The partitions of this broker.
pub struct Partitions {
    hosted: RwLock<HashMap<TopicName, BTreeMap<PartitionIndex, Arc<HostedPartition>>>>,
    fetchers: Fetchers,
    opener: Opener,
    isr_queue: IsrQueue,
    touched: Arc<Touched>,
    sync_queue: SyncQueue,
    fatal: Fatal,
    /// Partitions whose logs could not be opened for lack of space or open files, and when that is tried again.
    unopened: Mutex<Unopened>,
    /// Held while directories come and go: between its making and its listing among the hosted, that of a new partition
    /// looks like a stray.
    changing: Mutex<()>,
}

impl Partitions {
    /// No partitions yet; `opener` knows the log directory, `fatal` hears of a disk that fails.
    pub fn new(opener: Opener, fatal: Fatal) -> Partitions {
        let isr_queue = IsrQueue::default();
        Partitions {
            hosted: RwLock::default(),
            fetchers: Fetchers::default(),
            opener,
            isr_queue,
            touched: Arc::default(),
            sync_queue: SyncQueue::default(),
            fatal,
            unopened: Mutex::default(),
            changing: Mutex::default(),
        }
    }

    /// The ISR proposals on their way.
    pub fn isr_queue(&self) -> IsrQueue {
        self.isr_queue.clone()
    }

    /// The partitions that have something for upkeep.
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    /// The partitions that wait for a sync.
    pub fn sync_queue(&self) -> SyncQueue {
        self.sync_queue.clone()
    }

    /// The log directory's keeper.
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// The hosted partition by name; its replica knows whether it leads.
    pub fn find(&self, topic: &TopicName, index: PartitionIndex) -> Option<Arc<HostedPartition>> {
        self.hosted.read().get(topic)?.get(&index).map(Arc::clone)
    }

    /// The partition that is hosted here under this name, whatever its topic's id.
    pub fn find_at(&self, id: &TopicPartition) -> Option<Arc<HostedPartition>> {
        self.find(&id.topic, id.partition)
    }

    /// Whether a log of the partition is open here, or failed to.
    pub fn hosts(&self, id: &TopicPartition) -> bool {
        self.find_at(id).is_some()
    }

    /// Waits until no partition comes or goes, and lets none while the guard is held.
    pub fn until_settled(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }

    /// Sets the logs aside that are not hosted; false if partitions come or go just now, so that nobody can tell.
    pub fn set_strays_aside(&self, now: MonotonicMs) -> io::Result<bool> {
        let Some(_unchanging) = self.changing.try_lock() else { return Ok(false) };
        for id in self.opener.leftovers().set_strays_aside(|id| self.hosts(id), now)? {
            self.opener.forget_gone(&id);
        }
        Ok(true)
    }

    /// The hosted partition of one life of a topic.
    pub fn find_life(&self, id: &TopicPartition, topic_id: TopicId) -> Option<Arc<HostedPartition>> {
        self.find_at(id).filter(|hosted| hosted.topic_id == topic_id)
    }

    /// The hosted partition, or the code that says why there is none.
    pub fn serve(
        &self,
        view: &View,
        topic: &TopicName,
        index: PartitionIndex,
    ) -> Result<Arc<HostedPartition>, ErrorCode> {
        if let Some(hosted) = self.find(topic, index) {
            return Ok(hosted);
        }
        let exists = view.topic(topic.as_str()).is_some_and(|topic| topic.partition(index).is_some());
        Err(if exists { ErrorCode::NotLeaderOrFollower } else { ErrorCode::UnknownTopicOrPartition })
    }

    /// Every hosted partition, in the order of names.
    pub fn all(&self) -> Vec<Arc<HostedPartition>> {
        let hosted = self.hosted.read();
        let mut by_topic: Vec<_> = hosted.iter().collect();
        by_topic.sort_by_key(|(topic, _)| *topic);
        by_topic.into_iter().flat_map(|(_, partitions)| partitions.values().cloned()).collect()
    }

    fn of_topic(&self, topic: &TopicName) -> Vec<Arc<HostedPartition>> {
        self.hosted
            .read()
            .get(topic)
            .map_or_else(Vec::new, |partitions| partitions.values().cloned().collect())
    }

    fn insert(&self, hosted: &Arc<HostedPartition>) {
        let mut all = self.hosted.write();
        let of_topic = all.entry(hosted.id.topic.clone()).or_default();
        of_topic.insert(hosted.id.partition, Arc::clone(hosted));
    }

    fn remove(&self, id: &TopicPartition) {
        let mut all = self.hosted.write();
        let Some(of_topic) = all.get_mut(&id.topic) else { return };
        of_topic.remove(&id.partition);
        if of_topic.is_empty() {
            all.remove(&id.topic);
        }
    }

    /// Facts of every hosted partition whose log works, in the order of names.
    pub fn facts(&self) -> Vec<PartitionFacts> {
        let mut patience = FACTS_PATIENCE;
        self.all().into_iter().filter_map(|hosted| hosted.facts(&mut patience)).collect()
    }

    /// Brings the hosted set in line with a new view. Opens and deletes logs, so it must run where it may block.
    ///
    /// Returns the partitions whose role changed.
    pub fn apply(
        &self,
        broker: &Arc<Broker>,
        view: &View,
        changes: &ImageChanges,
    ) -> Vec<(Arc<HostedPartition>, Became)> {
        let _changing = self.changing.lock();
        for (name, id) in &changes.topics_removed {
            self.drop_topic(broker, name, *id);
        }
        let again = self.take_unopened(view, broker.clock.now().mono);
        let mut opened = self.open_ahead(broker, view, again.iter().chain(&changes.partitions));
        let mut became = Vec::new();
        for changed in again.iter().chain(&changes.partitions) {
            let at = TopicPartition { topic: changed.topic.clone(), partition: changed.partition };
            match view.partition(&at).filter(|partition| partition.replicas.contains(&broker.node_id)) {
                Some(_) if at.topic.is_metadata_log() => {
                    tracing::warn!(partition = %at, "a topic is named as the metadata log and not served: delete it");
                }
                Some(partition) => {
                    became.extend(self.host(
                        broker,
                        view,
                        changed,
                        partition,
                        opened.remove(&(at, changed.id)),
                    ));
                }
                None => self.drop_partition(broker, &at, changed.id),
            }
        }
        self.apply_configs(broker, view, changes);
        became
    }

    /// Lets what is led here look at the followers and their registrations, once everybody sees the new view: a fetch that
    /// was judged by the former one must not come later.
    pub fn registrations_changed(&self, broker: &Broker, view: &View, changes: &ImageChanges) {
        if !changes.brokers.is_empty() {
            let now = broker.clock.now();
            self.all().iter().for_each(|hosted| hosted.registrations_changed(now, view));
            return;
        }
        for changed in &changes.partitions {
            let hosted = self.find(&changed.topic, changed.partition);
            hosted.iter().for_each(|hosted| hosted.want_followers());
        }
    }

    fn host(
        &self,
        broker: &Arc<Broker>,
        view: &View,
        changed: &PartitionRef,
        partition: &Partition,
        opened: Option<Result<Replica, NotOpened>>,
    ) -> Option<(Arc<HostedPartition>, Became)> {
        let id = TopicPartition { topic: changed.topic.clone(), partition: changed.partition };
        let hosted = match self.find_life(&id, changed.id) {
            Some(hosted) => hosted,
            None => self.open(broker, view, id, changed.id, opened),
        };
        let became = hosted.apply_assignment(broker.clock.now(), &partition.into())?;
        let leader = match became {
            Became::Follower { leader, .. } => Some(leader),
            Became::Leader { .. } | Became::Idle { .. } => None,
        };
        self.fetchers.follow(broker, &hosted, leader);
        tracing::debug!(partition = %hosted.id, ?became, "role changed");
        Some((hosted, became))
    }

    fn open(
        &self,
        broker: &Arc<Broker>,
        view: &View,
        id: TopicPartition,
        topic_id: TopicId,
        opened: Option<Result<Replica, NotOpened>>,
    ) -> Arc<HostedPartition> {
        // A former life of the topic under the same name goes first.
        let former = self.find_at(&id).map(|hosted| hosted.topic_id);
        if let Some(former) = former {
            self.drop_partition(broker, &id, former);
        }
        let opened = opened.unwrap_or_else(|| self.opener.open(broker, view, &id, topic_id));
        let replica = match opened {
            Ok(replica) => Some(replica),
            Err(error) => {
                self.not_opened(broker, &id, topic_id, &error);
                broker.metrics.offline_log_partitions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                None
            }
        };
        let hosted = HostedPartition::new(
            id.clone(),
            topic_id,
            replica,
            &broker.metrics,
            (self.isr_queue.clone(), Arc::clone(&self.touched)),
            Arc::clone(self.opener.space()),
            self.fatal.clone(),
        );
        let hosted = Arc::new(hosted.with_syncs(self.sync_queue.clone()));
        self.insert(&hosted);
        hosted
    }

    /// Whether [`Partitions::apply`] has logs to open that could not be before, whatever has changed.
    pub fn has_due_unopened(&self, now: MonotonicMs) -> bool {
        let unopened = self.unopened.lock();
        !unopened.partitions.is_empty() && unopened.due <= now
    }

    fn take_unopened(&self, view: &View, now: MonotonicMs) -> Vec<PartitionRef> {
        if !self.has_due_unopened(now) {
            return Vec::new();
        }
        let mut partitions = std::mem::take(&mut self.unopened.lock().partitions);
        let is_alive =
            |of: &PartitionRef| view.topic(of.topic.as_str()).is_some_and(|topic| topic.id == of.id);
        partitions.retain(is_alive);
        for partition in &partitions {
            let id = TopicPartition { topic: partition.topic.clone(), partition: partition.partition };
            if self.find_life(&id, partition.id).is_some_and(|hosted| hosted.is_offline()) {
                self.remove(&id);
            }
        }
        partitions
    }

    /// Opens several logs at once, as after a crash each of them is read from where it was last synced. Those that a
    /// former life of the topic still holds are left for later.
    fn open_ahead<'a>(
        &self,
        broker: &Arc<Broker>,
        view: &View,
        changed: impl Iterator<Item = &'a PartitionRef>,
    ) -> BTreeMap<(TopicPartition, TopicId), Result<Replica, NotOpened>> {
        let wanted: BTreeSet<(TopicPartition, TopicId)> = changed
            .map(|changed| {
                let (topic, partition) = (changed.topic.clone(), changed.partition);
                (TopicPartition { topic, partition }, changed.id)
            })
            .filter(|(at, _)| !at.topic.is_metadata_log() && !self.hosts(at))
            .filter(|(at, _)| {
                view.partition(at).is_some_and(|partition| partition.replicas.contains(&broker.node_id))
            })
            .collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let opened = in_parallel(opening_max(), &wanted, |(at, id)| self.opener.open(broker, view, at, *id));
        wanted.into_iter().zip(opened).collect()
    }

    /// What to do about a log that could not be opened: later again if only space or open files were missing.
    fn not_opened(&self, broker: &Broker, id: &TopicPartition, topic_id: TopicId, error: &NotOpened) {
        match error.disk_error() {
            Some(cause) if trouble(cause) != Trouble::Broken => {
                tracing::warn!(partition = %id, "{error}; trying again: {}", advice(cause));
                let mut unopened = self.unopened.lock();
                unopened.due = broker.clock.now().mono.plus(REOPEN_PAUSE);
                let (topic, partition) = (id.topic.clone(), id.partition);
                unopened.partitions.push(PartitionRef { topic, id: topic_id, partition });
            }
            Some(cause) => self.fatal.report(format!("{error}; {}", advice(cause))),
            None => self.fatal.report(format!("{error}; {DAMAGED_ADVICE}")),
        }
    }

    fn drop_topic(&self, broker: &Arc<Broker>, name: &TopicName, topic_id: TopicId) {
        for hosted in self.of_topic(name).into_iter().filter(|hosted| hosted.topic_id == topic_id) {
            self.drop_partition(broker, &hosted.id, topic_id);
        }
        broker.metrics.drop_topic(name.as_str());
    }

    fn drop_partition(&self, broker: &Arc<Broker>, id: &TopicPartition, topic_id: TopicId) {
        let Some(hosted) = self.find_life(id, topic_id) else { return };
        self.fetchers.follow(broker, &hosted, None);
        self.remove(id);
        if let Some(replica) = hosted.take() {
            // A deleted topic's settings are in the view that is about to be replaced.
            let delay = self.opener.file_delete_delay(broker, &broker.view(), id.topic.as_str());
            self.opener.delete(id, replica, broker.clock.now().mono.plus(delay));
        }
    }

    /// Takes over changed settings: those of a topic by its partitions, those of a broker by all.
    fn apply_configs(&self, broker: &Broker, view: &View, changes: &ImageChanges) {
        let of_brokers = changes.configs.iter().any(|resource| matches!(resource, ConfigResource::Broker(_)));
        let names: BTreeSet<TopicName> = if of_brokers {
            self.hosted.read().keys().cloned().collect()
        } else {
            changes.configs.iter().filter_map(topic_of).collect()
        };
        let now = broker.clock.now();
        for name in names {
            let (log, replication) = self.opener.configs(broker, view, name.as_str());
            for hosted in self.of_topic(&name) {
                hosted.set_config(now, log.clone(), replication);
            }
        }
    }
}

fn topic_of(resource: &ConfigResource) -> Option<TopicName> {
    match resource {
        ConfigResource::Topic(name) => TopicName::stored(name).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use ottla_broker_log::{SimDisk, SimError, SimFault, SimOp};

    use super::*;
    use crate::testing::Rig;

    #[test]
    fn a_log_that_no_file_could_be_opened_for_is_opened_later() {
        let disk = SimDisk::new(1);
        let mut rig = Rig::on_simulated(&disk);
        disk.inject(SimFault { op: SimOp::Open, skip: 0, error: SimError::TooManyFiles });
        assert!(rig.topic("t", &[1]).is_offline());
        assert_eq!(rig.fatal().reported().now_or_never(), None, "the broker goes on");
        let partitions = &rig.broker.partitions;
        let now = rig.broker.clock.now().mono;
        assert!(!partitions.has_due_unopened(now) && partitions.has_due_unopened(now.plus(REOPEN_PAUSE)));
        partitions.unopened.lock().due = now;
        partitions.apply(&rig.broker, &rig.broker.view(), &ImageChanges::default());
        let topic = TopicName::new("t").unwrap();
        let hosted = partitions.find(&topic, PartitionIndex(0)).unwrap();
        assert_eq!(hosted.read(Replica::is_leader), Some(true));
        assert!(!partitions.has_due_unopened(now.plus(REOPEN_PAUSE)));
    }

    #[test]
    fn a_log_that_is_just_being_made_is_no_stray() {
        let rig = Rig::new();
        let (partitions, now) = (&rig.broker.partitions, rig.broker.clock.now().mono);
        let dir = rig.dir().join("t-0");
        let making = partitions.changing.lock();
        std::fs::create_dir(&dir).unwrap();
        assert!(!partitions.set_strays_aside(now).unwrap(), "it is looked at again");
        assert!(dir.exists());
        drop(making);
        assert!(partitions.set_strays_aside(now).unwrap());
        assert!(!dir.exists());
    }
}
