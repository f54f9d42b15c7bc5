//! Where a broker is with one shard, and what requests are told meanwhile. No I/O.

use crate::runtime::coordinator::{Answers, Coordinator};
use crate::runtime::shard::Shard;
use crate::runtime::unanswered::Unanswered;

/// One shard of a broker, for one epoch of its partition.
pub enum Hosting<S: Shard, A, W> {
    /// Its log is being read.
    Loading,
    /// All that the log held is committed and replayed; requests are decided.
    Serving(Box<Coordinator<S, A, W>>),
    /// Another broker coordinates.
    Gone,
}

impl<S: Shard, A, W> Hosting<S, A, W> {
    /// The coordinator, if it serves.
    pub fn serving(&mut self) -> Result<&mut Coordinator<S, A, W>, Unanswered> {
        match self {
            Hosting::Loading => Err(Unanswered::Loading),
            Hosting::Serving(coordinator) => Ok(coordinator),
            Hosting::Gone => Err(Unanswered::NotCoordinator),
        }
    }

    /// Opens the shard for requests; false if it was given up meanwhile.
    pub fn serve(&mut self, coordinator: Coordinator<S, A, W>) -> bool {
        let is_awaited = matches!(self, Hosting::Loading);
        if is_awaited {
            *self = Hosting::Serving(Box::new(coordinator));
        }
        is_awaited
    }

    /// Gives the shard up.
    pub fn unload(&mut self) -> Answers<S, A, W> {
        match std::mem::replace(self, Hosting::Gone) {
            Hosting::Serving(coordinator) => coordinator.unload(),
            Hosting::Loading | Hosting::Gone => Vec::new(),
        }
    }

    /// Whether it was given up.
    pub fn is_gone(&self) -> bool {
        matches!(self, Hosting::Gone)
    }
}
