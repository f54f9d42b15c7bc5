//! Appending: as the leader one batch of a producer, as a follower what the leader sent.
//! One positioned write an append, on the calling thread.

use std::io;

use ottla_broker_protocol::batch::{
    BatchHeader, TimestampType, batches, stamp, stamp_log_append_time, stamp_max_timestamp,
};
use ottla_broker_types::{LeaderEpoch, Now, Offset, TimestampMs};

use super::producer_batch::{CheckedBatch, refused};
use super::{Appended, Log};
use crate::disk::{Trouble, trouble};
use crate::error::{AppendError, LogError};
use crate::producers::Check;
use crate::segment::OFFSET_DISTANCE_MAX;

/// Bytes after which the operating system is asked to begin writing a segment out: large enough for a disk to be
/// efficient, small enough that a later sync or the kernel's own flusher finds little left to wait for.
const WRITEBACK_BYTES: u64 = 4 << 20;

impl Log {
    /// Checks and appends one batch as the leader of `epoch`, however much work that is; see [`Log::append_checked`].
    pub fn append_as_leader(
        &mut self,
        batch: &mut [u8],
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.usable().map_err(AppendError::Failed)?;
        let checked = self.config.batch_rules().check_fully(batch, now.wall)?;
        self.append_checked(batch, &checked, epoch, now)
    }

    /// Appends the one batch of a producer as the leader of `epoch`; `checked` is what [`BatchRules`] said of it.
    ///
    /// Checks the producer's sequence; gives the batch its offsets, epoch, largest timestamp and, if the topic wants
    /// that, time, within `batch`; then writes it. A batch that its producer had appended before is not written again:
    /// the answer names its first place. After [`AppendError::NoSpace`] the log is as it was.
    ///
    /// [`BatchRules`]: crate::BatchRules
    pub fn append_checked(
        &mut self,
        batch: &mut [u8],
        checked: &CheckedBatch,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.usable().map_err(AppendError::Failed)?;
        let header = checked.header;
        if let Some(latest) = self.latest_epoch().filter(|latest| *latest > epoch) {
            return Err(AppendError::StaleLeaderEpoch { latest, found: epoch });
        }
        if let Check::Duplicate(first) = self.producers.check(&header)? {
            return Ok(Appended {
                base_offset: first.base_offset(),
                last_offset: first.last_offset,
                log_append_time: self.log_append_time(first.timestamp),
                bytes: 0,
                record_count: 0,
                duplicate: true,
            });
        }
        self.append_next(batch, header, checked.max_timestamp, epoch, now)
    }

