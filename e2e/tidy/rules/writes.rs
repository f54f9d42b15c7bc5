//! Every call that changes something in the API server is listed with what keeps it from changing what is not ours.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::lexer::{code_only, line_of};
use crate::tree::{Tree, root};

/// Calls of `kube::Api` that change something.
const CALLS: [&str; 7] =
    ["patch", "patch_status", "patch_metadata", "delete", "delete_collection", "create", "replace"];

/// `writes.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// By file: each call in the order of the code, as `call: check`.
    writes: BTreeMap<String, Vec<String>>,
}

impl Table {
    /// Reads the table beside this program.
    ///
    /// # Errors
    /// When it is missing or not of the form that is described above.
    pub(crate) fn read() -> Result<Table, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(root().join("e2e/tidy/writes.toml"))?;
        Ok(toml::from_str(&text)?)
    }
}

/// Calls that are not listed, and those that are and are not there.
pub(crate) fn broken(table: &Table, tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    let mut seen = Vec::new();
    let sources = tree.rust().filter(|source| source.path.starts_with("operator/src/"));
    for source in sources.filter(|source| source.text.contains("kube::api::")) {
        let found = calls(&source.text);
        let listed = table.writes.get(&source.path).map(Vec::as_slice).unwrap_or_default();
        let named: Vec<&str> = listed.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
        if found.iter().map(|(_, call)| *call).ne(named) {
            let there: Vec<String> =
                found.iter().map(|(line, call)| format!("{call} in line {line}")).collect();
            places.push(format!("{}: there is {}", source.path, there.join(", ")));
        }
        seen.push(source.path.clone());
    }
    let gone = table.writes.keys().filter(|path| !seen.contains(path));
    places.extend(gone.map(|path| format!("{path} is listed and writes nothing")));
    places
}

/// The calls of a source with their lines, in order.
fn calls(source: &str) -> Vec<(usize, &'static str)> {
    let code = code_only(source);
    let mut found: Vec<(usize, &'static str)> = Vec::new();
    for call in CALLS {
        let text = format!(".{call}(");
        // What is called on `self` is a function of ours, which is listed where it makes its own call.
        let others = code.match_indices(&text).filter(|(at, _)| !code[..*at].ends_with("self"));
        found.extend(others.map(|(at, _)| (at, call)));
    }
    found.sort_unstable();
    found.into_iter().map(|(at, call)| (line_of(&code, at), call)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_in_their_order_and_words_about_them_are_not() {
        let source = "fn f() {\n    api.create(&p, &x);\n    // api.delete(x)\n    self.api::<Pod>().patch_status(n);\n    self.delete(x);\n}";
        assert_eq!(calls(source), [(2, "create"), (4, "patch_status")]);
    }
}
