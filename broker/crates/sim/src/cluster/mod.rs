//! The executor and the world that it drives.

mod chaos;
mod event;
mod quorum_duty;
mod run;
mod state;

pub use run::{Finished, Outcome, simulate};
