//! What a caller can ask of the planner. No I/O.

use std::collections::BTreeSet;

use ottla_broker_types::NodeId;

/// How to plan. The default suits a drain, a scale-up and a periodic check alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Seeds every choice among equals; the same seed and model give the same plan.
    pub seed: u64,
    /// Spread the preferred leaders over the brokers by reordering replica lists.
    pub leaders: bool,
    /// How far above its share of bytes or traffic a broker may end, in per mille.
    pub load_permille_max: i64,
    /// How far above its share a broker's bytes or traffic must be before data moves for that alone, in per mille.
    pub load_permille_trigger: i64,
    /// Copies that may be made for the sake of balance; those that a drain, a dead broker, a rack or a changed
    /// replication factor force are never refused. `None` sets no limit.
    pub moves_max: Option<i64>,
    /// The same limit in bytes.
    pub bytes_max: Option<i64>,
    /// Brokers that alone may get copies for the sake of balance, such as those that have just come; what is uneven among
    /// the others stays so. `None` allows all.
    pub only_onto: Option<BTreeSet<NodeId>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 0,
            leaders: true,
            load_permille_max: 50,
            load_permille_trigger: 100,
            moves_max: None,
            bytes_max: None,
            only_onto: None,
        }
    }
}

impl Options {
    /// Whether a limit keeps the plan from reaching balance.
    pub(crate) fn is_limited(&self) -> bool {
        self.moves_max.is_some() || self.bytes_max.is_some()
    }

    /// Whether voluntary moves may bring the plan to these totals.
    pub(crate) fn allows(&self, copies: i64, bytes: i64) -> bool {
        self.moves_max.is_none_or(|max| copies <= max) && self.bytes_max.is_none_or(|max| bytes <= max)
    }
}
