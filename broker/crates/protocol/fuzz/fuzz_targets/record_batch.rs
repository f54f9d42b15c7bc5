//! Batches one after the other: walking and decompressing never panics, and never yields more than the bound. What the
//! check of a producer's batch accepts can be read, record by record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_protocol::batch::{Limits, RecordRules, Scratch, batches, check_records, records};

/// Bound for one batch's records.
const OUTPUT_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let limits = Limits { output_max: OUTPUT_MAX as u64, zstd_window_log_max: 20 };
    let mut scratch = Scratch::default();
    for (header, batch) in batches(data).flatten() {
        assert_eq!(header.size(), batch.len());
        let _ = header.check_crc(batch);
        let checked = check_records(&header, batch, &RecordRules::default(), limits, &mut scratch);
        let opened = match records(&header, batch, OUTPUT_MAX) {
            Ok(opened) => opened,
            Err(error) => {
                assert!(checked.is_err(), "accepted, and not to be read: {error}");
                continue;
            }
        };
        if checked.is_ok() {
            assert_eq!(opened.iter().filter(Result::is_ok).count(), header.record_count as usize);
        }
        let bytes: usize = opened
            .iter()
            .flatten()
            .map(|record| record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len))
            .sum();
        assert!(bytes <= OUTPUT_MAX.max(batch.len()));
    }
});
