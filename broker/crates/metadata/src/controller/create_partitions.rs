//! CreatePartitions (KIP-195). No I/O.

use std::collections::BTreeSet;
use std::ops::Range;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{NodeId, PartitionIndex};

use super::batches::{count_by, split_batches, whole};
use super::create_topics::{check_manual, new_partition};
use super::decision::{Context, Decision, Refused};
use super::placement::Placer;
use super::seed::Seed;
use crate::image::{Image, Topic};
use crate::record::Record;

/// How many partitions a topic shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic's name.
    pub topic: String,
    /// The new count, the present partitions included.
    pub count: i32,
    /// The replicas of each new partition; `None` leaves the choice to the controller.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// What came of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitionsResult {
    /// The topic's name as asked.
    pub topic: String,
    /// Done, or why not.
    pub outcome: Result<(), Refused>,
}

/// Kafka's limit for one request; the batch must fit the metadata log.
const NEW_PARTITIONS_MAX: usize = 10_000;

/// Adds partitions; one result a topic. With `validate_only` nothing is proposed.
///
/// Errors of one topic: INVALID_REQUEST (named twice), UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS,
/// INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR.
pub fn create_partitions(
    context: Context<'_>,
    requests: &[NewPartitions],
    validate_only: bool,
    seed: Seed,
) -> Decision<Vec<CreatePartitionsResult>> {
    let mut placer = Placer::new(context.image, seed);
    let mut records = Vec::new();
    let mut reply: Vec<CreatePartitionsResult> = Vec::with_capacity(requests.len());
    let named = count_by(requests.iter().map(|request| request.topic.as_str()));
    let mut answered = BTreeSet::new();
    for request in requests {
        let topic = request.topic.clone();
        if !answered.insert(request.topic.as_str()) {
            continue;
        }
        let outcome = if named[request.topic.as_str()] > 1 {
            Err(Refused::new(ErrorCode::InvalidRequest, format!("topic {topic} is named twice")))
        } else {
            grow(context, &mut placer, request).and_then(|new| {
                if records.len() + new.len() > NEW_PARTITIONS_MAX {
                    return Err(too_many());
                }
                records.extend(new);
                Ok(())
            })
        };
        reply.push(CreatePartitionsResult { topic, outcome });
    }
    if validate_only {
        records.clear();
    }
    Decision { records, reply }
}

/// Cuts a request into parts that are decided one after the other. What checks of the whole concern stays whole.
pub fn split_new_partitions(
    image: &Image,
    requests: &[NewPartitions],
    validate_only: bool,
) -> Vec<Range<usize>> {
    let weight = |request: &NewPartitions| {
        let present = image.topic(&request.topic).map_or(0, Topic::partition_count);
        usize::try_from(request.count).unwrap_or(0).saturating_sub(present)
    };
    let partitions = requests.iter().map(weight).fold(0, usize::saturating_add);
    if validate_only || partitions > NEW_PARTITIONS_MAX {
        return whole(requests);
    }
    split_batches(requests, |request| request.topic.clone(), weight)
}

fn too_many() -> Refused {
    let message = format!("one request creates at most {NEW_PARTITIONS_MAX} partitions: split it");
    Refused::new(ErrorCode::InvalidPartitions, message)
}

fn grow(
    context: Context<'_>,
    placer: &mut Placer<'_>,
    request: &NewPartitions,
) -> Result<Vec<Record>, Refused> {
    let Some(topic) = context.image.topic(&request.topic) else {
        let message = format!("there is no topic {}", request.topic);
        return Err(Refused::new(ErrorCode::UnknownTopicOrPartition, message));
    };
    let count_new = added_count(topic, request.count)?;
    let assignments = match &request.assignments {
        Some(lists) if lists.len() != count_new => {
            let message = format!("{count_new} partitions are added but {} are assigned", lists.len());
            return Err(Refused::new(ErrorCode::InvalidReplicaAssignment, message));
        }
        Some(lists) => {
            check_manual(context, lists.iter().map(Vec::as_slice), Some(topic.replication_factor()))?;
            lists.clone()
        }
        None => {
            let factor = topic.replication_factor();
            placer.check(factor)?;
            placer.begin_topic(Some(topic));
            (0..count_new).map(|_| placer.place(factor)).collect()
        }
    };
    let first = topic.partition_count();
    let record = |(at, replicas)| {
        let index = PartitionIndex((first + at) as i32);
        Record::Partition(new_partition(context, topic.id, index, replicas))
    };
    Ok(assignments.into_iter().enumerate().map(record).collect())
}

