//! Differences that are meant, each with its reason.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use ottla_e2e::checkout;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The exchange's title; any, if left out.
    title: Option<String>,
    /// The API.
    api: String,
    /// The field's path, without the positions in lists.
    field: String,
    /// Why the two shall differ. For the reader.
    #[expect(dead_code, reason = "the reader's")]
    reason: String,
}

/// The table of meant differences, `meant.json`, and which of its rows were met.
pub struct Meant {
    rows: Vec<Row>,
    met: BTreeSet<usize>,
}

impl Meant {
    /// Reads the table.
    pub fn load() -> Result<Meant> {
        let file = checkout().join("e2e/tests/wire/differences/meant.json");
        let rows = serde_json::from_slice(&std::fs::read(&file)?);
        Ok(Meant { rows: rows.context("read meant.json")?, met: BTreeSet::new() })
    }

    /// Whether a difference is meant.
    pub fn covers(&mut self, title: &str, api: &str, field: &str) -> bool {
        let found = self.rows.iter().position(|row| {
            row.api == api
                && row.title.as_deref().is_none_or(|other| other == title)
                && field.strip_prefix(&row.field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        self.met.extend(found);
        found.is_some()
    }

    /// Rows that excuse nothing any more.
    pub fn unmet(&self) -> Vec<String> {
        let unmet = self.rows.iter().enumerate().filter(|(place, _)| !self.met.contains(place));
        unmet.map(|(_, row)| format!("{row:?}")).collect()
    }
}
