//! Groups that go too far, beside one that does not: each request fails or succeeds alone.

use std::borrow::Cow;

use anyhow::{Context, Result, ensure};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_broker_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_broker_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_broker_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_broker_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_broker_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use ottla_broker_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_broker_types::Uuid;
use ottla_e2e::{Brokers, BrokersOptions, Waited, until};
use ottla_operator_kafka_admin::Connection;

use crate::clients::{PATIENCE, create_topic, until_in_sync};
use crate::turns::beside_others;

const PARTITIONS: i32 = 600;
/// A note of the longest kind that may be committed; those of all partitions are larger than a batch may be.
const NOTE_BYTES: usize = 4_000;

/// A member of a group on a connection of its own.
struct Member {
    connection: Connection,
    group: &'static str,
    id: String,
    generation: i32,
}

impl Member {
    /// Comes into the group, alone and with little to say.
    async fn join(port: u16, group: &'static str) -> Result<Member> {
        let connection = Connection::open(&format!("127.0.0.1:{port}"), PATIENCE).await?;
        let mut member = Member { connection, group, id: String::new(), generation: -1 };
        until("the coordinator serves", PATIENCE, async || {
            Ok(match member.try_join(&[("range", 10)]).await? {
                0 => Waited::Done(()),
                code => Waited::not_yet(format!("code {code}")),
            })
        })
        .await?;
        ensure!(member.sync(10).await? == 0, "an assignment is refused");
        Ok(member)
    }

    async fn try_join(&mut self, protocols: &[(&str, usize)]) -> Result<i16> {
        let protocols = protocols.iter().map(|(name, bytes)| JoinGroupRequestProtocol {
            name: Cow::Borrowed(*name),
            metadata: Cow::Owned(vec![0; *bytes]),
        });
        let request = JoinGroupRequest {
            group_id: Cow::Borrowed(self.group),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            member_id: Cow::Owned(self.id.clone()),
            protocol_type: Cow::Borrowed("tests"),
            protocols: protocols.collect(),
            ..Default::default()
        };
        let (code, id, generation) = self
            .connection
            .call(&request, |joined| {
                (joined.error_code, joined.member_id.clone().into_owned(), joined.generation_id)
            })
            .await?;
        (self.id, self.generation) = (id, generation);
        Ok(code)
    }

    async fn sync(&mut self, assignment_bytes: usize) -> Result<i16> {
        let assignment = SyncGroupRequestAssignment {
            member_id: Cow::Borrowed(&self.id),
            assignment: Cow::Owned(vec![0; assignment_bytes]),
        };
        let request = SyncGroupRequest {
            group_id: Cow::Borrowed(self.group),
            generation_id: self.generation,
            member_id: Cow::Borrowed(&self.id),
            protocol_type: Some(Cow::Borrowed("tests")),
            protocol_name: Some(Cow::Borrowed("range")),
            assignments: vec![assignment],
            ..Default::default()
        };
        Ok(self.connection.call(&request, |synced| synced.error_code).await?)
    }

    async fn heartbeat(&mut self) -> Result<i16> {
        let request = HeartbeatRequest {
            group_id: Cow::Borrowed(self.group),
            generation_id: self.generation,
            member_id: Cow::Borrowed(&self.id),
            ..Default::default()
        };
        Ok(self.connection.call(&request, |taken| taken.error_code).await?)
    }
}

/// Waits until there is a coordinator, which is on the node returned; the first to ask for one has the offsets topic
/// created.
async fn until_coordinated(port: u16) -> Result<i32> {
    let mut connection = Connection::open(&format!("127.0.0.1:{port}"), PATIENCE).await?;
    until("there is a coordinator", PATIENCE, async || {
        let keys = vec![Cow::Borrowed("any")];
        let request = FindCoordinatorRequest { coordinator_keys: keys, ..Default::default() };
        let row = connection.call(&request, |found| {
            found.coordinators.first().map_or((-1, -1), |row| (row.error_code, row.node_id))
        });
        Ok(match row.await? {
            (0, node) => Waited::Done(node),
            (code, _) => Waited::not_yet(format!("code {code}")),
        })
    })
    .await
}

/// Commits an offset and a long note for each of so many partitions, without membership; how many were taken.
async fn commit(connection: &mut Connection, group: &str, topic_id: Uuid, count: i32) -> Result<usize> {
    let partitions = (0..count).map(|partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 5,
        committed_metadata: Some(Cow::Owned("n".repeat(NOTE_BYTES))),
        ..Default::default()
    });
    let topic = OffsetCommitRequestTopic { topic_id, partitions: partitions.collect(), ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: Cow::Borrowed(group),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let taken = connection.call(&request, |done| {
        let rows = done.topics.iter().flat_map(|topic| &topic.partitions);
        rows.filter(|row| row.error_code == 0).count()
    });
    Ok(taken.await?)
}

