//! A simulator: from a seed, a cluster of the shipped cores on a false network, disk and clock.

mod invariants;
mod net;
mod queue;
mod rng;
mod trace;

pub use invariants::Violation;
pub use queue::{EventQueue, SimTime};
pub use rng::Rng;
pub use trace::Trace;
