//! Sealing the active segment and beginning the next. I/O through [`crate::Disk`] only.

use std::io;
use std::mem;

use ottla_broker_protocol::batch::BatchHeader;
use ottla_broker_types::{Now, Offset};

use super::Log;
use crate::disk::{OpenMode, remove_if_exists};
use crate::producers::encode_snapshot;
use crate::segment::{FileKind, Segment, TMP_SUFFIX};

impl Log {
    /// Whether a batch has to begin a new segment, when `pending` bytes are to be written before it.
    pub(super) fn must_roll(&self, header: &BatchHeader, pending: usize, now: Now) -> bool {
        let active = &self.active;
        if !active.can_hold(Offset::clamped(header.last_offset())) {
            return true;
        }
        if active.size_bytes() == 0 && pending == 0 {
            return false;
        }
        let size = active.size_bytes() as usize + pending + header.size();
        let age_max = self.config.segment_age_ms_max().0.saturating_sub(self.jitter_ms(active.base()));
        let too_old = i64::try_from(age_max)
            .is_ok_and(|age_max| active.age_ms(header.max_timestamp, now.mono) > age_max);
        size > self.config.segment_bytes_max as usize
            || too_old
            || active.index_is_full(u64::from(self.config.segment_index_bytes_max))
    }

    /// How much earlier than its age says the segment at `base` is sealed: below `segment.jitter.ms`, by a hash of the
    /// partition and the segment, so that the partitions of a topic do not all begin new segments at once.
    fn jitter_ms(&self, base: Offset) -> u64 {
        if self.config.segment_jitter_ms.0 == 0 {
            return 0;
        }
        let name = self.topic.topic.as_str().bytes();
        let seed = name.fold(self.topic.partition.0 as u64, |seed, byte| mix(seed ^ u64::from(byte)));
        mix(seed ^ base.get() as u64) % self.config.segment_jitter_ms.0
    }

    /// Seals the active segment and begins one at `base`. After an error the log goes on in the old one.
    pub(crate) fn roll(&mut self, base: Offset, now: Now) -> io::Result<()> {
        self.active.seal()?;
        let next = match self.begin_segment(base, now) {
            Ok(next) => next,
            Err(error) => {
                // What cannot be removed now is removed by the next open, as it is empty.
                for kind in FileKind::SEGMENT {
                    let _ = remove_if_exists(&*self.disk, &kind.path(&self.dir, base));
                }
                return Err(error);
            }
        };
        let sealed = mem::replace(&mut self.active, next);
        self.sealed.insert(sealed.base(), sealed);
        self.dir_unsynced = true;
        self.writeback_end = 0;
        // The snapshot only saves time when the log is opened: without space for it the log still grows.
        if self.save_producers(base).is_ok() {
            let _ = self.prune_snapshots();
        }
        Ok(())
    }

    fn begin_segment(&self, base: Offset, now: Now) -> io::Result<Segment> {
        let mut segment = Segment::create(self.place(base), now)?;
        if self.config.preallocate {
            segment.allocate(u64::from(self.config.segment_bytes_max))?;
        }
        Ok(segment)
    }

    /// Writes the producers' state as that of `offset`; not durable, as it carries a checksum and can be missed.
    pub(super) fn save_producers(&mut self, offset: Offset) -> io::Result<()> {
        if self.snapshots.contains(&offset) {
            return Ok(());
        }
        let path = FileKind::Snapshot.path(&self.dir, offset);
        let mut tmp = path.clone().into_os_string();
        tmp.push(TMP_SUFFIX);
        let file = self.disk.open(tmp.as_ref(), OpenMode::Create)?;
        file.set_len(0)?;
        file.write_all_at(&encode_snapshot(&self.producers), 0)?;
        self.disk.rename(tmp.as_ref(), &path)?;
        self.snapshots.insert(offset);
        self.dir_unsynced = true;
        Ok(())
    }
}

/// The finalizer of SplitMix64.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
