//! From a frame to the file of its API, with the checks that all APIs share: which APIs are served, on which listener, in
//! which versions, and by which file.

use std::net::SocketAddr;
use std::sync::Arc;

use ottla_broker_protocol::rules::{ApiRules, Listeners, QuotaClass, Work};
use ottla_broker_protocol::{ApiKey, ServedApi};

use super::admin::{
    alter_configs, alter_partition_reassignments, create_partitions, create_topics, delete_records,
    delete_topics, describe_cluster, describe_configs, describe_log_dirs, describe_quorum,
    describe_topic_partitions, elect_leaders, incremental_alter_configs, list_partition_reassignments,
    unregister_broker,
};
use super::answer::{Answer, Malformed};
use super::brokers::{
    allocate_producer_ids, alter_partition, broker_heartbeat, broker_registration, forward_admin,
    metadata_fetch, raft_message,
};
use super::call::Call;
use super::data::{
    api_versions, fetch, init_producer_id, list_offsets, metadata, offset_for_leader_epoch, produce,
};
use super::groups::{
    consumer_group_describe, consumer_group_heartbeat, delete_groups, describe_groups, find_coordinator,
    heartbeat, join_group, leave_group, list_groups, offset_commit, offset_delete, offset_fetch, sync_group,
};
use crate::broker::Broker;
use crate::controller::Standing;
use crate::disk_access::LARGE_BYTES;
use crate::listener::{Frame, Handled, Handler, PeerInfo, Reply, Role, Session};
use crate::long_work::Kind;

/// An answer that may take as much is only built when there is room for so much.
const LARGE_ANSWER_BYTES: usize = 4 << 20;

/// Answers requests of all listeners.
pub struct Api {
    broker: Arc<Broker>,
}

impl Api {
    /// Answers requests of all listeners from the state of `broker`.
    pub fn new(broker: Arc<Broker>) -> Api {
        Api { broker }
    }

    fn answer(&self, peer: &PeerInfo, frame: Frame, now: u64) -> Result<Answer, Malformed> {
        let Some((key, version)) = key_and_version(&frame.bytes) else {
            return Ok(Answer::close("the frame is shorter than a request header"));
        };
        let served =
            ApiKey::from_i16(key).and_then(ServedApi::of).filter(|api| is_served(*api, &peer.session));
        let Some(api) = served else {
            return Ok(Answer::close("the API is not served on this listener"));
        };
        if !api.key().versions().contains(&version) {
            if api == ServedApi::ApiVersions {
                // KIP-511: the client learns our versions in the oldest schema and asks again.
                return Ok(Answer::now(api_versions::unsupported(&self.broker, &peer.session, &frame.bytes)));
            }
            return Ok(Answer::close("the version of the API is not served"));
        }
        let call = Call::open(peer, frame, api.key())?;
        // Between opening and handling is the place of the authorizer and of the quotas, which read `ApiKey::rules`.
        let broker = &self.broker;
        match place(api.key().rules(), call.body.len(), call.peer.session.role) {
            Place::Here => handle(broker, api, call),
            Place::AtDisk => match broker.disk.try_turn(now) {
                Some(_turn) => handle(broker, api, call),
                None => Ok(elsewhere(broker, Place::AtDisk, api, call)),
            },
            place => Ok(elsewhere(broker, place, api, call)),
        }
    }
}

/// Where a request is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the thread that received it.
    Here,
    /// There, too, if it has a turn at the disk.
    AtDisk,
    /// On a thread that may wait for the disk.
    ElsewhereAtDisk,
    /// One of few at a time.
    Listing,
    /// One of few at a time that may wait for the disk.
    Scanning,
}

/// A request with so long a body may name enough to keep a thread from serving others for milliseconds.
pub(super) const LONG_BYTES: usize = 2 << 10;

/// A lookup with so short a body is done sooner than handed on.
const SHORT_BYTES: usize = 256;

fn place(rules: &ApiRules, body_bytes: usize, role: Role) -> Place {
    if role == Role::Broker && rules.is_replication {
        // However many partitions it names, it waits for nothing that clients ask.
        return Place::AtDisk;
    }
    let is_long = body_bytes >= LONG_BYTES;
    match rules.work {
        // Brokers among themselves wait for nothing that clients ask.
        Work::Memory if rules.listeners == Listeners::Brokers || !is_long => Place::Here,
        Work::Memory | Work::Listing => Place::Listing,
        Work::Append if body_bytes >= LARGE_BYTES => Place::ElsewhereAtDisk,
        Work::Log if is_long => Place::ElsewhereAtDisk,
        Work::Lookup if body_bytes > SHORT_BYTES => Place::Scanning,
        Work::Append | Work::Log | Work::Lookup => Place::AtDisk,
        Work::Scan => Place::Scanning,
    }
}

