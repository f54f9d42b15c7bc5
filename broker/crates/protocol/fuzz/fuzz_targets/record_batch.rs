//! Batches one after the other: walking and decompressing never panics, and never yields more than the bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_protocol::batch::{batches, records};

/// Bound for one batch's records.
const OUTPUT_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    for (header, batch) in batches(data).flatten() {
        assert_eq!(header.size(), batch.len());
        let _ = header.check_crc(batch);
        let Ok(opened) = records(&header, batch, OUTPUT_MAX) else { continue };
        let bytes: usize = opened
            .iter()
            .flatten()
            .map(|record| record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len))
            .sum();
        assert!(bytes <= OUTPUT_MAX.max(batch.len()));
    }
});
