//! A cluster for tests: an image, the settings of its controller, and short ways to change it. No I/O.

use ottla_broker_config::{BrokerConfig, load_broker};
use ottla_broker_types::{
    BrokerEpoch, ClusterId, DirectoryId, NodeId, Offset, PartitionIndex, TopicPartition, Uuid,
};

use crate::controller::{
    AlterPartitionItem, AlterPartitionRequest, AlterPartitionResult, Context, Decision, HeartbeatFacts,
    HeartbeatReply, HeartbeatRequest, NewTopic, RegisterBrokerError, RegisterFacts, RegisterRequest, Seed,
    alter_partition, bootstrap_records, create_topics, fence_broker, heartbeat, register_broker,
    supported_features,
};
use crate::image::{Image, Partition};
use crate::record::{ConfigResource, Endpoint, LeaderRecoveryState, Record};

/// A cluster whose decisions are committed at once.
pub(crate) struct Cluster {
    pub(crate) image: Image,
    pub(crate) config: BrokerConfig,
    pub(crate) id: ClusterId,
}

pub(crate) fn ids(raw: &[i32]) -> Vec<NodeId> {
    raw.iter().copied().map(NodeId).collect()
}

impl Cluster {
    /// A new cluster without brokers; `settings` are lines of the controller's file.
    pub(crate) fn new(settings: &[(&str, &str)]) -> Cluster {
        let mut pairs = vec![("node.id", "0")];
        pairs.extend(settings);
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (config, _) = load_broker(pairs).expect("the settings work");
        let mut cluster = Cluster { image: Image::default(), config, id: ClusterId("test".to_owned()) };
        cluster.commit(&bootstrap_records());
        cluster
    }

    /// A new cluster of active brokers with ids from 1.
    pub(crate) fn of(brokers: i32) -> Cluster {
        let mut cluster = Cluster::new(&[]);
        (1..=brokers).for_each(|id| cluster.join(id));
        cluster
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { image: &self.image, config: &self.config }
    }

    /// Applies records as one committed batch.
    pub(crate) fn commit(&mut self, records: &[Record]) {
        let at = self.image.applied_end();
        self.image.apply_batch(records, at).expect("decisions fit their image");
    }

    /// Commits a decision and gives its reply.
    pub(crate) fn take<R>(&mut self, decision: Decision<R>) -> R {
        self.commit(&decision.records);
        decision.reply
    }

