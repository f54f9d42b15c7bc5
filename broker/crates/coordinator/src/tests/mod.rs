//! Tests of the group machine: one file an idea, and a stage that plays the shell.

mod batches;
mod commits;
mod consumers;
mod consumers_random;
mod consumers_stage;
mod coordinator;
mod hostile;
mod membership;
mod memory;
mod random;
mod stage;
mod static_members;
