//! The bugs that `e2e/planted` plants still fit the code that they break.

use crate::tree::Tree;

/// Where the patches are.
const FOLDER: &str = "broker/crates/sim/planted/";

/// Patches whose lines are not in the file that they change, or that do not say what they break.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let text_of =
        |path: &str| tree.sources.iter().find(|source| source.path == path).map(|s| s.text.as_str());
    let patches = tree.sources.iter().filter(|source| source.path.starts_with(FOLDER));
    let mut places = Vec::new();
    for patch in patches {
        if !patch.text.lines().next().is_some_and(|line| line.ends_with('.')) {
            places.push(format!("{}: the first line is no sentence", patch.path));
        }
        let hunks = hunks(&patch.text);
        if hunks.is_empty() {
            places.push(format!("{}: it changes nothing", patch.path));
        }
        for (line, file, before) in hunks {
            if text_of(file).is_none_or(|text| text.matches(&before).count() != 1) {
                places.push(format!("{}:{line}: {file} has no such lines, or has them twice", patch.path));
            }
        }
    }
    places
}

/// Each hunk of a patch: its line, the file that it changes, and what it expects there.
fn hunks(patch: &str) -> Vec<(usize, &str, String)> {
    let mut found: Vec<(usize, &str, String)> = Vec::new();
    let mut file = "";
    for (number, line) in (1..).zip(patch.lines()) {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path;
        } else if line.starts_with("@@ ") {
            found.push((number, file, String::new()));
        } else if let (Some((_, _, before)), Some(kept)) =
            (found.last_mut(), line.strip_prefix([' ', '-']).filter(|_| !line.starts_with("--- ")))
        {
            before.push_str(kept);
            before.push('\n');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Source;

    #[test]
    fn a_patch_fits_where_its_lines_stand_once() {
        let patch = "It is wrong.\n\n--- a/x.rs\n+++ b/x.rs\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";
        let check = |text: &str| {
            let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
            let sources = vec![source("broker/crates/sim/planted/x.patch", patch), source("x.rs", text)];
            broken(&Tree { sources }).len()
        };
        assert_eq!(check("zero\none\ntwo\nthree\n"), 0);
        assert_eq!(check("one\n2\nthree\n"), 1);
        assert_eq!(check("one\ntwo\nthree\none\ntwo\nthree\n"), 1);
    }
}
