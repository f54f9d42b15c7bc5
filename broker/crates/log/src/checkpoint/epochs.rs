//! The leader epochs of a log as text. No I/O.

use ottla_broker_types::{LeaderEpoch, Offset};

use super::text::{Unreadable, decode, encode};

/// The file's name within the partition's directory.
pub(crate) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";

pub(crate) fn encode_epochs(entries: &[(LeaderEpoch, Offset)]) -> String {
    encode(entries.iter().map(|(epoch, start)| format!("{epoch} {start}")))
}

/// The entries; malformed unless both numbers increase from line to line.
pub(crate) fn decode_epochs(bytes: &[u8]) -> Result<Vec<(LeaderEpoch, Offset)>, Unreadable> {
    let entries = decode(std::str::from_utf8(bytes).unwrap_or_default(), entry)?;
    match entries.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1) {
        true => Ok(entries),
        false => Err(Unreadable::Malformed("its lines are not in order")),
    }
}

fn entry(line: &str) -> Option<(LeaderEpoch, Offset)> {
    let (epoch, start) = line.trim().split_once(' ')?;
    Some((epoch.parse().ok().and_then(LeaderEpoch::from_wire)?, start.parse().ok().and_then(Offset::new)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_round_trip_and_disorder_is_refused() {
        let entries = [(LeaderEpoch(0), Offset::ZERO), (LeaderEpoch(4), Offset::clamped(10))];
        assert_eq!(encode_epochs(&entries), "0\n2\n0 0\n4 10\n");
        assert_eq!(decode_epochs(encode_epochs(&entries).as_bytes()), Ok(entries.to_vec()));
        for disorder in [b"0\n2\n4 10\n0 0\n".as_slice(), b"0\n2\n0 10\n1 10\n"] {
            assert!(matches!(decode_epochs(disorder), Err(Unreadable::Malformed(_))));
        }
    }
}
