//! The spec files: one JSON file an API or a persisted record.
//! I/O: [`load`] reads the spec folder. Invariants of a loaded spec: every struct is used and defined, every
//! field's versions lie within its struct's, every tagged field's versions are flexible.
//!
//! An API: `{api, key, own?, versions, advertised?, flexible?, request: body, response: body}` and its rules, which
//! [`crate::rules`] describes.
//! Persisted data: `{data, key?, versions, flexible?, oracle?, fields, structs?}`; with a key it is a metadata record.
//! A body: `{fields: [line], structs?: {name: [line]}}`, in wire order; lines as in [`crate::field`].
//! `own` marks APIs that Kafka does not have, `oracle` data that the reference codec knows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::field::{Field, Versions};
use crate::message::{Message, Struct};
use crate::rules::{self, RawRules, Rules};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBody {
    fields: Vec<String>,
    #[serde(default)]
    structs: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApi {
    api: String,
    key: i16,
    #[serde(default)]
    own: bool,
    versions: String,
    advertised: Option<String>,
    flexible: Option<i16>,
    listeners: Vec<String>,
    checks: Vec<String>,
    quota: String,
    work: String,
    #[serde(default)]
    replication: bool,
    items: u32,
    answer_bytes: u32,
    request: RawBody,
    response: RawBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawData {
    data: String,
    key: Option<u32>,
    versions: String,
    flexible: Option<i16>,
    #[serde(default)]
    oracle: bool,
    fields: Vec<String>,
    #[serde(default)]
    structs: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Api(Box<RawApi>),
    Data(Box<RawData>),
}

/// One API: a request and its response.
pub(crate) struct Api {
    pub(crate) name: String,
    pub(crate) key: i16,
    pub(crate) rules: Rules,
    pub(crate) advertised: Versions,
    pub(crate) request: Message,
    pub(crate) response: Message,
}

/// One persisted record.
pub(crate) struct Data {
    /// Kafka's key of a metadata record.
    pub(crate) key: Option<u32>,
    pub(crate) message: Message,
}

/// All specs.
pub(crate) struct Specs {
    pub(crate) apis: Vec<Api>,
    pub(crate) data: Vec<Data>,
}

/// Reads every spec file of `folder`. APIs come out by key, data by name.
pub(crate) fn load(folder: &Path) -> anyhow::Result<Specs> {
    let mut specs = Specs { apis: Vec::new(), data: Vec::new() };
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let context = || format!("spec {}", path.display());
        match serde_json::from_str(&text).with_context(context)? {
            Raw::Api(raw) => specs.apis.push(api(*raw).with_context(context)?),
            Raw::Data(raw) => specs.data.push(data(*raw).with_context(context)?),
        }
    }
    specs.apis.sort_by_key(|api| api.key);
    specs.data.sort_by(|a, b| a.message.name.cmp(&b.message.name));
    Ok(specs)
}

const ANY: Versions = Versions { first: 0, last: i16::MAX };

fn api(raw: RawApi) -> anyhow::Result<Api> {
    let versions = Versions::parse(&raw.versions, ANY)?;
    let message =
        |part: &str, body| message(format!("{}{part}", raw.api), versions, raw.flexible, !raw.own, body);
    let request = message("Request", raw.request)?;
    let rules = RawRules {
        listeners: raw.listeners,
        checks: raw.checks,
        quota: raw.quota,
        work: raw.work,
        replication: raw.replication,
        items: raw.items,
        answer_bytes: raw.answer_bytes,
    };
    Ok(Api {
        key: raw.key,
        advertised: raw.advertised.as_deref().map_or(Ok(versions), |text| Versions::parse(text, ANY))?,
        rules: rules::parse(rules, &request)?,
        request,
        response: message("Response", raw.response)?,
        name: raw.api,
    })
}

fn data(raw: RawData) -> anyhow::Result<Data> {
    let versions = Versions::parse(&raw.versions, ANY)?;
    let body = RawBody { fields: raw.fields, structs: raw.structs };
    Ok(Data { key: raw.key, message: message(raw.data, versions, raw.flexible, raw.oracle, body)? })
}

fn message(
    name: String,
    versions: Versions,
    flexible: Option<i16>,
    oracle: bool,
    mut body: RawBody,
) -> anyhow::Result<Message> {
    body.structs.insert(name.clone(), body.fields);
    let ranges = struct_versions(&name, versions, &body.structs);
    let mut structs: Vec<Struct> = Vec::new();
    let mut open = vec![name.clone()];
    while let Some(name) = open.pop() {
        let Some(lines) = body.structs.remove(&name) else { continue };
        let versions = ranges[&name];
        let fields = lines
            .iter()
            .map(|line| Field::parse(line, versions))
            .collect::<anyhow::Result<Vec<Field>>>()
            .with_context(|| format!("struct {name}"))?;
        for field in &fields {
            let tagged_ok =
                field.tag.is_none() || flexible.is_some_and(|first| field.versions.first >= first);
            ensure!(tagged_ok, "{name}.{} is tagged in a version without tags", field.name);
        }
        open.extend(fields.iter().rev().filter_map(|field| field.ty.struct_name()).map(str::to_owned));
        structs.push(Struct { name, versions, fields });
    }
    ensure!(body.structs.is_empty(), "unused structs: {:?}", body.structs.keys());
    for used in structs.iter().flat_map(|s| &s.fields).filter_map(|field| field.ty.struct_name()) {
        ensure!(structs.iter().any(|s| s.name == used), "struct {used} is missing");
    }
    Ok(Message { name, versions, flexible, oracle, structs })
}

/// Where each struct can occur: the union over the fields that use it, grown until nothing changes.
fn struct_versions(
    top: &str,
    versions: Versions,
    structs: &BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, Versions> {
    let mut ranges = BTreeMap::from([(top.to_owned(), versions)]);
    loop {
        let before = ranges.clone();
        for (name, bounds) in &before {
            // A line that does not fit yet may fit once the range has grown; if not, the caller reports it.
            let lines = structs.get(name).into_iter().flatten();
            for field in lines.filter_map(|line| Field::parse(line, *bounds).ok()) {
                let Some(used) = field.ty.struct_name() else { continue };
                let range = ranges.entry(used.to_owned()).or_insert(field.versions);
                range.first = range.first.min(field.versions.first);
                range.last = range.last.max(field.versions.last);
            }
        }
        if before == ranges {
            return ranges;
        }
    }
}
