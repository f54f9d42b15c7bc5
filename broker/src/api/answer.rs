//! What an API's file gives back to the dispatcher.

use std::future::Future;
use std::net::SocketAddr;

use ottla_broker_protocol::DecodeError;

use crate::listener::{Handled, Reply};

/// An answer, now or later.
pub struct Answer(pub Handled);

impl Answer {
    /// Answered at once.
    pub fn now(reply: Reply) -> Answer {
        Answer(Handled::Now(reply))
    }

    /// Answered when `future` is done; later requests of the connection go on being handled. A future that needs no
    /// body is better made by [`super::call::Call::later`], which drops it.
    pub fn later(future: impl Future<Output = Reply> + Send + 'static) -> Answer {
        Answer(Handled::Later(Box::pin(future)))
    }

    /// The connection ends.
    pub fn close(reason: &'static str) -> Answer {
        Answer::now(Reply::Close(reason))
    }
}

/// A request that does not follow its schema; the connection ends, as in Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The bytes do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A field holds what its type allows but the API does not.
    #[error("invalid {0}")]
    Field(&'static str),
}

impl Malformed {
    /// The end of the connection.
    pub fn close(&self, address: SocketAddr, api_key: i16) -> Reply {
        tracing::info!(%address, api_key, malformed = %self, "malformed request");
        Reply::Close("the request is malformed")
    }
}
