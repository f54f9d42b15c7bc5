//! The crates of the workspace, as cargo sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::tree::root;

/// What `cargo metadata` says about our own crates.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    /// In cargo's order.
    pub(crate) packages: Vec<Package>,
}

/// One crate.
#[derive(Deserialize)]
pub(crate) struct Package {
    /// Its name, such as `ottla-broker-log`.
    pub(crate) name: String,
    /// What it depends on, for building, running and testing.
    pub(crate) dependencies: Vec<Dependency>,
    /// Its libraries, programs and test binaries.
    pub(crate) targets: Vec<Target>,
    manifest_path: PathBuf,
}

/// One dependency.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    /// The name of the other crate.
    pub(crate) name: String,
    kind: Option<String>,
}

/// One thing that is compiled on its own.
#[derive(Deserialize)]
pub(crate) struct Target {
    /// The file that the compiler starts at.
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    /// Asks cargo, without the network.
    pub(crate) fn read() -> Workspace {
        let said = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(said.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&said.stderr));
        serde_json::from_slice(&said.stdout).expect("cargo metadata is JSON of its documented form")
    }
}

/// Which crates, those of others included, each crate is linked with.
#[derive(Deserialize)]
pub(crate) struct Links {
    packages: Vec<Named>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    pkg: String,
    dep_kinds: Vec<LinkKind>,
}

#[derive(Deserialize)]
struct LinkKind {
    kind: Option<String>,
}

impl Links {
    /// Asks cargo, without the network. Features are those of a build of the whole workspace.
    pub(crate) fn read() -> Links {
        let said = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--offline", "--locked"])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(said.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&said.stderr));
        serde_json::from_slice(&said.stdout).expect("cargo metadata is JSON of its documented form")
    }

    /// Names of all crates that the one named `from` is linked with, however far down; each with the one that asks
    /// for it. What only builds or tests it does not count.
    pub(crate) fn below(&self, from: &str) -> BTreeMap<&str, &str> {
        let names: BTreeMap<&str, &str> =
            self.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
        let nodes: BTreeMap<&str, &Node> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> =
            names.iter().filter(|(_, name)| **name == from).map(|(id, _)| *id).collect();
        while let Some(id) = next.pop() {
            let linked = |link: &&Link| link.dep_kinds.iter().any(|kind| kind.kind.is_none());
            for link in nodes[id].deps.iter().filter(linked) {
                found.entry(names[link.pkg.as_str()]).or_insert(names[id]);
                if seen.insert(link.pkg.as_str()) {
                    next.push(&link.pkg);
                }
            }
        }
        found
    }
}

impl Package {
    /// The folder of the crate, from the root of the checkout, with a slash at its end.
    pub(crate) fn folder(&self) -> String {
        let folder = self.manifest_path.parent().expect("a manifest lies in a folder");
        let path = folder.strip_prefix(root()).expect("our crates lie in the checkout");
        format!("{}/", path.display())
    }

    /// Whether its manifest takes the lints of the workspace.
    pub(crate) fn takes_lints(&self) -> bool {
        let manifest = std::fs::read_to_string(&self.manifest_path).unwrap_or_default();
        manifest.contains("[lints]\nworkspace = true")
    }
}

impl Dependency {
    /// Whether only its tests need it.
    pub(crate) fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}
