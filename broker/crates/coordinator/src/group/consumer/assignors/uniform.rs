//! As even as it can be, with as few partitions moved as that takes. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::{PartitionIndex, TopicId};

use super::Subscriber;
use crate::group::consumer::partitions::Partitions;

/// Rounds in which members with different subscriptions are evened out; each looks at every partition once. Real groups
/// need two or three, and what is left uneven after the last is only that.
const ROUNDS_MAX: usize = 16;

type Partition = (TopicId, PartitionIndex);

/// Who has what while it is shared out.
struct Shares<'a> {
    subscribers: &'a [Subscriber<'a>],
    owners: BTreeMap<Partition, usize>,
    loads: Vec<usize>,
}

/// What each shall have, in their order.
pub(super) fn assign(subscribers: &[Subscriber<'_>], counts: &BTreeMap<TopicId, u32>) -> Vec<Partitions> {
    let mut shares = Shares { subscribers, owners: BTreeMap::new(), loads: vec![0; subscribers.len()] };
    shares.keep(counts);
    let is_alike = subscribers.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    if is_alike {
        shares.trim(counts);
    }
    shares.fill(counts, is_alike);
    if !is_alike {
        shares.even_out();
    }
    let mut given = vec![Partitions::default(); subscribers.len()];
    for ((topic, partition), owner) in shares.owners {
        given[owner].insert(topic, partition);
    }
    given
}

impl Shares<'_> {
    /// Everybody keeps what it had and still may have; of two who had the same, the first.
    fn keep(&mut self, counts: &BTreeMap<TopicId, u32>) {
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            for at in subscriber.former.iter() {
                let exists = counts.get(&at.0).is_some_and(|count| at.1.0.cast_unsigned() < *count);
                if exists && subscriber.topics.contains(&at.0) && !self.owners.contains_key(&at) {
                    self.owners.insert(at, index);
                    self.loads[index] += 1;
                }
            }
        }
    }

    /// Takes what is above an even share away from members that subscribe alike; of each, from the topic of which it
    /// has most.
    fn trim(&mut self, counts: &BTreeMap<TopicId, u32>) {
        let Some(first) = self.subscribers.first() else { return };
        let all: usize =
            first.topics.iter().filter_map(|topic| counts.get(topic)).map(|count| *count as usize).sum();
        let (share, mut larger) = (all / self.loads.len(), all % self.loads.len());
        let mut excess = vec![0; self.loads.len()];
        for (index, load) in self.loads.iter().enumerate() {
            let is_larger = *load > share && larger > 0;
            larger -= usize::from(is_larger);
            excess[index] = load.saturating_sub(share + usize::from(is_larger));
        }
        let mut by_owner: BTreeMap<usize, BTreeMap<TopicId, Vec<PartitionIndex>>> = BTreeMap::new();
        for ((topic, partition), owner) in self.owners.iter().filter(|(_, owner)| excess[**owner] > 0) {
            by_owner.entry(*owner).or_default().entry(*topic).or_default().push(*partition);
        }
        for (owner, mut topics) in by_owner {
            for _ in 0..excess[owner] {
                let most = topics.iter_mut().max_by_key(|(_, partitions)| partitions.len());
                let Some((topic, partition)) = most.and_then(|(topic, had)| Some((*topic, had.pop()?)))
                else {
                    break;
                };
                self.owners.remove(&(topic, partition));
                self.loads[owner] -= 1;
            }
        }
    }

    /// Gives what nobody has to the subscriber with least. Topics that few can take come first; members that subscribe
    /// alike take turns, so that each topic is spread over them.
    fn fill(&mut self, counts: &BTreeMap<TopicId, u32>, is_alike: bool) {
        let mut topics: Vec<(usize, TopicId)> = counts
            .keys()
            .map(|topic| (self.takers(*topic).count(), *topic))
            .filter(|(takers, _)| *takers > 0)
            .collect();
        topics.sort_unstable();
        let mut turn = 0;
        for (_, topic) in topics {
            let takers: Vec<usize> = self.takers(topic).collect();
            for index in 0..counts.get(&topic).copied().unwrap_or_default() {
                let at = (topic, PartitionIndex(index.cast_signed()));
                if self.owners.contains_key(&at) {
                    continue;
                }
                // Among those with least the next in turn, where all are alike.
                let rank = |taker: &usize| {
                    (
                        self.loads[*taker],
                        if is_alike { (taker + takers.len() - turn) % takers.len() } else { *taker },
                    )
                };
                let Some(taker) = takers.iter().copied().min_by_key(rank) else { continue };
                turn = (taker + 1) % takers.len();
                self.owners.insert(at, taker);
                self.loads[taker] += 1;
            }
        }
    }

    /// Moves partitions from members with more to subscribers with less, as long as that evens them out.
    fn even_out(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut has_moved = false;
            for at in self.owners.keys().copied().collect::<Vec<_>>() {
                let Some(owner) = self.owners.get(&at).copied() else { continue };
                let least = self.takers(at.0).min_by_key(|taker| (self.loads[*taker], *taker));
                if let Some(least) = least
                    && self.loads[owner] > self.loads[least] + 1
                {
                    self.owners.insert(at, least);
                    self.loads[owner] -= 1;
                    self.loads[least] += 1;
                    has_moved = true;
                }
            }
            if !has_moved {
                return;
            }
        }
    }

    fn takers(&self, topic: TopicId) -> impl Iterator<Item = usize> + use<'_> {
        let subscribes = move |(_, subscriber): &(usize, &Subscriber<'_>)| subscriber.topics.contains(&topic);
        self.subscribers.iter().enumerate().filter(subscribes).map(|(index, _)| index)
    }
}
