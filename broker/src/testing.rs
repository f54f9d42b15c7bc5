//! A broker for tests: node 1, on a folder of its own, with metadata that the test makes up. No socket, no controller.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::{Buf, Bytes, BytesMut};
use ottla_broker_config::load_broker;
use ottla_broker_log::{Disk, RealDisk, SimDisk};
use ottla_broker_metadata::record::{ConfigResource, LeaderRecoveryState, PartitionRecord};
use ottla_broker_metadata::{Image, Record};
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions, Compression};
use ottla_broker_protocol::{Reader, Request, ResponseHeader, Segment, frame};
use ottla_broker_types::{
    ClusterId, DirectoryId, LeaderEpoch, MonotonicMs, NodeId, PartitionEpoch, PartitionIndex, TopicId,
    TopicName, Uuid,
};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use crate::api::{Api, Call};
use crate::broker::{Broker, Parts};
use crate::clock::Clock;
use crate::controller::{Active, ActiveParts, Controller};
use crate::coordinators::Groups;
use crate::listener::{Frame, Handled, Handler, PeerInfo, Reply, Role, Session};
use crate::metrics::Metrics;
use crate::partitions::{HostedPartition, Opener, Partitions};
use crate::peers::Peers;
use crate::served::Served;
use crate::stop::Fatal;
use crate::view::View;

/// What clients can make a broker of a test keep.
pub(crate) const KEPT_BYTES_MAX: usize = 8 << 20;

/// The broker and what it was told.
pub(crate) struct Rig {
    pub(crate) broker: Arc<Broker>,
    image: Image,
    folder: TempDir,
    disk: Arc<dyn Disk>,
    fatal: Fatal,
}

impl Rig {
    /// A broker without topics.
    pub(crate) fn new() -> Rig {
        Rig::on(tempfile::tempdir().unwrap(), Arc::new(RealDisk), &[])
    }

    /// A broker without topics whose disk is simulated; the folder stands for its path only.
    pub(crate) fn on_simulated(disk: &SimDisk) -> Rig {
        Rig::on_simulated_with(disk, &[])
    }

