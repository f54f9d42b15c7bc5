//! The walk against batches that tests make: sound ones of every codec, bent, cut and flipped ones.

use proptest::prelude::*;

use super::*;
use crate::batch::{BatchBuilder, BatchOptions, RecordHeader, records};
use crate::wire::Writer;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const LIMITS: Limits = Limits { output_max: 64 << 20, zstd_window_log_max: 23 };
const ANY: RecordRules = RecordRules { needs_key: false, timestamps: None };

fn check(batch: &[u8], rules: &RecordRules) -> Result<Walked, Rejected> {
    check_within(batch, rules, LIMITS)
}

fn check_within(batch: &[u8], rules: &RecordRules, limits: Limits) -> Result<Walked, Rejected> {
    let header = BatchHeader::parse(batch).unwrap();
    check_records(&header, batch, rules, limits, &mut Scratch::default())
}

/// The header of an uncompressed batch around `body`, compressed, as if a producer had made it so.
fn batch_of(codec: Compression, count: i32, body: &[u8]) -> Vec<u8> {
    enclosed(codec, count, &codec.compress(body).unwrap())
}

fn enclosed(codec: Compression, count: i32, body: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression: codec, ..BatchOptions::default() });
    builder.append(None, None, 1_000);
    let empty = builder.build().unwrap();
    let mut header = BatchHeader::parse(&empty).unwrap();
    header.record_count = count;
    header.last_offset_delta = count - 1;
    header.batch_length = (HEADER_LEN - crate::batch::LENGTH_PREFIX_LEN + body.len()) as i32;
    let mut batch = Vec::new();
    header.write(&mut batch);
    batch.extend_from_slice(body);
    batch
}

/// One record, field by field, as numbers that a test can bend.
#[derive(Clone, Debug)]
struct Fields {
    /// Added to the true length.
    length: i32,
    attributes: i8,
    timestamp_delta: i64,
    offset_delta: i32,
    key_len: i32,
    value_len: i32,
    header_count: i32,
    header_key_len: i32,
    header_value_len: i32,
}

const KEY: &[u8] = b"key";
const VALUE: &[u8] = b"the value";

impl Fields {
    fn sound(index: i32) -> Fields {
        Fields {
            length: 0,
            attributes: 0,
            timestamp_delta: i64::from(index),
            offset_delta: index,
            key_len: KEY.len() as i32,
            value_len: VALUE.len() as i32,
            header_count: 2,
            header_key_len: 2,
            header_value_len: 1,
        }
    }

    fn write(&self, body: &mut Writer) {
        let mut record = Writer::new();
        record.put_i8(self.attributes);
        record.put_varlong(self.timestamp_delta);
        record.put_varint(self.offset_delta);
        record.put_varint(self.key_len);
        record.put_slice(KEY);
        record.put_varint(self.value_len);
        record.put_slice(VALUE);
        record.put_varint(self.header_count);
        for _ in 0..2 {
            record.put_varint(self.header_key_len);
            record.put_slice(b"hk");
            record.put_varint(self.header_value_len);
            record.put_slice(b"v");
        }
        body.put_varint(record.len() as i32 + self.length);
        body.put_slice(&record.into_bytes().unwrap());
    }
}

fn body_of(all: &[Fields]) -> Vec<u8> {
    let mut body = Writer::new();
    all.iter().for_each(|fields| fields.write(&mut body));
    body.into_bytes().unwrap().to_vec()
}

/// Every field of a record that can be wrong, made wrong in one way.
fn bent(index: i32) -> Vec<(&'static str, Fields)> {
    let mut all = Vec::new();
    for by in [-1000, -17, -5, -3, -2, -1, 1, 2, 3, 5, 17, 300, i32::MAX / 2] {
        let sound = Fields::sound(index);
        all.push(("length", Fields { length: by, ..sound.clone() }));
        all.push(("offset delta", Fields { offset_delta: index + by, ..sound.clone() }));
        all.push(("key length", Fields { key_len: sound.key_len + by, ..sound.clone() }));
        all.push(("value length", Fields { value_len: sound.value_len + by, ..sound.clone() }));
        all.push(("header count", Fields { header_count: sound.header_count + by, ..sound.clone() }));
        all.push(("header key", Fields { header_key_len: sound.header_key_len + by, ..sound.clone() }));
        all.push(("header value", Fields { header_value_len: sound.header_value_len + by, ..sound.clone() }));
    }
    let far = Fields { timestamp_delta: 1 << 40, ..Fields::sound(index) };
    all.push(("timestamp", far.clone()));
    all.push(("timestamp", Fields { timestamp_delta: -(1 << 40), ..far }));
    all
}