    /// Appends what was judged: gives the batch its place and time, and writes it.
    pub(super) fn append_next(
        &mut self,
        batch: &mut [u8],
        mut header: BatchHeader,
        max_timestamp: Option<i64>,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Appended, AppendError> {
        let base_offset = self.log_end;
        stamp(batch, base_offset.get(), epoch.get());
        header.base_offset = base_offset.get();
        header.partition_leader_epoch = epoch.get();
        if self.config.timestamp_type == TimestampType::LogAppendTime {
            stamp_log_append_time(batch, now.wall.0);
            header.max_timestamp = now.wall.0;
        } else if let Some(max_timestamp) = max_timestamp {
            stamp_max_timestamp(batch, max_timestamp);
            header.max_timestamp = max_timestamp;
        }
        if self.must_roll(&header, 0, now) {
            self.roll(base_offset, now).map_err(|error| self.not_appended(error))?;
        }
        self.write(batch)?;
        self.admit(&header, batch, now);
        self.written(now)?;
        Ok(Appended {
            base_offset,
            last_offset: Offset::clamped(header.last_offset()),
            log_append_time: self.log_append_time(now.wall),
            bytes: batch.len(),
            record_count: header.record_count as u64,
            duplicate: false,
        })
    }

    /// Appends the complete batches in `fetched` as they are; one that is cut short at the end is left out.
    ///
    /// Offsets may leave gaps, but offsets and epochs never go back. Nothing is appended if any batch is refused. On
    /// [`AppendError::NoSpace`] whole batches before the failed write may have been appended: ask
    /// [`Log::log_end`]. Of an append of no batch, `base_offset` and `last_offset` are the log end.
    pub fn append_as_follower(&mut self, fetched: &[u8], now: Now) -> Result<Appended, AppendError> {
        self.usable().map_err(AppendError::Failed)?;
        let mut appended = self.check_fetched(fetched)?;
        let mut rest = &fetched[..appended.bytes];
        while !rest.is_empty() {
            let run = self.next_run(rest, now).map_err(|error| self.not_appended(error))?;
            let (run, after) = rest.split_at(run);
            self.write(run)?;
            for (header, batch) in batches(run).flatten() {
                self.admit(&header, batch, now);
            }
            rest = after;
        }
        if appended.bytes > 0 {
            self.written(now)?;
            appended.last_offset = Offset::clamped(self.log_end.get() - 1);
        }
        Ok(appended)
    }

    /// Checks all of `fetched`; what of it is to be appended.
    fn check_fetched(&self, fetched: &[u8]) -> Result<Appended, AppendError> {
        let mut next_offset = self.log_end;
        let mut latest = self.latest_epoch();
        let mut appended = Appended {
            base_offset: next_offset,
            last_offset: next_offset,
            log_append_time: None,
            bytes: 0,
            record_count: 0,
            duplicate: false,
        };
        for item in batches(fetched) {
            let (header, batch) = item.map_err(refused)?;
            header.check_crc(batch).map_err(refused)?;
            if header.base_offset < next_offset.get() {
                return Err(AppendError::OffsetNotIncreasing {
                    log_end: next_offset,
                    found: header.base_offset,
                });
            }
            let epoch = LeaderEpoch::from_wire(header.partition_leader_epoch);
            if let (Some(latest), Some(found)) = (latest, epoch)
                && found < latest
            {
                return Err(AppendError::StaleLeaderEpoch { latest, found });
            }
            if appended.bytes == 0 {
                appended.base_offset = Offset::clamped(header.base_offset);
            }
            latest = epoch.or(latest);
            next_offset = Offset::clamped(header.last_offset()).next();
            appended.bytes += batch.len();
            appended.record_count += header.record_count as u64;
        }
        Ok(appended)
    }

    /// Bytes of the batches at the start of `rest` that go into the active segment with one write, after it was
    /// rolled if the first of them needs that.
    fn next_run(&mut self, rest: &[u8], now: Now) -> io::Result<usize> {
        let mut run = 0;
        for (header, batch) in batches(rest).flatten() {
            if self.must_roll(&header, run, now) {
                if run > 0 {
                    break;
                }
                self.roll(self.next_base(&header), now)?;
            }
            run += batch.len();
        }
        Ok(run)
    }

    /// Where the segment that begins with a batch begins: at the log end, so that recovery can tell a gap from loss,
    /// unless the batch lies too far behind that.
    fn next_base(&self, header: &BatchHeader) -> Offset {
        let distance = Offset::clamped(header.last_offset()).distance_from(self.log_end);
        if distance > OFFSET_DISTANCE_MAX { Offset::clamped(header.base_offset) } else { self.log_end }
    }

    /// Writes whole batches to the active segment, or leaves it as it was.
    fn write(&mut self, batches: &[u8]) -> Result<(), AppendError> {
        let Err(error) = self.active.write(batches) else { return Ok(()) };
        match trouble(&error) {
            Trouble::NoSpace if self.active.cut_back().is_ok() => Err(AppendError::NoSpace(error)),
            Trouble::Exhausted if self.active.cut_back().is_ok() => Err(AppendError::Exhausted(error)),
            _ => Err(AppendError::Failed(self.fail(error))),
        }
    }

    /// Takes note of a batch that was written.
    fn admit(&mut self, header: &BatchHeader, batch: &[u8], now: Now) {
        self.active.note(header, self.config.index_interval_bytes);
        self.log_end = Offset::clamped(header.last_offset()).next();
        if let Some(epoch) = LeaderEpoch::from_wire(header.partition_leader_epoch)
            && self.epochs.assign(epoch, Offset::clamped(header.base_offset))
        {
            self.epochs_unsaved = true;
        }
        self.producers.record(header, now.wall);
        if header.attributes.is_control() {
            self.admit_marker(header, batch);
        }
        self.unflushed_records += header.record_count as u64;
    }

    /// What an append brings about after its write.
    fn written(&mut self, now: Now) -> Result<(), AppendError> {
        self.active.touch(now);
        self.unflushed_since.get_or_insert(now.mono);
        if self.config.flush_messages.is_some_and(|count| self.unflushed_records >= count) {
            self.flush().map_err(|error| match error {
                LogError::NoSpace(error) => AppendError::NoSpace(error),
                LogError::Exhausted(error) => AppendError::Exhausted(error),
                LogError::Failed(error) => AppendError::Failed(error),
                LogError::Corrupt { .. } => AppendError::Failed(io::Error::other(error)),
            })?;
        }
        let end = u64::from(self.active.size_bytes());
        if end - self.writeback_end >= WRITEBACK_BYTES {
            // Only a hint: what it would report, the next sync reports.
            let _ = self.active.file().and_then(|file| file.start_writeback(self.writeback_end..end));
            self.writeback_end = end;
        }
        Ok(())
    }

    fn not_appended(&mut self, error: io::Error) -> AppendError {
        match self.refused(error) {
            LogError::NoSpace(error) => AppendError::NoSpace(error),
            LogError::Exhausted(error) => AppendError::Exhausted(error),
            LogError::Failed(error) => AppendError::Failed(error),
            corrupt @ LogError::Corrupt { .. } => AppendError::Failed(io::Error::other(corrupt)),
        }
    }

    fn log_append_time(&self, time: TimestampMs) -> Option<TimestampMs> {
        (self.config.timestamp_type == TimestampType::LogAppendTime).then_some(time)
    }
}
