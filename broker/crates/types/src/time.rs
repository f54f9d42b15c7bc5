//! Time as an argument: cores never ask for it, the shells' clocks hand it in.

/// Milliseconds since the Unix epoch, as records carry it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimestampMs(pub i64);

/// Milliseconds on a clock that never goes back; only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicMs(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationMs(pub u64);

/// Both clocks, read together once per event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For time-outs and leases.
    pub mono: MonotonicMs,
    /// For record timestamps and retention.
    pub wall: TimestampMs,
}

impl MonotonicMs {
    /// This instant moved later by `by`.
    pub const fn plus(self, by: DurationMs) -> MonotonicMs {
        MonotonicMs(self.0.saturating_add(by.0))
    }

    /// How long after `earlier` this is; zero if it is not later.
    pub const fn since(self, earlier: MonotonicMs) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }
}

impl TimestampMs {
    /// This timestamp moved earlier by `by`.
    pub const fn minus(self, by: DurationMs) -> TimestampMs {
        let by = if by.0 > i64::MAX as u64 { i64::MAX } else { by.0 as i64 };
        TimestampMs(self.0.saturating_sub(by))
    }
}

impl DurationMs {
    /// The same length as the standard library's type.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}
