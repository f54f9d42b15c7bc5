//! Every module opens with what it owns.

use crate::tree::Tree;

/// Rust files that do not open with a module comment.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    tree.rust().filter(|source| !has_header(&source.text)).map(|source| source.path.clone()).collect()
}

/// Whether the first line is a module comment with words in it.
fn has_header(text: &str) -> bool {
    text.lines()
        .next()
        .and_then(|line| line.strip_prefix("//! "))
        .is_some_and(|words| !words.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_the_first_line_and_has_words() {
        assert!(has_header("//! Owns one thing.\n\nuse std::fmt;\n"));
        for without in
            ["", "use std::fmt;\n", "// A comment.\n", "//! \n", "//!\n//! Late.\n", "\n//! Late.\n"]
        {
            assert!(!has_header(without), "{without:?}");
        }
    }
}
