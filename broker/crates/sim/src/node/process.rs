//! One run of a broker's process: what it holds in memory, its start and its clean stop.
//! I/O on the simulated disk only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ottla_broker_log::{
    Checkpoints, Disk, HIGH_WATERMARKS_FILE, LOG_STARTS_FILE, Log, LogConfig, RECOVERY_POINTS_FILE, SimDisk,
    partition_dir_name, read_clean_shutdown, remove_clean_shutdown, unhosted_logs, write_clean_shutdown,
};
use ottla_broker_metadata::Image;
use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_replication::{AckWaits, Effects, Refusals, Replica};
use ottla_broker_types::{
    BrokerEpoch, LeaderEpoch, MonotonicMs, NodeId, Now, Offset, TimestampMs, TopicId, TopicPartition, Uuid,
};

use super::calls::Pending;
use super::controller::Active;
use super::follower::Following;
use super::groups::Coordinator;
use super::membership::Membership;
use super::out::{Out, Timer};
use super::sessions::Served;
use super::setup::{OFFSETS_SEGMENT_BYTES, OFFSETS_TOPIC, Setup};
use crate::message::CallId;
use crate::net::Endpoint;
use crate::queue::SimTime;

/// Wall time at the start of every run.
const EPOCH_MS: i64 = 1_700_000_000_000;
const TICK_MS: u64 = 100;

/// Both clocks at a simulated time.
pub(crate) fn now_at(at: SimTime) -> Now {
    Now { mono: MonotonicMs(at.millis()), wall: TimestampMs(EPOCH_MS + at.millis() as i64) }
}

/// A produce that waits for its commit.
#[derive(Debug)]
pub(crate) struct ProduceWait {
    pub(crate) call: CallId,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) base_offset: Offset,
    pub(crate) header: BatchHeader,
}

/// A replica and who waits for it.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) replica: Replica,
    pub(crate) waits: AckWaits<ProduceWait>,
}

/// A running broker.
#[derive(Debug)]
pub struct Process {
    pub(crate) id: NodeId,
    pub(crate) run: u32,
    pub(crate) setup: Rc<Setup>,
    disk: SimDisk,
    clean_start: bool,
    checkpoints: Checkpoints,
    pub(crate) image: Image,
    /// End of the metadata that the replicas were last brought in line with.
    pub(crate) aligned_end: Offset,
    pub(crate) hosted: BTreeMap<TopicPartition, Hosted>,
    /// Whom the replicas here follow.
    pub(crate) following: BTreeMap<NodeId, Following>,
    /// Who follows the replicas here.
    pub(crate) sessions: Served,
    pub(crate) membership: Membership,
    pub(crate) active: Option<Active>,
    pub(crate) coordinator: Option<Coordinator>,
    pub(crate) calls: BTreeMap<u64, Pending>,
    /// What producers were refused, by connection.
    pub(crate) refusals: BTreeMap<(Endpoint, u32), Refusals>,
    pub(crate) next_call: u64,
}

fn root() -> &'static Path {
    Path::new("/data")
}

fn dir_of(partition: &TopicPartition) -> PathBuf {
    root().join(partition_dir_name(partition))
}

impl Process {
    /// Starts the broker on its disk.
    pub fn start(setup: Rc<Setup>, id: NodeId, run: u32, disk: SimDisk, out: &mut Out) -> Process {
        let prepared = disk.create_dir_all(root()).and_then(|()| disk.sync_dir(Path::new("/")));
        prepared.expect("the simulated disk takes a directory");
        let marker = read_clean_shutdown(&disk, root()).expect("the marker is whole or missing");
        let checkpoints = Checkpoints::read(Arc::new(disk.clone()), root());
        let checkpoints = checkpoints.expect("a checkpoint is whole or missing");
        remove_clean_shutdown(&disk, root()).expect("the disk works");
        let mut incarnation = [0; 16];
        incarnation[..4].copy_from_slice(&id.get().to_be_bytes());
        incarnation[4..8].copy_from_slice(&run.to_be_bytes());
        out.timers.extend([
            (0, Timer::Membership),
            (0, Timer::FollowMetadata),
            (TICK_MS, Timer::Replicas),
            (TICK_MS, Timer::Groups),
            (setup.flush_interval_ms, Timer::Flush),
        ]);
        Process {
            membership: Membership::new(Uuid(incarnation), marker.flatten(), setup.voters[0]),
            id,
            run,
            setup,
            disk,
            clean_start: marker.is_some(),
            checkpoints,
            image: Image::default(),
            aligned_end: Image::default().applied_end(),
            hosted: BTreeMap::new(),
            following: BTreeMap::new(),
            sessions: Served::new(u64::from(run) << 32 | id.get().unsigned_abs() as u64),
            active: None,
            coordinator: None,
            calls: BTreeMap::new(),
            refusals: BTreeMap::new(),
            next_call: 0,
        }
    }

