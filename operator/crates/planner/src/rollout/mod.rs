//! The order of restarts, and the gate before each. Pure.
//!
//! Owns which pod is deleted next and why, or what is waited for. It never forces: a pod is deleted only if it
//! serves nobody, or if the brokers themselves say that nothing suffers. At most one pod is away at a time.

mod gate;
mod input;
mod step;

pub(crate) use gate::overdue;
pub use input::RolloutInput;
pub use step::{Rollout, UNREADY_PATIENCE, next_step, question};

#[cfg(test)]
mod tests;
