//! What the protocol says of what the cores refuse: one exhaustive match an error, so that a new reason finds its code
//! when it is compiled. No I/O.

mod controller;
mod groups;

use ottla_broker_protocol::ErrorCode;

/// An error that has a code in Kafka's protocol; its words are those of its `Display`.
pub trait KafkaError: std::fmt::Display {
    /// What a client of Kafka is told, and acts on.
    fn code(&self) -> ErrorCode;
}
