//! Modules beside each other that import each other in a circle cannot be read, moved or tested one by one.

use std::collections::{BTreeMap, BTreeSet};

use crate::lexer::code_only;
use crate::tree::Tree;

/// The sources that are held to it.
const HELD: [&str; 10] = [
    "broker/crates/config/src/",
    "broker/crates/metadata/src/",
    "broker/crates/node/src/",
    "broker/crates/protocol-codegen/src/",
    "broker/crates/protocol/src/",
    "broker/crates/types/src/",
    "operator/crates/crd/src/",
    "operator/crates/kafka-admin/src/",
    "operator/crates/planner/src/",
    "operator/src/",
];

/// The path of a module from its crate's root.
type Module = Vec<String>;

/// Circles among modules that lie in one folder, with what is below them.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let circles = HELD.iter().flat_map(|folder| {
        let inside = tree.rust().filter(|source| !source.is_test());
        let modules = inside.filter_map(|source| {
            let path = source.path.strip_prefix(folder)?.strip_suffix(".rs")?;
            let mut module: Module = path.split('/').map(str::to_owned).collect();
            let is_root = matches!(path, "lib" | "main");
            if is_root || module.last().is_some_and(|name| name == "mod") {
                module.pop();
            }
            (!is_root).then(|| (module, without_tests(&code_only(&source.text)).to_owned()))
        });
        let circles = circles_among(&modules.collect());
        circles.into_iter().map(move |circle| format!("{folder}: {}", circle.join(", ")))
    });
    circles.collect()
}

fn without_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod tests").map_or(code, |at| &code[..at])
}

fn circles_among(modules: &BTreeMap<Module, String>) -> Vec<Vec<String>> {
    let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, code) in modules {
        for imported in imported(module, code) {
            let same = module.iter().zip(&imported).take_while(|(a, b)| a == b).count();
            if same == module.len() || same == imported.len() {
                continue; // the one holds the other
            }
            let (from, to) = (module[..=same].to_vec(), imported[..=same].to_vec());
            if modules.keys().any(|known| known.starts_with(&to)) {
                imports.entry(from).or_default().insert(to);
            }
        }
    }
    let mut circles = BTreeSet::new();
    for module in imports.keys() {
        let reached = reached(module, &imports);
        if reached.contains(module) {
            let circle = reached.iter().filter(|other| self::reached(other, &imports).contains(module));
            circles.insert(circle.map(|module| module.join("::")).collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

fn reached(from: &Module, imports: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = imports.get(from).into_iter().flatten().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module.clone()) {
            next.extend(imports.get(module).into_iter().flatten());
        }
    }
    reached
}

/// The modules that the paths in `code` begin with; paths to items of a module end with the item's name.
fn imported(module: &Module, code: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let starts = code.match_indices("super::").map(|(at, _)| (at, false));
    let starts = starts.chain(code.match_indices("crate::").map(|(at, _)| (at, true)));
    for (at, from_root) in starts {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at..];
        let ups =
            if from_root { 0 } else { rest.split("super::").take_while(|part| part.is_empty()).count() };
        let (base, rest) = match from_root {
            true => (vec![], &rest["crate::".len()..]),
            false => (module[..module.len().saturating_sub(ups)].to_vec(), &rest[ups * "super::".len()..]),
        };
        for path in first_names(rest) {
            found.push(base.iter().cloned().chain(path).collect());
        }
    }
    found
}

/// The names of modules that `a::b::Item` or `{a::Item, b}` begins with.
fn first_names(path: &str) -> Vec<Module> {
    match path.strip_prefix('{') {
        Some(group) => {
            let end = group.find(['}', ';']).unwrap_or(group.len());
            group[..end].split(',').map(|each| names(each.trim())).collect()
        }
        None => vec![names(path)],
    }
}

fn names(path: &str) -> Module {
    let is_name = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(path.len());
    path[..end].split("::").take_while(is_name).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(modules: &[(&str, &str)]) -> Vec<Vec<String>> {
        let module = |path: &str| path.split('/').map(str::to_owned).collect();
        circles_among(&modules.iter().map(|(path, code)| (module(path), (*code).to_owned())).collect())
    }

    #[test]
    fn siblings_that_import_each_other_are_a_circle() {
        let found =
            circles(&[("a", "use super::b::B;"), ("b", "use crate::c::{C};"), ("c", "super::a::f()")]);
        assert_eq!(found, [["a", "b", "c"]]);
        let found = circles(&[("a/x", "use crate::b::{self, B};"), ("b/y", "use crate::a::x::X;")]);
        assert_eq!(found, [["a", "b"]]);
        let found = circles(&[("a", "use super::{b, c::C};"), ("b", "use super::a;"), ("c", "")]);
        assert_eq!(found, [["a", "b"]]);
    }

    #[test]
    fn a_part_may_know_what_it_is_a_part_of() {
        assert!(
            circles(&[("a", "use b::B;"), ("a/b", "use super::A;"), ("c", "use super::a::A;")]).is_empty()
        );
    }
}
