//! Which ports brokers get on 127.0.0.1. The plan is pure; [`taken`] binds a port for a moment to see if it is free.
//!
//! From the base port on, each purpose has a band of [`BROKERS_MAX`] ports, and broker N has the Nth of each band:
//!
//! | band | purpose | broker 0 with the default base |
//! |--|--|--|
//! | 0 | the first client listener | 9092 |
//! | 1 | between brokers | 9192 |
//! | 2 | health, metrics and restart safety | 9292 |
//! | 3.. | further client listeners, in the manifest's order | 9392 |

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use ottla_broker_types::NodeId;

/// Brokers on one machine: more would not fit its memory either.
pub(super) const BROKERS_MAX: u16 = 100;
/// A manifest has at most 8 client listeners; the other two bands are the brokers' own.
const BANDS: u16 = 10;
/// Ports below need rights that a laptop's user does not have.
const BASE_MIN: u16 = 1024;

/// The ports of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortPlan {
    base: u16,
}

impl PortPlan {
    /// The plan from `base` on; `Err` says which bases there are.
    pub(super) fn new(base: u16) -> Result<PortPlan, String> {
        let base_max = u16::MAX - BANDS * BROKERS_MAX + 1;
        if (BASE_MIN..=base_max).contains(&base) {
            return Ok(PortPlan { base });
        }
        Err(format!("--port {base} leaves no room for brokers: give a port from {BASE_MIN} to {base_max}"))
    }

    /// Where clients reach `broker` through the manifest's listener number `listener`.
    pub(super) fn client(self, listener: usize, broker: NodeId) -> u16 {
        let band = if listener == 0 { 0 } else { listener + 2 };
        self.port(u16::try_from(band).unwrap_or(BANDS), broker)
    }

    /// Where other brokers reach it.
    pub(super) fn internal(self, broker: NodeId) -> u16 {
        self.port(1, broker)
    }

    /// Where it serves health, metrics and restart safety.
    pub(super) fn http(self, broker: NodeId) -> u16 {
        self.port(2, broker)
    }

    /// The address for `port`.
    pub(super) fn address(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Every port of `broker` and what it is for.
    pub(super) fn of(self, broker: NodeId, listeners: usize) -> Vec<(u16, &'static str)> {
        let clients = (0..listeners).map(|listener| (self.client(listener, broker), "clients"));
        let own = [(self.internal(broker), "other brokers"), (self.http(broker), "health and metrics")];
        clients.chain(own).collect()
    }

    fn port(self, band: u16, broker: NodeId) -> u16 {
        let ordinal = u16::try_from(broker.get()).unwrap_or(BROKERS_MAX - 1);
        self.base.saturating_add(band.saturating_mul(BROKERS_MAX)).saturating_add(ordinal)
    }
}

/// A sentence if one of the ports that `broker` needs is in use.
pub(super) fn taken(plan: PortPlan, broker: NodeId, listeners: usize) -> Option<String> {
    plan.of(broker, listeners).into_iter().find_map(|(port, purpose)| {
        let error = TcpListener::bind(PortPlan::address(port)).err()?;
        Some(format!(
            "port {port}, where broker {broker} serves {purpose}, cannot be opened ({error}): stop what uses it, or choose other ports with --port"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_first_broker_is_where_clients_look_first() {
        let plan = PortPlan::new(9092).expect("it fits");
        assert_eq!(plan.client(0, NodeId(0)), 9092);
        assert_eq!(plan.client(0, NodeId(4)), 9096);
        assert_eq!((plan.internal(NodeId(0)), plan.http(NodeId(2))), (9192, 9294));
    }

    #[test]
    fn no_two_brokers_share_a_port() {
        let plan = PortPlan::new(64_536).expect("the last base fits");
        let mut seen = BTreeSet::new();
        for id in 0..i32::from(BROKERS_MAX) {
            for (port, purpose) in plan.of(NodeId(id), 8) {
                assert!(seen.insert(port), "{port} twice, for {purpose} of {id}");
            }
        }
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn bases_without_room_are_refused_with_the_range() {
        for base in [0, 1023, 64_537, 65_535] {
            let problem = PortPlan::new(base).expect_err("there is no room");
            assert!(problem.contains("1024 to 64536"), "{problem}");
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        // Any free port may serve as broker 0's; the listener keeps it in use.
        let held = TcpListener::bind(PortPlan::address(0)).expect("a port is free");
        let port = held.local_addr().expect("it is bound").port();
        let Ok(plan) = PortPlan::new(port) else { return };
        let problem = taken(plan, NodeId(0), 1).expect("it is in use");
        assert!(problem.contains(&format!("port {port}")) && problem.contains("--port"), "{problem}");
    }
}
