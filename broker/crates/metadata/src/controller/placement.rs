//! Which brokers get the replicas of new partitions. No I/O.
//!
//! Racks first: no two replicas of a partition in one rack while another rack is free. Then even counts within
//! the topic, then within the cluster, then by chance from the seed. Leaders are spread the same way. Cordoned
//! brokers get nothing; fenced ones only where the others are too few, and never the leadership.

use std::collections::BTreeMap;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::NodeId;

use super::decision::Refused;
use super::seed::{Purpose, Seed};
use crate::image::{Image, Topic};

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

    /// Fails with INVALID_REPLICATION_FACTOR if `factor` replicas cannot be placed.
    pub(crate) fn check(&self, factor: usize) -> Result<(), Refused> {
        let refuse = |message| Err(Refused::new(ErrorCode::InvalidReplicationFactor, message));
        if factor > self.candidates.len() {
            let cordoned = match self.cordoned {
                0 => String::new(),
                count => format!(" and {count} of them are cordoned"),
            };
            return refuse(format!(
                "the replication factor {factor} cannot be reached: {} brokers are registered{cordoned}; add brokers \
                 or ask for fewer replicas",
                self.registered
            ));
        }
        if self.candidates.iter().all(|candidate| candidate.fenced) {
            return refuse("all brokers that take replicas are fenced: wait until one is back".to_owned());
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
