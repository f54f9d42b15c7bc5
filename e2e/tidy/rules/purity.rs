//! Pure crates ask nobody: no runtime, socket, clock, environment, thread or entropy.

use crate::lexer::{closing, code_only, line_of, words};
use crate::rules::layers::Table;
use crate::tree::Tree;
use crate::workspace::{Links, Workspace};

/// Paths that a pure crate may not name, in code or in a `use`.
const FORBIDDEN: [&str; 19] = [
    "tokio",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "Instant::now",
    "SystemTime",
    "RandomState",
    "thread_rng",
    "getrandom",
    "rustix::rand",
    "rustix::net",
    "rustix::process",
];
/// Paths to files, which only the folders may name that `layers.toml` lists.
const FILES: [&str; 5] = ["std::fs", "std::os::unix::fs", "rustix::fs", "File::open", "OpenOptions"];

/// Crates that draw entropy, for hash maps' keys mostly.
const ENTROPY: [&str; 2] = ["getrandom", "rand"];

/// Pure crates with an impure dependency, and the lines that name a forbidden path.
pub(crate) fn broken(table: &Table, workspace: &Workspace, tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    for package in workspace.packages.iter().filter(|package| table.pure.contains(&package.name)) {
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_for_tests()) {
            if let Some(reason) = table.impure.get(&dependency.name) {
                places.push(format!("{} -> {}: {reason}", package.name, dependency.name));
            }
        }
        let folder = format!("{}src/", package.folder());
        for source in tree.rust().filter(|source| source.path.starts_with(&folder)) {
            let may_touch_files = table.files.keys().any(|folder| source.path.starts_with(folder));
            let named = forbidden(&source.text, may_touch_files || source.is_test());
            places.extend(named.into_iter().map(|(line, path)| format!("{}:{line}: {path}", source.path)));
        }
    }
    places
}

/// Pure crates that are linked with an impure one through others. Entropy is left out: hash maps of others draw it.
pub(crate) fn broken_below(table: &Table, links: &Links) -> Vec<String> {
    let mut places = Vec::new();
    for pure in &table.pure {
        for (name, by) in links.below(pure) {
            let reason = table.impure.get(name).filter(|_| !ENTROPY.contains(&name));
            places.extend(reason.map(|reason| format!("{pure} -> … -> {by} -> {name}: {reason}")));
        }
    }
    places
}

/// The forbidden paths in a source and the lines that name them. `use std::{fs, net}` names them, too.
fn forbidden(source: &str, may_touch_files: bool) -> Vec<(usize, &'static str)> {
    let code = code_only(source);
    let files = FILES.iter().filter(|_| !may_touch_files);
    let mut found = Vec::new();
    for path in FORBIDDEN.iter().chain(files) {
        found.extend(words(&code, path).map(|at| (line_of(&code, at), *path)));
        let Some(("std", module)) = path.split_once("::") else { continue };
        for at in words(&code, "std").filter(|at| code[*at..].starts_with("std::{")) {
            let group = &code[at..closing(&code, at + "std::".len())];
            found.extend(words(group, module).map(|inner| (line_of(&code, at + inner), *path)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_the_system_is_found_in_code_and_in_imports() {
        assert_eq!(forbidden("//! tokio\nuse std::net::IpAddr;", false), [(2, "std::net")]);
        assert_eq!(forbidden("use std::{\n    env,\n    io,\n};", false), [(2, "std::env")]);
        assert_eq!(forbidden("fn f() { getrandom::fill(&mut b); }", false), [(1, "getrandom")]);
    }

    #[test]
    fn files_are_for_the_listed_folders() {
        let source = "fn f() { std::fs::read(path) }";
        assert_eq!(forbidden(source, false), [(1, "std::fs")]);
        assert_eq!(forbidden(source, true), []);
    }

    #[test]
    fn words_about_the_system_are_free() {
        assert_eq!(forbidden("/// As std::env does.\nlet tokio_like = \"std::fs\";", false), []);
    }
}
