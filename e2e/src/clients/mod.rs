//! Clients and tools that others wrote, unmodified.

mod kafka;
mod kcat;
mod place;

pub use kafka::{Kafka, kafka};
pub use kcat::{Kcat, kcat};
pub use place::Place;
