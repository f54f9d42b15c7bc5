//! What a spec says of an API beside its messages: who may call it, and what a call costs. No I/O.
//!
//! `listeners`: those on which the API is served, `client` or `broker`; a broker's serves what clients are served, too.
//! `checks`: what the asker must be allowed, all of them; one is `need [or need]…`, and a need is
//! `resource operation [: field]`. With a field, each row is checked for the resource that the field names, and a row
//! that may not be is answered for itself; without one, the whole request is. A field that is null or not there names
//! nothing to be checked, and a row that says of what kind it is (`resource_type`) is checked by the needs of its kind.
//! `quota`: what the call is counted as. `work`: where it is carried out; `replication`: whether followers ask it of
//! leaders, so that on the private listener it waits for nothing that clients ask. `items`: array elements that a request may
//! have, all its arrays together. `answer_bytes`: what is taken of the budget before an answer is built; of APIs that
//! a `listing`, also what it may grow to.

use anyhow::{Context, bail, ensure};

use crate::field::Type;
use crate::message::{Message, pascal};

/// The rules as a spec file has them.
pub(crate) struct RawRules {
    pub(crate) listeners: Vec<String>,
    pub(crate) checks: Vec<String>,
    pub(crate) quota: String,
    pub(crate) work: String,
    pub(crate) replication: bool,
    pub(crate) items: u32,
    pub(crate) answer_bytes: u32,
}

/// The rules of an API.
pub(crate) struct Rules {
    pub(crate) listeners: Listeners,
    pub(crate) checks: Vec<Check>,
    pub(crate) quota: String,
    pub(crate) work: String,
    pub(crate) replication: bool,
    pub(crate) items: u32,
    pub(crate) answer_bytes: u32,
}

/// Where an API is served.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listeners {
    Nowhere,
    Brokers,
    All,
}

/// Needs of which one must be met.
pub(crate) struct Check(pub(crate) Vec<Need>);

/// One thing to be allowed.
pub(crate) struct Need {
    pub(crate) resource: String,
    pub(crate) operation: String,
    /// The field that names the resource of a row, from the request down.
    pub(crate) field: Option<String>,
    /// Whether a request has many such rows.
    pub(crate) many: bool,
}

const RESOURCES: [&str; 4] = ["cluster", "topic", "group", "transactional_id"];
const OPERATIONS: [&str; 10] = [
    "read",
    "write",
    "create",
    "delete",
    "alter",
    "describe",
    "cluster_action",
    "describe_configs",
    "alter_configs",
    "idempotent_write",
];
const QUOTAS: [&str; 5] = ["produce", "fetch", "request", "controller_mutation", "none"];
const WORK: [&str; 6] = ["memory", "listing", "log", "append", "lookup", "scan"];

/// Checks the rules against what there is, and their fields against the `request`.
pub(crate) fn parse(raw: RawRules, request: &Message) -> anyhow::Result<Rules> {
    let listeners = match raw.listeners.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Listeners::Nowhere,
        ["broker"] => Listeners::Brokers,
        ["client", "broker"] => Listeners::All,
        _ => bail!("listeners are [], [broker] or [client, broker]"),
    };
    let checks = raw.checks.iter().map(|line| check(line, request)).collect::<anyhow::Result<Vec<_>>>()?;
    let is_brokers = |check: &Check| check.0.iter().all(|need| need.operation == "cluster_action");
    let for_brokers = checks.iter().any(is_brokers);
    ensure!(
        for_brokers == (listeners == Listeners::Brokers),
        "what only brokers may do, and nothing else, is served to brokers only"
    );
    Ok(Rules {
        listeners,
        checks,
        quota: one_of(&raw.quota, &QUOTAS)?,
        work: one_of(&raw.work, &WORK)?,
        replication: raw.replication,
        items: raw.items,
        answer_bytes: raw.answer_bytes,
    })
}

fn check(line: &str, request: &Message) -> anyhow::Result<Check> {
    let needs = line.split(" or ").map(|text| need(text, request));
    Ok(Check(needs.collect::<anyhow::Result<_>>().with_context(|| format!("check {line:?}"))?))
}

fn need(text: &str, request: &Message) -> anyhow::Result<Need> {
    let (text, field) = match text.split_once(": ") {
        Some((text, field)) => (text, Some(field)),
        None => (text, None),
    };
    let (resource, operation) = text.split_once(' ').context("a need is `resource operation`")?;
    let many = field.map_or(Ok(false), |path| is_many(request, path))?;
    Ok(Need {
        resource: one_of(resource, &RESOURCES)?,
        operation: one_of(operation, &OPERATIONS)?,
        field: field.map(str::to_owned),
        many,
    })
}

/// Whether the request has the field many times; an error if not at all.
fn is_many(request: &Message, path: &str) -> anyhow::Result<bool> {
    let mut within = Some(&request.structs[0]);
    let mut many = false;
    for name in path.split('.') {
        let outer = within.with_context(|| format!("{path}: {name} is in no struct"))?;
        let field = outer.fields.iter().find(|field| field.name == name);
        let field = field.with_context(|| format!("{} has no field {name}", outer.name))?;
        many |= matches!(field.ty, Type::Array(_));
        within = field.ty.struct_name().map(|name| request.get(name));
    }
    ensure!(within.is_none(), "{path} is no name but a struct");
    Ok(many)
}

fn one_of(word: &str, words: &[&str]) -> anyhow::Result<String> {
    ensure!(words.contains(&word), "{word:?} is none of {words:?}");
    Ok(word.to_owned())
}

impl Need {
    /// As an expression of the generated code.
    pub(crate) fn expression(&self) -> String {
        format!(
            "Need {{ resource: Resource::{}, operation: Operation::{}, field: {:?} }}",
            pascal(&self.resource),
            pascal(&self.operation),
            self.field
        )
    }
}
