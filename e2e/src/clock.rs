//! The one place of the harness that asks for the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since something began, for deadlines and for the figures that tests print.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at zero now.
    #[expect(clippy::disallowed_methods, reason = "deadlines of tests; nothing below them decides by it")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Milliseconds since 1970, to be compared with the times that brokers give to records.
#[expect(clippy::disallowed_methods, reason = "only compared; nothing below decides by it")]
pub fn unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