    pub(crate) fn registration(&self, id: i32, run: u8) -> RegisterRequest {
        RegisterRequest {
            broker: NodeId(id),
            cluster_id: self.id.clone(),
            incarnation: Uuid([run; 16]),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".into(),
                host: "h".into(),
                port: 9092,
                security_protocol: 0,
            }],
            features: supported_features(),
            rack: None,
            log_dirs: vec![DirectoryId(Uuid([id as u8 + 100; 16]))],
            previous_epoch: None,
        }
    }

    pub(crate) fn register(
        &mut self,
        request: &RegisterRequest,
        lease_held: bool,
    ) -> Result<(), RegisterBrokerError> {
        let facts = RegisterFacts { cluster_id: &self.id, lease_held };
        let decision = register_broker(self.context(), request, &facts)?;
        self.take(decision);
        Ok(())
    }

    pub(crate) fn epoch(&self, id: i32) -> BrokerEpoch {
        self.image.broker(NodeId(id)).expect("the broker is registered").epoch
    }

    pub(crate) fn beat(&mut self, id: i32, want_fence: bool, want_shut_down: bool) -> HeartbeatReply {
        let applied_end = self.image.applied_end();
        let request = HeartbeatRequest {
            broker: NodeId(id),
            epoch: self.epoch(id),
            applied_end,
            want_fence,
            want_shut_down,
        };
        let facts =
            HeartbeatFacts { handed_over_end: Some(applied_end), others_applied_end: Some(applied_end) };
        let decision = heartbeat(self.context(), &request, &facts).expect("the broker is registered");
        self.take(decision)
    }

    /// Registers a broker and unfences it.
    pub(crate) fn join(&mut self, id: i32) {
        self.join_on_rack(id, None);
    }

    pub(crate) fn join_on_rack(&mut self, id: i32, rack: Option<&str>) {
        let mut request = self.registration(id, 1);
        request.rack = rack.map(str::to_owned);
        self.register(&request, false).expect("the broker registers");
        self.unfence(id);
    }

    pub(crate) fn unfence(&mut self, id: i32) {
        assert!(!self.beat(id, false, false).fenced);
    }

    pub(crate) fn fence(&mut self, id: i32) {
        let decision = fence_broker(self.context(), NodeId(id), self.epoch(id)).expect("it is registered");
        self.take(decision);
    }

    /// Comes back after a stop; `clean` as its clean-shutdown marker says.
    pub(crate) fn restart(&mut self, id: i32, run: u8, clean: bool) {
        let mut request = self.registration(id, run);
        request.previous_epoch = clean.then(|| self.epoch(id));
        self.register(&request, false).expect("the broker registers");
    }

    /// Creates a topic with these replicas of partition 0, 1, ...
    pub(crate) fn topic(&mut self, name: &str, replicas: &[&[i32]], configs: &[(&str, &str)]) {
        let assignments =
            replicas.iter().enumerate().map(|(at, list)| (PartitionIndex(at as i32), ids(list)));
        let new = NewTopic {
            name: name.to_owned(),
            assignments: assignments.collect(),
            configs: configs.iter().map(|(n, v)| ((*n).to_owned(), Some((*v).to_owned()))).collect(),
            ..NewTopic::default()
        };
        let results =
            create_topics(self.context(), &[new], false, Seed(self.image.applied_end().get() as u64));
        for result in self.take(results) {
            result.outcome.expect("the topic is created");
        }
    }

    pub(crate) fn set(&mut self, resource: ConfigResource, name: &str, value: &str) {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        self.commit(&[Record::Config { resource, name, value }]);
    }

    pub(crate) fn partition(&self, topic: &str, index: i32) -> &Partition {
        let topic = ottla_broker_types::TopicName::new(topic).expect("a name");
        let at = TopicPartition { topic, partition: PartitionIndex(index) };
        self.image.partition(&at).expect("the partition exists")
    }

    /// The leader's request for another ISR, as it would send it now.
    pub(crate) fn isr_request(&self, topic: &str, index: i32, isr: &[i32]) -> AlterPartitionRequest {
        let partition = self.partition(topic, index);
        let leader = partition.leader.expect("it is led");
        AlterPartitionRequest {
            broker: leader,
            epoch: self.epoch(leader.0),
            items: vec![AlterPartitionItem {
                topic: self.image.topic(topic).expect("it exists").id,
                partition: PartitionIndex(index),
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                isr: isr.iter().map(|id| (NodeId(*id), None)).collect(),
                recovery: LeaderRecoveryState::Recovered,
            }],
        }
    }

    pub(crate) fn set_isr(&mut self, topic: &str, index: i32, isr: &[i32]) -> AlterPartitionResult {
        let request = self.isr_request(topic, index, isr);
        let decision = alter_partition(self.context(), &request).expect("the leader is registered");
        self.take(decision).remove(0)
    }

    /// Replicas, ISR, ELR and leader of a partition.
    pub(crate) fn state(&self, topic: &str, index: i32) -> (Vec<i32>, Vec<i32>, Vec<i32>, Option<i32>) {
        let raw = |list: &[NodeId]| list.iter().map(|id| id.0).collect();
        let p = self.partition(topic, index);
        (raw(&p.replicas), raw(&p.isr), raw(&p.elr), p.leader.map(|id| id.0))
    }

    pub(crate) fn end(&self) -> Offset {
        self.image.applied_end()
    }
}
