//! Everything that knows all messages: module list, key table, dispatch. No I/O.

use super::{HEADER, lifetime};
use crate::message::{Message, snake};
use crate::spec::{Api, Specs};

/// `src/generated/mod.rs`.
pub(super) fn mod_rs(modules: &[String]) -> String {
    let mut code = format!("//! Messages of every served version, generated from `spec/`. No I/O.\n{HEADER}");
    for module in modules {
        let doc = match module.as_str() {
            "api_key" => "The APIs that have a spec.",
            "any_message" => "Requests and responses by key.",
            "metadata_record" => "Metadata records by key.",
            "served_api" => "The APIs that a broker answers.",
            _ => "",
        };
        if !doc.is_empty() {
            code.push_str(&format!("/// {doc}\n"));
        }
        code.push_str(&format!("pub mod {module};\n"));
    }
    code
}

fn has_lifetime(message: &Message) -> bool {
    message.borrows(&message.structs[0])
}

/// `Request` for the API's request.
pub(super) fn request_impl(api: &Api) -> String {
    let top = &api.request.structs[0];
    let response = &api.response.name;
    let module = snake(response);
    let (borrowed, own) =
        if has_lifetime(&api.response) { ("<'b>", "response.into_owned()") } else { ("", "response") };
    format!(
        "\nimpl Request for {}{} {{\nconst KEY: crate::ApiKey = crate::ApiKey::{};\ntype Response<'b> = \
         super::{module}::{response}{borrowed};\n\nfn own_response(response: Self::Response<'_>) -> \
         Self::Response<'static> {{\n{own}\n}}\n}}\n",
        api.request.name,
        lifetime(&api.request, top, "'_"),
        api.name,
    )
}

/// `src/generated/api_key.rs`.
pub(super) fn api_key(specs: &Specs) -> String {
    let mut code = format!("//! The table of APIs: key, name, versions, rules. No I/O.\n{HEADER}");
    code.push_str(
        "use std::ops::RangeInclusive;\n\nuse crate::rules::*;\n\n/// An API that this codec knows.\n#[derive(Clone, Copy, Debug, PartialEq, \
         Eq, PartialOrd, Ord, Hash)]\n#[repr(i16)]\npub enum ApiKey {\n",
    );
    for api in &specs.apis {
        code.push_str(&format!("/// Key {}.\n{} = {},\n", api.key, api.name, api.key));
    }
    code.push_str("}\n\n/// What the key table knows of an API.\npub(crate) struct ApiFacts {\npub(crate) name: \
                   &'static str,\npub(crate) versions: RangeInclusive<i16>,\npub(crate) advertised: \
                   RangeInclusive<i16>,\npub(crate) flexible_from: i16,\npub(crate) rules: &'static ApiRules,\n}\n\n");
    code.push_str("impl ApiKey {\n/// Every API, by key.\npub const ALL: &'static [ApiKey] = &[\n");
    for api in &specs.apis {
        code.push_str(&format!("ApiKey::{},\n", api.name));
    }
    code.push_str(
        "];\n\n/// The API of a key on the wire.\npub fn from_i16(key: i16) -> Option<ApiKey> \
                   {\nSome(match key {\n",
    );
    for api in &specs.apis {
        code.push_str(&format!("{} => ApiKey::{},\n", api.key, api.name));
    }
    code.push_str(
        "_ => return None,\n})\n}\n\npub(crate) const fn facts(self) -> ApiFacts {\nmatch self {\n",
    );
    for api in &specs.apis {
        code.push_str(&format!(
            "ApiKey::{name} => ApiFacts {{ name: \"{name}\", versions: {}..={}, advertised: {}..={}, flexible_from: \
             {}, rules: {} }},\n",
            api.request.versions.first,
            api.request.versions.last,
            api.advertised.first,
            api.advertised.last,
            api.request.flexible.map_or("i16::MAX".to_owned(), |first| first.to_string()),
            super::rules::expression(&api.rules),
            name = api.name,
        ));
    }
    code.push_str("}\n}\n}\n");
    code
}

