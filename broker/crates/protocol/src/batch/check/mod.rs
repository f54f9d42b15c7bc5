//! Walking over the records of a batch that a producer sent, without keeping any of them.
//!
//! What Kafka's validator looks at (`LogValidator`, `DefaultRecord`) and what every consumer relies on: lengths, counts and
//! deltas add up, keys and timestamps obey the topic. Uncompressed batches are walked where they lie and nothing is
//! allocated; compressed ones pass through a window of bounded size ([`Scratch`]). No I/O.

mod cursor;
mod lz;
mod lz4;
mod snappy;
mod stream;
mod walk;

#[cfg(test)]
mod tests;

pub use stream::{Limits, Scratch};

use super::{BatchError, BatchHeader, Compression, HEADER_LEN};
use cursor::{Slice, Source, Stream};
use lz::Window;
use lz4::Lz4;
use snappy::Snappy;
use stream::Pieces;

/// Records of a batch that are named when they break a rule; further ones are not looked for. A producer that breaks one
/// in every record learns no more from thousands of them.
pub const FAULTS_MAX: usize = 100;

/// What a topic asks of each record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordRules {
    /// Every record needs a key: the topic is compacted.
    pub needs_key: bool,
    /// Earliest and latest timestamp, both inclusive, in ms; -1 ("none") is always allowed. `None`: any will do.
    pub timestamps: Option<(i64, i64)>,
}

/// What a walk found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Largest timestamp of the records in ms, or -1.
    pub max_timestamp: i64,
}

/// A record that is well-formed and not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFault {
    /// Its position in the batch, from zero.
    pub index: i32,
    /// What it breaks.
    pub rule: BrokenRule,
}

/// A rule that a record breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenRule {
    /// It has no key.
    NoKey,
    /// Its timestamp in ms is out of range.
    Timestamp(i64),
}

/// Why a batch's records are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A record is malformed.
    #[error("record {index} is malformed: {reason}")]
    Malformed {
        /// Its position in the batch, from zero.
        index: i32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The first records that break a rule, at most [`FAULTS_MAX`], in their order; the others are sound.
    #[error("{} records break the topic's rules", .0.len())]
    Rules(Vec<RecordFault>),
    /// Bytes are left after the last record.
    #[error("bytes are left after the last of {announced} records")]
    Surplus {
        /// The header's record count.
        announced: i32,
    },
    /// The compressed data cannot be read, or unfolds into too much.
    #[error(transparent)]
    Compression(BatchError),
}

/// Walks over the records of `batch`, whose header is `header`, as far as `limits` allow.
///
/// The batch must be whole; its checksum is the caller's to check. With [`Rejected::Compression`] of
/// [`BatchError::OutputTooLarge`] or [`BatchError::WindowTooLarge`] larger limits may still accept the batch.
pub fn check_records(
    header: &BatchHeader,
    batch: &[u8],
    rules: &RecordRules,
    limits: Limits,
    scratch: &mut Scratch,
) -> Result<Walked, Rejected> {
    let body = &header.slice(batch).map_err(Rejected::Compression)?[HEADER_LEN..];
    let output_max = limits.output_max;
    match header.attributes.compression() {
        Compression::None => walk::records(header, rules, &mut Slice::new(body)),
        Compression::Gzip => {
            let reader = flate2::bufread::MultiGzDecoder::new(body);
            walk(header, rules, &mut Pieces::new(reader, scratch.window(), output_max))
        }
        Compression::Snappy => {
            let format = Snappy::new(body).map_err(Rejected::Compression)?;
            walk(header, rules, &mut Window::new(format, scratch.window(), output_max))
        }
        Compression::Lz4 => {
            walk(header, rules, &mut Window::new(Lz4::new(body), scratch.window(), output_max))
        }
        Compression::Zstd => {
            let opened = scratch.zstd(body, limits).map_err(Rejected::Compression);
            let walked = opened.and_then(|mut source| walk(header, rules, &mut source));
            scratch.shed();
            walked
        }
    }
}

fn walk<S: Source>(header: &BatchHeader, rules: &RecordRules, source: &mut S) -> Result<Walked, Rejected> {
    walk::records(header, rules, &mut Stream::new(source))
}
