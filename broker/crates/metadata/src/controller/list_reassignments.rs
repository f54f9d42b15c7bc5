//! ListPartitionReassignments (KIP-455). No I/O.

use std::sync::Arc;

use ottla_broker_types::{NodeId, PartitionIndex};

use crate::image::{Image, Partition};

/// A running reassignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// The topic's name.
    pub topic: Arc<str>,
    /// Its index within the topic.
    pub partition: PartitionIndex,
    /// All replicas: the target, then those to remove.
    pub replicas: Vec<NodeId>,
    /// Those being added.
    pub adding: Vec<NodeId>,
    /// Those to remove.
    pub removing: Vec<NodeId>,
}

/// The running reassignments, of the named partitions or of all; unknown partitions are left out.
pub fn list_reassignments(
    image: &Image,
    partitions: Option<&[(Arc<str>, PartitionIndex)]>,
) -> Vec<Reassignment> {
    let running = |topic: &str, partition: PartitionIndex, state: &Partition| {
        state.is_reassigning().then(|| Reassignment {
            topic: topic.into(),
            partition,
            replicas: state.replicas.clone(),
            adding: state.adding.clone(),
            removing: state.removing.clone(),
        })
    };
    match partitions {
        Some(named) => {
            let found = |(topic, index): &(Arc<str>, PartitionIndex)| {
                running(topic, *index, image.topic(topic)?.partition(*index)?)
            };
            named.iter().filter_map(found).collect()
        }
        None => image.partitions().filter_map(|(t, index, p)| running(t.name.as_str(), index, p)).collect(),
    }
}
