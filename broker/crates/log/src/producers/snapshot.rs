//! Kafka's file of all producers' state at an offset (`FORMAT.md`). No I/O: bytes in, bytes out.

use std::collections::BTreeMap;

use ottla_broker_protocol::{Reader, Writer};
use ottla_broker_types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::entry::{AppendedBatch, Producer};
use super::table::Producers;

pub(crate) const VERSION: i16 = 1;
const CRC_AT: usize = size_of::<i16>();
pub(crate) const ENTRIES_AT: usize = CRC_AT + size_of::<u32>();
/// Bytes of an entry: id, epoch, last sequence, last offset, offset delta, timestamp, coordinator epoch, first
/// offset of the open transaction.
pub(crate) const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;
/// Bytes of an earlier batch: producer id, last sequence, last offset, offset delta, timestamp.
pub(crate) const EARLIER_BYTES: usize = 8 + 4 + 8 + 4 + 8;
/// Kafka's "none" of sequences and offsets.
const NONE: i32 = -1;

/// The file's bytes: of each producer the last batch, as in Kafka's file, and behind what Kafka reads the batches before
/// it, without which a producer that sends up to five of them again would be refused.
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
        w.put_i64(producer.txn_start.map_or(NONE.into(), Offset::get));
    }
    put_earlier(&mut w, producers);
    let entries = w.into_bytes().expect("a snapshot is built from bytes in memory only");
    let mut file = Vec::with_capacity(ENTRIES_AT + entries.len());
    file.extend_from_slice(&VERSION.to_be_bytes());
    file.extend_from_slice(&crc(&entries).to_be_bytes());
    file.extend_from_slice(&entries);
    file
}

fn put_earlier(w: &mut Writer, producers: &Producers) {
    let earlier = |producer: &Producer| producer.batches().len().saturating_sub(1);
    w.put_i32(producers.iter().map(|(_, producer)| earlier(producer)).sum::<usize>() as i32);
    for (id, producer) in producers.iter() {
        for batch in &producer.batches()[..earlier(producer)] {
            w.put_i64(id.get());
            w.put_i32(batch.last_sequence.get());
            w.put_i64(batch.last_offset.get());
            w.put_i32(batch.offset_delta);
            w.put_i64(batch.timestamp.0);
        }
    }
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
    let entries_bytes = count.checked_mul(ENTRY_BYTES).filter(|bytes| *bytes <= r.remaining())?;
    let mut earlier = read_earlier(&entries[size_of::<i32>() + entries_bytes..])?;
    let mut producers = Producers::default();
    for _ in 0..count {
        let id = ProducerId::from_wire(r.i64().ok()?)?;
        let mut producer = Producer::new(ProducerEpoch(r.i16().ok()?), now);
        let last = read_batch(&mut r)?;
        producer.coordinator_epoch = r.i32().ok()?;
        producer.txn_start = Offset::new(r.i64().ok()?);
        earlier.remove(&id).into_iter().flatten().for_each(|batch| producer.push(batch));
        if let Some(last) = last {
            producer.push(last);
        }
        producers.insert(id, producer);
    }
    // Batches of a producer that is not there.
    earlier.is_empty().then_some(producers)
}

/// A batch; the inner `None` says that the producer has none in its epoch.
fn read_batch(r: &mut Reader<'_>) -> Option<Option<AppendedBatch>> {
    let (sequence, offset) = (r.i32().ok()?, r.i64().ok()?);
    let (offset_delta, timestamp) = (r.i32().ok()?, TimestampMs(r.i64().ok()?));
    if offset_delta < 0 {
        return None;
    }
    let batch = Sequence::from_wire(sequence).zip(Offset::new(offset)).map(|(last_sequence, last_offset)| {
        AppendedBatch { last_sequence, last_offset, offset_delta, timestamp }
    });
    Some(batch)
}

/// The batches before the last ones, in the order of the log; Kafka's own files end without them.
fn read_earlier(bytes: &[u8]) -> Option<BTreeMap<ProducerId, Vec<AppendedBatch>>> {
    let mut earlier: BTreeMap<ProducerId, Vec<AppendedBatch>> = BTreeMap::new();
    if bytes.is_empty() {
        return Some(earlier);
    }
    let mut r = Reader::new(bytes);
    let count = usize::try_from(r.i32().ok()?).ok()?;
    if r.remaining() != count.checked_mul(EARLIER_BYTES)? {
        return None;
    }
    for _ in 0..count {
        let id = ProducerId::from_wire(r.i64().ok()?)?;
        earlier.entry(id).or_default().push(read_batch(&mut r)??);
    }
    Some(earlier)
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
        for nth in 0..3 {
            first.push(AppendedBatch {
                last_sequence: Sequence(9 + 5 * nth),
                last_offset: Offset::clamped(1_009 + 7 * i64::from(nth)),
                offset_delta: 4,
                timestamp: TimestampMs(70),
            });
        }
        first.txn_start = Some(Offset::clamped(1_003));
        first.coordinator_epoch = 9;
        producers.insert(ProducerId(5), first);
        producers.insert(ProducerId(6), Producer::new(ProducerEpoch(0), TimestampMs(70)));
        producers
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let file = encode_snapshot(&producers());
        assert_eq!(file.len(), ENTRIES_AT + 4 + 2 * ENTRY_BYTES + 4 + 2 * EARLIER_BYTES);
        assert_eq!(decode_snapshot(&file, TimestampMs(70)), Some(producers()));
    }

    /// Kafka checks the sum of the whole file and reads no further than the entries.
    #[test]
    fn a_file_of_kafka_has_the_last_batches_only() {
        let mut file = encode_snapshot(&producers());
        file.truncate(ENTRIES_AT + 4 + 2 * ENTRY_BYTES);
        let sum = crc(&file[ENTRIES_AT..]);
        file[CRC_AT..ENTRIES_AT].copy_from_slice(&sum.to_be_bytes());
        let read = decode_snapshot(&file, TimestampMs(70)).unwrap();
        let kept: Vec<_> = read.iter().map(|(id, producer)| (id, producer.batches().to_vec())).collect();
        let expected: Vec<_> = producers()
            .iter()
            .map(|(id, producer)| (id, producer.last_batch().copied().into_iter().collect()))
            .collect();
        assert_eq!(kept, expected);
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
