//! The false network: one-way messages that are delayed, lost, cut off by partitions, or delivered late from a
//! connection that its sender has given up already. No I/O.
//!
//! Producers have connections: what is sent on one arrives in order or, from some message on, not at all.
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

/// A producer's connection: who opened it, to whom, and the how-manieth of the opener it is.
pub type Connection = (Endpoint, Endpoint, u32);

#[derive(Debug, Default)]
struct Link {
    /// Nothing that is sent from now on arrives.
    is_broken: bool,
    /// Nothing arrives any more.
    is_closed: bool,
    /// When the last message to either side arrives.
    last_delivery: [SimTime; 2],
}

/// The network's state.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    profile: NetProfile,
    last_delivery: BTreeMap<(Endpoint, Endpoint), SimTime>,
    cut: BTreeSet<(Endpoint, Endpoint)>,
    links: BTreeMap<Connection, Link>,
}

impl Net {
    /// A network without partitions.
    pub fn new(rng: Rng, profile: NetProfile) -> Net {
        Net { rng, profile, last_delivery: BTreeMap::new(), cut: BTreeSet::new(), links: BTreeMap::new() }
    }

    /// When a message sent now arrives; `None` if it never does. One that may not come late keeps its order, and so does
    /// one on a connection.
    pub fn route(
        &mut self,
        now: SimTime,
        from: Endpoint,
        to: Endpoint,
        may_come_late: bool,
        connection: Option<Connection>,
    ) -> Option<SimTime> {
        // Drawn in any case, so that a cut changes nothing for other messages.
        let delay = self.rng.between(self.profile.delay_min_us, self.profile.delay_max_us);
        let lost = self.rng.chance(self.profile.loss_permille);
        let late = self.rng.chance(self.profile.late_permille);
        let extra = self.rng.below(LATE_MAX_US);
        let lost = lost || self.cut.contains(&(from, to));
        if let Some(connection) = connection {
            let link = self.links.entry(connection).or_default();
            link.is_broken |= lost;
            let last = &mut link.last_delivery[usize::from(connection.0 == from)];
            *last = now.plus_us(if late { delay + extra } else { delay }).max(*last);
            return (!link.is_broken).then_some(*last);
        }
        if lost {
            return None;
        }
        if late && may_come_late {
            return Some(now.plus_us(delay + extra));
        }
        let last = self.last_delivery.entry((from, to)).or_default();
        *last = now.plus_us(delay).max(*last);
        Some(*last)
    }

    /// Whether what was sent on the connection still arrives.
    pub fn is_closed(&self, connection: Connection) -> bool {
        self.links.get(&connection).is_some_and(|link| link.is_closed)
    }

    /// Breaks all connections to `node`; if its process has ended, what is on its way is lost as well. Returns those that
    /// worked until now.
    pub fn break_connections(&mut self, node: Endpoint, has_ended: bool) -> Vec<Connection> {
        let of_node = self.links.iter_mut().filter(|((_, to, _), link)| *to == node && !link.is_closed);
        let mut broken = Vec::new();
        for (connection, link) in of_node {
            link.is_closed = has_ended;
            if !std::mem::replace(&mut link.is_broken, true) {
                broken.push(*connection);
            }
        }
        broken
    }

    /// Whether no message comes late, so that nothing is heard of a sender that has ended.
    pub fn is_punctual(&self) -> bool {
        self.profile.late_permille == 0
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
