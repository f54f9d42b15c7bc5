//! docs/rebalancing.md: what people write stays, what is between the marks is written anew.

use std::path::Path;

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- generated: begin -->";
const END: &str = "<!-- generated: end -->";

/// Puts `text` between the marks of the file.
///
/// # Errors
/// When the file has not both marks.
pub fn replace(file: &Path, text: &str) -> Result<()> {
    let old = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let new = between(&old, text).with_context(|| format!("{} lacks its marks", file.display()))?;
    std::fs::write(file, new).with_context(|| format!("write {}", file.display()))
}

fn between(old: &str, text: &str) -> Option<String> {
    let (before, rest) = old.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let old = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(between(&old, "new"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(between("none", "new"), None);
    }
}
