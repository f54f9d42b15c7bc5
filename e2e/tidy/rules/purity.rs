//! Pure crates ask nobody: no runtime, socket, clock, environment, thread or entropy.

use crate::lexer::{code_only, line_of, words};
use crate::rules::layers::Table;
use crate::tree::Tree;
use crate::workspace::Workspace;

/// Paths that a pure crate may not name, in code or in a `use`.
const FORBIDDEN: [&str; 12] = [
    "tokio",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "RandomState",
    "thread_rng",
];

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
            let code = code_only(&source.text);
            for path in FORBIDDEN {
                for at in words(&code, path) {
                    places.push(format!("{}:{}: {path}", source.path, line_of(&code, at)));
                }
            }
        }
    }
    places
}
