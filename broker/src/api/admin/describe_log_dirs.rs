//! DescribeLogDirs (key 35): what lies on this broker's disk.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_broker_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ottla_broker_types::TopicName;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::partitions::PartitionFacts;

/// Handles a DescribeLogDirs.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: DescribeLogDirsRequest<'_> = call.request()?;
    let named: Option<BTreeSet<(&str, i32)>> = request.topics.as_ref().map(|topics| {
        // A name that no topic can have may be long, and has none.
        let topics = topics.iter().filter(|topic| TopicName::new(&topic.topic).is_ok());
        let each = topics.flat_map(|topic| topic.partitions.iter().map(|index| (&*topic.topic, *index)));
        each.collect()
    });
    let asked = |facts: &PartitionFacts| {
        let id = (facts.id.topic.as_str(), facts.id.partition.0);
        named.as_ref().is_none_or(|named| named.contains(&id))
    };
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for facts in broker.partitions.facts().into_iter().filter(asked) {
        // A follower's lag is what it knows to be committed elsewhere and does not hold yet; a leader has none.
        let lag = if facts.is_leader { 0 } else { (facts.high_watermark - facts.log_end).max(0) };
        topics.entry(facts.id.topic.as_str().to_owned()).or_default().push(DescribeLogDirsPartition {
            partition_index: facts.id.partition.0,
            partition_size: i64::try_from(facts.size_bytes).unwrap_or(i64::MAX),
            offset_lag: lag,
            is_future_key: false,
            ..Default::default()
        });
    }
    let (total_bytes, usable_bytes) = broker.partitions.opener().volume_bytes();
    let wire_bytes = |bytes: Option<u64>| bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let result = DescribeLogDirsResult {
        log_dir: Cow::Owned(broker.partitions.opener().dir().display().to_string()),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| DescribeLogDirsTopic {
                name: Cow::Owned(name),
                partitions,
                ..Default::default()
            })
            .collect(),
        total_bytes: wire_bytes(total_bytes),
        usable_bytes: wire_bytes(usable_bytes),
        is_cordoned: broker.view().is_cordoned(broker.node_id),
        ..Default::default()
    };
    Ok(Answer::now(call.reply(&DescribeLogDirsResponse { results: vec![result], ..Default::default() })))
}
