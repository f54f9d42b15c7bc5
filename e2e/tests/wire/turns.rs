//! Who runs beside whom: what measures time runs alone, so that no other test takes the processor from its brokers.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static TURNS: RwLock<()> = RwLock::const_new(());

/// Held by a test that measures nothing.
pub async fn beside_others() -> RwLockReadGuard<'static, ()> {
    TURNS.read().await
}

/// Held by a test that measures time.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().await
}
