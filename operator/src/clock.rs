//! The operator's one source of time and entropy.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ottla_broker_types::{TimestampMs, Uuid};

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What `work` returns, and how long it took.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = work();
    (result, begin.elapsed())
}

/// A clock that never jumps, for waiting.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn monotonic() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// A fresh id, from the operating system's entropy source.
pub fn fresh_id() -> Uuid {
    let mut bytes = [0u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            // Linux gives entropy to every process once booted; without it ids could repeat.
            Err(error) => panic!("the kernel gives no entropy: {error}"),
        }
    }
    // Kafka's ids do not begin with a dash, which tools would take for an option.
    bytes[0] &= 0x7f;
    Uuid(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_differ_and_are_no_options() {
        let ids: std::collections::BTreeSet<String> = (0..100).map(|_| fresh_id().to_string()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| !id.starts_with('-')));
    }
}
