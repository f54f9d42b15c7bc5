//! Waiting for a condition, instead of sleeping for luck.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::Stopwatch;

/// How long a condition rests between two looks: short beside every deadline of a test, long beside one look.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What one look at a condition found.
pub enum Waited<T> {
    /// It holds; here is what was waited for.
    Done(T),
    /// It does not hold yet, and why; the last reason is told when time runs out.
    NotYet(String),
}

impl<T> Waited<T> {
    /// Not yet, because of `reason`.
    pub fn not_yet(reason: impl Display) -> Waited<T> {
        Waited::NotYet(reason.to_string())
    }
}

/// Looks until the condition holds.
///
/// An error of `look` counts as "not yet": brokers and API servers that are being broken refuse connections.
///
/// # Errors
/// When it did not hold within `limit`, with `what` was waited for and what the last look found.
pub async fn until<T, F>(what: &str, limit: Duration, mut look: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Waited<T>>,
{
    let started = Stopwatch::start();
    let mut before = "there was none before".to_owned();
    loop {
        let left = limit.saturating_sub(started.elapsed());
        let found = match tokio::time::timeout(left.max(LOOK_INTERVAL), look()).await {
            Ok(Ok(Waited::Done(value))) => return Ok(value),
            Ok(Ok(Waited::NotYet(reason))) => reason,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("the last look did not come back; {before}"),
        };
        if started.elapsed() >= limit {
            bail!("waited {limit:?} for {what}: {found}");
        }
        before = format!("the one before found: {found}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_to_hold_ends_the_wait() {
        let mut looks = 0;
        let value = until("the third look", Duration::from_secs(10), async || {
            looks += 1;
            Ok(if looks == 3 { Waited::Done(looks) } else { Waited::not_yet(looks) })
        })
        .await;
        assert_eq!(value.ok(), Some(3));
    }

    #[tokio::test]
    async fn running_out_of_time_tells_what_the_last_look_found() {
        let error = until::<(), _>("rain", Duration::ZERO, async || Ok(Waited::not_yet("sunny"))).await;
        let text = error.expect_err("it never holds").to_string();
        assert!(text.contains("rain") && text.contains("sunny"), "{text}");
    }

    #[tokio::test]
    async fn a_look_that_is_cut_off_tells_what_the_one_before_found() {
        let mut looks = 0;
        let error = until::<(), _>("an answer", Duration::from_millis(300), async || {
            looks += 1;
            if looks > 1 {
                std::future::pending::<()>().await;
            }
            Ok(Waited::not_yet("five of six"))
        })
        .await;
        let text = error.expect_err("it never holds").to_string();
        assert!(text.contains("did not come back") && text.contains("five of six"), "{text}");
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_outlive_the_deadline() {
        let error = until::<(), _>("an answer", Duration::from_millis(50), async || {
            std::future::pending::<()>().await;
            Ok(Waited::Done(()))
        })
        .await;
        assert!(error.is_err());
    }
}
