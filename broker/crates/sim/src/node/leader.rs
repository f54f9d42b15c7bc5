//! Serving producers, consumers and followers, and changing ISRs. I/O on the simulated disk only.

use ottla_broker_metadata::controller::{
    AlterPartitionError, AlterPartitionItem, AlterPartitionRequest, AlterPartitionResult,
};
use ottla_broker_metadata::record::LeaderRecoveryState;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_replication::{
    AckState, Acks, Effects, FetchFacts, FetchOutcome, Isolation, IsrDecided, IsrProposal, IsrUnchanged,
    LeaderOffsets, ListedOffset, OffsetSpec,
};
use ottla_broker_types::{LeaderEpoch, Offset, TopicPartition};

use super::calls::Pending;
use super::out::{Out, Timer};
use super::process::{Process, ProduceWait, now_at};
use crate::judge::{bytes_of, parse};
use crate::message::{CallId, Reply, Request};
use crate::net::Endpoint;
use crate::queue::SimTime;

/// Pause before an ISR change is sent again.
const ISR_RETRY_MS: u64 = 50;
const READ_BYTES_MAX: usize = 10_000;

/// The connection of a call, for what is remembered of it.
fn connection(call: CallId) -> (Endpoint, u32) {
    (call.caller, call.connection.unwrap_or_default())
}

impl Process {
    /// Does what a replica's step asks for.
    pub(crate) fn take_effects(&mut self, partition: &TopicPartition, effects: Effects, out: &mut Out) {
        if !effects.is_empty() {
            self.mark_news(partition);
        }
        if let Some(became) = effects.became {
            out.became.push((partition.clone(), became));
            self.coordinate(partition, became, out);
            self.follow(partition, became, out);
        }
        if effects.became.is_some() || effects.high_watermark.is_some() {
            self.answer_produces(partition, out);
            self.answer_group(out);
        }
        if let Some(proposal) = effects.isr_change {
            self.propose(partition, &proposal, out);
        }
    }

    fn answer_produces(&mut self, partition: &TopicPartition, out: &mut Out) {
        let Some(hosted) = self.hosted.get_mut(partition) else { return };
        for (waiting, state) in hosted.waits.take_ended(&hosted.replica) {
            let reply = match state {
                AckState::Pending | AckState::Committed => Ok((waiting.base_offset, waiting.leader_epoch)),
                AckState::NotEnoughReplicas => Err(ErrorCode::NotEnoughReplicasAfterAppend),
                AckState::NotLeaderOrFollower => Err(ErrorCode::NotLeaderOrFollower),
            };
            if let Err(ErrorCode::NotLeaderOrFollower) = reply {
                let refusals = self.refusals.entry(connection(waiting.call)).or_default();
                refusals.refused(partition, &waiting.header, ErrorCode::NotLeaderOrFollower);
            }
            out.replies.push((waiting.call, Reply::Produced(reply)));
        }
    }

    /// The partition leaves this node: nobody is answered from it any more.
    pub(crate) fn fail_waits(&mut self, partition: &TopicPartition, out: &mut Out) {
        let waits = self.hosted.get_mut(partition).map(|hosted| hosted.waits.take_all());
        for waiting in waits.unwrap_or_default() {
            let refusals = self.refusals.entry(connection(waiting.call)).or_default();
            refusals.refused(partition, &waiting.header, ErrorCode::NotLeaderOrFollower);
            out.replies.push((waiting.call, Reply::Produced(Err(ErrorCode::NotLeaderOrFollower))));
        }
    }

    pub(crate) fn serve_produce(
        &mut self,
        at: SimTime,
        call: CallId,
        partition: &TopicPartition,
        mut batch: Vec<u8>,
        out: &mut Out,
    ) {
        let header = BatchHeader::parse(&batch).expect("clients send whole batches");
        let refusals = self.refusals.entry(connection(call)).or_default();
        let hosted = self.hosted.get_mut(partition);
        let appended = hosted.ok_or(ErrorCode::UnknownTopicOrPartition).and_then(|hosted| {
            let replica = &mut hosted.replica;
            let appended = match refusals.before(partition, &header) {
                None => replica.append(now_at(at), &mut batch, Acks::All),
                Some(code) => replica.append_after_refused(now_at(at), &mut batch, None, Acks::All, code),
            };
            let produced = appended.map_err(|error| error.code())?;
            let base_offset = produced.appended.base_offset;
            let leader_epoch = produced.wait.leader_epoch;
            hosted.waits.push(produced.wait, ProduceWait { call, leader_epoch, base_offset, header });
            Ok(produced.effects)
        });
        match appended {
            Ok(effects) => {
                refusals.appended(partition, &header);
                self.take_effects(partition, effects, out);
                self.answer_produces(partition, out);
            }
            Err(code) => {
                refusals.refused(partition, &header, code);
                out.replies.push((call, Reply::Produced(Err(code))));
            }
        }
    }

