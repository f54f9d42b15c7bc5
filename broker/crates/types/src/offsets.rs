//! Positions in a partition's log.

use std::fmt;

/// The position of a record in a partition's log; never negative.
///
/// Names that end in `_end` hold the first offset *after* a range, `last_` ones are inclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of every new partition.
    pub const ZERO: Offset = Offset(0);
    /// The largest offset that the wire format can carry.
    pub const MAX: Offset = Offset(i64::MAX);

    /// Wraps a wire value; `None` for Kafka's negative markers.
    pub const fn new(value: i64) -> Option<Offset> {
        if value < 0 { None } else { Some(Offset(value)) }
    }

    /// Wraps a value that is known not to be negative; negative input becomes zero.
    pub const fn clamped(value: i64) -> Offset {
        if value < 0 { Offset(0) } else { Offset(value) }
    }

    /// The raw wire value.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// This offset moved forward by `count` records, saturating at [`Offset::MAX`].
    pub const fn plus(self, count: i64) -> Offset {
        Offset::clamped(self.0.saturating_add(count))
    }

    /// The offset after this one.
    pub const fn next(self) -> Offset {
        self.plus(1)
    }

    /// The offset before this one; `None` at zero.
    pub const fn prev(self) -> Option<Offset> {
        Offset::new(self.0 - 1)
    }

    /// How many offsets lie from `start` (inclusive) to `self` (exclusive); zero if `start` is later.
    pub const fn distance_from(self, start: Offset) -> i64 {
        if self.0 > start.0 { self.0 - start.0 } else { 0 }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_wire_values_are_no_offsets() {
        assert_eq!(Offset::new(-1), None);
        assert_eq!(Offset::new(7).map(Offset::get), Some(7));
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Offset::MAX.next(), Offset::MAX);
        assert_eq!(Offset::ZERO.prev(), None);
        assert_eq!(Offset::clamped(3).distance_from(Offset::clamped(10)), 0);
    }
}
