//! Texts that only make sense on one machine, or that promise something for later.

use crate::lexer::{code_only, line_of, words};
use crate::tree::Tree;

/// Folders of somebody's machine. Split, so that this file does not break its own rule.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
/// Marks of unfinished work; allowed with the number of an issue, as in `(#12)`.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Macros of unfinished or inspected code, which have no reason to stay.
const MACROS: [&str; 3] = ["dbg", "todo", "unimplemented"];

/// Lines with a machine's path, with a mark that names no issue, or with a macro of unfinished code.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    let written =
        tree.sources.iter().filter(|source| !source.is_generated() && !source.path.ends_with("go.sum"));
    for source in written {
        let mut found = marks(&source.text);
        if source.path.ends_with(".rs") {
            found.extend(unfinished(&source.text));
        }
        places.extend(found.into_iter().map(|(line, word)| format!("{}:{line}: {word}", source.path)));
    }
    places
}

/// The machine paths and open marks of a text, with their lines.
fn marks(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        found.extend(
            MACHINE_PATHS.iter().filter(|path| line.contains(**path)).map(|path| (number + 1, *path)),
        );
        found.extend(MARKS.iter().filter(|mark| has_open_mark(line, mark)).map(|mark| (number + 1, *mark)));
    }
    found
}

/// The macros of unfinished code in a source, with their lines.
fn unfinished(source: &str) -> Vec<(usize, &'static str)> {
    let code = code_only(source);
    let found = MACROS.iter().flat_map(|name| {
        let code = &code;
        words(code, name)
            .filter(move |at| code[at + name.len()..].starts_with('!'))
            .map(move |at| (line_of(code, at), *name))
    });
    found.collect()
}

/// Whether any of the marks of this kind in the line stands alone and names no issue.
fn has_open_mark(line: &str, mark: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + mark.len()..]);
        !before.ends_with(is_word) && !after.starts_with(is_word) && !after.starts_with("(#")
    })
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
        assert!(has_open_mark(&format!("// {mark}(#12): later, {mark}: never"), mark));
    }

    #[test]
    fn every_path_and_mark_of_a_line_is_told() {
        let (path, mark) = (MACHINE_PATHS[0], MARKS[0]);
        assert_eq!(marks(&format!("sound\n{path}x {mark}\n")), [(2, path), (2, mark)]);
    }

    #[test]
    fn macros_of_unfinished_code_are_found_and_words_about_them_are_not() {
        let [inspect, later, never] = MACROS;
        let source = format!("fn f() {{\n {later}!();\n {inspect}!(x);\n {never}!()\n}}\n// {later}!()\n");
        assert_eq!(unfinished(&source), [(3, inspect), (2, later), (4, never)]);
        assert_eq!(unfinished(&format!("let {later} = \"{inspect}!()\";")), []);
    }
}
