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

/// Applies what a write put into some sectors of the disk: the first ones, or any.
fn apply_torn(change: &Change, left: &mut Vec<u8>, rng: &mut Rng, any: bool) {
    let Change::Write { position, bytes } = change else {
        change.apply(left);
        return;
    };
    let (first, end) = (position / SECTOR_BYTES, (position + bytes.len()).div_ceil(SECTOR_BYTES));
    let first_lost = first + rng.below(end - first + 1);
    for sector in first..end {
        let kept = if any { rng.below(2) == 0 } else { sector < first_lost };
        if !kept {
            continue;
        }
        let from = (sector * SECTOR_BYTES).max(*position);
        let to = ((sector + 1) * SECTOR_BYTES).min(position + bytes.len());
        let part = bytes[from - position..to - position].to_vec();
        Change::Write { position: from, bytes: part }.apply(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_tears_where_the_disks_sectors_meet() {
        let write = Change::Write { position: 300, bytes: vec![1; 500] };
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut left = vec![0; 800];
            apply_torn(&write, &mut left, &mut Rng::new(seed), true);
            let is_whole = |part: &[u8]| part.iter().all(|byte| *byte == part[0]);
            assert!(is_whole(&left[300..512]) && is_whole(&left[512..800]), "seed {seed}");
            seen.insert((left[300], left[512]));
        }
        assert_eq!(seen.len(), 4, "each sector is lost or not");
    }
}
