//! Who waits for the records of one replica to be committed. No I/O.

use crate::produce::{AckState, AckWait};
use crate::replica::Replica;

/// Appends with acks=all that are not answered yet, each with what its asker is answered through.
#[derive(Debug)]
pub struct AckWaits<T> {
    waiting: Vec<(AckWait, T)>,
}

impl<T> Default for AckWaits<T> {
    fn default() -> Self {
        AckWaits { waiting: Vec::new() }
    }
}

impl<T> AckWaits<T> {
    /// How many wait.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Waits on; its turn comes with the next [`AckWaits::take_ended`].
    pub fn push(&mut self, wait: AckWait, asker: T) {
        self.waiting.push((wait, asker));
    }

    /// Those whose wait is over, in the order in which they came, and how it ended. Call it whenever the high watermark
    /// moved or the role changed.
    pub fn take_ended(&mut self, replica: &Replica) -> Vec<(T, AckState)> {
        let ended =
            self.waiting.extract_if(.., |(wait, _)| replica.acks_satisfied(*wait) != AckState::Pending);
        ended.map(|(wait, asker)| (asker, replica.acks_satisfied(wait))).collect()
    }

    /// Everybody who waits: the replica is here no longer, so that for all of them another leads.
    pub fn take_all(&mut self) -> Vec<T> {
        self.waiting.drain(..).map(|(_, asker)| asker).collect()
    }
}