    /// This node on the network.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Node(self.id)
    }

    /// An alarm went off.
    pub fn timer(&mut self, at: SimTime, timer: Timer, out: &mut Out) {
        match timer {
            Timer::Membership => self.membership_due(at, out),
            Timer::FollowMetadata => self.follow_metadata(at, out),
            Timer::Controller => self.controller_due(at, out),
            Timer::Fetch(leader, alarm) => self.fetch(at, leader, alarm, out),
            Timer::Propose(partition, proposal) => self.propose_again(&partition, &proposal, out),
            Timer::Replicas => {
                self.each_replica(at, out, |replica, now| match replica.check_due() {
                    Some(due) if due <= now.mono => replica.tick(now),
                    Some(_) | None => Effects::default(),
                });
                out.timers.push((TICK_MS, Timer::Replicas));
            }
            Timer::Groups => self.groups_due(at, out),
            Timer::Flush => {
                self.flush();
                out.timers.push((self.setup.flush_interval_ms, Timer::Flush));
            }
        }
    }

    pub(crate) fn each_replica(
        &mut self,
        at: SimTime,
        out: &mut Out,
        act: impl Fn(&mut Replica, Now) -> Effects,
    ) {
        let partitions: Vec<TopicPartition> = self.hosted.keys().cloned().collect();
        for partition in partitions {
            if let Some(hosted) = self.hosted.get_mut(&partition) {
                let effects = act(&mut hosted.replica, now_at(at));
                self.take_effects(&partition, effects, out);
            }
        }
    }

    /// Opens a partition's log, recovering it if need be.
    pub(crate) fn open(&mut self, at: SimTime, partition: &TopicPartition, topic_id: TopicId) -> Replica {
        let dir = dir_of(partition);
        if !self.disk.exists(&dir).expect("the disk works") {
            self.checkpoints.forget(partition).expect("the disk works");
        }
        let recovery = self.checkpoints.recovery_point(partition, self.clean_start);
        let is_offsets = partition.topic.as_str() == OFFSETS_TOPIC;
        let segment_bytes_max = if is_offsets { OFFSETS_SEGMENT_BYTES } else { self.setup.segment_bytes };
        let config = LogConfig { segment_bytes_max, ..LogConfig::default() };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let log = Log::open(disk, &dir, partition.clone(), topic_id, config, recovery, now_at(at));
        let log = log.unwrap_or_else(|error| panic!("the log opens after any crash, {recovery:?}: {error}"));
        let high_watermark = self.checkpoints.high_watermark(partition);
        Replica::new(self.id, log, high_watermark, self.setup.replication())
    }

    /// Deletes a partition that this node no longer hosts.
    pub(crate) fn delete(&mut self, partition: &TopicPartition) {
        self.mark_news(partition);
        let Some(hosted) = self.hosted.remove(partition) else { return };
        self.leave_all(&(hosted.replica.log().topic_id(), partition.partition), None);
        let unique = Uuid((u128::from(self.next_call) << 32 | u128::from(self.run)).to_be_bytes());
        self.next_call += 1;
        let moved = hosted.replica.into_log().delete(unique).expect("the disk works");
        self.disk.remove_dir_all(&moved).expect("the disk works");
        self.checkpoints.forget(partition).expect("the disk works");
    }

    fn flush(&mut self) {
        let flushed = |(id, hosted): (&TopicPartition, &mut Hosted)| {
            (id.clone(), hosted.replica.flush().expect("the disk works"))
        };
        let synced: Vec<_> = self.hosted.iter_mut().map(flushed).collect();
        self.save(RECOVERY_POINTS_FILE, synced);
        self.checkpoint();
    }

    fn checkpoint(&mut self) {
        let of = |offset: fn(&Replica) -> Offset| -> Vec<_> {
            self.hosted.iter().map(|(id, hosted)| (id.clone(), offset(&hosted.replica))).collect()
        };
        let (high_watermarks, log_starts) =
            (of(Replica::high_watermark), of(|replica| replica.log().log_start()));
        self.save(HIGH_WATERMARKS_FILE, high_watermarks);
        self.save(LOG_STARTS_FILE, log_starts);
    }

    fn save(&mut self, file: &'static str, offsets: Vec<(TopicPartition, Offset)>) {
        self.checkpoints.write(file, offsets).expect("the disk works");
    }

    /// Closes every log and marks the directory as cleanly closed.
    pub(crate) fn close(&mut self, epoch: BrokerEpoch) {
        self.checkpoint();
        let closed = |(id, hosted): (&TopicPartition, &mut Hosted)| {
            hosted.replica.close().expect("the disk works");
            (id.clone(), hosted.replica.log().log_end())
        };
        let ends: Vec<_> = self.hosted.iter_mut().map(closed).collect();
        self.save(RECOVERY_POINTS_FILE, ends);
        if self.is_recovered() {
            write_clean_shutdown(&self.disk, root(), epoch).expect("the disk works");
        }
    }

    /// Whether every log on the disk is sound now that the hosted ones are closed, as the shipped broker asks: after a
    /// crash one that was never opened may still end in what the crash left.
    fn is_recovered(&self) -> bool {
        let unopened = unhosted_logs(&self.disk, root(), |id| self.hosted.contains_key(id));
        self.clean_start || unopened.expect("the disk works").is_empty()
    }

    /// The replicas of this node.
    pub fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.hosted.values().map(|hosted| &hosted.replica)
    }

    /// One replica.
    pub fn replica(&self, partition: &TopicPartition) -> Option<&Replica> {
        self.hosted.get(partition).map(|hosted| &hosted.replica)
    }
}
