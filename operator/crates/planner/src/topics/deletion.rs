//! Whether a topic is deleted with its object.

use ottla_operator_crd::cluster::DeletionPolicy;

/// What decides about the topic of an object that is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Whether it bears the operator's finalizer: without it, the object may be gone before its topic is.
    pub has_finalizer: bool,
    /// What it, or else its cluster, asks for now; somebody may have thought better of it since it was held.
    pub policy: DeletionPolicy,
    /// Whether the cluster takes topics of its namespace: nobody else may delete any.
    pub taken: bool,
    /// Whether another object, which stays, names the same topic.
    pub claimed: bool,
}

impl Deletion {
    /// Whether the topic is deleted before its object goes.
    pub fn deletes_topic(&self) -> bool {
        self.has_finalizer && self.taken && !self.claimed && self.policy == DeletionPolicy::Delete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_goes_only_if_nothing_speaks_for_it() {
        let goes =
            Deletion { has_finalizer: true, policy: DeletionPolicy::Delete, taken: true, claimed: false };
        assert!(goes.deletes_topic());
        for stays in [
            Deletion { has_finalizer: false, ..goes },
            Deletion { policy: DeletionPolicy::Retain, ..goes },
            Deletion { taken: false, ..goes },
            Deletion { claimed: true, ..goes },
        ] {
            assert!(!stays.deletes_topic(), "{stays:?}");
        }
    }
}
