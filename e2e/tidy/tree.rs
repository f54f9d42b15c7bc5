//! The files of the checkout that people read.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One file of the checkout.
pub(crate) struct Source {
    /// Its path from the root of the checkout, with forward slashes.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

/// Every text file that is, or is about to be, under version control.
pub(crate) struct Tree {
    /// In the order of their paths.
    pub(crate) sources: Vec<Source>,
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is a folder of the checkout").to_owned()
}

impl Tree {
    /// Reads the tree; files that are no UTF-8 text are left out.
    pub(crate) fn read() -> Tree {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()
            .expect("git lists the files");
        assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
        let mut sources: Vec<Source> = String::from_utf8_lossy(&listed.stdout)
            .split_terminator('\0')
            .filter_map(|path| {
                let text = std::fs::read_to_string(root().join(path)).ok()?;
                Some(Source { path: path.to_owned(), text })
            })
            .collect();
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { sources }
    }

    /// The Rust files that people write.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.path.ends_with(".rs") && !source.is_generated())
    }
}

impl Source {
    /// Whether a program wrote it.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.contains("/generated/")
            || self.path.starts_with("crds/")
            || self.path.starts_with("charts/ottla/golden/")
            || self.path.ends_with("Cargo.lock")
    }
    /// Whether only tests compile it, as its path says.
    pub(crate) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.contains("/tests/")
            || self.path.starts_with("e2e/")
            || matches!(name, "tests.rs" | "testing.rs")
            || name.ends_with("_test.rs")
    }
}
