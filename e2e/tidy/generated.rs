//! Files that programs write: what is committed must be what the program writes now.

use std::process::Command;

use crate::tree::root;

/// Runs one of our own generators in its checking mode.
pub(crate) fn check(package: &str, arguments: &[&str]) {
    let said = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", package, "--"])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let text = [said.stdout, said.stderr].concat();
    assert!(
        said.status.success(),
        "{package} {arguments:?}; `make fix` refreshes:\n{}",
        String::from_utf8_lossy(&text)
    );
}
