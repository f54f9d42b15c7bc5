//! The small files of a log directory: reading them never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_log::hostile::read_made_up_checkpoints;

fuzz_target!(|data: &[u8]| read_made_up_checkpoints(data));
