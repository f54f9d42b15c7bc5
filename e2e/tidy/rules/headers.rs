//! Every module opens with what it owns.

use crate::tree::Tree;

/// Rust files that do not open with a module comment.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    tree.rust().filter(|source| !source.text.starts_with("//! ")).map(|source| source.path.clone()).collect()
}
