//! Texts that only make sense on one machine, or that promise something for later.

use crate::tree::Tree;

/// Folders of somebody's machine. Split, so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
/// Marks of unfinished work; allowed with the number of an issue, as in `(#12)`.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Lines with a machine's path, or with a mark that names no issue.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    for source in
        tree.sources.iter().filter(|source| !source.is_generated() && !source.path.ends_with("go.sum"))
    {
        for (number, line) in source.text.lines().enumerate() {
            let machine = MACHINE_PATHS.iter().find(|path| line.contains(**path));
            let mark = MARKS.iter().find(|mark| has_open_mark(line, mark));
            if let Some(word) = machine.or(mark) {
                places.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    places
}

fn has_open_mark(line: &str, mark: &str) -> bool {
    let Some((before, after)) = line.split_once(mark) else { return false };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    !before.ends_with(is_word) && !after.starts_with(is_word) && !after.starts_with("(#")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_needs_the_number_of_an_issue() {
        let mark = MARKS[0];
        assert!(has_open_mark(&format!("// {mark}: later"), mark));
        assert!(!has_open_mark(&format!("// {mark}(#12): later"), mark));
        assert!(!has_open_mark(&format!("let {mark}_LIST = 1;"), mark));
    }
}
