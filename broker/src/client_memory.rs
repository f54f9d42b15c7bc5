//! What clients make this broker keep in memory beyond their requests: members of groups, fetch sessions. Its bytes are
//! counted, in all and for each address, so that one client cannot take what the others need.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// One address may take this part of the whole.
const SHARE_OF_ADDRESS: usize = 2;

/// The account.
#[derive(Debug)]
pub struct ClientMemory {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// What is kept for a client; no longer counted when dropped.
#[derive(Debug)]
pub struct Charge {
    memory: Arc<ClientMemory>,
    address: IpAddr,
    bytes: usize,
}

impl ClientMemory {
    /// Nothing is kept, and at most `bytes_max` will be.
    pub fn new(bytes_max: usize) -> Arc<ClientMemory> {
        Arc::new(ClientMemory { bytes_max, state: Mutex::default() })
    }

    /// Counts `bytes` for a client at `address`; `None` if it, or all together, would have too many.
    pub fn charge(self: &Arc<Self>, address: IpAddr, bytes: usize) -> Option<Charge> {
        let mut charge = Charge { memory: Arc::clone(self), address: address.to_canonical(), bytes: 0 };
        charge.grow(bytes).then_some(charge)
    }
}

impl Charge {
    /// Counts more bytes; false, and nothing has changed, if there is no room for them.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let mut state = self.memory.state.lock();
        let of_address = state.by_address.get(&self.address).copied().unwrap_or(0).saturating_add(bytes);
        let all = state.bytes.saturating_add(bytes);
        if all > self.memory.bytes_max || of_address > self.memory.bytes_max / SHARE_OF_ADDRESS {
            return false;
        }
        state.bytes = all;
        state.by_address.insert(self.address, of_address);
        self.bytes += bytes;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        state.bytes -= self.bytes;
        let left = state.by_address.get_mut(&self.address).map(|bytes| {
            *bytes -= self.bytes;
            *bytes
        });
        if left == Some(0) {
            state.by_address.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_half_and_gives_it_back() {
        let (here, there, elsewhere) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into(), [127, 0, 0, 3].into());
        let memory = ClientMemory::new(100);
        let mut first = memory.charge(here, 30).unwrap();
        assert!(first.grow(20) && !first.grow(1));
        assert!(memory.charge(here, 1).is_none());
        let second = memory.charge(there, 50).unwrap();
        assert!(memory.charge(elsewhere, 1).is_none(), "all together have too much");
        drop(second);
        assert!(memory.charge(elsewhere, 50).is_some());
        drop(first);
        assert!(memory.state.lock().by_address.is_empty());
        assert_eq!(memory.state.lock().bytes, 0);
    }
}
