//! One partition's step from what it is to what it shall be: ISR, ELR, election, end of a reassignment. No I/O.
//!
//! Kafka's PartitionChangeBuilder with one difference: the ISR never becomes empty. Where Kafka empties the ISR
//! and keeps the last members in the ELR, one of them stays in the ISR and the partition has no leader. The
//! replicas that may be elected are the same in both: those of ISR and ELR together (KIP-966). Where no replica
//! is eligible any more, the last known leader stays, as Kafka would elect it once it is back.

use ottla_broker_types::{NodeId, PartitionIndex};

use super::decision::Context;
use crate::image::{Partition, Topic, without};
use crate::record::{LeaderRecoveryState, PartitionChange, Record};

/// Who may be elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    /// Eligible replicas, and the preferred one even if another leads.
    Preferred,
    /// Eligible replicas, if the leader cannot go on.
    Online,
    /// Any active replica, if no eligible one is left.
    Unclean,
}

/// Gathers what a decision wants of one partition and works out the rest.
pub(crate) struct Change<'a> {
    context: Context<'a>,
    topic: &'a Topic,
    index: PartitionIndex,
    partition: &'a Partition,
    min_isr: usize,
    election: Election,
    barred: Option<NodeId>,
    granted: Option<NodeId>,
    unclean_shutdown: Option<NodeId>,
    isr: Vec<NodeId>,
    replicas: Vec<NodeId>,
    adding: Vec<NodeId>,
    removing: Vec<NodeId>,
    elr: Vec<NodeId>,
    last_known_elr: Vec<NodeId>,
    recovery: LeaderRecoveryState,
    leader: Option<NodeId>,
}

