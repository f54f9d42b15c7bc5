//! A partition's directory with any files: opening, using, closing and opening it again never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_log::hostile::open_made_up;

fuzz_target!(|data: &[u8]| open_made_up(data));
