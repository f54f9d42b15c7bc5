//! What one producer has for one partition: what it wrote, what is under way, and in which order it is sent again, as
//! librdkafka and as Java's client do it. No I/O.
//!
//! Both clients number their batches within an epoch and keep a batch's number when they send it again. They differ in
//! what they do after an error: librdkafka lets everything under way end before it sends again; Java's client sends the
//! first batch again at once, and then one after the other.

use std::collections::VecDeque;

use ottla_broker_types::{LeaderEpoch, NodeId, Offset, TopicPartition};

/// Whose ways a producer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// After an error that it cannot explain it lets everything under way end, begins a new epoch for all partitions and
    /// numbers all that is unanswered anew.
    Librdkafka,
    /// It begins a new epoch at once when the batch that is next is out of order; other partitions follow when nothing
    /// of theirs is under way.
    Java,
}

/// The number of a batch: epoch and first sequence.
pub(super) type Stamp = (i16, i32);

/// A batch from its making to its answer.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// Counts up within the lane.
    pub(super) id: u64,
    pub(super) values: Vec<u64>,
    pub(super) stamp: Option<Stamp>,
    /// It was answered with an error, or not at all.
    pub(super) is_troubled: bool,
}

/// A batch that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) batch: Batch,
    pub(super) node: NodeId,
    pub(super) connection: u32,
    pub(super) call: u64,
    /// The client's step at which it was sent.
    pub(super) step: u64,
}

/// A refusal after which a batch is sent again.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    connection: u32,
    id: u64,
    step: u64,
}

/// One partition's share of a client.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) partition: TopicPartition,
    /// To be sent, in order; those in front may have been sent before.
    pub(super) queue: VecDeque<Batch>,
    pub(super) sent: Vec<Sent>,
    pub(super) epoch: i16,
    next_sequence: i32,
    next_id: u64,
    /// Nothing is sent before all under way is answered.
    pub(super) drains: bool,
    /// The next turn is skipped, after an error.
    pub(super) backs_off: bool,
    pub(super) leader: Option<NodeId>,
    /// The leader that was heard of last.
    sends_to: Option<NodeId>,
    /// The newest leader epoch heard of; older news is ignored.
    pub(super) leader_epoch: LeaderEpoch,
    last_refusal: Option<Refusal>,
    pub(super) read_next: Offset,
    /// The batch that is to show that writes go on after the faults has been made.
    pub(super) said_last_word: bool,
}

impl Lane {
    pub(super) fn new(partition: TopicPartition) -> Lane {
        Lane {
            partition,
            queue: VecDeque::new(),
            sent: Vec::new(),
            epoch: 0,
            next_sequence: 0,
            next_id: 0,
            drains: false,
            backs_off: false,
            leader: None,
            sends_to: None,
            leader_epoch: LeaderEpoch(-1),
            last_refusal: None,
            read_next: Offset::ZERO,
            said_last_word: false,
        }
    }

