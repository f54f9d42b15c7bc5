//! Kafka's file of all producers' state at an offset (`FORMAT.md`). No I/O: bytes in, bytes out.

use ottla_broker_protocol::{Reader, Writer};
use ottla_broker_types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::entry::{AppendedBatch, Producer};
use super::table::Producers;

const VERSION: i16 = 1;
const CRC_AT: usize = size_of::<i16>();
const ENTRIES_AT: usize = CRC_AT + size_of::<u32>();
/// Bytes of an entry: id, epoch, last sequence, last offset, offset delta, timestamp, coordinator epoch, first
/// offset of the open transaction.
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;
/// Kafka's "none" of sequences and offsets.
const NONE: i32 = -1;

/// The file's bytes. Of each producer the last batch is kept, as Kafka does.
pub(crate) fn encode_snapshot(producers: &Producers) -> Vec<u8> {
    let mut w = Writer::new();
    w.put_i32(producers.len() as i32);
    for (id, producer) in producers.iter() {
        let last = producer.last_batch();
        w.put_i64(id.get());
        w.put_i16(producer.epoch.get());
        w.put_i32(last.map_or(NONE, |batch| batch.last_sequence.get()));
        w.put_i64(last.map_or(NONE.into(), |batch| batch.last_offset.get()));
        w.put_i32(last.map_or(0, |batch| batch.offset_delta));
        w.put_i64(last.map_or(producer.seen.0, |batch| batch.timestamp.0));
        w.put_i32(producer.coordinator_epoch);
        w.put_i64(NONE.into());
    }
    let entries = w.into_bytes().expect("a snapshot is built from bytes in memory only");
    let mut file = Vec::with_capacity(ENTRIES_AT + entries.len());
    file.extend_from_slice(&VERSION.to_be_bytes());
    file.extend_from_slice(&crc(&entries).to_be_bytes());
    file.extend_from_slice(&entries);
    file
}

/// The producers in a file; `None` if it is damaged or of another version. `now` counts as the time when each was
/// last heard of: a broker that was down for long must not forget all of them at once.
pub(crate) fn decode_snapshot(file: &[u8], now: TimestampMs) -> Option<Producers> {
    let (head, entries) = file.split_at_checked(ENTRIES_AT)?;
    let version = i16::from_be_bytes(head[..CRC_AT].try_into().ok()?);
    let stored = u32::from_be_bytes(head[CRC_AT..].try_into().ok()?);
    if version != VERSION || stored != crc(entries) {
        return None;
    }
    let mut r = Reader::new(entries);
    let count = usize::try_from(r.i32().ok()?).ok()?;
    if r.remaining() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let mut producers = Producers::default();
    for _ in 0..count {
        let id = ProducerId::from_wire(r.i64().ok()?)?;
        let epoch = ProducerEpoch(r.i16().ok()?);
        let (sequence, offset) = (r.i32().ok()?, r.i64().ok()?);
        let (offset_delta, timestamp) = (r.i32().ok()?, TimestampMs(r.i64().ok()?));
        if offset_delta < 0 {
            return None;
        }
        let mut producer = Producer::new(epoch, now);
        producer.coordinator_epoch = r.i32().ok()?;
        r.i64().ok()?;
        if let (Some(last_sequence), Some(last_offset)) = (Sequence::from_wire(sequence), Offset::new(offset))
        {
            producer.push(AppendedBatch { last_sequence, last_offset, offset_delta, timestamp });
        }
        producers.insert(id, producer);
    }
    Some(producers)
}

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producers() -> Producers {
        let mut producers = Producers::default();
        let mut first = Producer::new(ProducerEpoch(2), TimestampMs(70));
        first.push(AppendedBatch {
            last_sequence: Sequence(9),
            last_offset: Offset::clamped(1_009),
            offset_delta: 4,
            timestamp: TimestampMs(70),
        });
        producers.insert(ProducerId(5), first);
        producers.insert(ProducerId(6), Producer::new(ProducerEpoch(0), TimestampMs(70)));
        producers
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let file = encode_snapshot(&producers());
        assert_eq!(file.len(), ENTRIES_AT + 4 + 2 * ENTRY_BYTES);
        assert_eq!(decode_snapshot(&file, TimestampMs(70)), Some(producers()));
    }

    #[test]
    fn a_batch_that_ends_before_it_begins_is_damage() {
        let mut file = encode_snapshot(&producers());
        let delta_at = ENTRIES_AT + 4 + 8 + 2 + 4 + 8;
        file[delta_at..delta_at + 4].copy_from_slice(&i32::MIN.to_be_bytes());
        let sum = crc(&file[ENTRIES_AT..]);
        file[CRC_AT..ENTRIES_AT].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(decode_snapshot(&file, TimestampMs(0)), None);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let file = encode_snapshot(&producers());
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode_snapshot(&damaged, TimestampMs(0)), None, "byte {at}");
            assert_eq!(decode_snapshot(&file[..at], TimestampMs(0)), None, "cut at {at}");
        }
    }
}
