//! Watches a run: hands what nodes and clients show to the invariants. No I/O.

use ottla_broker_protocol::Segment;
use ottla_broker_protocol::batch::{batches, records};
use ottla_broker_replication::Replica;
use ottla_broker_types::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};

use crate::invariants::{
    AckedNeverLost, CommittedOffsetsStay, EqualBelowHighWatermark, NoDuplicates, OneLeaderPerEpoch,
    OneOwnerPerGeneration, SequencesLeaveNoGap, SilentBrokersAreFenced, StoredBatch, StoredRecord, Told,
    Violation, check_replayed, check_told, check_whole,
};
use crate::member::MemberSaw;
use crate::node::LoadedOffsets;

/// Bytes of one read of a log: all of it, as runs are short.
const READ_BYTES_MAX: usize = 1 << 30;

/// All invariants that are checked while a run goes on.
#[derive(Debug, Default)]
pub struct Judge {
    acked: AckedNeverLost,
    equal: EqualBelowHighWatermark,
    duplicates: NoDuplicates,
    leaders: OneLeaderPerEpoch,
    offsets: CommittedOffsetsStay,
    owners: OneOwnerPerGeneration,
    sequences: SequencesLeaveNoGap,
    pub(crate) silent: SilentBrokersAreFenced,
}

impl Judge {
    /// `node` starts anew.
    pub fn started(&mut self, node: NodeId) {
        self.equal.restarted(node);
    }

    /// `node` hosts exactly `partitions`.
    pub fn hosts(&mut self, node: NodeId, partitions: &[&TopicPartition]) {
        self.equal.hosts(node, partitions);
    }

    /// A replica became leader.
    pub fn led(&mut self, node: NodeId, epoch: LeaderEpoch, replica: &Replica) -> Result<(), Violation> {
        let partition = replica.log().topic_partition();
        self.leaders.led(partition, epoch, node)?;
        let log = stored(replica, replica.log().log_start(), replica.log().log_end());
        let batches = stored_batches(replica, replica.log().log_start(), replica.log().log_end());
        check_replayed(partition, node, &batches, &replica.log().known_producers())?;
        self.acked.leads(partition, node, epoch, &log)
    }

    /// The run is over, and `node` leads.
    pub fn ended(&mut self, node: NodeId, replica: &Replica) -> Result<(), Violation> {
        let log = stored(replica, replica.log().log_start(), replica.log().log_end());
        let after_all = LeaderEpoch(i32::MAX);
        self.acked.ended(replica.log().topic_partition(), &log)?;
        self.acked.leads(replica.log().topic_partition(), node, after_all, &log)
    }

    /// A replica may have moved its high watermark; says whether it did.
    pub fn look_at(&mut self, node: NodeId, replica: &Replica) -> Result<bool, Violation> {
        let partition = replica.log().topic_partition();
        let checked = self.equal.checked_end(partition, node);
        let high_watermark = replica.high_watermark();
        if checked == high_watermark {
            return Ok(false);
        }
        let from = checked.max(replica.log().log_start());
        for bytes in read_all(replica, from, high_watermark) {
            check_whole(partition, node, &bytes)?;
        }
        let shown = stored(replica, from, high_watermark);
        for record in self.equal.advanced(partition, node, high_watermark, &shown)? {
            self.duplicates.committed(partition, record)?;
        }
        self.sequences.committed(partition, &stored_batches(replica, from, high_watermark))?;
        Ok(true)
    }

    /// A producer was told that `value` is at `offset` by the leader of `epoch`.
    pub fn acked(
        &mut self,
        partition: &TopicPartition,
        epoch: LeaderEpoch,
        offset: Offset,
        value: u64,
    ) -> Result<(), Violation> {
        self.acked.acked(partition, epoch, offset, value)
    }

    /// A producer takes `values` for acknowledged, though their own answer was lost.
    pub fn implied(&mut self, partition: &TopicPartition, values: &[u64]) {
        self.acked.implied(partition, values);
    }

    /// A broker found fault with a batch's number or epoch.
    pub fn told(&mut self, client: u32, partition: &TopicPartition, told: Told) -> Result<(), Violation> {
        check_told(client, partition, told)
    }

