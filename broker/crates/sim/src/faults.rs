//! What goes wrong in a run: drawn step by step from the seed. No I/O.

use crate::rng::Rng;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies (SIGKILL) and starts again.
    Kill,
    /// The machine loses power and starts again.
    CutPower,
    /// The process stops in order and starts again.
    Stop,
    /// The process stands still (SIGSTOP) for a while.
    Pause,
    /// The node hears nobody and is heard by nobody for a while.
    Isolate,
    /// The node is not heard by some others for a while.
    Mute,
    /// The node does not hear some others for a while.
    Deafen,
    /// Producers lose their connections to the node.
    Disconnect,
    /// A partition's replicas are moved, and may become more or fewer.
    Reassign,
}

/// One fault in time.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// What happens.
    pub fault: Fault,
    /// Which node, by its place.
    pub node: usize,
    /// How long it lasts, in milliseconds.
    pub lasts_ms: u64,
    /// When the next one comes, in milliseconds from now.
    pub next_ms: u64,
}

/// Draws the next fault of a cluster of `node_count` nodes.
pub fn draw(rng: &mut Rng, node_count: usize) -> Planned {
    const KINDS: [Fault; 15] = [
        Fault::Kill,
        Fault::Kill,
        Fault::CutPower,
        Fault::CutPower,
        Fault::Stop,
        Fault::Pause,
        Fault::Isolate,
        Fault::Isolate,
        Fault::Mute,
        Fault::Deafen,
        Fault::Disconnect,
        Fault::Disconnect,
        Fault::Reassign,
        Fault::Reassign,
        Fault::Reassign,
    ];
    Planned {
        fault: *rng.pick(&KINDS).unwrap_or(&Fault::Kill),
        node: rng.below(node_count as u64) as usize,
        lasts_ms: if rng.chance(300) { rng.between(1, 60) } else { rng.between(60, 3_000) },
        next_ms: rng.between(20, 1_500),
    }
}
