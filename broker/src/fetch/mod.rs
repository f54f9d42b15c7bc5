//! Fetches of clients and followers between the wire and the partitions: which partitions are read for a request, in
//! which order, and how long it waits.

mod plan;
mod reading;

pub use plan::{SessionRequest, Sessions, begin};
pub use reading::{Fetching, Part, answered, is_enough, read_all, wait_for_records};
