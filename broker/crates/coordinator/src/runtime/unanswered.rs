//! Why a request is not answered with what was decided on it. No I/O.

use crate::runtime::shard::NotWritten;

/// Why a request has no answer, whatever it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The shard is still being read: this broker will answer.
    #[error("the coordinator is still reading its log")]
    Loading,
    /// Another broker coordinates by now.
    #[error("another broker coordinates")]
    NotCoordinator,
    /// What was decided could not be written, and has not happened.
    #[error(transparent)]
    NotWritten(#[from] NotWritten),
    /// What was decided is written but was not committed in time: it may yet be, or be lost.
    #[error("what was decided was not committed in time")]
    NotCommitted,
    /// What was decided is written, but too many wait for commits already.
    #[error("too many requests wait for commits")]
    TooManyWait,
}

/// Why a decision comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError<E> {
    /// The shard refuses the request.
    #[error(transparent)]
    Refused(E),
    /// The coordinator has no answer.
    #[error(transparent)]
    Unanswered(Unanswered),
}

impl<E> From<Unanswered> for DecideError<E> {
    fn from(why: Unanswered) -> DecideError<E> {
        DecideError::Unanswered(why)
    }
}
