//! The command `plan`: from a model file or a live cluster to a plan of moves, shown or written; nothing is moved.
//!
//! Owns the command's arguments, what is read from the cluster, and what is printed. The plan is the planner's.

mod adjust;
mod arguments;
mod live;
mod remarks;
mod run;

pub use arguments::{Arguments, Output};
pub use run::run;
