//! What a power cut leaves of a file. No I/O.
//!
//! A journalling file system keeps what was synced. Of the rest it may keep nothing, all, a part in order, or
//! any part in any order: bytes that were not written although the length says so read as zeros.

use super::file::{Change, Content};
use super::rng::Rng;

/// The unit in which a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

pub(super) fn crash(content: &mut Content, rng: &mut Rng) {
    let pending = std::mem::take(&mut content.pending);
    let mut left = std::mem::take(&mut content.durable);
    match rng.below(5) {
        0 => {}
        1 => pending.iter().for_each(|change| change.apply(&mut left)),
        2 => {
            let kept = rng.below(pending.len() + 1);
            pending[..kept].iter().for_each(|change| change.apply(&mut left));
            if let Some(torn) = pending.get(kept) {
                apply_torn(torn, &mut left, rng, false);
            }
        }
        3 => pending.iter().for_each(|change| apply_torn(change, &mut left, rng, true)),
        _ => {
            for change in &pending {
                if let Change::Write { position, bytes } = change
                    && left.len() < position + bytes.len()
                {
                    left.resize(position + bytes.len(), 0);
                }
            }
        }
    }
    content.live = left.clone();
    content.durable = left;
}

/// Applies some sectors of a write: the first ones, or any.
fn apply_torn(change: &Change, left: &mut Vec<u8>, rng: &mut Rng, any: bool) {
    let Change::Write { position, bytes } = change else {
        change.apply(left);
        return;
    };
    let sectors = bytes.len().div_ceil(SECTOR_BYTES);
    let first_lost = rng.below(sectors + 1);
    for sector in 0..sectors {
        let kept = if any { rng.below(2) == 0 } else { sector < first_lost };
        if !kept {
            continue;
        }
        let from = sector * SECTOR_BYTES;
        let to = (from + SECTOR_BYTES).min(bytes.len());
        Change::Write { position: position + from, bytes: bytes[from..to].to_vec() }.apply(left);
    }
}
