//! What a score says. No I/O.

use std::fmt;

/// A ratio in parts of ten thousand, so that equal scores are equal values; shown with three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub i64);

impl Ratio {
    /// `part / whole`; one when both are zero, and the largest ratio when only the whole is.
    pub fn of(part: i64, whole: i64) -> Ratio {
        match (part, whole) {
            (0, 0) => Ratio(10_000),
            (_, 0) => Ratio(i64::MAX),
            _ => Ratio((i128::from(part) * 10_000 / i128::from(whole)) as i64),
        }
    }

    /// The ratio as a number.
    pub fn value(self) -> f64 {
        self.0 as f64 / 10_000.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == i64::MAX { write!(f, "-") } else { write!(f, "{:.3}", self.value()) }
    }
}

/// What is balanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Number of replicas.
    Replicas,
    /// Bytes on disk.
    Bytes,
    /// Bytes per second written.
    In,
    /// Bytes per second sent by leaders.
    Out,
    /// Number of preferred leaders.
    Leaders,
}

impl Dimension {
    /// Every dimension, in the order of [`Score::dimensions`].
    pub const ALL: [Dimension; 5] =
        [Dimension::Replicas, Dimension::Bytes, Dimension::In, Dimension::Out, Dimension::Leaders];

    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Replicas => "replicas",
            Dimension::Bytes => "bytes",
            Dimension::In => "in",
            Dimension::Out => "out",
            Dimension::Leaders => "leaders",
        }
    }
}

/// How evenly one dimension is spread over the brokers that stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The largest load relative to the broker's share.
    pub max_to_share: Ratio,
    /// Standard deviation of loads relative to shares.
    pub deviation: Ratio,
    /// Largest less smallest load, relative to shares.
    pub range: Ratio,
}

/// One dimension, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimensionScore {
    /// Which one.
    pub dimension: Dimension,
    /// With the original lists.
    pub before: Spread,
    /// With the planned lists.
    pub after: Spread,
    /// The largest load after, relative to the smallest that it can be.
    pub max_to_floor: Ratio,
}

/// What those of the new brokers carry that carry the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBrokers {
    /// Bytes relative to the broker's share.
    pub bytes: Ratio,
    /// Preferred leaders relative to the broker's share.
    pub leaders: Ratio,
}

/// The judgement of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// Balance, in the order of [`Dimension::ALL`].
    pub dimensions: [DimensionScore; 5],
    /// Replicas that are copied.
    pub moves: i64,
    /// The fewest that any plan to this balance copies.
    pub moves_min: i64,
    /// Bytes that are copied.
    pub bytes: i64,
    /// The fewest that any plan to this balance copies.
    pub bytes_min: i64,
    /// The fewest copies and bytes of plans to even loads, where the spread of topics does not matter.
    pub loads_min: (i64, i64),
    /// Partitions whose preferred leader changes.
    pub leader_transfers: i64,
    /// The fewest preferred leaders that must change for even leaderships.
    pub leader_transfers_min: i64,
    /// Replicas too many in a rack, before and after.
    pub racks_crowded: (i64, i64),
    /// Partitions with more replicas too many in a rack than before.
    pub racks_crowded_added: i64,
    /// Topics worth copies of which some broker holds more or less than its share by more than one replica and five
    /// percent, before and after.
    pub topics_crowded: (i64, i64),
    /// The same of their preferred leaders.
    pub topics_led_unevenly: (i64, i64),
    /// What the brokers that came without replicas carry after, relative to an even share; `None` without such brokers.
    pub new_brokers: Option<NewBrokers>,
    /// Partitions that end with another number of replicas than asked for.
    pub replication_factors_wrong: i64,
    /// The most bytes that any broker holds while old and new replicas are both there, relative to its bytes before;
    /// one where nothing arrives.
    pub transient_max: Ratio,
    /// Bytes copied from a leader in another rack.
    pub bytes_across_racks: i64,
}
