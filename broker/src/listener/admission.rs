//! Which connections of clients are served: not more than `max.connections` in all, nor than `max.connections.per.ip`
//! from one address. Brokers among themselves are not counted: clients must not keep them apart.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many connections there may be; they may change while the broker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `max.connections`: further ones wait.
    pub all: usize,
    /// `max.connections.per.ip`: further ones are closed.
    pub per_ip: usize,
    /// `max.connections.per.ip.overrides`: addresses with a limit of their own.
    pub overrides: BTreeMap<IpAddr, usize>,
}

/// The connections of clients on all of their listeners.
#[derive(Debug)]
pub struct Admission {
    state: Mutex<State>,
    /// A connection ended, or a limit changed.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    limits: ConnectionLimits,
    count: usize,
    by_ip: BTreeMap<IpAddr, usize>,
    refused: u64,
    /// How often the limits changed.
    generation: u64,
}

/// A connection that is served; it counts until dropped.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
}

enum Turn {
    Served,
    Wait,
    Refused { times: u64 },
}

impl Admission {
    /// No connection yet.
    pub fn new(limits: ConnectionLimits) -> Arc<Admission> {
        let state = State { limits, count: 0, by_ip: BTreeMap::new(), refused: 0, generation: 0 };
        Arc::new(Admission { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Takes over changed limits; returns how often they have changed. Connections that are there stay.
    pub fn set_limits(&self, limits: ConnectionLimits) -> u64 {
        let mut state = self.state.lock();
        state.limits = limits;
        state.generation += 1;
        let generation = state.generation;
        drop(state);
        self.changed.notify_waiters();
        generation
    }

    /// Adds a limit for an address to the limits of `generation`, if they are still in force: that of a host whose
    /// name had to be looked up.
    pub fn add_override(&self, generation: u64, ip: IpAddr, limit: usize) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.limits.overrides.insert(ip.to_canonical(), limit);
        }
    }

    /// Waits until a connection from `ip` may be served; `None` if there are too many from there.
    pub async fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Admitted> {
        let ip = ip.to_canonical();
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on, so that no change between the look and the wait is missed.
            changed.as_mut().enable();
            let turn = self.state.lock().turn(ip);
            match turn {
                Turn::Served => return Some(Admitted { admission: Arc::clone(self), ip }),
                Turn::Wait => changed.await,
                Turn::Refused { times } => {
                    // Who opens connections without end must not fill the log as well.
                    if times.is_power_of_two() {
                        tracing::warn!(%ip, times, "connections are refused: max.connections.per.ip, or its override, is reached");
                    }
                    return None;
                }
            }
        }
    }
}

impl State {
    fn turn(&mut self, ip: IpAddr) -> Turn {
        let from_there = self.by_ip.get(&ip).copied().unwrap_or(0);
        if from_there >= *self.limits.overrides.get(&ip).unwrap_or(&self.limits.per_ip) {
            self.refused += 1;
            return Turn::Refused { times: self.refused };
        }
        if self.count >= self.limits.all {
            return Turn::Wait;
        }
        self.count += 1;
        self.by_ip.insert(ip, from_there + 1);
        Turn::Served
    }

    fn end(&mut self, ip: IpAddr) {
        self.count -= 1;
        if let Some(count) = self.by_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.by_ip.remove(&ip);
            }
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.state.lock().end(self.ip);
        self.admission.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 0, 1));

    fn limits(all: usize, per_ip: usize) -> ConnectionLimits {
        ConnectionLimits { all, per_ip, overrides: BTreeMap::new() }
    }

    #[test]
    fn an_address_with_a_limit_of_its_own_is_held_to_that_one() {
        let overrides = BTreeMap::from([(HERE, 2)]);
        let admission = Admission::new(ConnectionLimits { overrides, ..limits(9, 0) });
        let two = [now(&admission, HERE).unwrap(), now(&admission, HERE).unwrap()];
        assert!(two.iter().all(Option::is_some));
        assert!(now(&admission, HERE).unwrap().is_none());
        assert!(now(&admission, THERE).unwrap().is_none());
        let generation = admission.set_limits(limits(9, 0));
        admission.add_override(generation, THERE, 1);
        assert!(now(&admission, THERE).unwrap().is_some());
        admission.set_limits(limits(9, 0));
        admission.add_override(generation, THERE, 5);
        assert!(now(&admission, THERE).unwrap().is_none(), "these limits are no more");
    }

    /// `None` if it waits, else whether it is served.
    fn now(admission: &Arc<Admission>, ip: IpAddr) -> Option<Option<Admitted>> {
        admission.admit(ip).now_or_never()
    }

    #[test]
    fn an_address_that_has_its_share_is_refused_and_others_are_not() {
        let admission = Admission::new(limits(9, 1));
        let first = now(&admission, HERE).unwrap();
        assert!(first.is_some());
        assert!(now(&admission, HERE).unwrap().is_none());
        let mapped = IpAddr::V6(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        assert!(now(&admission, mapped).unwrap().is_none(), "it is the same address");
        assert!(now(&admission, THERE).unwrap().is_some());
        drop(first);
        assert!(now(&admission, HERE).unwrap().is_some());
        assert!(admission.state.lock().by_ip.is_empty());
    }

    #[test]
    fn above_the_limit_of_all_a_connection_waits_for_an_end_or_a_higher_limit() {
        let admission = Admission::new(limits(1, 9));
        let first = now(&admission, HERE).unwrap();
        let mut second = Box::pin(admission.admit(THERE));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.now_or_never().unwrap();
        let mut third = Box::pin(admission.admit(THERE));
        assert!(third.as_mut().now_or_never().is_none());
        admission.set_limits(limits(2, 9));
        assert!(third.now_or_never().unwrap().is_some());
        drop(second);
    }
}
