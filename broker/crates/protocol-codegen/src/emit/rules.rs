//! The rules of the APIs as data, and the enum of those that are served. No I/O.

use super::HEADER;
use crate::message::pascal;
use crate::rules::{Listeners, Rules};
use crate::spec::{Api, Specs};

/// The rules as an expression that can be promoted to a constant.
pub(super) fn expression(rules: &Rules) -> String {
    let listeners = match rules.listeners {
        Listeners::Nowhere => "Nowhere",
        Listeners::Brokers => "Brokers",
        Listeners::All => "All",
    };
    let checks: String = rules
        .checks
        .iter()
        .map(|check| {
            let needs: String = check.0.iter().map(|need| format!("{}, ", need.expression())).collect();
            format!("Check {{ any_of: &[{needs}] }}, ")
        })
        .collect();
    format!(
        "&ApiRules {{ listeners: Listeners::{listeners}, checks: &[{checks}], quota: QuotaClass::{}, work: Work::{}, \
         is_replication: {}, items_max: {}, answer_bytes_max: {} }}",
        pascal(&rules.quota),
        pascal(&rules.work),
        rules.replication,
        rules.items,
        rules.answer_bytes
    )
}

fn served(specs: &Specs) -> impl Iterator<Item = &Api> {
    specs.apis.iter().filter(|api| api.rules.listeners != Listeners::Nowhere)
}

/// `src/generated/served_api.rs`.
pub(super) fn served_api(specs: &Specs) -> String {
    let mut code = format!("//! The APIs that a broker answers. No I/O.\n{HEADER}use crate::ApiKey;\n\n");
    code.push_str(
        "/// An API that is served on some listener.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, \
         Hash)]\npub enum ServedApi {\n",
    );
    for api in served(specs) {
        code.push_str(&format!("/// Key {}.\n{},\n", api.key, api.name));
    }
    code.push_str(
        "}\n\nimpl ServedApi {\n/// Every one, by key.\npub const ALL: &'static [ServedApi] = &[\n",
    );
    for api in served(specs) {
        code.push_str(&format!("ServedApi::{},\n", api.name));
    }
    code.push_str(
        "];\n\n/// The API, if it is served.\npub fn of(key: ApiKey) -> Option<ServedApi> {\nmatch key {\n",
    );
    for api in &specs.apis {
        let value = match api.rules.listeners {
            Listeners::Nowhere => "None".to_owned(),
            _ => format!("Some(ServedApi::{})", api.name),
        };
        code.push_str(&format!("ApiKey::{} => {value},\n", api.name));
    }
    code.push_str("}\n}\n\n/// The API's key.\npub fn key(self) -> ApiKey {\nmatch self {\n");
    for api in served(specs) {
        code.push_str(&format!("ServedApi::{name} => ApiKey::{name},\n", name = api.name));
    }
    code.push_str("}\n}\n}\n");
    code
}
