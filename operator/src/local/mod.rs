//! Local mode: the same manifests, planner and order of actions as on Kubernetes, on child processes.
//!
//! Owns the processes of one cluster, its data folder, the watch on its manifests and what a person sees of it.
//! Decisions are the planner's: `observe` gives it facts in the place of the API server's, `execute` carries out what it
//! wants. Each file's header says which I/O it does.

mod data_folder;
mod execute;
mod fleet;
mod manifests;
mod observe;
mod ports;
mod process;
mod removed_topics;
mod screen;
mod session;
mod settings;
mod table;
mod topics;
mod view;
mod watch;

pub use session::{Options, run};