    /// Batches without an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.queue.len() + self.sent.len()
    }

    /// Values without an answer.
    pub(super) fn pending(&self) -> Vec<u64> {
        let sent = self.sent.iter().map(|sent| &sent.batch);
        self.queue.iter().chain(sent).flat_map(|batch| batch.values.clone()).collect()
    }

    /// Whether no batch has a number that the log may know.
    pub(super) fn is_clean(&self) -> bool {
        self.sent.is_empty() && self.queue.iter().all(|batch| batch.stamp.is_none())
    }

    pub(super) fn write(&mut self, values: Vec<u64>) {
        let batch = Batch { id: self.next_id, values, stamp: None, is_troubled: false };
        self.next_id += 1;
        self.queue.push_back(batch);
    }

    /// Somebody says who leads.
    pub(super) fn learn_leader(&mut self, leader: Option<NodeId>, epoch: LeaderEpoch) {
        if epoch < self.leader_epoch || leader.is_none() {
            return;
        }
        self.leader_epoch = epoch;
        self.leader = leader;
        if self.sends_to != leader {
            self.sends_to = leader;
            // What is under way to the former leader is waited for.
            self.drains = true;
        }
    }

    /// Moves to the client's epoch as soon as the client's ways allow; false if nothing may be sent before that.
    pub(super) fn follow_epoch(&mut self, ways: Ways, epoch: i16) -> bool {
        if self.epoch == epoch {
            return true;
        }
        match ways {
            Ways::Librdkafka if self.sent.is_empty() => self.number_anew(epoch),
            Ways::Java if self.is_clean() => self.number_anew(epoch),
            // What has a number of the former epoch is still sent.
            Ways::Java => return self.queue.front().is_some_and(|batch| batch.stamp.is_some()),
            Ways::Librdkafka => return false,
        }
        true
    }

    /// Numbers all that is unanswered from 0 on, in `epoch`.
    pub(super) fn number_anew(&mut self, epoch: i16) {
        (self.epoch, self.next_sequence) = (epoch, 0);
        let mut sent: Vec<&mut Batch> = self.sent.iter_mut().map(|sent| &mut sent.batch).collect();
        sent.sort_by_key(|batch| batch.id);
        let queued = self.queue.iter_mut().filter(|batch| batch.stamp.is_some());
        let mut numbered: Vec<&mut Batch> = sent.into_iter().chain(queued).collect();
        numbered.sort_by_key(|batch| batch.id);
        for batch in numbered {
            batch.stamp = Some((epoch, self.next_sequence));
            self.next_sequence += batch.values.len() as i32;
        }
        self.last_refusal = None;
    }

    /// The next batch to send now, with its number.
    pub(super) fn next(&mut self, ways: Ways, in_flight_max: usize) -> Option<Batch> {
        if self.drains && !self.sent.is_empty() {
            return None;
        }
        self.drains = false;
        if self.sent.len() >= in_flight_max {
            return None;
        }
        let front = self.queue.front()?;
        if ways == Ways::Java && front.stamp.is_some() && Some(front.id) != self.first_unanswered() {
            return None;
        }
        let mut batch = self.queue.pop_front()?;
        if batch.stamp.is_none() {
            batch.stamp = Some((self.epoch, self.next_sequence));
            self.next_sequence += batch.values.len() as i32;
        }
        Some(batch)
    }

    /// The first batch without an answer.
    pub(super) fn first_unanswered(&self) -> Option<u64> {
        self.sent.iter().map(|sent| sent.batch.id).chain(self.queue.iter().map(|batch| batch.id)).min()
    }

    /// Takes a batch off what is under way.
    pub(super) fn answered(&mut self, call: u64) -> Option<Sent> {
        let at = self.sent.iter().position(|sent| sent.call == call)?;
        Some(self.sent.remove(at))
    }

    /// Batches before `id` that wait to be sent again: with `id` in the log they are, too.
    pub(super) fn implied(&mut self, id: u64) -> Vec<u64> {
        let mut values = Vec::new();
        while let Some(batch) = self.queue.pop_front_if(|batch| batch.id < id) {
            values.extend(batch.values);
        }
        values
    }

    /// A batch is to be sent again; `refused_at` is the step at which a broker said so.
    pub(super) fn send_again(&mut self, sent: Sent, refused_at: Option<u64>) {
        if let Some(step) = refused_at {
            let first = self
                .last_refusal
                .filter(|last| last.connection == sent.connection && last.id < sent.batch.id);
            // The first of a row is kept.
            if first.is_none_or(|last| last.step < sent.step) {
                self.last_refusal = Some(Refusal { connection: sent.connection, id: sent.batch.id, step });
            }
        }
        let mut batch = sent.batch;
        batch.is_troubled = true;
        let at = self.queue.iter().position(|queued| queued.id > batch.id).unwrap_or(self.queue.len());
        self.queue.insert(at, batch);
        self.backs_off = true;
    }

    /// Whether a batch before `sent` was answered with an error or not at all, and is unanswered again.
    pub(super) fn is_after_trouble(&self, sent: &Sent) -> bool {
        let under_way = self.sent.iter().map(|other| &other.batch);
        under_way.chain(&self.queue).any(|other| other.id < sent.batch.id && other.is_troubled)
    }

    /// Whether `sent` was under way behind a batch that was refused on the same connection.
    pub(super) fn is_behind_refused(&self, sent: &Sent) -> bool {
        self.last_refusal.is_some_and(|refusal| {
            refusal.connection == sent.connection && refusal.id < sent.batch.id && sent.step < refusal.step
        })
    }
}