#[test]
fn a_batch_is_refused_whichever_field_of_whichever_record_is_wrong() {
    let rules = RecordRules { needs_key: true, timestamps: Some((0, 1_000_000)) };
    for codec in CODECS {
        let sound: Vec<Fields> = (0..3).map(Fields::sound).collect();
        assert!(check(&batch_of(codec, 3, &body_of(&sound)), &rules).is_ok(), "{codec:?}");
        for at in 0..3 {
            for (field, wrong) in bent(at as i32) {
                let mut all = sound.clone();
                all[at] = wrong;
                let refused = check(&batch_of(codec, 3, &body_of(&all)), &rules);
                match refused {
                    Err(Rejected::Malformed { index, .. }) => assert!(index >= at as i32, "{field}: {index}"),
                    Err(Rejected::Rules(faults)) => {
                        assert_eq!(faults[0].index, at as i32, "{field}");
                        assert!(matches!(field, "timestamp" | "key length"), "{field}");
                    }
                    other => panic!("{codec:?}, {field} of record {at}: {other:?} for {:?}", all[at]),
                }
            }
        }
        for (count, body) in [(2, body_of(&sound)), (4, body_of(&sound)), (i32::MAX, body_of(&sound))] {
            assert!(check(&batch_of(codec, count, &body), &rules).is_err(), "{codec:?}: {count} announced");
        }
    }
}

#[test]
fn attributes_of_records_are_ignored_since_no_bit_has_a_meaning_yet() {
    let fields = Fields { attributes: 0x7f, ..Fields::sound(0) };
    assert!(check(&batch_of(Compression::None, 1, &body_of(&[fields])), &ANY).is_ok());
}

/// Key, value and timestamp of a record.
type Given = (Option<Vec<u8>>, Option<Vec<u8>>, i64);

fn built(codec: Compression, records: &[Given]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression: codec, ..BatchOptions::default() });
    let headers = [RecordHeader { key: b"h", value: None }, RecordHeader { key: b"", value: Some(b"v") }];
    for (at, (key, value, timestamp)) in records.iter().enumerate() {
        let headers = &headers[..at % 3];
        builder.append_with_headers(key.as_deref(), value.as_deref(), *timestamp, headers);
    }
    builder.build().unwrap().to_vec()
}

#[test]
fn records_larger_than_the_window_pass_in_every_codec() {
    let random = |seed: u32, len: usize| -> Vec<u8> {
        let mut state = seed;
        let step = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(step).take(len).collect()
    };
    let repeated = |len: usize| (0..len).map(|at| (at / 50) as u8).collect::<Vec<u8>>();
    for len in [0, 64, 65_535, 65_536, 131_073, 700_000] {
        for value in [random(7, len), repeated(len), vec![0; len]] {
            let records = [
                (None, Some(value.clone()), 5),
                (Some(value), None, 9),
                (Some(b"k".to_vec()), Some(repeated(70_000)), 7),
            ];
            for codec in CODECS {
                let walked =
                    check(&built(codec, &records), &ANY).unwrap_or_else(|e| panic!("{codec:?} {len}: {e}"));
                assert_eq!(walked.max_timestamp, 9);
            }
        }
    }
}

#[test]
fn records_that_break_a_rule_are_named_and_the_first_hundred_suffice() {
    let rules = RecordRules { needs_key: true, timestamps: Some((10, 20)) };
    let key = || Some(b"k".to_vec());
    let records = [
        (key(), None, 10),
        (None, None, 10),
        (key(), None, 9),
        (key(), None, 21),
        (None, None, 5),
        (key(), None, -1),
    ];
    let fault = |index, rule| RecordFault { index, rule };
    let expected = vec![
        fault(1, BrokenRule::NoKey),
        fault(2, BrokenRule::Timestamp(9)),
        fault(3, BrokenRule::Timestamp(21)),
        fault(4, BrokenRule::NoKey),
    ];
    for codec in CODECS {
        assert_eq!(check(&built(codec, &records), &rules), Err(Rejected::Rules(expected.clone())));
    }
    let many = vec![(None, None, 10); 3 * FAULTS_MAX];
    let Err(Rejected::Rules(faults)) = check(&built(Compression::None, &many), &rules) else { panic!() };
    assert_eq!(faults.len(), FAULTS_MAX);
}

#[test]
fn a_batch_that_unfolds_beyond_its_bound_is_refused_in_every_codec() {
    let records = [(None, Some(vec![0; 20 << 20]), 1)];
    for codec in CODECS.into_iter().skip(1) {
        let batch = built(codec, &records);
        let limits = Limits { output_max: 1 << 20, ..LIMITS };
        let refused = check_within(&batch, &ANY, limits);
        let limit = 1 << 20;
        assert_eq!(refused, Err(Rejected::Compression(BatchError::OutputTooLarge { limit })), "{codec:?}");
        assert!(check(&batch, &ANY).is_ok(), "{codec:?}");
    }
}

#[test]
fn bytes_after_the_compressed_data_are_refused() {
    let sound = body_of(&[Fields::sound(0)]);
    for codec in CODECS {
        let mut body = codec.compress(&sound).unwrap();
        body.push(0);
        assert!(check(&enclosed(codec, 1, &body), &ANY).is_err(), "{codec:?}");
        let mut more = sound.clone();
        more.push(0);
        assert!(check(&batch_of(codec, 1, &more), &ANY).is_err(), "{codec:?}");
    }
}

