//! A broker whose process does nothing is fenced soon after its lease, by any controller that works all the while.
//!
//! Source: partitions that the silent broker leads serve nobody until then; peers left them so for as long as a heartbeat
//! under way could renew the lease. No I/O.

use std::collections::BTreeMap;

use ottla_broker_types::NodeId;

use super::violation::Violation;
use crate::queue::SimTime;

/// A lease, another one for a controller that has just heard of it, and time for the decision.
const PATIENCE_MS: u64 = 2_000;

/// Remembers since when each broker has been silent under one working controller.
#[derive(Debug, Default)]
pub struct SilentBrokersAreFenced {
    since: BTreeMap<NodeId, SimTime>,
}

impl SilentBrokersAreFenced {
    /// No controller works.
    pub fn nobody_controls(&mut self) {
        self.since.clear();
    }

    /// A controller works; `node` does something or not, and counts as active or not.
    pub fn look(
        &mut self,
        now: SimTime,
        node: NodeId,
        is_silent: bool,
        is_active: bool,
    ) -> Result<(), Violation> {
        if !is_silent || !is_active {
            self.since.remove(&node);
            return Ok(());
        }
        let since = *self.since.entry(node).or_insert(now);
        if now < since.plus_ms(PATIENCE_MS) {
            return Ok(());
        }
        let seen =
            format!("{node} has been silent for {} ms and is not fenced", now.millis() - since.millis());
        Err(Violation::new("silent_brokers_are_fenced", seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_silence_without_fencing_is_a_violation() {
        let mut check = SilentBrokersAreFenced::default();
        let mut look = |at: u64, is_silent, is_active| {
            check.look(SimTime(at * 1_000), NodeId(1), is_silent, is_active).is_ok()
        };
        assert!(look(0, true, true));
        assert!(look(1_999, false, true));
        assert!(look(2_000, true, true));
        assert!(look(3_999, true, true));
        assert!(!look(4_000, true, true));
        assert!(look(4_001, true, false));
    }

    #[test]
    fn silence_is_counted_anew_under_each_controller() {
        let mut check = SilentBrokersAreFenced::default();
        assert!(check.look(SimTime(0), NodeId(1), true, true).is_ok());
        check.nobody_controls();
        assert!(check.look(SimTime(2_500_000), NodeId(1), true, true).is_ok());
    }
}
