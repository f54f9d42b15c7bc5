//! Stored plans: any bytes are refused or read; what is read is stored and read again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_operator_planner::rebalance::{load, load_topics, store};

fuzz_target!(|data: &[u8]| {
    let (at, rest) = data.split_first().unwrap_or((&0, &[]));
    let (first, second) = rest.split_at(usize::from(*at).min(rest.len()));
    for chunks in [&[rest][..], &[first, second][..]] {
        assert!(load(chunks).map_or_else(|error| !error.to_string().is_empty(), |_| true));
    }
    if let Some(moves) = load_topics(rest) {
        assert_eq!(load(&store(&moves, 64)).as_deref(), Ok(&moves[..]));
    }
});
