//! The order of a hash map differs from run to run; a decision that depends on it cannot be replayed.

use crate::lexer::{code_only, line_of, words};
use crate::rules::layers::Table;
use crate::tree::Tree;
use crate::workspace::Workspace;

/// Ways to walk a map.
const WALKS: [&str; 8] = [
    ".iter()",
    ".iter_mut()",
    ".keys()",
    ".values()",
    ".values_mut()",
    ".into_iter()",
    ".drain(",
    ".retain(",
];
/// What makes the order of a walk invisible, on its line or on the next three.
const HARMLESS: [&str; 9] =
    [".sort", "BTree", ".sum()", ".count()", ".any(", ".all(", ".min", ".max", ".retain("];

/// Walks over hash maps in pure crates whose order may be seen.
pub(crate) fn broken(table: &Table, workspace: &Workspace, tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    for package in workspace.packages.iter().filter(|package| table.pure.contains(&package.name)) {
        let folder = format!("{}src/", package.folder());
        for source in tree.rust().filter(|source| source.path.starts_with(&folder)) {
            let code = code_only(&source.text);
            for name in hash_names(&code) {
                places.extend(walks_of(&code, &name).map(|line| format!("{}:{line}: {name}", source.path)));
            }
        }
    }
    places
}

/// The names that this file gives to hash maps and sets, in fields, arguments and variables.
fn hash_names(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for kind in ["HashMap", "HashSet"] {
        for at in words(code, kind) {
            let before = code[..at].trim_end_matches("std::collections::").trim_end_matches(['&', ' ']);
            let before = before.trim_end_matches("mut").trim_end();
            let Some(before) = before.strip_suffix([':', '=']) else { continue };
            let name: String =
                before.trim_end().chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(name.chars().rev().collect());
        }
    }
    names.sort();
    names.dedup();
    names.retain(|name: &String| !name.is_empty());
    names
}

/// The lines where the map called `name` is walked: by a loop over it or over a field of that name, or by a method.
fn walks_of<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    words(code, name).filter_map(move |at| {
        let rest = code[at + name.len()..].trim_start();
        let owner = code[..at].trim_end_matches(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
        let before = owner.trim_end_matches("mut ").trim_end_matches(['&', ' ', '\n']);
        let looped = before.ends_with(" in") && rest.starts_with('{');
        if !looped && !WALKS.iter().any(|walk| rest.starts_with(walk)) {
            return None;
        }
        let nearby: String = rest.lines().take(4).collect();
        (!HARMLESS.iter().any(|word| nearby.contains(word))).then(|| line_of(code, at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(code: &str) -> Vec<usize> {
        hash_names(code).iter().flat_map(|name| walks_of(code, name).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_walk_whose_order_is_seen_is_found() {
        assert_eq!(lines("struct A { m: HashMap<u8, u8> }\nfor x in &self.m {\n push(x)\n}"), [2]);
        assert_eq!(lines("struct A { m: HashMap<u8, u8> }\nfor x in &mut self.m {\n push(x)\n}"), [2]);
        assert_eq!(
            lines("struct A { m: std::collections::HashMap<u8, u8> }\nself.m\n .iter()\n .collect()"),
            [2]
        );
        assert_eq!(lines("let m = HashMap::new();\nfor x in &m {\n push(x)\n}"), [2]);
        assert_eq!(lines("struct A { m: HashMap<u8, u8> }\nlet v = self.m.keys().collect();\n"), [2]);
    }

    #[test]
    fn a_lookup_is_no_walk() {
        assert!(
            lines("struct A { m: HashMap<u8, Vec<u8>> }\nfor x in &self.m[&1] {\n push(x)\n}").is_empty()
        );
    }

    #[test]
    fn a_walk_that_is_sorted_is_left_alone() {
        assert!(
            lines("struct A { m: HashMap<u8, u8> }\nlet mut v = self.m.keys().collect();\nv.sort();\n")
                .is_empty()
        );
    }
}
