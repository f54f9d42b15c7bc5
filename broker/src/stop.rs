//! Waiting for a flag that turns true once: stop, drain, leave.

use tokio::sync::watch;

/// Resolves when the flag is true, or when whoever could set it is gone.
pub async fn until_true(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|set| *set).await;
}
