//! The one place of the harness that asks for the time.

use std::time::{Duration, Instant};

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
