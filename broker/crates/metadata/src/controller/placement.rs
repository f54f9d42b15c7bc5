//! Which brokers get the replicas of new partitions. No I/O.
//!
//! Racks first: no two replicas of a partition in one rack while another rack is free. Then even counts within
//! the topic, then within the cluster, then by chance from the seed. Leaders are spread the same way. Cordoned
//! brokers get nothing; fenced ones only where the others are too few, and never the leadership.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;

use super::seed::{Purpose, Seed};
use crate::image::{Image, Topic};

/// Why replicas cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Fewer brokers take replicas than a partition is to have.
    #[error(
        "the replication factor {factor} cannot be reached: {registered} brokers are registered{}; add brokers or ask \
         for fewer replicas",
        cordoned_clause(*.cordoned)
    )]
    TooFewBrokers {
        /// The replication factor asked for.
        factor: usize,
        /// All brokers of the cluster.
        registered: usize,
        /// Those among them that take no new replicas.
        cordoned: usize,
    },
    /// Nobody could lead the new partition.
    #[error("all brokers that take replicas are fenced: wait until one is back")]
    AllFenced,
}

fn cordoned_clause(cordoned: usize) -> String {
    if cordoned == 0 { String::new() } else { format!(" and {cordoned} of them are cordoned") }
}

struct Candidate<'a> {
    id: NodeId,
    rack: Option<&'a str>,
    fenced: bool,
    chance: u64,
    topic_replicas: usize,
    topic_leaders: usize,
    replicas: usize,
    leaders: usize,
}

/// Spreads replicas over an image's brokers; keeps count over all partitions that it places.
pub(crate) struct Placer<'a> {
    candidates: Vec<Candidate<'a>>,
    registered: usize,
    cordoned: usize,
}

