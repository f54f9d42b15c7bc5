//! Why an admin call failed.

use ottla_broker_protocol::frame::EncodeRequestError;
use ottla_broker_protocol::{DecodeError, ErrorCode};

/// No answer came, or none that could be read.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address cannot be reached.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection ended before the answer.
    #[error("{address} closed the connection")]
    Closed {
        /// `host:port`.
        address: String,
    },
    /// No answer in time.
    #[error("{address} gave no answer in {timeout_ms} ms")]
    TimedOut {
        /// `host:port`.
        address: String,
        /// The time-out.
        timeout_ms: u64,
    },
    /// The answer does not follow its schema.
    #[error("{address} gave a malformed answer: {source}")]
    Malformed {
        /// `host:port`.
        address: String,
        /// What does not fit.
        source: DecodeError,
    },
    /// The request cannot be said in the version that the broker serves.
    #[error("the request cannot be encoded: {0}")]
    Unencodable(#[from] EncodeRequestError),
    /// The broker does not serve the API in any version that we know.
    #[error("{address} does not serve {api}")]
    NotServed {
        /// `host:port`.
        address: String,
        /// The API's name.
        api: &'static str,
    },
}

/// A call that failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No broker could be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The broker refused.
    #[error("{}: {message}", code.name())]
    Refused {
        /// Kafka's code.
        code: ErrorCode,
        /// The broker's words, or the code's if it gave none.
        message: String,
    },
    /// The broker that the call must go to is not known.
    #[error("broker {0} is not in the cluster")]
    UnknownBroker(i32),
}

impl AdminError {
    /// An error if `code` is one.
    pub(crate) fn check(code: i16, message: Option<&str>) -> Result<(), AdminError> {
        match ErrorCode::from_wire(code) {
            ErrorCode::None => Ok(()),
            code => {
                let message = message.unwrap_or_else(|| code.message()).to_owned();
                Err(AdminError::Refused { code, message })
            }
        }
    }

    /// Kafka's code, if the broker gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            AdminError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}
