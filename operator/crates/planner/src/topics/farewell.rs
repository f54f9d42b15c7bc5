//! What becomes of a topic whose object goes.

use ottla_operator_crd::cluster::DeletionPolicy;

/// What is known of an object that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Whether it bears the operator's finalizer: without it, the object may be gone before its topic is.
    pub held: bool,
    /// What it, or else its cluster, asks for now; somebody may have thought better of it since it was held.
    pub policy: DeletionPolicy,
    /// Whether the cluster takes topics of its namespace: nobody else may delete any.
    pub taken: bool,
    /// Whether another object, which stays, names the same topic.
    pub claimed: bool,
}

impl Farewell {
    /// Whether the topic is deleted before its object goes.
    pub fn deletes(&self) -> bool {
        self.held && self.taken && !self.claimed && self.policy == DeletionPolicy::Delete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_goes_only_if_nothing_speaks_for_it() {
        let goes = Farewell { held: true, policy: DeletionPolicy::Delete, taken: true, claimed: false };
        assert!(goes.deletes());
        for stays in [
            Farewell { held: false, ..goes },
            Farewell { policy: DeletionPolicy::Retain, ..goes },
            Farewell { taken: false, ..goes },
            Farewell { claimed: true, ..goes },
        ] {
            assert!(!stays.deletes(), "{stays:?}");
        }
    }
}
