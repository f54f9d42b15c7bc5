//! How many partitions a decision gives another leader, for the metrics. Pure.

use crate::image::Image;
use crate::record::{LeaderRecoveryState, Record};

/// Partitions by how their new leader was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elections {
    /// Those that get another leader.
    pub all: u64,
    /// Those of them whose leader was neither in sync nor eligible: it may lack what was acknowledged.
    pub unclean: u64,
}

/// Counts what `records` change about the leaders in `image`. A new topic's first leaders are not elected.
pub fn count_elections(image: &Image, records: &[Record]) -> Elections {
    let mut elections = Elections::default();
    for record in records {
        let Record::PartitionChange(change) = record else { continue };
        let Some(Some(leader)) = change.leader else { continue };
        let before = image.topic_by_id(change.topic).and_then(|topic| topic.partition(change.partition));
        let Some(before) = before.filter(|before| before.leader != Some(leader)) else { continue };
        elections.all += 1;
        let was_eligible = before.isr.contains(&leader) || before.elr.contains(&leader);
        let recovery = change.recovery.unwrap_or(before.recovery);
        if recovery == LeaderRecoveryState::Recovering && !was_eligible {
            elections.unclean += 1;
        }
    }
    elections
}

#[cfg(test)]
mod tests {
    use ottla_broker_types::NodeId;

    use super::*;
    use crate::controller::{ElectionType, elect_leaders, fence_broker};
    use crate::testing::Cluster;

    /// Counts what the decision brings, and lets it come true.
    fn fence(cluster: &mut Cluster, node: i32) -> Elections {
        let epoch = cluster.image.broker(NodeId(node)).unwrap().epoch;
        let decision = fence_broker(cluster.context(), NodeId(node), epoch).unwrap();
        let counted = count_elections(&cluster.image, &decision.records);
        cluster.commit(&decision.records);
        counted
    }

    fn elect_uncleanly(cluster: &mut Cluster) -> Elections {
        let decision = elect_leaders(cluster.context(), ElectionType::Unclean, None);
        let counted = count_elections(&cluster.image, &decision.records);
        cluster.commit(&decision.records);
        counted
    }

    #[test]
    fn a_fenced_leaders_partitions_are_elections_and_those_of_others_are_not() {
        let mut cluster = Cluster::of(3);
        cluster.topic("t", &[&[1, 2], &[1, 3], &[2, 1]], &[]);
        assert_eq!(fence(&mut cluster, 1), Elections { all: 2, unclean: 0 });
    }

    #[test]
    fn each_leader_from_outside_of_isr_and_elr_counts_as_unclean() {
        let mut cluster = Cluster::of(3);
        cluster.topic("t", &[&[1, 2, 3]], &[]);
        cluster.set_isr("t", 0, &[1]);
        assert_eq!(fence(&mut cluster, 1), Elections::default());
        assert_eq!(elect_uncleanly(&mut cluster), Elections { all: 1, unclean: 1 });
        assert_eq!(fence(&mut cluster, 2), Elections::default());
        assert_eq!(elect_uncleanly(&mut cluster), Elections { all: 1, unclean: 1 }, "while it is recovering");
    }
}
