//! What the check of a producer's batch costs beside its checksum, for each codec and several sizes of records:
//! `cargo run --release -p ottla-broker-protocol --example check_cost`.

use std::hint::black_box;
use std::time::Instant;

use ottla_broker_protocol::batch::{
    BatchBuilder, BatchHeader, BatchOptions, Compression, Limits, RecordRules, Scratch, check_records,
};

const BATCH_BYTES: usize = 16 << 10;
const LIMITS: Limits = Limits { output_max: 64 << 20, zstd_window_log_max: 23 };
const ROUND: std::time::Duration = std::time::Duration::from_millis(300);

/// Text that compresses as people's records do, about three to one.
fn value(seed: usize, len: usize) -> Vec<u8> {
    let words = ["flight", "departs", "gate", "delayed", "arrives", "boarding", "cancelled", "on time"];
    let mut text = Vec::new();
    let mut state = seed as u32 + 1;
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(words[(state >> 29) as usize].as_bytes());
        text.extend_from_slice(format!(":{},", state >> 16).as_bytes());
    }
    text.truncate(len);
    text
}

fn batch(compression: Compression, record_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    for seed in 0.. {
        if builder.size() >= BATCH_BYTES {
            break;
        }
        builder.append(Some(b"key"), Some(&value(seed, record_bytes)), 1_700_000_000_000 + seed as i64);
    }
    builder.build().expect("a small batch").to_vec()
}

#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn nanos(mut work: impl FnMut()) -> f64 {
    work();
    let (started, mut count) = (Instant::now(), 0_u32);
    while started.elapsed() < ROUND {
        for _ in 0..16 {
            work();
        }
        count += 16;
    }
    started.elapsed().as_nanos() as f64 / f64::from(count)
}

fn main() {
    println!("codec   record bytes  records  batch bytes  checksum ns  records ns  ns a record");
    let codecs =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for codec in codecs {
        for record_bytes in [10, 100, 1_000] {
            let batch = batch(codec, record_bytes);
            let header = BatchHeader::parse(&batch).expect("a batch");
            let rules = RecordRules { needs_key: false, timestamps: Some((0, i64::MAX)) };
            let mut scratch = Scratch::default();
            let crc = nanos(|| black_box(&header).check_crc(black_box(&batch)).expect("it is sound"));
            let walk = nanos(|| {
                let walked = check_records(&header, black_box(&batch), &rules, LIMITS, &mut scratch);
                black_box(walked).expect("it is sound");
            });
            let name = format!("{codec:?}");
            let each = walk / f64::from(header.record_count);
            println!(
                "{name:8}{record_bytes:>12}{:>9}{:>13}{crc:>13.0}{walk:>12.0}{each:>13.1}",
                header.record_count,
                batch.len(),
            );
        }
    }
}
