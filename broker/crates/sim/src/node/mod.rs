//! A broker: the shipped cores, and as little around them as the real shell has of decisions.

mod calls;
mod controller;
mod follower;
mod groups;
mod leader;
mod membership;
mod metadata;
mod out;
mod process;
mod sessions;
mod setup;

pub use out::{LoadedOffsets, Out, Timer};
pub use process::Process;
pub use setup::Setup;
pub(crate) use setup::{LEASE, MIN_ISR, TOPIC, offsets_partition};
