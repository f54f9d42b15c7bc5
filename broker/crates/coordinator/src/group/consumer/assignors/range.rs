//! Each topic's partitions in blocks, one for each subscriber. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{PartitionIndex, TopicId};

use super::Subscriber;
use crate::group::consumer::partitions::Partitions;

/// Blocks in the order of static names, then of ids: a static member that comes back gets its former block, and members
/// that subscribe alike get the same block of every topic.
pub(super) fn assign(subscribers: &[Subscriber<'_>], counts: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..subscribers.len()).collect();
    order.sort_by_key(|index| {
        let subscriber = &subscribers[*index];
        (subscriber.instance.is_none(), subscriber.instance, subscriber.member)
    });
    let mut given = vec![Partitions::default(); subscribers.len()];
    for (topic, count) in counts {
        let takers: Vec<usize> =
            order.iter().copied().filter(|index| subscribers[*index].topics.contains(topic)).collect();
        let Ok(taker_count) = u32::try_from(takers.len()) else { continue };
        let Some(block) = count.checked_div(taker_count) else { continue };
        let mut next = 0;
        for (place, taker) in (0..taker_count).zip(takers) {
            let end = next + block + u32::from(place < count % taker_count);
            for index in next..end {
                given[taker].insert(*topic, PartitionIndex(index.cast_signed()));
            }
            next = end;
        }
    }
    given
}
