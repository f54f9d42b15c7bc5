//! Requests to other brokers over the private listener.

mod connection;
mod pool;
mod sight;
mod versions;

pub use connection::{Answer, CallError, PeerConnection};
pub use pool::{Lane, PeerAddress, Peers};
