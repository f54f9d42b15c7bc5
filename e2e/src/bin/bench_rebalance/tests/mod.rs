//! Claims about plans that need more than the planner's own crate: another program, or the benchmark's cases.

mod figures;
mod oracle;