    /// As [`Rig::on_simulated`], with settings of the broker.
    pub(crate) fn on_simulated_with(disk: &SimDisk, settings: &[(&str, &str)]) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        disk.create_dir_all(folder.path()).unwrap();
        Rig::on(folder, Arc::new(disk.clone()), settings)
    }

    /// A broker without topics on another disk.
    pub(crate) fn on_disk(disk: Arc<dyn Disk>) -> Rig {
        Rig::on(tempfile::tempdir().unwrap(), disk, &[])
    }

    /// The next run on the same folder, after a crash unless the former one was closed. It knows of no topic yet.
    pub(crate) fn restart(self) -> Rig {
        Rig::on(self.folder, self.disk, &[])
    }

    /// Where failures are reported after which the broker must not go on.
    pub(crate) fn fatal(&self) -> &Fatal {
        &self.fatal
    }

    /// Where the logs lie.
    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn on(folder: TempDir, disk: Arc<dyn Disk>, settings: &[(&str, &str)]) -> Rig {
        let pairs = [("node.id", "1")].iter().chain(settings);
        let pairs = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (config, _) = load_broker(pairs.collect()).unwrap();
        let fatal = Fatal::default();
        let opener = Opener::new(Arc::clone(&disk), folder.path()).unwrap();
        let clock = Clock::start();
        let (config, metrics, served) =
            (Arc::new(config), Arc::<Metrics>::default(), Arc::<Served>::default());
        let cluster_id = ClusterId("test".to_owned());
        let active = Active::new(ActiveParts {
            cluster_id: cluster_id.clone(),
            config: Arc::clone(&config),
            clock,
            metrics: Arc::clone(&metrics),
            served: Arc::clone(&served),
            log: None,
        });
        let peers = Arc::new(Peers::new(NodeId(1), clock, config.quorum.broker_lease_ms));
        let parts = Parts {
            node_id: NodeId(1),
            cluster_id,
            directory_id: DirectoryId(Uuid([1; 16])),
            clock,
            peers: Arc::clone(&peers),
            partitions: Partitions::new(opener, fatal.clone()),
            groups: Groups::new(&config.groups, 16 << 20, 1),
            served,
            controller: Controller::new(active, peers, None),
            seed: 1,
            connections_max: usize::MAX,
            kept_bytes_max: KEPT_BYTES_MAX,
            cleaner_bytes_max: 1 << 20,
            data: data(),
            config,
        };
        Rig { broker: Broker::new(parts, metrics), image: Image::default(), folder, disk, fatal }
    }

    /// Applies records as one committed batch.
    pub(crate) fn commit(&mut self, records: &[Record]) {
        let before = self.image.clone();
        self.image.apply_batch(records, before.applied_end()).unwrap();
        let view = View::new(self.image.clone());
        let changes = self.image.changes_since(&before);
        self.broker.partitions.apply(&self.broker, &view, &changes);
        self.broker.served.publish(view);
        self.broker.partitions.registrations_changed(&self.broker, &self.broker.view(), &changes);
    }

    /// Makes a topic with one partition on `replicas`, all in sync and led by the first.
    pub(crate) fn topic(&mut self, name: &str, replicas: &[i32]) -> Arc<HostedPartition> {
        self.life(name, TopicId(Uuid([name.len() as u8; 16])), replicas)
    }

    /// Makes a topic as in [`Rig::topic`] with the id of one of its lives.
    pub(crate) fn life(&mut self, name: &str, id: TopicId, replicas: &[i32]) -> Arc<HostedPartition> {
        self.record_topic(name, id, replicas);
        self.broker.partitions.find(&TopicName::new(name).unwrap(), PartitionIndex(0)).unwrap()
    }

    /// Commits the records of such a topic, whether or not a client may create one of that name.
    pub(crate) fn record_topic(&mut self, name: &str, id: TopicId, replicas: &[i32]) {
        let name = TopicName::stored(name).unwrap();
        let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
        let partition = PartitionRecord {
            topic: id,
            partition: PartitionIndex(0),
            isr: replicas.clone(),
            removing: Vec::new(),
            adding: Vec::new(),
            leader: replicas.first().copied(),
            recovery: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            directories: vec![DirectoryId(Uuid([1; 16])); replicas.len()],
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            replicas,
        };
        self.commit(&[Record::Topic { name, id }, Record::Partition(partition)]);
    }

    /// Sets a topic's setting.
    pub(crate) fn set(&mut self, topic: &str, name: &str, value: &str) {
        let resource = ConfigResource::Topic(topic.to_owned());
        self.commit(&[Record::Config { resource, name: name.to_owned(), value: Some(value.to_owned()) }]);
    }

    /// Asks as a client; the body of the answer, or why the connection ends.
    pub(crate) async fn ask<R: Request>(&self, request: &R, version: i16) -> Result<Bytes, &'static str> {
        let mut handled = self.handle(&Rig::peer(), request, version);
        let reply = loop {
            match handled {
                Handled::Now(reply) => break reply,
                Handled::Later(reply) => break reply.await,
                Handled::Elsewhere(later) => handled = later.await,
            }
        };
        Rig::body::<R>(reply, version)
    }

    /// A client.
    pub(crate) fn peer() -> PeerInfo {
        Rig::peer_in(Role::Client)
    }

    /// Another broker.
    pub(crate) fn broker_peer() -> PeerInfo {
        Rig::peer_in(Role::Broker)
    }

    fn peer_in(role: Role) -> PeerInfo {
        PeerInfo {
            address: ([127, 0, 0, 1], 1).into(),
            session: Session::anonymous("TEST", role).into(),
            accepted: MonotonicMs::default(),
            order: Arc::default(),
            refusals: Arc::default(),
        }
    }

    /// A request of a client, with its header read.
    pub(crate) fn call<R: Request>(&self, request: &R, version: i16) -> Call {
        let mut bytes = BytesMut::from(frame::encode_request(request, version, 1, None).unwrap());
        bytes.advance(frame::SIZE_LEN);
        Call::open(&Rig::peer(), Frame { bytes, held: None }, R::KEY).unwrap()
    }

    /// Hands a request of `peer` in, as its connection would.
    pub(crate) fn handle<R: Request>(&self, peer: &PeerInfo, request: &R, version: i16) -> Handled {
        let mut bytes = BytesMut::from(frame::encode_request(request, version, 1, None).unwrap());
        bytes.advance(frame::SIZE_LEN);
        Api::new(Arc::clone(&self.broker)).handle(peer, Frame { bytes, held: None })
    }

    /// The body of an answer, or why the connection ends.
    pub(crate) fn body<R: Request>(reply: Reply, version: i16) -> Result<Bytes, &'static str> {
        let segments = match reply {
            Reply::Frame(frame) => frame.segments,
            Reply::None => return Ok(Bytes::new()),
            Reply::Close(reason) => return Err(reason),
        };
        let mut answer = Vec::new();
        for segment in segments {
            match segment {
                Segment::Bytes(bytes) => answer.extend_from_slice(&bytes),
                Segment::File(range) => {
                    let start = answer.len();
                    answer.resize(start + range.len, 0);
                    range.file.read_exact_at(&mut answer[start..], range.position).unwrap();
                }
            }
        }
        let mut reader = Reader::new(&answer[frame::SIZE_LEN..]);
        ResponseHeader::decode(&mut reader, R::KEY, version).unwrap();
        let body_at = answer.len() - reader.remaining();
        Ok(Bytes::from(answer).slice(body_at..))
    }
}

/// Threads for all rigs, also for those of tests without a runtime.
fn data() -> Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let start =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    RUNTIME.get_or_init(start).handle().clone()
}

/// One record in a batch.
pub(crate) fn batch(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    builder.append(None, Some(b"value"), 1);
    builder.build().unwrap().to_vec()
}
