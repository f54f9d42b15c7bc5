//! Which crate may import which, and what only some may import.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::tree::root;
use crate::workspace::Workspace;

/// `layers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The height of each crate; imports go strictly down.
    pub(crate) height: BTreeMap<String, u32>,
    /// Crates whose decisions are plain synchronous code.
    pub(crate) pure: Vec<String>,
    /// Folders of pure crates that may touch files, and why.
    pub(crate) files: BTreeMap<String, String>,
    /// Crates of others that no pure crate may use, and why.
    pub(crate) impure: BTreeMap<String, String>,
    /// Crates of others that only the named ones of ours may use.
    pub(crate) only: BTreeMap<String, Vec<String>>,
    /// From crate to crate: the reason.
    pub(crate) arrows: BTreeMap<String, BTreeMap<String, String>>,
}

impl Table {
    /// Reads the table beside this program.
    ///
    /// # Errors
    /// When it is missing or not of the form that is described above.
    pub(crate) fn read() -> Result<Table, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(root().join("e2e/tidy/layers.toml"))?;
        Ok(toml::from_str(&text)?)
    }
}

/// Every arrow that goes up or sideways, has no reason, or is listed and not there.
pub(crate) fn broken(table: &Table, workspace: &Workspace) -> Vec<String> {
    let ours: BTreeSet<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    for package in &workspace.packages {
        let from = package.name.as_str();
        let Some(height) = table.height.get(from) else {
            places.push(format!("{from} has no height"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_for_tests()) {
            let to = dependency.name.as_str();
            if !ours.contains(to) {
                if table.only.get(to).is_some_and(|allowed| !allowed.iter().any(|name| name == from)) {
                    places.push(format!("{from} -> {to}: only {:?} may", table.only[to]));
                }
                continue;
            }
            seen.insert((from, to));
            if table.height.get(to).is_some_and(|below| below >= height) {
                places.push(format!("{from} -> {to} does not go down"));
            }
            if !table.arrows.get(from).is_some_and(|reasons| reasons.contains_key(to)) {
                places.push(format!("{from} -> {to} has no reason"));
            }
        }
    }
    for (from, reasons) in &table.arrows {
        for to in reasons.keys().filter(|to| !seen.contains(&(from.as_str(), to.as_str()))) {
            places.push(format!("{from} -> {to} is listed and not there"));
        }
    }
    places.extend(
        table
            .height
            .keys()
            .filter(|name| !ours.contains(name.as_str()))
            .map(|name| format!("{name} is listed and not there")),
    );
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two crates, `upper` at 20 and `lower` at 10, with the arrows and reasons that are given.
    fn broken_with(arrows: &[(&str, &str)], reasons: &[(&str, &str)]) -> Vec<String> {
        let package = |name: &str| {
            let to = arrows.iter().filter(|(from, _)| *from == name);
            let dependencies: Vec<_> =
                to.map(|(_, to)| serde_json::json!({ "name": to, "kind": null })).collect();
            serde_json::json!({ "name": name, "dependencies": dependencies, "targets": [], "manifest_path": "" })
        };
        let packages = serde_json::json!({ "packages": [package("upper"), package("lower")] });
        let workspace: Workspace = serde_json::from_value(packages).expect("of cargo's form");
        let mut table: Table = toml::from_str(
            "pure = []\n[files]\n[impure]\n[only]\nopenraft = [\"lower\"]\n[arrows]\n[height]\nupper = 20\nlower = 10\n",
        )
        .expect("of the table's form");
        for (from, to) in reasons {
            table.arrows.entry((*from).to_owned()).or_default().insert((*to).to_owned(), "why".to_owned());
        }
        broken(&table, &workspace)
    }

    #[test]
    fn an_arrow_down_with_a_reason_is_fine() {
        assert!(broken_with(&[("upper", "lower")], &[("upper", "lower")]).is_empty());
    }

    #[test]
    fn an_arrow_up_is_broken_whatever_its_reason() {
        assert_eq!(
            broken_with(&[("lower", "upper")], &[("lower", "upper")]),
            ["lower -> upper does not go down"]
        );
    }

    #[test]
    fn an_arrow_without_a_reason_and_a_reason_without_an_arrow_are_broken() {
        assert_eq!(broken_with(&[("upper", "lower")], &[]), ["upper -> lower has no reason"]);
        assert_eq!(broken_with(&[], &[("upper", "lower")]), ["upper -> lower is listed and not there"]);
    }

    #[test]
    fn a_crate_that_is_kept_for_others_is_refused() {
        assert_eq!(broken_with(&[("upper", "openraft")], &[]), ["upper -> openraft: only [\"lower\"] may"]);
        assert!(broken_with(&[("lower", "openraft")], &[]).is_empty());
    }
}
