//! How the broker ends: flags that turn true once (stop, drain, leave), and the failure after which it must not go on.

use std::sync::Arc;

use tokio::sync::watch;

/// Resolves when the flag is true, or when whoever could set it is gone.
pub async fn until_true(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}

/// Where a failure is reported after which the broker must not go on; the first one counts.
///
/// With one log directory a disk that fails or is full leaves nothing that this broker could do better than the
/// replicas elsewhere: it stops, and they take over (as Kafka does when its last log directory fails).
#[derive(Clone, Debug, Default)]
pub struct Fatal {
    first: Arc<watch::Sender<Option<String>>>,
}

impl Fatal {
    /// Reports a failure, in words that say what to do.
    pub fn report(&self, failure: String) {
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(failure);
            }
            is_first
        });
    }

    /// Resolves with the first failure.
    pub async fn reported(&self) -> String {
        let mut failures = self.first.subscribe();
        match failures.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(failure)) => failure,
            // The sender is held here, so waiting cannot fail.
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_failure_counts() {
        let fatal = Fatal::default();
        fatal.report("first".to_owned());
        fatal.report("second".to_owned());
        assert_eq!(fatal.reported().await, "first");
    }
}