/// How many offsets a group has committed, or why that is not told.
async fn committed_count(connection: &mut Connection, group: &str) -> Result<Result<usize, i16>> {
    let wanted =
        OffsetFetchRequestGroup { group_id: Cow::Borrowed(group), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![wanted], ..Default::default() };
    let counted = connection.call(&request, |found| {
        let group = found.groups.first().ok_or(-1i16)?;
        let count = group.topics.iter().map(|topic| topic.partitions.len()).sum();
        if group.error_code == 0 { Ok(count) } else { Err(group.error_code) }
    });
    Ok(counted.await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_goes_too_far_harms_no_other() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1).with("offsets.topic.num.partitions", "1")).await?;
    let port = brokers.ports(0).kafka;
    until_coordinated(port).await?;
    let mut calm = Member::join(port, "calm").await?;
    let mut loud = Member::join(port, "loud").await?;
    let too_large = ErrorCode::MessageTooLarge.code();

    ensure!(loud.try_join(&[("range", 20)]).await? == 0, "more metadata calls the group together");
    ensure!(loud.sync(2 << 20).await? == too_large, "no record holds that assignment");
    ensure!(calm.heartbeat().await? == 0, "the other group suffers from an assignment");
    ensure!(loud.sync(10).await? == 0, "the same member goes on with a smaller one");
    let mut newcomer = Member {
        connection: Connection::open(&format!("127.0.0.1:{port}"), PATIENCE).await?,
        group: "new",
        id: String::new(),
        generation: -1,
    };
    let names: Vec<String> = (0..20).map(|at| format!("p{at}")).collect();
    let protocols: Vec<_> = names.iter().map(|name| (name.as_str(), 1_000_000)).collect();
    ensure!(newcomer.try_join(&protocols).await? == too_large, "20 MB of metadata are kept");
    ensure!(calm.heartbeat().await? == 0, "the other group suffers from metadata");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_offsets_are_committed_and_deleted_at_once() -> Result<()> {
    let _turn = beside_others().await;
    let brokers = Brokers::start(BrokersOptions::new(1).with("offsets.topic.num.partitions", "1")).await?;
    until_coordinated(brokers.ports(0).kafka).await?;
    let topic = create_topic(&brokers, "many", PARTITIONS, 1).await?;
    let topic_id = Uuid(topic.id.context("the topic has an id")?.to_wire());
    let mut connection = Connection::open(&brokers.bootstrap(), PATIENCE).await?;
    let taken = commit(&mut connection, "g", topic_id, PARTITIONS).await?;
    ensure!(taken == PARTITIONS as usize, "{taken} offsets were taken");
    ensure!(committed_count(&mut connection, "g").await? == Ok(PARTITIONS as usize));
    let request = DeleteGroupsRequest { groups_names: vec!["g".into()], ..Default::default() };
    let code = connection.call(&request, |deleted| deleted.results.first().map(|row| row.error_code)).await?;
    ensure!(code == Some(0), "the deletion was answered {code:?}");
    ensure!(committed_count(&mut connection, "g").await? == Ok(0));
    Ok(())
}

/// While a replica is paused, a commit takes longer than it may; once the replica is out of the ISR, what was written is
/// committed, and nobody needs a further commit to learn that.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_took_too_long_does_not_keep_its_group_from_what_is_committed() -> Result<()> {
    let _turn = beside_others().await;
    let options = BrokersOptions::new(3).with("offsets.topic.num.partitions", "1");
    let brokers = Brokers::start(options.with("offsets.commit.timeout.ms", "100")).await?;
    let coordinator = until_coordinated(brokers.ports(0).kafka).await? as usize;
    let topic = create_topic(&brokers, "t", 1, 3).await?;
    let topic_id = Uuid(topic.id.context("the topic has an id")?.to_wire());
    until_in_sync(&brokers, "__consumer_offsets").await?;
    let address = format!("127.0.0.1:{}", brokers.ports(coordinator).kafka);
    let mut connection = Connection::open(&address, PATIENCE).await?;
    until("the coordinator serves", PATIENCE, async || {
        Ok(match committed_count(&mut connection, "g").await? {
            Ok(0) => Waited::Done(()),
            other => Waited::not_yet(format!("{other:?}")),
        })
    })
    .await?;
    let paused = brokers.process((coordinator + 1) % 3)?;
    paused.signal("STOP").await?;
    ensure!(commit(&mut connection, "g", topic_id, 1).await? == 0, "a commit without its replica is in time");
    let found = until("the offset is told", PATIENCE, async || {
        Ok(match committed_count(&mut connection, "g").await? {
            Ok(1) => Waited::Done(()),
            other => Waited::not_yet(format!("{other:?}")),
        })
    });
    found.await?;
    paused.signal("CONT").await
}