/// Carries a request out where it may take long. If that is because the disk is stuck, and others lead by now what this
/// broker led, the connection ends: whatever the disk takes of it one day, nobody will read, and the client asks there.
fn elsewhere(broker: &Arc<Broker>, place: Place, api: ServedApi, call: Call) -> Answer {
    let (broker, address) = (Arc::clone(broker), call.peer.address);
    let serving = Arc::clone(&broker);
    let work = move || handled(handle(&serving, api, call), address, api.key().code());
    Answer(Handled::Elsewhere(Box::pin(async move {
        let work = async {
            match place {
                Place::Listing => {
                    let listed = broker.long_work.run(Kind::Listing, work).await;
                    listed.unwrap_or(Handled::Now(Reply::Close("the request could not be carried out")))
                }
                Place::Scanning => broker.long_work.scan(&broker.disk, work).await,
                Place::Here | Place::AtDisk | Place::ElsewhereAtDisk => broker.disk.elsewhere(work).await,
            }
        };
        tokio::select! {
            biased;
            handled = work => handled,
            () = out_of_service(&broker) => Handled::Now(Reply::Close("the data disk is stuck, and others lead")),
        }
    })))
}

/// Resolves when this broker is fenced because its disk is stuck.
async fn out_of_service(broker: &Broker) {
    let mut standing = broker.controller.standing();
    loop {
        if *standing.borrow_and_update() == Standing::Fenced && broker.disk.stuck_for().is_some() {
            return;
        }
        if standing.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn key_and_version(frame: &[u8]) -> Option<(i16, i16)> {
    let (key, rest) = frame.split_first_chunk::<2>()?;
    let version = rest.first_chunk::<2>()?;
    Some((i16::from_be_bytes(*key), i16::from_be_bytes(*version)))
}

fn handled(answer: Result<Answer, Malformed>, address: SocketAddr, api_key: i16) -> Handled {
    match answer {
        Ok(Answer(handled)) => handled,
        Err(malformed) => Handled::Now(malformed.close(address, api_key)),
    }
}

/// Counts the time from `started` to the answer.
fn timed(broker: Arc<Broker>, key: i16, started: u64, handled: Handled) -> Handled {
    match handled {
        Handled::Now(reply) => {
            broker.metrics.request(key, broker.clock.micros().saturating_sub(started));
            Handled::Now(reply)
        }
        Handled::Later(future) => Handled::Later(Box::pin(async move {
            let reply = future.await;
            broker.metrics.request(key, broker.clock.micros().saturating_sub(started));
            reply
        })),
        Handled::Elsewhere(future) => {
            Handled::Elsewhere(Box::pin(async move { timed(broker, key, started, future.await) }))
        }
    }
}

impl Handler for Api {
    fn handle(&self, peer: &PeerInfo, frame: Frame) -> Handled {
        let started = self.broker.clock.micros();
        let key = key_and_version(&frame.bytes).map_or(-1, |(key, _)| key);
        let handled = handled(self.answer(peer, frame, started), peer.address, key);
        timed(Arc::clone(&self.broker), key, started, handled)
    }

    fn answer_bytes(&self, frame: &[u8]) -> usize {
        let api = key_and_version(frame).and_then(|(key, _)| ApiKey::from_i16(key));
        match api.map(ApiKey::rules) {
            // What brokers ask of each other waits for nothing that clients hold, and records lie in files.
            Some(rules)
                if rules.listeners == Listeners::All
                    && rules.quota != QuotaClass::Fetch
                    && rules.answer_bytes_max >= LARGE_ANSWER_BYTES =>
            {
                LARGE_ANSWER_BYTES
            }
            _ => 0,
        }
    }

    fn is_replication(&self, api_key: i16) -> bool {
        ApiKey::from_i16(api_key).is_some_and(|key| key.rules().is_replication)
    }

    fn connection_count(&self, peer: &PeerInfo, change: i64) {
        let metrics = &self.broker.metrics;
        let gauge = match peer.session.role {
            Role::Broker => &metrics.broker_connections,
            Role::Client => &metrics.client_connections,
        };
        gauge.fetch_add(change, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Every API that is served in a session, by key.
pub(super) fn all(session: &Session) -> impl Iterator<Item = ApiKey> {
    ServedApi::ALL.iter().filter(|api| is_served(**api, session)).map(|api| api.key())
}

fn is_served(api: ServedApi, session: &Session) -> bool {
    match api.key().rules().listeners {
        Listeners::All => true,
        Listeners::Brokers => session.is_broker(),
        Listeners::Nowhere => false,
    }
}

/// Hands a call to the file of its API.
fn handle(broker: &Arc<Broker>, api: ServedApi, call: Call) -> Result<Answer, Malformed> {
    match api {
        ServedApi::Produce => produce::handle(broker, call),
        ServedApi::Fetch => fetch::handle(broker, call),
        ServedApi::ListOffsets => list_offsets::handle(broker, &call),
        ServedApi::Metadata => metadata::handle(broker, call),
        ServedApi::OffsetCommit => offset_commit::handle(broker, call),
        ServedApi::OffsetFetch => offset_fetch::handle(broker, call),
        ServedApi::FindCoordinator => find_coordinator::handle(broker, call),
        ServedApi::JoinGroup => join_group::handle(broker, call),
        ServedApi::Heartbeat => heartbeat::handle(broker, &call),
        ServedApi::LeaveGroup => leave_group::handle(broker, call),
        ServedApi::SyncGroup => sync_group::handle(broker, call),
        ServedApi::DescribeGroups => describe_groups::handle(broker, &call),
        ServedApi::ConsumerGroupHeartbeat => consumer_group_heartbeat::handle(broker, call),
        ServedApi::ConsumerGroupDescribe => consumer_group_describe::handle(broker, &call),
        ServedApi::ListGroups => list_groups::handle(broker, &call),
        ServedApi::ApiVersions => api_versions::handle(broker, &call),
        ServedApi::CreateTopics => create_topics::handle(broker, call),
        ServedApi::DeleteTopics => delete_topics::handle(broker, call),
        ServedApi::DeleteRecords => delete_records::handle(broker, call),
        ServedApi::InitProducerId => init_producer_id::handle(broker, call),
        ServedApi::OffsetForLeaderEpoch => offset_for_leader_epoch::handle(broker, &call),
        ServedApi::DescribeConfigs => describe_configs::handle(broker, &call),
        ServedApi::AlterConfigs => alter_configs::handle(broker, call),
        ServedApi::DescribeLogDirs => describe_log_dirs::handle(broker, &call),
        ServedApi::CreatePartitions => create_partitions::handle(broker, call),
        ServedApi::DeleteGroups => delete_groups::handle(broker, call),
        ServedApi::ElectLeaders => elect_leaders::handle(broker, call),
        ServedApi::IncrementalAlterConfigs => incremental_alter_configs::handle(broker, call),
        ServedApi::AlterPartitionReassignments => alter_partition_reassignments::handle(broker, call),
        ServedApi::ListPartitionReassignments => list_partition_reassignments::handle(broker, &call),
        ServedApi::OffsetDelete => offset_delete::handle(broker, call),
        ServedApi::DescribeQuorum => describe_quorum::handle(broker, call),
        ServedApi::UnregisterBroker => unregister_broker::handle(broker, call),
        ServedApi::DescribeCluster => describe_cluster::handle(broker, &call),
        ServedApi::DescribeTopicPartitions => describe_topic_partitions::handle(broker, &call),
        ServedApi::AlterPartition => alter_partition::handle(broker, call),
        ServedApi::BrokerRegistration => broker_registration::handle(broker, call),
        ServedApi::BrokerHeartbeat => broker_heartbeat::handle(broker, call),
        ServedApi::AllocateProducerIds => allocate_producer_ids::handle(broker, call),
        ServedApi::RaftMessage => raft_message::handle(broker, call),
        ServedApi::MetadataFetch => metadata_fetch::handle(broker, call),
        ServedApi::ForwardAdmin => forward_admin::handle(broker, call),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use ottla_broker_protocol::batch::Compression;
    use ottla_broker_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
    use ottla_broker_protocol::messages::metadata_request::MetadataRequest;
    use ottla_broker_protocol::messages::produce_request::{
        PartitionProduceData, ProduceRequest, TopicProduceData,
    };
    use ottla_broker_protocol::messages::produce_response::ProduceResponse;
    use ottla_broker_protocol::{Decode, Reader, Records};

    use super::*;
    use crate::frozen_disk::{Freezer, FrozenDisk};
    use crate::testing::{Rig, batch};

    /// A wait that a working broker ends much earlier.
    const PATIENCE: Duration = Duration::from_secs(20);
    /// More than the broker has threads for.
    const CLIENTS: usize = 60;

    async fn produce(rig: &Rig) -> i64 {
        let batch = batch(Compression::None);
        let partition =
            PartitionProduceData { records: Some(Records::Borrowed(&batch)), ..Default::default() };
        let topic = TopicProduceData {
            name: Cow::Borrowed("t"),
            partition_data: vec![partition],
            ..Default::default()
        };
        let request =
            ProduceRequest { acks: 1, timeout_ms: 1_000, topic_data: vec![topic], ..Default::default() };
        let body = rig.ask(&request, 9).await.unwrap();
        let response = ProduceResponse::decode(&mut Reader::new(&body), 9).unwrap();
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0);
        answer.base_offset
    }

    async fn fetch(rig: &Rig) {
        let partition =
            FetchPartition { current_leader_epoch: -1, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic =
            FetchTopic { topic: Cow::Borrowed("t"), partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: 10,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        };
        rig.ask(&request, 11).await.unwrap();
    }

    #[test]
    fn what_is_long_or_lists_is_carried_out_aside() {
        let place = |api: ServedApi, bytes, role| place(api.key().rules(), bytes, role);
        assert_eq!(place(ServedApi::Metadata, 100, Role::Client), Place::Here);
        assert_eq!(place(ServedApi::Metadata, 100 << 10, Role::Client), Place::Listing);
        assert_eq!(place(ServedApi::DescribeConfigs, 20, Role::Client), Place::Listing);
        assert_eq!(place(ServedApi::Produce, 100 << 10, Role::Client), Place::AtDisk);
        assert_eq!(place(ServedApi::Produce, LARGE_BYTES, Role::Client), Place::ElsewhereAtDisk);
        assert_eq!(place(ServedApi::ListOffsets, 100, Role::Client), Place::AtDisk);
        assert_eq!(place(ServedApi::ListOffsets, 2_400, Role::Client), Place::Scanning);
        assert_eq!(place(ServedApi::DescribeLogDirs, 10, Role::Client), Place::Scanning);
        for asked_by_followers in [ServedApi::Fetch, ServedApi::ListOffsets, ServedApi::OffsetForLeaderEpoch]
        {
            assert_eq!(place(asked_by_followers, 100 << 10, Role::Broker), Place::AtDisk);
        }
        assert_eq!(
            place(ServedApi::RaftMessage, 1 << 20, Role::Client),
            Place::Here,
            "brokers do not queue behind clients"
        );
    }

    /// Producers and consumers of a partition whose disk hangs, more of them than there are threads: clients go on to
    /// hear where partitions are, and when the disk is back, everything is done once.
    #[test]
    fn a_frozen_disk_stops_those_only_that_use_it() {
        let freezer = Freezer::default();
        let mut rig = Rig::on_disk(Arc::new(FrozenDisk(freezer.clone())));
        rig.topic("t", &[1]);
        let rig = Arc::new(rig);
        let data = rig.broker.data.clone();
        freezer.freeze();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let rig = Arc::clone(&rig);
                data.spawn(async move {
                    if number % 2 == 0 {
                        return Some(produce(&rig).await);
                    }
                    fetch(&rig).await;
                    None
                })
            })
            .collect();
        let asking = Arc::clone(&rig);
        let asked = data.spawn(async move {
            while freezer.hanging() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            asking.ask(&MetadataRequest::default(), 9).await.unwrap();
            assert_eq!(asking.broker.partitions.facts().len(), 0, "none were known before");
            freezer.thaw();
        });
        data.block_on(async {
            tokio::time::timeout(PATIENCE, asked).await.expect("metadata is answered").unwrap();
            let mut offsets = Vec::new();
            for client in clients {
                let offset =
                    tokio::time::timeout(PATIENCE, client).await.expect("everybody is answered").unwrap();
                offsets.extend(offset);
            }
            offsets.sort_unstable();
            assert_eq!(offsets, (0..CLIENTS as i64 / 2).collect::<Vec<_>>());
        });
    }
}