impl<'a> Change<'a> {
    /// Starts from the partition as it is; `min_isr` is the topic's `min.insync.replicas`.
    pub(crate) fn new(
        context: Context<'a>,
        topic: &'a Topic,
        index: PartitionIndex,
        partition: &'a Partition,
        min_isr: usize,
    ) -> Change<'a> {
        Change {
            context,
            topic,
            index,
            partition,
            min_isr,
            election: Election::Online,
            barred: None,
            granted: None,
            unclean_shutdown: None,
            isr: partition.isr.clone(),
            replicas: partition.replicas.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
            elr: partition.elr.clone(),
            last_known_elr: partition.last_known_elr.clone(),
            recovery: partition.recovery,
            leader: partition.leader,
        }
    }

    pub(crate) fn election(mut self, election: Election) -> Self {
        self.election = election;
        self
    }

    pub(crate) fn isr(mut self, isr: Vec<NodeId>) -> Self {
        self.isr = isr;
        self
    }

    pub(crate) fn recovery(mut self, recovery: LeaderRecoveryState) -> Self {
        self.recovery = recovery;
        self
    }

    pub(crate) fn assignment(
        mut self,
        replicas: Vec<NodeId>,
        adding: Vec<NodeId>,
        removing: Vec<NodeId>,
    ) -> Self {
        (self.replicas, self.adding, self.removing) = (replicas, adding, removing);
        self
    }

    /// A broker that is active in the image but will not be after this decision.
    pub(crate) fn barred(mut self, node: Option<NodeId>) -> Self {
        self.barred = node;
        self
    }

    /// A broker that is not active in the image but will be after this decision.
    pub(crate) fn granted(mut self, node: Option<NodeId>) -> Self {
        self.granted = node;
        self
    }

    /// A broker that came back without having stopped cleanly: it is no longer eligible.
    pub(crate) fn unclean_shutdown(mut self, node: Option<NodeId>) -> Self {
        self.unclean_shutdown = node;
        self
    }

    /// The record of the change; `None` if nothing changes.
    pub(crate) fn build(mut self) -> Option<Record> {
        self.complete_reassignment();
        self.settle_eligible();
        self.elect();
        let change = self.difference();
        (!change.is_none()).then_some(Record::PartitionChange(change))
    }

    /// A reassignment is done when every replica of the target is in the ISR.
    fn complete_reassignment(&mut self) {
        if self.adding.is_empty() && self.removing.is_empty() {
            return;
        }
        let target = without(&self.replicas, &self.removing);
        if !target.is_empty() && target.iter().all(|id| self.isr.contains(id)) {
            self.isr = without(&self.isr, &self.removing);
            self.replicas = target;
            self.adding.clear();
            self.removing.clear();
        }
    }

    /// Works the ELR out and keeps the ISR from being empty.
    fn settle_eligible(&mut self) {
        let (old, elr_enabled) = (self.partition, self.context.elr_enabled());
        let mut kept = self.replicas.clone();
        kept.retain(|id| Some(*id) != self.unclean_shutdown);
        self.isr.retain(|id| kept.contains(id));
        if !elr_enabled || self.isr.len() >= self.min_isr.min(self.replicas.len()).max(1) {
            self.elr.clear();
            self.last_known_elr.clear();
        }
        if self.isr.len() >= self.min_isr.min(self.replicas.len()).max(1) {
            return;
        }
        let eligible = common(&kept, |id| old.isr.contains(id) || old.elr.contains(id));
        if self.isr.is_empty() {
            let former = common(&eligible, |id| old.isr.contains(id));
            self.isr.extend(last_of(&former, old.leader).or(eligible.first().copied()));
        }
        if elr_enabled {
            self.elr = without(&eligible, &self.isr);
        }
        if self.isr.is_empty() {
            let former = common(&self.replicas, |id| old.isr.contains(id));
            self.isr.extend(last_of(&former, old.leader).or(self.replicas.first().copied()));
            if elr_enabled {
                self.last_known_elr.clone_from(&self.isr);
            }
        }
    }

    fn is_acceptable(&self, node: NodeId) -> bool {
        if Some(node) == self.barred {
            return false;
        }
        Some(node) == self.granted || self.context.may_lead(self.partition, node)
    }

    fn is_eligible(&self, node: NodeId) -> bool {
        (self.isr.contains(&node) || self.elr.contains(&node)) && self.is_acceptable(node)
    }

    fn elect(&mut self) {
        let leader = self.partition.leader.filter(|id| self.is_eligible(*id));
        let preferred = self.replicas.first().copied().filter(|id| self.is_eligible(*id));
        let first = |from: &[NodeId]| {
            let candidates = self.replicas.iter().copied().filter(|id| from.contains(id));
            candidates.into_iter().find(|id| self.is_eligible(*id))
        };
        let online = || first(&self.isr).or_else(|| first(&self.elr));
        let eligible = match self.election {
            Election::Preferred => preferred.or(leader).or_else(online),
            Election::Online | Election::Unclean => leader.or_else(online),
        };
        if let Some(elected) = eligible {
            self.lead(elected);
        } else if let (Election::Unclean, Some(elected)) = (self.election, self.any_active()) {
            self.leader = Some(elected);
            self.isr = vec![elected];
            self.elr.clear();
            self.last_known_elr.clear();
            self.recovery = LeaderRecoveryState::Recovering;
        } else {
            self.leader = None;
        }
    }

    /// An elected member of the ELR becomes the ISR; those who were in the ISR cannot be reached, but stay
    /// eligible while the ISR is too small to move the high watermark.
    fn lead(&mut self, elected: NodeId) {
        self.leader = Some(elected);
        if self.isr.contains(&elected) {
            return;
        }
        let eligible = common(&self.replicas, |id| self.isr.contains(id) || self.elr.contains(id));
        self.isr = vec![elected];
        let full = self.isr.len() >= self.min_isr.min(self.replicas.len());
        let kept = self.context.elr_enabled() && !full;
        self.elr = if kept { without(&eligible, &self.isr) } else { Vec::new() };
    }

    fn any_active(&self) -> Option<NodeId> {
        let active = |id: &NodeId| {
            Some(*id) != self.barred && (Some(*id) == self.granted || self.context.image.is_active(*id))
        };
        self.replicas.iter().copied().find(active)
    }

    fn difference(&self) -> PartitionChange {
        let old = self.partition;
        let changed = |new: &Vec<NodeId>, old: &Vec<NodeId>| (new != old).then(|| new.clone());
        // Fetchers and clients of a removed replica must notice, so a removal raises the leader epoch.
        let removed = old.replicas.iter().any(|id| !self.replicas.contains(id));
        let directories = self.directories();
        PartitionChange {
            topic: self.topic.id,
            partition: self.index,
            isr: changed(&self.isr, &old.isr),
            leader: (self.leader != old.leader || removed).then_some(self.leader),
            replicas: changed(&self.replicas, &old.replicas),
            removing: changed(&self.removing, &old.removing),
            adding: changed(&self.adding, &old.adding),
            recovery: (self.recovery != old.recovery).then_some(self.recovery),
            directories: (directories != old.directories).then_some(directories),
            elr: changed(&self.elr, &old.elr),
            last_known_elr: changed(&self.last_known_elr, &old.last_known_elr),
        }
    }

    /// A replica keeps its directory until it joins the ISR on a broker that no longer has it.
    fn directories(&self) -> Vec<ottla_broker_types::DirectoryId> {
        let directory = |id: &NodeId| {
            let joins = self.isr.contains(id) && !self.partition.isr.contains(id);
            let known = self.partition.directory_of(*id);
            known
                .filter(|_| !joins || self.context.may_lead(self.partition, *id))
                .unwrap_or_else(|| self.context.directory_for(*id))
        };
        self.replicas.iter().map(directory).collect()
    }
}

/// The members of `list` that pass, in order.
fn common(list: &[NodeId], passes: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
    list.iter().copied().filter(|id| passes(id)).collect()
}

/// The leader if it is in `list`, else the last of it.
fn last_of(list: &[NodeId], leader: Option<NodeId>) -> Option<NodeId> {
    leader.filter(|id| list.contains(id)).or(list.last().copied())
}