fn added_count(topic: &Topic, count: i32) -> Result<usize, Refused> {
    let present = topic.partition_count();
    let refuse = |message| Err(Refused::new(ErrorCode::InvalidPartitions, message));
    match usize::try_from(count) {
        Ok(count) if count == present => {
            refuse(format!("topic {} has {present} partitions already", topic.name))
        }
        Ok(count) if count > present + NEW_PARTITIONS_MAX => Err(too_many()),
        Ok(count) if count > present => Ok(count - present),
        _ => refuse(format!(
            "topic {} has {present} partitions: they can only become more, not {count}",
            topic.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, ids};

    fn request(topic: &str, count: i32) -> NewPartitions {
        NewPartitions { topic: topic.to_owned(), count, assignments: None }
    }

    fn grow(cluster: &mut Cluster, requests: &[NewPartitions]) -> Vec<ErrorCode> {
        let decision = create_partitions(cluster.context(), requests, false, Seed(1));
        let reply = cluster.take(decision);
        let code = |r: &CreatePartitionsResult| {
            r.outcome.as_ref().map_or_else(|refused| refused.code, |()| ErrorCode::None)
        };
        reply.iter().map(code).collect()
    }

    fn cluster() -> Cluster {
        let mut cluster = Cluster::of(4);
        cluster.topic("t", &[&[1, 2], &[1, 2]], &[]);
        cluster
    }

    #[test]
    fn new_partitions_keep_the_factor_and_fill_the_emptier_brokers() {
        let mut cluster = cluster();
        assert_eq!(grow(&mut cluster, &[request("t", 4)]), [ErrorCode::None]);
        for index in [2, 3] {
            let mut replicas = cluster.state("t", index).0;
            replicas.sort_unstable();
            assert_eq!(replicas, [3, 4]);
        }
    }

    #[test]
    fn counts_only_grow() {
        let mut cluster = cluster();
        for count in [2, 1, 0, -1, i32::MAX] {
            assert_eq!(grow(&mut cluster, &[request("t", count)]), [ErrorCode::InvalidPartitions], "{count}");
        }
        assert_eq!(grow(&mut cluster, &[request("x", 3)]), [ErrorCode::UnknownTopicOrPartition]);
    }

    #[test]
    fn every_topic_gets_one_row() {
        let mut cluster = cluster();
        cluster.topic("u", &[&[1]], &[]);
        let codes = grow(&mut cluster, &[request("t", 3), request("u", 2), request("t", 4)]);
        assert_eq!(codes, [ErrorCode::InvalidRequest, ErrorCode::None]);
    }

    #[test]
    fn assignments_by_hand_must_fit() {
        let mut cluster = cluster();
        for (lists, code) in [
            (vec![ids(&[3, 4])], ErrorCode::InvalidReplicaAssignment),
            (vec![ids(&[3, 4]), ids(&[3])], ErrorCode::InvalidReplicaAssignment),
            (vec![ids(&[3, 4]), ids(&[4, 9])], ErrorCode::InvalidReplicaAssignment),
            (vec![ids(&[3, 4]), ids(&[4, 3])], ErrorCode::None),
        ] {
            let request = NewPartitions { assignments: Some(lists), ..request("t", 4) };
            assert_eq!(grow(&mut cluster, &[request]), [code]);
        }
        assert_eq!(cluster.state("t", 3).0, [4, 3]);
    }
}
