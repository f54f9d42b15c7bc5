//! The broker of the former release.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::binaries::checkout;

/// Ends the script that builds it where the history of the checkout does not reach back to that release.
const NOT_IN_HISTORY: i32 = 3;

/// The program of the former release's broker, built if need be. `None`, and a visible skip, in a checkout without its
/// history, CI included: such a checkout cannot have it.
///
/// # Errors
/// When it cannot be built.
pub async fn former_broker() -> Result<Option<PathBuf>> {
    let built = Command::new(checkout().join("e2e/former")).output().await.context("run e2e/former")?;
    match built.status.code() {
        Some(0) => {
            let folder = String::from_utf8(built.stdout).context("e2e/former prints a path")?;
            Ok(Some(PathBuf::from(folder.trim()).join("ottla-broker")))
        }
        Some(NOT_IN_HISTORY) => {
            println!("SKIPPED: this checkout lacks the former release. To run it: git fetch --unshallow");
            Ok(None)
        }
        _ => bail!("e2e/former: {}", String::from_utf8_lossy(&built.stderr)),
    }
}