#[test]
fn a_cut_anywhere_is_refused_in_every_codec() {
    let sound = body_of(&[Fields::sound(0), Fields::sound(1)]);
    for codec in CODECS {
        let body = codec.compress(&sound).unwrap();
        for end in 0..body.len() {
            assert!(check(&enclosed(codec, 2, &body[..end]), &ANY).is_err(), "{codec:?} cut at {end}");
        }
    }
}

#[test]
fn lz4_frames_of_every_kind_that_kafka_reads_pass_and_others_are_refused() {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let mut body = Writer::new();
    for index in 0..2_000 {
        Fields::sound(index).write(&mut body);
    }
    let body = body.into_bytes().unwrap();
    let frame = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&body).unwrap();
        encoder.finish().unwrap()
    };
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for (blocks, content, len) in [(false, false, None), (true, true, Some(body.len() as u64))] {
            let info = FrameInfo::new()
                .block_size(size)
                .block_checksums(blocks)
                .content_checksum(content)
                .content_size(len);
            let packed = frame(info);
            assert!(check(&enclosed(Compression::Lz4, 2_000, &packed), &ANY).is_ok(), "{size:?} {blocks}");
            if content {
                for at in 0..packed.len().min(40) {
                    let mut flipped = packed.clone();
                    flipped[at] ^= 0x10;
                    assert!(check(&enclosed(Compression::Lz4, 2_000, &flipped), &ANY).is_err(), "{at}");
                }
                let mut flipped = packed.clone();
                *flipped.last_mut().unwrap() ^= 1;
                assert!(check(&enclosed(Compression::Lz4, 2_000, &flipped), &ANY).is_err());
            }
        }
    }
    let linked = frame(FrameInfo::new().block_mode(BlockMode::Linked).block_size(BlockSize::Max64KB));
    assert!(check(&enclosed(Compression::Lz4, 2_000, &linked), &ANY).is_err(), "Java cannot read it");
}

#[test]
fn zstd_needs_leave_for_a_large_window() {
    let body = body_of(&[Fields::sound(0)]);
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(25).unwrap();
    std::io::Write::write_all(&mut encoder, &body).unwrap();
    let batch = enclosed(Compression::Zstd, 1, &encoder.finish().unwrap());
    assert_eq!(check(&batch, &ANY), Err(Rejected::Compression(BatchError::WindowTooLarge)));
    assert!(check_within(&batch, &ANY, Limits { zstd_window_log_max: 27, ..LIMITS }).is_ok());
}

#[test]
fn raw_snappy_and_concatenated_frames_pass() {
    let body = body_of(&[Fields::sound(0), Fields::sound(1)]);
    let raw = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    assert!(check(&enclosed(Compression::Snappy, 2, &raw), &ANY).is_ok());
    let (first, second) = body.split_at(body.len() / 3);
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let packed = [codec.compress(first).unwrap(), codec.compress(second).unwrap()].concat();
        assert!(check(&enclosed(codec, 2, &packed), &ANY).is_ok(), "{codec:?}");
    }
}

#[test]
fn scratch_is_used_again_and_stays_small() {
    let mut scratch = Scratch::default();
    for round in 0..3 {
        for codec in CODECS {
            let batch = built(codec, &[(None, Some(vec![round; 3 << 20]), 1)]);
            let header = BatchHeader::parse(&batch).unwrap();
            assert!(check_records(&header, &batch, &ANY, LIMITS, &mut scratch).is_ok(), "{codec:?}");
            assert!(scratch.kept_bytes() <= 1 << 20, "{codec:?}: {}", scratch.kept_bytes());
        }
    }
}

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&CODECS[..])
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_and_never_a_panic(
        codec in codec(),
        count in -1_i32..5,
        body in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let batch = enclosed(codec, count.max(1), &body);
        prop_assert_eq!(check(&batch, &ANY), check(&batch, &ANY));
    }

    #[test]
    fn a_flipped_byte_is_refused_or_what_is_accepted_is_read_alike(
        codec in codec(),
        values in prop::collection::vec(prop::collection::vec(0_u8..4, 0..300), 1..6),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let records_in: Vec<_> = values.iter().map(|value| (None, Some(value.clone()), 1)).collect();
        let mut batch = built(codec, &records_in);
        let body_len = batch.len() - HEADER_LEN;
        batch[HEADER_LEN + at.index(body_len)] ^= flip;
        let header = BatchHeader::parse(&batch).unwrap();
        if check(&batch, &ANY).is_ok() {
            let read = records(&header, &batch, 1 << 20).expect("it decompresses");
            let read: Result<Vec<_>, _> = read.iter().collect();
            let read = read.expect("what the walk accepts can be read");
            prop_assert!(read.iter().enumerate().all(|(at, record)| record.offset == at as i64));
        }
    }

    #[test]
    fn what_clients_build_passes(
        codec in codec(),
        records_in in prop::collection::vec(
            (
                prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
                prop::option::of(prop::collection::vec(0_u8..7, 0..4_000)),
                -1_i64..1 << 42,
            ),
            1..60,
        ),
    ) {
        let walked = check(&built(codec, &records_in), &ANY);
        let newest = records_in.iter().map(|record| record.2).max().unwrap();
        prop_assert_eq!(walked, Ok(Walked { max_timestamp: newest }));
    }
}
