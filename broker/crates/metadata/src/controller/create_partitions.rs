//! CreatePartitions (KIP-195). No I/O.

use std::collections::BTreeSet;
use std::ops::Range;

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use super::assignment::{AssignmentError, check_manual, new_partition};
use super::batches::{count_by, split_batches, whole};
use super::decision::{Context, Decision};
use super::placement::{PlacementError, Placer};
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

/// Why a topic gets no more partitions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreatePartitionsError {
    /// Nobody can say which of the two is meant.
    #[error("topic {name} is named twice")]
    NamedTwice {
        /// The name as asked.
        name: String,
    },
    /// No topic has the name.
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name as asked.
        name: String,
    },
    /// It has as many as are asked for.
    #[error("topic {topic} has {present} partitions already")]
    NoneToAdd {
        /// Which stays as it is.
        topic: TopicName,
        /// How many it has.
        present: usize,
    },
    /// Partitions cannot be taken away.
    #[error("topic {topic} has {present} partitions: they can only become more, not {asked}")]
    Fewer {
        /// Which stays as it is.
        topic: TopicName,
        /// How many it has.
        present: usize,
        /// How many are asked for.
        asked: i32,
    },
    /// The batch would not fit the metadata log.
    #[error("one request creates at most {NEW_PARTITIONS_MAX} partitions: split it")]
    TooManyPartitions,
    /// Not every new partition is assigned, or more than those.
    #[error("{added} partitions are added but {assigned} are assigned")]
    AssignmentCount {
        /// How many partitions would be new.
        added: usize,
        /// How many lists of replicas are given.
        assigned: usize,
    },
    /// An assignment cannot be.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The controller finds no brokers for the replicas.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}

/// What came of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitionsResult {
    /// The topic's name as asked.
    pub topic: String,
    /// Done, or why not.
    pub outcome: Result<(), CreatePartitionsError>,
}

/// Kafka's limit for one request; the batch must fit the metadata log.
const NEW_PARTITIONS_MAX: usize = 10_000;

/// Adds partitions; one result a topic. With `validate_only` nothing is proposed.
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
            Err(CreatePartitionsError::NamedTwice { name: topic.clone() })
        } else {
            grow(context, &mut placer, request).and_then(|new| {
                if records.len() + new.len() > NEW_PARTITIONS_MAX {
                    return Err(CreatePartitionsError::TooManyPartitions);
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

fn grow(
    context: Context<'_>,
    placer: &mut Placer<'_>,
    request: &NewPartitions,
) -> Result<Vec<Record>, CreatePartitionsError> {
    let Some(topic) = context.image.topic(&request.topic) else {
        return Err(CreatePartitionsError::UnknownTopic { name: request.topic.clone() });
    };
    let added = added_count(topic, request.count)?;
    let assignments = match &request.assignments {
        Some(lists) if lists.len() != added => {
            return Err(CreatePartitionsError::AssignmentCount { added, assigned: lists.len() });
        }
        Some(lists) => {
            check_manual(context, lists.iter().map(Vec::as_slice), Some(topic.replication_factor()))?;
            lists.clone()
        }
        None => {
            let factor = topic.replication_factor();
            placer.check(factor)?;
            placer.begin_topic(Some(topic));
            (0..added).map(|_| placer.place(factor)).collect()
        }
    };
    let first = topic.partition_count();
    let record = |(at, replicas)| {
        let index = PartitionIndex((first + at) as i32);
        Record::Partition(new_partition(context, topic.id, index, replicas))
    };
    Ok(assignments.into_iter().enumerate().map(record).collect())
}

fn added_count(topic: &Topic, asked: i32) -> Result<usize, CreatePartitionsError> {
    let (name, present) = (|| topic.name.clone(), topic.partition_count());
    match usize::try_from(asked) {
        Ok(count) if count == present => Err(CreatePartitionsError::NoneToAdd { topic: name(), present }),
        Ok(count) if count > present + NEW_PARTITIONS_MAX => Err(CreatePartitionsError::TooManyPartitions),
        Ok(count) if count > present => Ok(count - present),
        _ => Err(CreatePartitionsError::Fewer { topic: name(), present, asked }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, ids};

    fn request(topic: &str, count: i32) -> NewPartitions {
        NewPartitions { topic: topic.to_owned(), count, assignments: None }
    }

    fn grow(cluster: &mut Cluster, requests: &[NewPartitions]) -> Vec<Result<(), CreatePartitionsError>> {
        let decision = create_partitions(cluster.context(), requests, false, Seed(1));
        cluster.take(decision).into_iter().map(|result| result.outcome).collect()
    }

    fn cluster() -> Cluster {
        let mut cluster = Cluster::of(4);
        cluster.topic("t", &[&[1, 2], &[1, 2]], &[]);
        cluster
    }

    #[test]
    fn new_partitions_keep_the_factor_and_fill_the_emptier_brokers() {
        let mut cluster = cluster();
        assert_eq!(grow(&mut cluster, &[request("t", 4)]), [Ok(())]);
        for index in [2, 3] {
            let mut replicas = cluster.state("t", index).0;
            replicas.sort_unstable();
            assert_eq!(replicas, [3, 4]);
        }
    }

    #[test]
    fn counts_only_grow() {
        let mut cluster = cluster();
        let topic = TopicName::new("t").expect("a name");
        let fewer = |asked| CreatePartitionsError::Fewer { topic: topic.clone(), present: 2, asked };
        for (count, refused) in [
            (2, CreatePartitionsError::NoneToAdd { topic: topic.clone(), present: 2 }),
            (1, fewer(1)),
            (0, fewer(0)),
            (-1, fewer(-1)),
            (i32::MAX, CreatePartitionsError::TooManyPartitions),
        ] {
            assert_eq!(grow(&mut cluster, &[request("t", count)]), [Err(refused)], "{count}");
        }
        let unknown = CreatePartitionsError::UnknownTopic { name: "x".into() };
        assert_eq!(grow(&mut cluster, &[request("x", 3)]), [Err(unknown)]);
    }

    #[test]
    fn every_topic_gets_one_row() {
        let mut cluster = cluster();
        cluster.topic("u", &[&[1]], &[]);
        let outcomes = grow(&mut cluster, &[request("t", 3), request("u", 2), request("t", 4)]);
        assert_eq!(outcomes, [Err(CreatePartitionsError::NamedTwice { name: "t".into() }), Ok(())]);
    }

    #[test]
    fn assignments_by_hand_must_fit() {
        let mut cluster = cluster();
        let unequal = AssignmentError::UnequalLength { replicas: ids(&[3]), expected: 2 };
        let unknown = AssignmentError::UnknownBroker { replicas: ids(&[4, 9]), broker: NodeId(9) };
        for (lists, outcome) in [
            (vec![ids(&[3, 4])], Err(CreatePartitionsError::AssignmentCount { added: 2, assigned: 1 })),
            (vec![ids(&[3, 4]), ids(&[3])], Err(unequal.into())),
            (vec![ids(&[3, 4]), ids(&[4, 9])], Err(unknown.into())),
            (vec![ids(&[3, 4]), ids(&[4, 3])], Ok(())),
        ] {
            let request = NewPartitions { assignments: Some(lists), ..request("t", 4) };
            assert_eq!(grow(&mut cluster, &[request]), [outcome]);
        }
        assert_eq!(cluster.state("t", 3).0, [4, 3]);
    }
}
