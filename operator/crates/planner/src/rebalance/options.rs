//! What a caller can ask of the planner. No I/O.

/// How to plan. The default suits a drain, a scale-up and a periodic check alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Seeds every choice among equals; the same seed and model give the same plan.
    pub seed: u64,
    /// Spread the preferred leaders over the brokers by reordering replica lists.
    pub leaders: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { seed: 0, leaders: true }
    }
}
