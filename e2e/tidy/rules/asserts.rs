//! Tests that can fail: what looks like a check is one, and every test has one.

use std::collections::{BTreeMap, BTreeSet};

use crate::lexer::{closing, code_only, line_of, words};
use crate::rules::sizes::{Function, functions};
use crate::tree::{Source, Tree};
use crate::workspace::Workspace;

/// Macros that fail a test, by how their names begin, and calls that fail it with what they found. What is merely
/// unwrapped is the way to what is tested.
const CHECKS: [&str; 10] = [
    "assert",
    "prop_assert",
    "panic!",
    "unreachable!",
    "ensure!",
    "bail!",
    "unwrap_err()",
    "expect_err(",
    "TestRunner",
    "exit(",
];
/// Attributes that make a function a test.
const TESTS: [&str; 2] = ["#[test]", "#[tokio::test"];
/// An attribute whose test fails when nothing panics.
const PANICS: &str = "#[should_panic";

/// Lines where the outcome of `matches!` is thrown away.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    for source in tree.rust() {
        let code = code_only(&source.text);
        places.extend(unasserted(&code).map(|line| format!("{}:{line}", source.path)));
    }
    places
}

fn unasserted(code: &str) -> impl Iterator<Item = usize> + '_ {
    words(code, "matches").filter_map(|at| {
        let open = at + "matches!".len();
        if !code[at..].starts_with("matches!(") {
            return None;
        }
        let opens_statement = code[..at].trim_end().ends_with([';', '{', '}']);
        let ends_statement = code.get(closing(code, open) + 1..).is_some_and(|rest| rest.starts_with(';'));
        (opens_statement && ends_statement).then(|| line_of(code, at))
    })
}

/// Tests that check nothing, themselves or by the helpers that they call.
pub(crate) fn silent(tree: &Tree, workspace: &Workspace) -> Vec<String> {
    let mut places = Vec::new();
    for package in &workspace.packages {
        let folder = package.folder();
        let inner = |source: &&Source| {
            let others = workspace.packages.iter().map(|other| other.folder());
            let inside =
                |other: &String| other.len() > folder.len() && source.path.starts_with(other.as_str());
            source.path.starts_with(&folder) && !others.into_iter().any(|other| inside(&other))
        };
        let codes: Vec<(&str, String)> =
            tree.rust().filter(inner).map(|source| (source.path.as_str(), code_only(&source.text))).collect();
        places.extend(silent_among(&codes).map(|(path, line, name)| format!("{path}:{line}: {name}")));
    }
    places
}

/// The silent tests among the sources of one crate. A call is told by its name alone, so that a namesake which checks
/// lets a test pass; nothing that checks is ever accused.
fn silent_among<'a>(codes: &'a [(&'a str, String)]) -> impl Iterator<Item = (&'a str, usize, String)> + 'a {
    let mut all: Vec<(&str, &str, Function)> = Vec::new();
    for (path, code) in codes {
        all.extend(functions(code).into_iter().map(|function| (*path, code.as_str(), function)));
    }
    let checking = checking(&all);
    all.into_iter().filter_map(move |(path, code, function)| {
        let attributes = attributes(code, function.at);
        let is_test = TESTS.iter().any(|test| attributes.contains(test)) && !attributes.contains(PANICS);
        let checks = checks(&code[function.body.clone()])
            || calls(&code[function.body.clone()]).any(|name| checking.contains(name));
        (is_test && !checks).then(|| (path, line_of(code, function.at), function.name))
    })
}

/// The names of functions that check something, themselves or by others.
fn checking(all: &[(&str, &str, Function)]) -> BTreeSet<String> {
    let mut callers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut next: Vec<&str> = Vec::new();
    for (_, code, function) in all {
        let body = &code[function.body.clone()];
        if checks(body) {
            next.push(&function.name);
        }
        for called in calls(body) {
            callers.entry(called).or_default().push(&function.name);
        }
    }
    let mut checking = BTreeSet::new();
    while let Some(name) = next.pop() {
        if checking.insert(name.to_owned()) {
            next.extend(callers.get(name).into_iter().flatten());
        }
    }
    checking
}

fn checks(body: &str) -> bool {
    let starts_word = |at: usize| !body[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    CHECKS.iter().any(|check| body.match_indices(check).any(|(at, _)| starts_word(at)))
}

/// The names that are called, or handed over to be called, as in `for_each(check)`.
fn calls(body: &str) -> impl Iterator<Item = &str> {
    body.match_indices(['(', ')', ',']).filter_map(|(at, _)| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let start = body[..at].rfind(|c: char| !is_word(c)).map_or(0, |before| before + 1);
        (start < at).then(|| &body[start..at])
    })
}

/// The attributes and the visibility right before the `fn` at `at`.
fn attributes(code: &str, at: usize) -> &str {
    let start = code[..at].rfind(['}', ';', '{']).map_or(0, |before| before + 1);
    &code[start..at]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent_in(source: &str) -> Vec<String> {
        let codes = [("a.rs", code_only(source))];
        silent_among(&codes).map(|(_, _, name)| name).collect()
    }

    #[test]
    fn only_a_statement_throws_its_outcome_away() {
        let code =
            "{\n matches!(x, A(_));\n assert!(matches!(x, B));\n let y = matches!(x, C);\n matches!(x, D)\n}";
        assert_eq!(unasserted(code).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_test_without_a_check_is_silent() {
        assert_eq!(silent_in("#[test]\nfn a() {\n let x = 1; // assert!(x)\n}"), ["a"]);
        assert_eq!(silent_in("#[tokio::test(start_paused = true)]\nasync fn a() { run().await; }"), ["a"]);
    }

    #[test]
    fn a_test_may_check_by_helpers_of_helpers() {
        let source = "fn deep() { assert!(true); }\nfn mid() { deep(); }\n#[test]\nfn a() { mid(); }";
        assert!(silent_in(source).is_empty());
        let handed_over = "fn check(n: u8) { assert!(n > 0); }\n#[test]\nfn a() { (1..9).for_each(check); }";
        assert!(silent_in(handed_over).is_empty());
    }

    #[test]
    fn a_test_that_must_panic_checks() {
        assert!(silent_in("#[test]\n#[should_panic(expected = \"x\")]\nfn a() { f(); }").is_empty());
    }

    #[test]
    fn what_is_unwrapped_is_not_checked() {
        assert_eq!(silent_in("#[test]\nfn a() { f().unwrap(); g().expect(\"x\"); }"), ["a"]);
    }

    #[test]
    fn what_is_no_test_need_not_check() {
        assert!(silent_in("fn a() { f(); }").is_empty());
    }
}
