//! What brokers that come and go mean for every partition. No I/O.

use ottla_broker_types::NodeId;

use super::change::{Change, Election};
use super::decision::Context;
use crate::image::{Partition, Topic};
use crate::record::Record;

/// Removes `node` from every ISR and elects other leaders; after an unclean stop also from every ELR.
pub(crate) fn broker_leaves(context: Context<'_>, node: NodeId, unclean: bool) -> Vec<Record> {
    let affected = |p: &Partition| p.isr.contains(&node) || (unclean && p.elr.contains(&node));
    for_each(context, affected, |change, partition| {
        let isr = crate::image::without(&partition.isr, &[node]);
        change.isr(isr).barred(Some(node)).unclean_shutdown(unclean.then_some(node))
    })
}

/// Elects leaders, now that `node` may lead, where there is none.
pub(crate) fn broker_returns(context: Context<'_>, node: NodeId) -> Vec<Record> {
    let affected = |p: &Partition| p.leader.is_none() && p.replicas.contains(&node);
    for_each(context, affected, |change, partition| {
        // A broker that lost the replica's directory holds none of its records.
        let broker = context.image.broker(node);
        let directory = partition.directory_of(node);
        let kept = broker.is_some_and(|broker| {
            let known = directory.filter(|id| *id != crate::image::UNASSIGNED_DIRECTORY);
            known.is_none_or(|id| broker.log_dirs.is_empty() || broker.log_dirs.contains(&id))
        });
        change.granted(kept.then_some(node))
    })
}

/// Elects leaders where there is none and one may be elected.
pub(crate) fn leaderless(context: Context<'_>) -> Vec<Record> {
    for_each(context, |p: &Partition| p.leader.is_none(), |change, _| change)
}

fn for_each<'a>(
    context: Context<'a>,
    affected: impl Fn(&Partition) -> bool,
    adjust: impl Fn(Change<'a>, &'a Partition) -> Change<'a>,
) -> Vec<Record> {
    let mut records = Vec::new();
    for topic in context.image.topics() {
        let mut rules = None;
        for (index, partition) in &topic.partitions {
            if !affected(partition) {
                continue;
            }
            let (min_isr, election) = *rules.get_or_insert_with(|| rules_of(context, topic));
            let change = Change::new(context, topic, *index, partition, min_isr).election(election);
            records.extend(adjust(change, partition).build());
        }
    }
    records
}

/// A topic's `min.insync.replicas` and the election that its settings allow.
pub(crate) fn rules_of(context: Context<'_>, topic: &Topic) -> (usize, Election) {
    let name = topic.name.as_str();
    let election = if context.unclean_allowed(name) { Election::Unclean } else { Election::Online };
    (context.min_insync_replicas(name), election)
}
