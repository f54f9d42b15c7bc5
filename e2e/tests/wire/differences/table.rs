//! The exchanges: `exchanges/*.json`, in the order of their names, each a list of rows that build on each other.

use anyhow::{Context, Result};
use ottla_e2e::checkout;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::schema::{self, Schema};

/// In how many versions a request is sent, so that the whole table takes no longer than a minute.
const VERSIONS_MAX: usize = 4;

/// A request that both brokers get.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// What it is about; part of every difference's report.
    pub title: String,
    /// The API.
    pub api: String,
    /// `newest`, or a range such as `3`, `3-5`, `3+`; all that we serve if left out.
    #[serde(default)]
    pub versions: Option<String>,
    /// The request's fields by the names of the spec. In texts `$name` is what a broker told earlier, and `{version}` the
    /// version.
    #[serde(default)]
    pub request: Map<String, Value>,
    /// The version in the request's header, if it is another than that of the body.
    #[serde(default)]
    pub claim_version: Option<i16>,
    /// Names for parts of the answer, by their place; each broker has its own, and they compare as equal.
    #[serde(default)]
    pub save: Map<String, Value>,
    /// Parts of the answer that it takes some time to get: the request is sent again until they are there.
    #[serde(default)]
    pub until: Map<String, Value>,
    /// Set for what only prepares: its answers are not compared.
    #[serde(default)]
    pub prepares: bool,
}

impl Exchange {
    /// The versions in which it is sent: the oldest, the newest, and some in between.
    pub fn versions(&self, schema: &Schema, served: (i16, i16)) -> Result<Vec<i16>> {
        let (first, last) = match self.versions.as_deref() {
            None => served,
            Some("newest") => (served.1, served.1),
            Some(range) => schema::versions(range)?,
        };
        let bounds = (schema.versions.0.max(served.0), schema.versions.1.min(served.1));
        let all: Vec<i16> = (first.max(bounds.0)..=last.min(bounds.1)).collect();
        if all.len() <= VERSIONS_MAX {
            return Ok(all);
        }
        let last = all.len() - 1;
        Ok((0..VERSIONS_MAX).map(|step| all[step * last / (VERSIONS_MAX - 1)]).collect())
    }
}

/// Every exchange of the table.
pub fn exchanges() -> Result<Vec<Exchange>> {
    let folder = checkout().join("e2e/tests/wire/differences/exchanges");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()
        .with_context(|| format!("list {}", folder.display()))?;
    files.sort();
    let mut exchanges = Vec::new();
    for file in files {
        let text = std::fs::read(&file)?;
        let rows: Vec<Exchange> =
            serde_json::from_slice(&text).with_context(|| format!("read {}", file.display()))?;
        exchanges.extend(rows);
    }
    Ok(exchanges)
}