impl<'a> Placer<'a> {
    pub(crate) fn new(image: &'a Image, seed: Seed) -> Placer<'a> {
        let mut random = seed.stream(Purpose::Placement);
        let (mut replicas, mut leaders) =
            (BTreeMap::<NodeId, usize>::new(), BTreeMap::<NodeId, usize>::new());
        for (_, _, partition) in image.partitions() {
            for id in &partition.replicas {
                *replicas.entry(*id).or_default() += 1;
            }
            if let Some(id) = partition.preferred_leader() {
                *leaders.entry(id).or_default() += 1;
            }
        }
        let registered = image.brokers().count();
        let mut candidates = Vec::new();
        for broker in image.brokers() {
            let chance = random.next();
            if !image.is_cordoned(broker.id) {
                candidates.push(Candidate {
                    id: broker.id,
                    rack: broker.rack.as_deref(),
                    fenced: !broker.is_active(),
                    chance,
                    topic_replicas: 0,
                    topic_leaders: 0,
                    replicas: replicas.get(&broker.id).copied().unwrap_or(0),
                    leaders: leaders.get(&broker.id).copied().unwrap_or(0),
                });
            }
        }
        Placer { cordoned: registered - candidates.len(), registered, candidates }
    }

    /// Starts on another topic: what it has already counts as its own.
    pub(crate) fn begin_topic(&mut self, existing: Option<&Topic>) {
        for candidate in &mut self.candidates {
            let partitions = || existing.into_iter().flat_map(|topic| topic.partitions.values());
            candidate.topic_replicas = partitions().filter(|p| p.replicas.contains(&candidate.id)).count();
            let leads =
                |p: &&std::sync::Arc<crate::image::Partition>| p.preferred_leader() == Some(candidate.id);
            candidate.topic_leaders = partitions().filter(leads).count();
        }
    }

    /// Whether `factor` replicas can be placed.
    pub(crate) fn check(&self, factor: usize) -> Result<(), PlacementError> {
        if factor > self.candidates.len() {
            let (registered, cordoned) = (self.registered, self.cordoned);
            return Err(PlacementError::TooFewBrokers { factor, registered, cordoned });
        }
        if self.candidates.iter().all(|candidate| candidate.fenced) {
            return Err(PlacementError::AllFenced);
        }
        Ok(())
    }

    /// The replicas of the next partition, the leader first. [`Placer::check`] has passed for `factor`.
    pub(crate) fn place(&mut self, factor: usize) -> Vec<NodeId> {
        let mut chosen: Vec<usize> = Vec::with_capacity(factor);
        while chosen.len() < factor {
            let racks_used =
                |rack: Option<&str>| chosen.iter().filter(|at| self.candidates[**at].rack == rack).count();
            let leads = chosen.is_empty();
            let cost = |candidate: &Candidate<'_>| {
                let leaders = if leads { (candidate.topic_leaders, candidate.leaders) } else { (0, 0) };
                let topic = (leaders.0, candidate.topic_replicas);
                let cluster = (leaders.1, candidate.replicas, candidate.chance);
                (candidate.fenced, racks_used(candidate.rack), topic, cluster)
            };
            let free = (0..self.candidates.len()).filter(|at| !chosen.contains(at));
            let Some(best) = free.min_by_key(|at| cost(&self.candidates[*at])) else { break };
            let candidate = &mut self.candidates[best];
            candidate.topic_leaders += usize::from(leads);
            candidate.leaders += usize::from(leads);
            candidate.topic_replicas += 1;
            candidate.replicas += 1;
            chosen.push(best);
        }
        chosen.into_iter().map(|at| self.candidates[at].id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ConfigResource;
    use crate::testing::Cluster;
    use std::collections::BTreeSet;

    fn place(cluster: &Cluster, partitions: usize, factor: usize, seed: u64) -> Vec<Vec<NodeId>> {
        let mut placer = Placer::new(&cluster.image, Seed(seed));
        placer.check(factor).expect("it can be placed");
        (0..partitions).map(|_| placer.place(factor)).collect()
    }

    fn counts(placed: &[Vec<NodeId>], of: impl Fn(&Vec<NodeId>) -> Vec<NodeId>) -> BTreeMap<NodeId, usize> {
        let mut counts = BTreeMap::new();
        placed.iter().flat_map(of).for_each(|id| *counts.entry(id).or_default() += 1);
        counts
    }

    fn spread(counts: &BTreeMap<NodeId, usize>, brokers: usize) -> usize {
        let least = if counts.len() < brokers { 0 } else { *counts.values().min().expect("brokers") };
        counts.values().max().expect("brokers") - least
    }

    #[test]
    fn replicas_and_leaders_are_even_whatever_the_seed() {
        let cluster = Cluster::of(5);
        for seed in 0..50 {
            let placed = place(&cluster, 17, 3, seed);
            assert!(spread(&counts(&placed, Vec::clone), 5) <= 1, "seed {seed}");
            assert!(spread(&counts(&placed, |list| vec![list[0]]), 5) <= 1, "seed {seed}");
            assert!(placed.iter().all(|list| list.iter().collect::<BTreeSet<_>>().len() == 3));
        }
    }

    #[test]
    fn the_same_seed_places_alike_and_another_differs() {
        let cluster = Cluster::of(5);
        assert_eq!(place(&cluster, 3, 2, 7), place(&cluster, 3, 2, 7));
        assert!((0..9).any(|seed| place(&cluster, 1, 1, seed) != place(&cluster, 1, 1, 9)));
    }

    #[test]
    fn no_rack_holds_two_replicas_while_another_is_free() {
        let mut cluster = Cluster::new(&[]);
        for (id, rack) in [(1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "c")] {
            cluster.join_on_rack(id, Some(rack));
        }
        let rack = |id: &NodeId| cluster.image.broker(*id).expect("registered").rack.clone();
        for list in place(&cluster, 20, 3, 1) {
            assert_eq!(list.iter().map(rack).collect::<BTreeSet<_>>().len(), 3, "{list:?}");
        }
        assert_eq!(place(&cluster, 1, 5, 1)[0].len(), 5);
    }

    #[test]
    fn cordoned_brokers_get_nothing() {
        let mut cluster = Cluster::of(3);
        cluster.set(ConfigResource::Broker(Some(NodeId(2))), "cordoned.log.dirs", "*");
        assert!(place(&cluster, 9, 2, 1).iter().all(|list| !list.contains(&NodeId(2))));
        let refused = Placer::new(&cluster.image, Seed(1)).check(3).expect_err("only two are left");
        assert_eq!(refused, PlacementError::TooFewBrokers { factor: 3, registered: 3, cordoned: 1 });
        assert!(refused.to_string().contains("1 of them are cordoned"), "{refused}");
    }

    #[test]
    fn fenced_brokers_come_last_and_never_lead() {
        let mut cluster = Cluster::of(3);
        cluster.fence(1);
        assert!(place(&cluster, 9, 2, 1).iter().all(|list| !list.contains(&NodeId(1))));
        assert!(place(&cluster, 9, 3, 1).iter().all(|list| list[2] == NodeId(1)));
        cluster.fence(2);
        cluster.fence(3);
        assert_eq!(Placer::new(&cluster.image, Seed(1)).check(1), Err(PlacementError::AllFenced));
    }

    #[test]
    fn an_emptier_broker_is_preferred_among_equals() {
        let mut cluster = Cluster::of(2);
        cluster.topic("t", &[&[1, 2], &[1, 2]], &[]);
        cluster.join(3);
        assert!((0..9).all(|seed| place(&cluster, 1, 1, seed)[0] == [NodeId(3)]));
    }
}
