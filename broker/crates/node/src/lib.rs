//! What a broker decides beside its partitions and its metadata: who counts as alive, when it is cut off itself, when
//! leaderships go back. Pure: time is an argument.

mod heartbeats;
mod leader_return;
mod leases;

pub use heartbeats::{Contact, Heartbeats};
pub use leader_return::{LeaderReturn, Left};
pub use leases::Leases;
