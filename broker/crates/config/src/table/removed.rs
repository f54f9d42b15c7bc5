//! Names that old files and infrastructure code still carry, and what to do about each. Pure data.

#[rustfmt::skip] // A table is read by rows.
const REMOVED_TOPIC: &[(&str, &str)] = &[
    ("message.downconversion.enable", "it was removed in Kafka 4.0, where records are never converted down: drop it"),
    ("message.format.version", "it was removed in Kafka 4.0, which knows one record format only: drop it"),
    ("message.timestamp.difference.max.ms", "it was removed in Kafka 4.0: use message.timestamp.before.max.ms and message.timestamp.after.max.ms"),
];

#[rustfmt::skip] // A table is read by rows.
const REMOVED_BROKER: &[(&str, &str)] = &[
    ("auto.include.jmx.reporter", "it was removed in Kafka 4.0: drop it"),
    ("broker.id.generation.enable", "it went with ZooKeeper: set node.id"),
    ("control.plane.listener.name", "it went with ZooKeeper: use controller.listener.names"),
    ("eligible.leader.replicas.enable", "it is the feature eligible.leader.replicas.version now: drop it"),
    ("group.consumer.enable", "it is the feature group.version now: drop it"),
    ("group.coordinator.new.enable", "the new coordinator is the only one: drop it"),
    ("group.share.enable", "it is the feature share.version now: drop it"),
    ("inter.broker.protocol.version", "it went with ZooKeeper: raise the feature metadata.version instead"),
    ("leader.imbalance.per.broker.percentage", "it went with ZooKeeper: drop it"),
    ("log.message.downconversion.enable", "it was removed in Kafka 4.0: drop it"),
    ("log.message.format.version", "it was removed in Kafka 4.0: drop it"),
    ("log.message.timestamp.difference.max.ms", "it was removed in Kafka 4.0: use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"),
    ("max.incremental.fetch.session.cache.shards", "it never was public: drop it"),
    ("offsets.commit.required.acks", "it was removed in Kafka 4.0: drop it"),
    ("password.encoder.secret", "it went with ZooKeeper: drop it"),
    ("zookeeper.connect", "Ottla needs no ZooKeeper: drop it and set controller.quorum.voters"),
    ("zookeeper.connection.timeout.ms", "Ottla needs no ZooKeeper: drop it"),
    ("zookeeper.session.timeout.ms", "Ottla needs no ZooKeeper: drop it"),
    ("zookeeper.set.acl", "Ottla needs no ZooKeeper: drop it"),
];

/// What to do about a topic setting that Kafka no longer has.
pub fn removed_topic_setting(name: &str) -> Option<&'static str> {
    find(REMOVED_TOPIC, name)
}

/// What to do about a broker setting that Kafka no longer has.
pub fn removed_broker_setting(name: &str) -> Option<&'static str> {
    find(REMOVED_BROKER, name)
}

fn find(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(removed, _)| *removed == name).map(|(_, advice)| *advice)
}