/// `src/generated/any_message.rs`.
pub(super) fn any_message(specs: &Specs) -> String {
    let mut code =
        format!("//! Requests and responses whose key is known only at run time. No I/O.\n{HEADER}");
    code.push_str("use super::*;\nuse crate::ApiKey;\nuse crate::wire::*;\n\n");
    for (part, noun) in [("Request", "request"), ("Response", "response")] {
        let messages: Vec<(&Api, &Message)> = specs
            .apis
            .iter()
            .map(|api| (api, if part == "Request" { &api.request } else { &api.response }))
            .collect();
        code.push_str(&format!(
            "/// Any {noun}.\n#[derive(Clone, Debug, PartialEq)]\n#[allow(clippy::large_enum_variant)]\npub enum \
             Any{part}<'a> {{\n"
        ));
        for (api, message) in &messages {
            let borrowed = if has_lifetime(message) { "<'a>" } else { "" };
            code.push_str(&format!(
                "/// Key {}.\n{}({}::{}{borrowed}),\n",
                api.key,
                api.name,
                snake(&message.name),
                message.name
            ));
        }
        code.push_str(&format!(
            "}}\n\nimpl Any{part}<'static> {{\n/// The {noun} of an API with every field at its default.\npub fn \
             default_of(key: ApiKey) -> Self {{\nmatch key {{\n"
        ));
        for api in &specs.apis {
            code.push_str(&format!(
                "ApiKey::{name} => Any{part}::{name}(Default::default()),\n",
                name = api.name
            ));
        }
        code.push_str("}\n}\n");
        code.push_str(&format!(
            "}}\n\nimpl<'a> Any{part}<'a> {{\n/// Reads the {noun} of an API in a version of it.\npub fn decode(key: \
             ApiKey, r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {{\nOk(match key {{\n"
        ));
        for (api, _) in &messages {
            code.push_str(&format!(
                "ApiKey::{name} => Any{part}::{name}(Decode::decode(r, version)?),\n",
                name = api.name
            ));
        }
        code.push_str("})\n}\n\n/// The API.\npub fn key(&self) -> ApiKey {\nmatch self {\n");
        for (api, _) in &messages {
            code.push_str(&format!("Any{part}::{name}(_) => ApiKey::{name},\n", name = api.name));
        }
        code.push_str(&format!(
            "}}\n}}\n}}\n\nimpl Encode for Any{part}<'_> {{\nfn encode(&self, w: &mut Writer, version: i16) -> \
             Result<(), EncodeError> {{\nmatch self {{\n"
        ));
        for (api, _) in &messages {
            code.push_str(&format!(
                "Any{part}::{name}(message) => message.encode(w, version),\n",
                name = api.name
            ));
        }
        code.push_str("}\n}\n}\n\n");
        code.push_str(&conversions(part, &messages));
    }
    code
}

/// From each message to the `Any` that may hold it.
fn conversions(part: &str, messages: &[(&Api, &Message)]) -> String {
    let mut code = String::new();
    for (api, message) in messages {
        let borrowed = if has_lifetime(message) { "<'a>" } else { "" };
        code.push_str(&format!(
            "impl<'a> From<{module}::{name}{borrowed}> for Any{part}<'a> {{\nfn from(message: \
             {module}::{name}{borrowed}) -> Self {{\nAny{part}::{variant}(message)\n}}\n}}\n\n",
            module = snake(&message.name),
            name = message.name,
            variant = api.name,
        ));
    }
    code
}

/// `src/generated/metadata_record.rs`.
pub(super) fn metadata_record(specs: &Specs) -> String {
    let mut records: Vec<(u32, &Message)> =
        specs.data.iter().filter_map(|data| Some((data.key?, &data.message))).collect();
    records.sort_by_key(|(key, _)| *key);
    let mut code = format!("//! Records of the metadata log, by Kafka's keys (KIP-631). No I/O.\n{HEADER}");
    code.push_str(
        "use super::*;\nuse crate::wire::*;\n\n/// Any record of the metadata log.\n#[derive(Clone, Debug, \
                   PartialEq)]\n#[allow(clippy::large_enum_variant)]\npub enum MetadataRecord<'a> {\n",
    );
    let variant = |message: &Message| message.name.trim_end_matches("Record").to_owned();
    for (key, message) in &records {
        let borrowed = if has_lifetime(message) { "<'a>" } else { "" };
        code.push_str(&format!(
            "/// Key {key}.\n{}({}::{}{borrowed}),\n",
            variant(message),
            snake(&message.name),
            message.name
        ));
    }
    code.push_str(
        "}\n\nimpl<'a> MetadataRecord<'a> {\n/// Reads the record of a key in a version of it; none if the key is \
         unknown.\npub fn decode(key: u32, r: &mut Reader<'a>, version: i16) -> Result<Option<Self>, DecodeError> \
         {\nOk(Some(match key {\n",
    );
    for (key, message) in &records {
        code.push_str(&format!(
            "{key} => MetadataRecord::{}(Decode::decode(r, version)?),\n",
            variant(message)
        ));
    }
    code.push_str(
        "_ => return Ok(None),\n}))\n}\n\n/// Kafka's key of the record.\npub fn key(&self) -> u32 {\nmatch \
                   self {\n",
    );
    for (key, message) in &records {
        code.push_str(&format!("MetadataRecord::{}(_) => {key},\n", variant(message)));
    }
    code.push_str(
        "}\n}\n\n/// The newest version of the record.\npub fn version_max(&self) -> i16 {\nmatch self {\n",
    );
    for (_, message) in &records {
        code.push_str(&format!("MetadataRecord::{}(_) => {},\n", variant(message), message.versions.last));
    }
    code.push_str(
        "}\n}\n}\n\nimpl Encode for MetadataRecord<'_> {\nfn encode(&self, w: &mut Writer, version: i16) -> Result<(), \
         EncodeError> {\nmatch self {\n",
    );
    for (_, message) in &records {
        code.push_str(&format!(
            "MetadataRecord::{}(record) => record.encode(w, version),\n",
            variant(message)
        ));
    }
    code.push_str("}\n}\n}\n");
    code
}
