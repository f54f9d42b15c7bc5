//! CEL rules of KafkaTopic: the expression, and the sentence that says what to do.

/// A rule as kube's derive takes it.
pub(super) type Rule = (&'static str, &'static str);

/// Kafka's limit for names.
pub(super) const NAME_SHORT: Rule = (
    "has(self.spec.topicName) || self.metadata.name.size() <= 249",
    "metadata.name is too long for a topic: use at most 249 characters or give spec.topicName",
);

/// A topic cannot be renamed.
pub(super) const NAME_FIXED: Rule = (
    "(has(self.spec.topicName) ? self.spec.topicName : self.metadata.name) == (has(oldSelf.spec.topicName) ? oldSelf.spec.topicName : oldSelf.metadata.name)",
    "topicName cannot be changed: make a new KafkaTopic and move the records there",
);

/// A topic stays in its cluster.
pub(super) const CLUSTER_FIXED: Rule =
    ("self == oldSelf", "cluster cannot be changed: make a new KafkaTopic for the other cluster");

/// The name of a KafkaCluster.
pub(super) const CLUSTER_WRITTEN: Rule = (
    "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "cluster must be the name of a KafkaCluster: see kubectl get kafkaclusters",
);

/// The name of a namespace.
pub(super) const CLUSTER_NAMESPACE_WRITTEN: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "clusterNamespace must be the name of the KafkaCluster's namespace",
);

/// The same for the cluster's namespace.
pub(super) const CLUSTER_NAMESPACE_FIXED: Rule = (
    "(has(self.clusterNamespace) ? self.clusterNamespace : '') == (has(oldSelf.clusterNamespace) ? oldSelf.clusterNamespace : '')",
    "clusterNamespace cannot be changed: make a new KafkaTopic for the other cluster",
);

/// Removing partitions would remove records.
pub(super) const PARTITIONS_GROW: Rule = (
    "self >= oldSelf",
    "partitions cannot be reduced, records would be lost: make a new topic with fewer partitions",
);

/// Topics that Kafka keeps for itself.
pub(super) const NAME_FREE: Rule = (
    "!(self in ['.', '..', '__consumer_offsets', '__transaction_state', '__share_group_state', '__cluster_metadata'])",
    "this name belongs to Kafka itself: choose another topicName",
);

/// Kafka's letters for names.
pub(super) const NAME_WRITTEN: Rule =
    ("self.matches('^[a-zA-Z0-9._-]+$')", "topicName can have letters, digits, '.', '_' and '-' only");
