//! Following the committed metadata, and what it means for the replicas here. I/O on the simulated disk only.

use ottla_broker_metadata::Record;
use ottla_broker_replication::{AckWaits, Assignment};
use ottla_broker_types::{Offset, TopicId, TopicPartition};

use super::calls::Pending;
use super::out::{Out, Timer};
use super::process::{Hosted, Process, now_at};
use super::setup::offsets_partition;
use crate::message::Request;
use crate::queue::SimTime;

const POLL_MS: u64 = 15;
const RETRY_MS: u64 = 40;

impl Process {
    pub(crate) fn follow_metadata(&mut self, at: SimTime, out: &mut Out) {
        // The image may have known this run before this run knew its registration, and nothing may come after.
        if self.aligned_end != self.image.applied_end() {
            self.align(at, out);
        }
        // The active controller is handed what is committed, without asking itself.
        if self.active.is_some() {
            out.timers.push((POLL_MS, Timer::FollowMetadata));
            return;
        }
        let from = self.image.applied_end();
        self.call(self.membership.metadata_from, Request::FetchMetadata(from), Pending::Metadata, out);
    }

    pub(crate) fn metadata_arrived(&mut self, at: SimTime, batches: &[(Offset, Vec<Record>)], out: &mut Out) {
        self.apply(at, batches, out);
        out.timers.push((POLL_MS, Timer::FollowMetadata));
    }

    pub(crate) fn metadata_missing(&mut self, out: &mut Out) {
        self.membership.metadata_from = self.voter_after(self.membership.metadata_from);
        out.timers.push((RETRY_MS, Timer::FollowMetadata));
    }

    /// Applies committed batches that are new here.
    pub fn apply(&mut self, at: SimTime, batches: &[(Offset, Vec<Record>)], out: &mut Out) {
        let before = self.image.applied_end();
        for (offset, records) in batches {
            if *offset == self.image.applied_end() {
                let applied = self.image.apply_batch(records, *offset);
                assert!(applied.is_ok(), "committed records fit the image: {applied:?}");
            }
        }
        if self.image.applied_end() > before {
            self.align(at, out);
        }
    }

    /// Brings the replicas in line with the image, once it knows this run of the broker.
    pub(crate) fn align(&mut self, at: SimTime, out: &mut Out) {
        if !self.image.knows_run(self.id, self.membership.epoch()) {
            return;
        }
        self.aligned_end = self.image.applied_end();
        let wanted: Vec<(TopicPartition, TopicId, Assignment)> = self
            .image
            .partitions()
            .filter(|(_, _, partition)| partition.replicas.contains(&self.id))
            .map(|(topic, index, partition)| {
                let id = TopicPartition { topic: topic.name.clone(), partition: index };
                (id, topic.id, partition.into())
            })
            .collect();
        let gone: Vec<TopicPartition> = self
            .hosted
            .keys()
            .filter(|id| !wanted.iter().any(|(other, _, _)| other == *id))
            .cloned()
            .collect();
        for partition in gone {
            self.fail_waits(&partition, out);
            if partition == offsets_partition() {
                self.end_coordinator(out);
            }
            self.delete(&partition);
        }
        for (partition, topic_id, assignment) in wanted {
            if !self.hosted.contains_key(&partition) {
                let replica = self.open(at, &partition, topic_id);
                let hosted = Hosted { replica, waits: AckWaits::default() };
                self.hosted.insert(partition.clone(), hosted);
            }
            let Some(hosted) = self.hosted.get_mut(&partition) else { continue };
            let effects = hosted.replica.apply_assignment(now_at(at), &assignment);
            self.take_effects(&partition, effects, out);
        }
        let image = self.image.clone();
        self.each_replica(at, out, |replica, now| {
            replica.registrations_changed(now, |node, epoch| image.is_isr_eligible(node, epoch))
        });
        let hosted: Vec<TopicPartition> = self.hosted.keys().cloned().collect();
        hosted.iter().for_each(|partition| self.want_followers(partition));
    }
}
