//! No broker tells a correct producer that its sequence or epoch is wrong, unless an earlier batch of it was refused or
//! stayed without an answer; never one with a single request under way, and never for a batch that was under way behind
//! a refused one on the same connection.
//!
//! Source: KIP-98. librdkafka begins a new epoch after such an answer and writes again what it does not know to be in the
//! log: so an acknowledged record was once doubled. For a producer's first unanswered batch the answer is fatal. No I/O.

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::TopicPartition;

use super::violation::Violation;

/// What a producer was told of a batch, and what it was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The answer.
    pub code: ErrorCode,
    /// Epoch and first sequence of the batch.
    pub stamp: (i16, i32),
    /// The producer sends a batch of a partition only when the one before is answered.
    pub is_one_at_a_time: bool,
    /// No earlier batch is unanswered.
    pub is_first: bool,
    /// An earlier batch was refused or stayed without an answer, and is not in the log as far as the producer knows.
    pub is_after_trouble: bool,
    /// It was under way behind a batch that was refused on the same connection.
    pub is_behind_refused: bool,
}

/// Checks an answer that is an error and none after which clients just try again.
pub fn check_told(client: u32, partition: &TopicPartition, told: Told) -> Result<(), Violation> {
    let is_excused = told.code == ErrorCode::OutOfOrderSequenceNumber
        && told.is_after_trouble
        && !told.is_first
        && !told.is_one_at_a_time
        && !told.is_behind_refused;
    if is_excused {
        return Ok(());
    }
    let seen = format!("{partition}: producer {client} was told {told:?}");
    Err(Violation::new("producers_are_not_misled", seen))
}

#[cfg(test)]
mod tests {
    use super::super::testing::partition;
    use super::*;

    const EXCUSED: Told = Told {
        code: ErrorCode::OutOfOrderSequenceNumber,
        stamp: (0, 5),
        is_one_at_a_time: false,
        is_first: false,
        is_after_trouble: true,
        is_behind_refused: false,
    };

    #[test]
    fn only_trouble_before_excuses_an_answer_about_the_sequence() {
        let check = |told| check_told(1, &partition(), told);
        assert!(check(EXCUSED).is_ok());
        assert!(check(Told { code: ErrorCode::InvalidProducerEpoch, ..EXCUSED }).is_err());
        assert!(check(Told { code: ErrorCode::UnknownProducerId, ..EXCUSED }).is_err());
        assert!(check(Told { is_after_trouble: false, ..EXCUSED }).is_err());
        assert!(check(Told { is_first: true, ..EXCUSED }).is_err());
        assert!(check(Told { is_one_at_a_time: true, ..EXCUSED }).is_err());
        assert!(check(Told { is_behind_refused: true, ..EXCUSED }).is_err());
    }
}
