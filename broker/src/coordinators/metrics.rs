//! What the metrics page tells of the groups.

use std::collections::BTreeMap;

use ottla_broker_coordinator::{ConsumerGroupState, GroupKind, GroupState};

use super::groups::Groups;
use crate::metrics::MetricsText;

/// Committed offsets shown, so that very many groups do not make the page unreadable.
const COMMITTED_SAMPLES_MAX: usize = 50_000;

impl Groups {
    /// Adds the groups' samples to a page.
    pub fn metrics(&self, text: &mut MetricsText) {
        let (listed, _) = self.list();
        let mut by_state: BTreeMap<(GroupKind, &str), usize> = BTreeMap::new();
        for listing in &listed {
            *by_state.entry((listing.kind, listing.state)).or_default() += 1;
        }
        let count = |kind, state| by_state.get(&(kind, state)).copied().unwrap_or(0);
        let name = "kafka_coordinator_group_groupmetadatamanager_numgroups";
        text.single(name, "gauge", "Groups coordinated here.", listed.len());
        for state in GroupState::ALL {
            let of_state = format!("{name}{}", state.name().to_lowercase());
            let help = "Groups of the classic protocol coordinated here in this state.";
            text.single(&of_state, "gauge", help, count(GroupKind::Classic, state.name()));
        }
        let name = "kafka_coordinator_group_consumer_group_count";
        text.family(name, "gauge", "Groups of the consumer protocol (KIP-848) coordinated here, by state.");
        for state in ConsumerGroupState::ALL {
            text.sample(name, &[("state", state.name())], count(GroupKind::Consumer, state.name()));
        }
        let memory = &self.kind().memory;
        for (what, budget) in [("members", &memory.members), ("offsets", &memory.offsets)] {
            let help = format!("Bytes that {what} of groups take.");
            text.single(&format!("ottla_groups_{what}_bytes"), "gauge", &help, budget.held_bytes());
            let help = format!("Bytes that {what} of groups may take; beyond, new ones are refused.");
            text.single(&format!("ottla_groups_{what}_limit_bytes"), "gauge", &help, budget.bytes_max());
        }
        self.committed_metrics(text);
    }

    fn committed_metrics(&self, text: &mut MetricsText) {
        let name = "kafka_consumergroup_committed_offset";
        text.family(name, "gauge", "The next offset that the group will consume, as committed.");
        let mut room = COMMITTED_SAMPLES_MAX;
        for shard in self.shards() {
            let samples = shard.look(|shard| {
                let all = shard.every_committed().take(room);
                all.map(|(group, at, offset)| (group.clone(), at.clone(), offset.offset.0))
                    .collect::<Vec<_>>()
            });
            for (group, at, offset) in samples.unwrap_or_default() {
                room -= 1;
                let partition = at.partition.to_string();
                let labels = [
                    ("group", group.as_str()),
                    ("topic", at.topic.as_str()),
                    ("partition", partition.as_str()),
                ];
                text.sample(name, &labels, offset);
            }
        }
    }
}