    pub(crate) fn handle_fetch(
        &mut self,
        at: SimTime,
        partition: &TopicPartition,
        facts: &FetchFacts,
        out: &mut Out,
    ) -> Result<FetchOutcome, ErrorCode> {
        let hosted = self.hosted.get_mut(partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let outcome = hosted.replica.handle_fetch(now_at(at), facts).map_err(|error| error.code())?;
        self.take_effects(partition, outcome.effects.clone(), out);
        Ok(outcome)
    }

    pub(crate) fn serve_read(
        &mut self,
        at: SimTime,
        call: CallId,
        partition: &TopicPartition,
        offset: Offset,
        out: &mut Out,
    ) {
        let facts = FetchFacts {
            replica: None,
            fetch_offset: offset,
            current_leader_epoch: None,
            last_fetched_epoch: None,
            log_start: None,
            max_bytes: READ_BYTES_MAX,
            at_least_one: true,
            isolation: Isolation::ReadUncommitted,
        };
        let read = self.handle_fetch(at, partition, &facts, out).map(|outcome| {
            let mut records = Vec::new();
            parse(&bytes_of(&outcome.read.segments), &mut records);
            records.retain(|record| record.offset >= offset);
            records
        });
        out.replies.push((call, Reply::Read(read)));
    }

    pub(crate) fn serve_range(
        &mut self,
        call: CallId,
        partition: &TopicPartition,
        epoch: LeaderEpoch,
        out: &mut Out,
    ) {
        let hosted = self.hosted.get(partition).ok_or(ErrorCode::UnknownTopicOrPartition);
        let range = hosted.and_then(|hosted| {
            let end_at = |spec| {
                let listed = hosted.replica.list_offset(spec, Some(epoch), Isolation::LogEnd);
                listed.map(|listed| listed.map_or(Offset::ZERO, |ListedOffset { offset, .. }| offset))
            };
            let (start, end) = (end_at(OffsetSpec::Earliest), end_at(OffsetSpec::Latest));
            let range = start.and_then(|start| Ok(LeaderOffsets { start, end: end? }));
            range.map_err(|error| error.code())
        });
        out.replies.push((call, Reply::LeaderRange(range)));
    }

    pub(crate) fn serve_leaders(&mut self, call: CallId, out: &mut Out) {
        let leaders = self.image.partitions().map(|(topic, index, partition)| {
            let id = TopicPartition { topic: topic.name.clone(), partition: index };
            (id, partition.leader, partition.leader_epoch)
        });
        out.replies.push((call, Reply::Leaders(leaders.collect())));
    }

    fn propose(&mut self, partition: &TopicPartition, proposal: &IsrProposal, out: &mut Out) {
        let topic = self.image.topic(partition.topic.as_str()).map(|topic| topic.id);
        let (Some(topic), Some(epoch)) = (topic, self.membership.epoch()) else {
            out.timers.push((ISR_RETRY_MS, Timer::Propose(partition.clone(), proposal.clone())));
            return;
        };
        let in_metadata = |node| self.image.broker(node).map(|broker| broker.epoch);
        let item = AlterPartitionItem {
            topic,
            partition: partition.partition,
            leader_epoch: proposal.leader_epoch,
            partition_epoch: proposal.partition_epoch,
            isr: proposal.registrations((self.id, epoch), in_metadata).collect(),
            recovery: LeaderRecoveryState::Recovered,
        };
        let request = AlterPartitionRequest { broker: self.id, epoch, items: vec![item] };
        let pending = Pending::AlterPartition(partition.clone(), proposal.clone());
        self.call(self.membership.controller, Request::AlterPartition(request), pending, out);
    }

    pub(crate) fn propose_again(
        &mut self,
        partition: &TopicPartition,
        proposal: &IsrProposal,
        out: &mut Out,
    ) {
        self.propose(partition, proposal, out);
    }

    pub(crate) fn isr_answered(
        &mut self,
        at: SimTime,
        partition: &TopicPartition,
        proposal: &IsrProposal,
        decided: Option<AlterPartitionResult>,
        out: &mut Out,
    ) {
        let Some(hosted) = self.hosted.get_mut(partition) else { return };
        let outcome = match decided.map(|decided| decided.outcome) {
            Some(Ok(altered)) => Ok(IsrDecided {
                leader_epoch: altered.leader_epoch,
                partition_epoch: altered.partition_epoch,
                isr: altered.isr,
            }),
            Some(Err(refused)) => Err(unchanged(&refused)),
            None => Err(IsrUnchanged::Unknown),
        };
        let mut effects = hosted.replica.alter_partition_result(now_at(at), proposal, outcome);
        // The same change again: after a pause, so that a controller in trouble is not flooded.
        if let Some(again) = effects.isr_change.take_if(|again| again == proposal) {
            out.timers.push((ISR_RETRY_MS, Timer::Propose(partition.clone(), again)));
        }
        self.take_effects(partition, effects, out);
        self.want_followers(partition);
    }
}

/// What the shipped broker makes of a refusal that has gone over the wire.
fn unchanged(error: &AlterPartitionError) -> IsrUnchanged {
    match error {
        AlterPartitionError::Ineligible { .. } => IsrUnchanged::NotTaken,
        AlterPartitionError::FromTheFuture => IsrUnchanged::Unknown,
        AlterPartitionError::NamedTwice { .. }
        | AlterPartitionError::UnknownTopic { .. }
        | AlterPartitionError::UnknownPartition { .. }
        | AlterPartitionError::FencedLeaderEpoch { .. }
        | AlterPartitionError::NotLeader { .. }
        | AlterPartitionError::StalePartitionEpoch { .. }
        | AlterPartitionError::NotReplicas { .. }
        | AlterPartitionError::WithoutLeader
        | AlterPartitionError::Recovery
        | AlterPartitionError::NewLeaderElected { .. } => IsrUnchanged::Overtaken,
    }
}
