//! What a decision on an assignment has to know of the cluster's topics. No I/O.

use ottla_broker_types::TopicId;

/// A topic that can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribedTopic {
    /// Its id, which a topic made anew under the name does not have.
    pub id: TopicId,
    /// How many partitions it has.
    pub partition_count: u32,
}

/// The topics of the cluster, as the broker that coordinates knows them at the moment.
pub trait Topics {
    /// The topic of a name; `None` while there is none.
    fn find(&self, name: &str) -> Option<SubscribedTopic>;

    /// Tells the name of every topic that a pattern may match; internal ones are not among them.
    fn each_name(&self, tell: &mut dyn FnMut(&str));
}
