//! A hosted partition as the log of a shard.

use ottla_broker_coordinator::{NotWritten, ShardLog};
use ottla_broker_replication::{Remedy, Replica};
use ottla_broker_types::{LeaderEpoch, Now, Offset};

use crate::partitions::{HostedPartition, NotAppended};

/// A partition in one epoch of its leadership, at one moment.
pub(super) struct PartitionLog<'a> {
    pub(super) partition: &'a HostedPartition,
    pub(super) epoch: LeaderEpoch,
    pub(super) now: Now,
    pub(super) batch_bytes_max: usize,
}

/// Bytes of the largest batch that the partition takes now; `None` while it is offline here.
pub(super) fn batch_bytes_max(partition: &HostedPartition) -> Option<usize> {
    partition.read(Replica::batch_bytes_max)
}

impl ShardLog for PartitionLog<'_> {
    fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }

    fn append(&mut self, mut batch: Vec<u8>, record_count: usize) -> Result<Offset, NotWritten> {
        let appended = self.partition.append_in(self.now, &mut batch, self.epoch);
        match appended {
            Ok(appended) => Ok(appended.base_offset.plus(record_count as i64)),
            Err(failure) => {
                let not_written = not_written(&failure);
                tracing::warn!(partition = %self.partition.id, error = %failure, "a coordinator's records cannot be written");
                if not_written == NotWritten::TooLarge {
                    // The partition's settings have changed since they were read.
                    self.batch_bytes_max = batch_bytes_max(self.partition).unwrap_or(self.batch_bytes_max);
                }
                Err(not_written)
            }
        }
    }

    fn committed_end(&self) -> Option<Offset> {
        self.partition.read(|replica| replica.committed_end_in(self.epoch)).flatten()
    }
}

fn not_written(failure: &NotAppended) -> NotWritten {
    match failure {
        NotAppended::Offline | NotAppended::NoSpace { .. } => NotWritten::NotCoordinator,
        NotAppended::TooManyWait => NotWritten::Unavailable,
        NotAppended::Refused(error) => match error.remedy() {
            Remedy::AnotherLeader => NotWritten::NotCoordinator,
            Remedy::Later => NotWritten::Unavailable,
            Remedy::Smaller => NotWritten::TooLarge,
            Remedy::Nothing => NotWritten::Failed,
        },
    }
}
