//! `docs/apis.md`: what is served, to whom, and under which rules. No I/O.

use super::range_text;
use crate::message::pascal;
use crate::rules::{Check, Listeners, Need, Rules};
use crate::spec::{Api, Specs};

const HEAD: &str = "\
<!-- Generated from broker/crates/protocol/spec; `make fix` writes it. -->
# APIs
What a broker answers, under Apache Kafka's names. Clients are answered on every listener, brokers on the private one.

- *needs*: the operations that the asker must be allowed, in the words of Kafka's ACLs. *Each* means that every topic,
  group or other resource named is looked at for itself; what may not be is refused, and the rest is carried out. There is
  no authorizer yet: everybody may do everything that a listener serves.
- *quota*: which of Kafka's quotas counts the request. Quotas are not enforced yet.
- *items*: elements that the lists of one request may have together. A connection that sends more is closed.

";

/// The page.
pub(crate) fn page(specs: &Specs) -> String {
    let mut page = HEAD.to_owned();
    for (title, listeners) in [("For clients", Listeners::All), ("Between brokers", Listeners::Brokers)] {
        page.push_str(&format!(
            "## {title}\n| API | key | versions | needs | quota | items |\n|--|--|--|--|--|--|\n"
        ));
        page.extend(specs.apis.iter().filter(|api| api.rules.listeners == listeners).map(row));
        page.push('\n');
    }
    page.pop();
    page
}

fn row(api: &Api) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        api.name,
        api.key,
        range_text(api.request.versions),
        needs(&api.rules),
        api.rules.quota.replace('_', " "),
        api.rules.items
    )
}

fn needs(rules: &Rules) -> String {
    let checks =
        rules.checks.iter().map(|Check(needs)| needs.iter().map(need).collect::<Vec<_>>().join(" or "));
    let checks: Vec<String> = checks.collect();
    if checks.is_empty() { "nothing".to_owned() } else { checks.join("; ") }
}

fn need(need: &Need) -> String {
    let each = match (&need.field, need.many) {
        (Some(_), true) => " on each",
        (Some(_), false) => " on the",
        (None, _) => " on",
    };
    let resource = if need.resource == "transactional_id" { "transactional id" } else { &need.resource };
    format!("{}{each} {resource}", pascal(&need.operation))
}
