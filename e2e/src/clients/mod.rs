//! Clients and tools that others wrote, unmodified.

mod kafka;
mod kcat;
mod load;
mod place;
mod readers;

pub use kafka::{Kafka, kafka};
pub use kcat::{Kcat, kcat};
pub use load::{Ack, History, Load, longest_pause};
pub use place::Place;
pub use readers::{Got, Readers};
