//! The false network: one-way messages that are delayed, lost, cut off by partitions, or delivered late from a
//! connection that its sender has given up already. No I/O.
//!
//! Messages of one sender to one receiver keep their order, as on one connection; the exception is what an abandoned
//! connection still held when its sender opened the next one.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker_types::NodeId;

use crate::queue::SimTime;
use crate::rng::Rng;

/// Someone who sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// A broker.
    Node(NodeId),
    /// A producer or reader, by number.
    Client(u32),
    /// A member of the group, by number.
    Member(u32),
}

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub struct NetProfile {
    /// Least delay of a message in microseconds.
    pub delay_min_us: u64,
    /// Largest ordinary delay in microseconds.
    pub delay_max_us: u64,
    /// Of 1000 messages, how many are lost: their connection breaks.
    pub loss_permille: u64,
    /// Of 1000 messages, how many arrive late, from an abandoned connection.
    pub late_permille: u64,
}

/// Longest extra delay of a message from an abandoned connection: longer than any request's deadline, so that a retry
/// overtakes it.
const LATE_MAX_US: u64 = 3_000_000;

/// The network's state.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    profile: NetProfile,
    last_delivery: BTreeMap<(Endpoint, Endpoint), SimTime>,
    cut: BTreeSet<(Endpoint, Endpoint)>,
}

impl Net {
    /// A network without partitions.
    pub fn new(rng: Rng, profile: NetProfile) -> Net {
        Net { rng, profile, last_delivery: BTreeMap::new(), cut: BTreeSet::new() }
    }

    /// When a message sent now arrives; `None` if it never does. One that may not come late keeps its order.
    pub fn route(
        &mut self,
        now: SimTime,
        from: Endpoint,
        to: Endpoint,
        may_come_late: bool,
    ) -> Option<SimTime> {
        // Drawn in any case, so that a cut changes nothing for other messages.
        let delay = self.rng.between(self.profile.delay_min_us, self.profile.delay_max_us);
        let lost = self.rng.chance(self.profile.loss_permille);
        let late = self.rng.chance(self.profile.late_permille);
        let extra = self.rng.below(LATE_MAX_US);
        if lost || self.cut.contains(&(from, to)) {
            return None;
        }
        if late && may_come_late {
            return Some(now.plus_us(delay + extra));
        }
        let last = self.last_delivery.entry((from, to)).or_default();
        *last = now.plus_us(delay).max(*last);
        Some(*last)
    }

    /// Whether messages from `from` to `to` pass at present.
    pub fn is_open(&self, from: Endpoint, to: Endpoint) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: Endpoint, to: Endpoint) {
        self.cut.insert((from, to));
    }

    /// Ends all partitions and losses.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.profile.loss_permille = 0;
        self.profile.late_permille = 0;
    }

    /// Ends all partitions; losses go on.
    pub fn reconnect(&mut self) {
        self.cut.clear();
    }
}