    /// A consumer read `record`.
    pub fn read(&self, partition: &TopicPartition, record: StoredRecord) -> Result<(), Violation> {
        let committed = self.equal.committed_at(partition, record.offset);
        if committed == Some(record) {
            return Ok(());
        }
        Err(Violation::new(
            "equal_below_high_watermark",
            format!("{partition}: a consumer read {record:?}, committed is {committed:?}"),
        ))
    }

    /// A coordinator serves, with all that it has.
    pub fn coordinates(&self, loaded: &LoadedOffsets) -> Result<(), Violation> {
        self.offsets.coordinates(loaded.epoch, &loaded.offsets)
    }

    /// A member of the group saw something.
    pub fn member_saw(&mut self, member: u32, saw: &MemberSaw) -> Result<(), Violation> {
        match saw {
            MemberSaw::Owns(generation, partition) => self.owners.owns(member, *generation, partition),
            MemberSaw::Committed(epoch, partition, offset) => {
                self.offsets.acked(partition, *epoch, *offset);
                Ok(())
            }
            MemberSaw::FetchSent(partition) => {
                self.offsets.asked(member, partition);
                Ok(())
            }
            MemberSaw::Fetched(epoch, partition, offset) => {
                self.offsets.answered(member, partition, *epoch, *offset)
            }
        }
    }

    /// Count of acknowledged commits of offsets.
    pub fn committed_count(&self) -> usize {
        self.offsets.count()
    }

    /// Count of acknowledged records.
    pub fn acked_count(&self) -> usize {
        self.acked.count()
    }
}

/// The records of a replica in `from..end`.
pub(crate) fn stored(replica: &Replica, from: Offset, end: Offset) -> Vec<StoredRecord> {
    let mut found = Vec::new();
    for bytes in read_all(replica, from, end) {
        parse(&bytes, &mut found);
    }
    found.retain(|record| record.offset >= from && record.offset < end);
    found
}

/// The producers' batches of a replica of which something lies in `from..end`.
fn stored_batches(replica: &Replica, from: Offset, end: Offset) -> Vec<StoredBatch> {
    let parts = read_all(replica, from, end);
    let headers = parts.iter().flat_map(|bytes| batches(bytes).flatten()).map(|(header, _)| header);
    let stored = headers.filter_map(|header| {
        Some(StoredBatch {
            producer: ProducerId::from_wire(header.producer_id)?,
            epoch: ProducerEpoch(header.producer_epoch),
            first_sequence: Sequence(header.base_sequence),
            base: Offset::clamped(header.base_offset),
            last: Offset::clamped(header.last_offset()),
        })
    });
    stored.collect()
}

/// The bytes of a replica's batches in `from..end`, part by part.
fn read_all(replica: &Replica, from: Offset, end: Offset) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut next = from;
    while next < end {
        let Ok(read) = replica.log().read(next, READ_BYTES_MAX, end, true) else { break };
        let bytes = bytes_of(&read.segments);
        let Some((last, _)) = batches(&bytes).flatten().last() else { break };
        next = Offset::clamped(last.last_offset()).next();
        parts.push(bytes);
    }
    parts
}

/// The records of batches that producers of the simulator wrote; others have no value and are left out.
pub(crate) fn parse(bytes: &[u8], found: &mut Vec<StoredRecord>) {
    for (header, batch) in batches(bytes).flatten() {
        let Ok(opened) = records(&header, batch, READ_BYTES_MAX) else { continue };
        for record in opened.iter().flatten() {
            let Some(value) = record.value.and_then(|value| value.try_into().ok()) else { continue };
            found.push(StoredRecord {
                offset: Offset::clamped(record.offset),
                epoch: LeaderEpoch(header.partition_leader_epoch),
                value: u64::from_be_bytes(value),
            });
        }
    }
}

/// The bytes of a read.
pub(crate) fn bytes_of(segments: &[Segment]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in segments {
        match segment {
            Segment::Bytes(part) => bytes.extend_from_slice(part),
            Segment::File(range) => bytes.extend(range.read().unwrap_or_default()),
        }
    }
    bytes
}
