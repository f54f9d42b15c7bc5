//! Which ports brokers get on 127.0.0.1, and whose they are. The plan is pure.
//!
//! I/O: [`Claims`] binds a port for a moment to see if it is free, and holds a name for it as long as it lives, by which
//! other runs of local mode in the same network see that it is another's, also while no broker has opened it.
//!
//! From the base port on, each purpose has a band of [`BROKERS_MAX`] ports, and broker N has the Nth of each band:
//!
//! | band | purpose | broker 0 with the default base |
//! |--|--|--|
//! | 0 | the first client listener | 9092 |
//! | 1 | between brokers | 9192 |
//! | 2 | health, metrics and restart safety | 9292 |
//! | 3.. | further client listeners, in the manifest's order | 9392 |

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixDatagram;

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

/// The ports that are ours from their choice on until the end.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: BTreeMap<u16, UnixDatagram>,
}

impl Claims {
    /// Claims every port of `brokers`, which must be free, or none and says why.
    pub(super) fn take(
        &mut self,
        plan: PortPlan,
        brokers: impl Iterator<Item = NodeId>,
        listeners: usize,
    ) -> Result<(), String> {
        let of = |id: NodeId| plan.of(id, listeners).into_iter().map(move |(port, what)| (port, id, what));
        let mut wanted: Vec<_> = brokers.flat_map(of).collect();
        // Of two runs that want some of the same ports, the one that gets the lowest of them gets all.
        wanted.sort();
        let mut claimed = BTreeMap::new();
        for (port, broker, purpose) in wanted {
            let refuse = |why: &str| {
                let way_out = "stop what uses it, or choose other ports with --port";
                format!("port {port}, where broker {broker} serves {purpose}, {why}: {way_out}")
            };
            if !self.held.contains_key(&port) {
                let claim = claim(port).map_err(|error| match error.kind() {
                    ErrorKind::AddrInUse => refuse("is another ottla-operator's"),
                    _ => refuse(&format!("cannot be claimed ({error})")),
                })?;
                claimed.insert(port, claim);
            }
            if let Err(error) = TcpListener::bind(PortPlan::address(port)) {
                return Err(refuse(&format!("cannot be opened ({error})")));
            }
        }
        self.held.append(&mut claimed);
        Ok(())
    }
}

/// The name that stands for a port: it belongs to the network as the port does, and goes with the process.
fn claim(port: u16) -> std::io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&std::os::unix::net::SocketAddr::from_abstract_name(format!(
        "ottla-port-{port}"
    ))?)
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
        let claimed = Claims::default().take(plan, [NodeId(0)].into_iter(), 1);
        let problem = claimed.expect_err("it is in use");
        assert!(problem.contains(&format!("port {port}")) && problem.contains("--port"), "{problem}");
    }

    /// A plan from `base` or a little above on whose ports for three brokers are free.
    fn free_plan(base: u16) -> PortPlan {
        let bases = (base..base + 4_000).step_by(7).filter_map(|base| PortPlan::new(base).ok());
        let is_free = |plan: &PortPlan| Claims::default().take(*plan, (0..3).map(NodeId), 1).is_ok();
        bases.into_iter().find(is_free).expect("some ports are free")
    }

    #[test]
    fn a_port_that_another_run_has_chosen_is_not_taken_before_its_broker_opens_it() {
        let plan = free_plan(20_000);
        let (mut first, mut second) = (Claims::default(), Claims::default());
        first.take(plan, (0..3).map(NodeId), 1).expect("they are free");
        first.take(plan, (0..3).map(NodeId), 1).expect("they are its own");
        let refused = second.take(plan, (0..3).map(NodeId), 1).expect_err("they are the first's");
        assert!(refused.contains("is another ottla-operator's"), "{refused}");
        drop(first);
        second.take(plan, (0..3).map(NodeId), 1).expect("they are free again");
    }

    #[test]
    fn of_two_runs_that_start_together_one_gets_all_its_ports_and_the_other_none() {
        let plan = free_plan(25_000);
        let shifted = PortPlan { base: plan.base + 2 };
        let take = |plan: PortPlan| {
            let mut claims = Claims::default();
            claims.take(plan, (0..3).map(NodeId), 1).map(|()| claims)
        };
        for other in [plan, shifted] {
            let both = std::thread::scope(|scope| {
                [plan, other]
                    .map(|plan| scope.spawn(move || take(plan)))
                    .map(|run| run.join().expect("it ends"))
            });
            assert_eq!(both.iter().filter(|claims| claims.is_ok()).count(), 1, "{both:?}");
        }
    }
}
