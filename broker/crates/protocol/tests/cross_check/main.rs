//! Every message in every version: against the crate `kafka-protocol`, against itself, truncated, mutated, and
//! against golden bytes where the reference codec is too old.

mod checks;
mod entropy;
#[allow(clippy::too_many_lines, reason = "one line a message")]
mod generated;
mod golden;
mod hostile;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_reference_codec_reads_and_writes_the_same_bytes(seed: u64) {
        generated::every_shared_message(&mut checks::Reference::new(seed));
    }

    #[test]
    fn what_was_encoded_is_decoded(seed: u64) {
        generated::every_message(&mut checks::RoundTrip::new(seed));
    }

    #[test]
    fn truncated_and_mutated_input_never_panics(seed: u64) {
        generated::every_message(&mut hostile::Mutations::new(seed));
    }
}
