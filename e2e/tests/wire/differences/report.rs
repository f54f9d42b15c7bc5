//! What differs, told once for all versions in which it does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::meant::Meant;

/// Where and how two answers differ.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    title: String,
    api: String,
    field: String,
    theirs: String,
    ours: String,
}

/// The differences of a run.
#[derive(Debug, Default)]
pub struct Report {
    found: BTreeMap<Difference, BTreeSet<i16>>,
}

impl Report {
    /// Compares Kafka's answer with ours.
    pub fn compare(
        &mut self,
        meant: &mut Meant,
        (title, api, version): (&str, &str, i16),
        theirs: &Value,
        ours: &Value,
    ) {
        let mut differing = Vec::new();
        walk("", theirs, ours, &mut differing);
        for (field, theirs, ours) in differing {
            if meant.covers(title, api, &field) {
                continue;
            }
            let (title, api) = (title.to_owned(), api.to_owned());
            let difference = Difference { title, api, field, theirs, ours };
            self.found.entry(difference).or_default().insert(version);
        }
    }

    /// A line for each difference.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.found.iter().map(|(found, versions)| {
            let Difference { title, api, field, theirs, ours } = found;
            let versions: Vec<String> = versions.iter().map(i16::to_string).collect();
            format!("{api} {}: {title}: {field}: Kafka {theirs}, ours {ours}", versions.join(","))
        });
        lines.collect()
    }
}

fn walk(path: &str, theirs: &Value, ours: &Value, out: &mut Vec<(String, String, String)>) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (name, value) in theirs {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&path, value, ours.get(name).unwrap_or(&Value::Null), out);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            theirs.iter().zip(ours).for_each(|(theirs, ours)| walk(path, theirs, ours, out));
        }
        _ if theirs == ours => {}
        // A sentence more does no harm.
        (Value::Null, Value::String(ours)) if ours == "a sentence" => {}
        _ => out.push((path.to_owned(), theirs.to_string(), ours.to_string())),
    }
}
