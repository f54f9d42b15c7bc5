//! The broker's one source of time and entropy.
//!
//! Everything below the shell takes [`Now`] and seeds as arguments; this file is where they come from.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_broker_types::{MonotonicMs, Now, TimestampMs};

/// The process's clocks; copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic reading starts near zero.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// A clock as it would be some time after its start.
    #[cfg(test)]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn started_before(age: std::time::Duration) -> Clock {
        let now = Instant::now();
        Clock { started: now.checked_sub(age).unwrap_or(now) }
    }

    /// Both clocks, read together.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clocks")]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ms = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        Now { mono: MonotonicMs(elapsed_ms(self.started)), wall: TimestampMs(wall_ms) }
    }

    /// Microseconds since the process started, for durations in metrics.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn elapsed_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A pause between half of `pause` and all of it, so that those who failed together do not try again together.
pub fn jittered(pause: Duration) -> Duration {
    let [part] = entropy::<1>();
    pause / 2 + pause * u32::from(part) / 512
}

/// Bytes from the operating system's entropy source, for ids and seeds.
pub fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    let mut filled = 0;
    while filled < N {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            // Linux gives entropy to every process once booted; without it ids could repeat.
            Err(error) => panic!("the kernel gives no entropy: {error}"),
        }
    }
    bytes
}
