//! Undoing things when a test ends, whichever way it ends.

use std::process::{Command, Stdio};

/// Runs a command, best effort and without its output, while a value is dropped: no runtime is at hand there, and a
/// test that fails already must not panic a second time.
pub(crate) fn undo(program: &str, arguments: &[&str]) {
    let ended = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status();
    if !ended.is_ok_and(|status| status.success()) {
        eprintln!("could not undo: {program} {}", arguments.join(" "));
    }
}
