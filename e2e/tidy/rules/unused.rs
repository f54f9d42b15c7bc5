//! Public items that only tests use: code that ships for nobody.
//!
//! It looks at names only, so that a namesake in use lets an item pass; nothing that is used is ever accused.

use std::collections::BTreeSet;

use crate::lexer::{code_only, line_of};
use crate::tree::{Source, Tree};

/// Words that come before the name of an item.
const KINDS: [&str; 7] = ["fn", "struct", "enum", "const", "static", "trait", "type"];
/// The sources that are held to it.
const HELD: [&str; 3] = ["broker/crates/node/src/", "operator/crates/", "operator/src/"];
/// Items that only a macro names, each with the macro.
const NAMED_BY_MACROS: [(&str, &str); 1] =
    [("KafkaTopicSpec", "kube's CustomResource makes KafkaTopic of it")];

/// Public items outside of tests whose names nothing but tests says again.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let shipped: Vec<(&Source, String)> = tree
        .sources
        .iter()
        .filter(|source| {
            source.path.ends_with(".rs") && (!source.is_test() || source.path.starts_with("e2e/src"))
        })
        .map(|source| (source, without_tests(&code_only(&source.text))))
        .collect();
    let said: BTreeSet<&str> = shipped.iter().flat_map(|(_, code)| said_names(code)).collect();
    let named: BTreeSet<&str> = NAMED_BY_MACROS.iter().map(|(name, _)| *name).collect();
    let mut places = Vec::new();
    for (source, code) in &shipped {
        if source.is_generated() || !HELD.iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        for (at, name) in public_items(code) {
            if !said.contains(name) && !named.contains(name) {
                places.push(format!("{}:{}: {name}", source.path, line_of(code, at)));
            }
        }
    }
    places
}

/// The code up to its tests: they stand at the end.
fn without_tests(code: &str) -> String {
    code.find("#[cfg(test)]\nmod tests").map_or(code, |at| &code[..at]).to_owned()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every word with its place.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|c: char| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

/// Names that are said otherwise than by defining or re-exporting them.
fn said_names(code: &str) -> impl Iterator<Item = &str> {
    let mut before = "";
    let mut in_use = false;
    words(code).filter_map(move |(at, word)| {
        let is_defined = KINDS.contains(&before);
        if word == "use" {
            in_use = true;
        } else if in_use && code[..at].rfind(';') > code[..at].rfind("use ") {
            in_use = false;
        }
        before = word;
        (!is_defined && !in_use).then_some(word)
    })
}

/// Whether the line before that of an item compiles it for tests only.
fn is_for_tests(code: &str, at: usize) -> bool {
    let mut lines = code[..at].rsplit('\n').skip(1);
    lines.next().is_some_and(|line| line.trim_start().starts_with("#[cfg(") && line.contains("test"))
}

/// Whether the item whose name is at `at` begins with `pub`.
fn is_public(code: &str, at: usize) -> bool {
    let start = code[..at].rfind(['{', '}', ';']).map_or(0, |before| before + 1);
    code[start..at].split_whitespace().any(|word| word == "pub" || word.starts_with("pub("))
}

/// Public items by name, with their place.
fn public_items(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut before = "";
    for (at, word) in words(code) {
        let is_name = KINDS.contains(&before) && !KINDS.contains(&word) && word != "_";
        if is_name && is_public(code, at) && !is_for_tests(code, at) {
            found.push((at, word));
        }
        before = word;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_and_a_re_export_are_no_use() {
        let code = "pub use a::{f, g}; pub fn f() {} pub const fn g() { h() }";
        assert_eq!(said_names(code).filter(|name| ["f", "g", "h"].contains(name)).collect::<Vec<_>>(), ["h"]);
    }

    #[test]
    fn items_are_public_or_not() {
        let code = "pub fn f() {} fn g() {} pub(crate) async fn h() {} pub struct S { pub x: u8 }\n\
                    #[cfg(test)]\npub fn t() {}";
        let names: Vec<&str> = public_items(code).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["f", "h", "S"]);
    }
}
