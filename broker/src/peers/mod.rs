//! Requests to other brokers over the private listener.

mod connection;
mod pool;
mod sight;

pub use connection::{CallError, PeerConnection, decode};
pub use pool::{Lane, PeerAddress, Peers};
