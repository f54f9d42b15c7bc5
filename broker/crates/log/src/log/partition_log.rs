//! The log and its facts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ottla_broker_types::{LeaderEpoch, Now, Offset, TimestampMs, TopicId, TopicPartition};

use super::{Appended, Deleted, LogRead, RecoveryPoint, TimestampedOffset};
use crate::config::LogConfig;
use crate::disk::Disk;
use crate::error::{AppendError, LogError, OpenError, ReadError};

/// One partition's log.
pub struct Log {
    topic: TopicPartition,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("topic", &self.topic).finish_non_exhaustive()
    }
}

#[allow(unused_variables, missing_docs)]
impl Log {
    /// Opens the log in `dir`, a directory named `<topic>-<partition>`, which is made if it is missing.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        topic: TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        recovery: RecoveryPoint,
        now: Now,
    ) -> Result<Log, OpenError> {
        todo!()
    }
    pub fn append_as_leader(
        &mut self,
        batch: &mut [u8],
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Appended, AppendError> {
        todo!()
    }
    pub fn append_as_follower(&mut self, batches: &[u8], now: Now) -> Result<Appended, AppendError> {
        todo!()
    }
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        end: Offset,
        at_least_one: bool,
    ) -> Result<LogRead, ReadError> {
        todo!()
    }
    pub fn log_start(&self) -> Offset {
        todo!()
    }
    pub fn log_end(&self) -> Offset {
        todo!()
    }
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }
    pub fn recovery_point(&self) -> Offset {
        todo!()
    }
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        todo!()
    }
    /// The largest epoch at or below `epoch` with its end, exclusive.
    pub fn end_offset_for(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        todo!()
    }
    pub fn offset_for_timestamp(&self, at_least: TimestampMs) -> Result<Option<TimestampedOffset>, LogError> {
        todo!()
    }
    pub fn max_timestamp(&self) -> Result<Option<TimestampedOffset>, LogError> {
        todo!()
    }
    pub fn truncate_to(&mut self, end: Offset) -> Result<Offset, LogError> {
        todo!()
    }
    pub fn reset_to(&mut self, start: Offset) -> Result<(), LogError> {
        todo!()
    }
    pub fn advance_log_start(&mut self, to: Offset) {
        todo!()
    }
    pub fn apply_retention(&mut self, now: Now, high_watermark: Offset) -> Result<Deleted, LogError> {
        todo!()
    }
    pub fn flush(&mut self) -> Result<Offset, LogError> {
        todo!()
    }
    pub fn flush_due(&self, now: Now) -> bool {
        todo!()
    }
    pub fn close(&mut self) -> Result<(), LogError> {
        todo!()
    }
    pub fn set_config(&mut self, config: LogConfig) {
        todo!()
    }
}
