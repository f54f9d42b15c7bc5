//! Test support: random values of every message, and the list of checks over all of them. No I/O.

use super::structs::default_value;
use super::{HEADER, condition, lifetime, uses};
use crate::field::{Field, Type};
use crate::message::{Message, Struct, snake};
use crate::spec::Specs;

fn messages(specs: &Specs) -> Vec<&Message> {
    let apis = specs.apis.iter().flat_map(|api| [&api.request, &api.response]);
    apis.chain(specs.data.iter().map(|data| &data.message)).collect()
}

/// `tests/cross_check/generated/samples.rs`.
pub(super) fn samples(specs: &Specs) -> String {
    let mut code =
        format!("//! Random values that a version can carry, for every struct of every message.\n{HEADER}");
    code.push_str(
        "use std::borrow::Cow;\n\nuse ottla_broker_protocol::messages::*;\n\nuse \
                   crate::entropy::{Entropy, Sample};\n\n",
    );
    for message in messages(specs) {
        for s in &message.structs {
            code.push_str(&sample(message, s));
        }
    }
    code
}

fn sample(message: &Message, s: &Struct) -> String {
    let mut fields = String::new();
    for field in &s.fields {
        let value = sample_field(message, s, field);
        let value = match condition(field.versions, s.versions) {
            None => value,
            Some(test) => format!("if {test} {{ {value} }} else {{ {} }}", default_value(field)),
        };
        fields.push_str(&format!("{}: {},\n", field.name, value.replace("Uuid::ZERO", "Default::default()")));
    }
    let entropy = if uses(&fields, "e") { "e" } else { "_e" };
    let version = if uses(&fields, "version") { "version" } else { "_version" };
    let module = snake(&message.name);
    format!(
        "impl Sample for {module}::{name}{lifetime} {{\nfn sample({entropy}: &mut Entropy, {version}: i16) -> Self \
         {{\nSelf {{ {fields} }}\n}}\n}}\n\n",
        name = s.name,
        lifetime = lifetime(message, s, "'static"),
    )
}

fn sample_field(message: &Message, s: &Struct, field: &Field) -> String {
    let value = sample_value(message, &field.ty);
    let Some(null) = field.null else { return value };
    match condition(null, s.versions) {
        None => format!("e.nullable(true, |e| {value})"),
        Some(test) => format!("e.nullable({test}, |e| {value})"),
    }
}

fn sample_value(message: &Message, ty: &Type) -> String {
    match ty {
        Type::Fixed(fixed) => format!("e.{}()", fixed.name),
        Type::String => "Cow::Owned(e.string())".into(),
        Type::Bytes => "Cow::Owned(e.bytes())".into(),
        Type::Records => "e.records()".into(),
        Type::Struct(name) => format!("{}::{name}::sample(e, version)", snake(&message.name)),
        Type::Array(element) => format!("e.array(|e| {})", sample_value(message, element)),
    }
}

/// `tests/cross_check/generated/mod.rs`.
pub(super) fn cross_check(specs: &Specs) -> String {
    let mut code =
        format!("//! One call a message: against the reference codec, and against itself.\n{HEADER}");
    code.push_str(
        "mod samples;\n\nuse ottla_broker_protocol::messages::*;\n\nuse crate::checks::{Check, Theirs};\n\n",
    );
    code.push_str(
        "/// Runs `check` for every message.\npub(crate) fn every_message(check: &mut impl Check) {\n",
    );
    for message in messages(specs) {
        let lifetime = if message.borrows(&message.structs[0]) { "<'static>" } else { "" };
        code.push_str(&format!("check.message::<{}::{}{lifetime}>();\n", snake(&message.name), message.name));
    }
    code.push_str(
        "}\n\n/// Runs `check` for every message that the reference codec knows.\npub(crate) fn \
                   every_shared_message(check: &mut impl Theirs) {\n",
    );
    for message in messages(specs).into_iter().filter(|message| message.oracle) {
        let lifetime = if message.borrows(&message.structs[0]) { "<'static>" } else { "" };
        code.push_str(&format!(
            "check.pair::<{}::{name}{lifetime}, kafka_protocol::messages::{name}>();\n",
            snake(&message.name),
            name = message.name
        ));
    }
    code.push_str("}\n");
    code
}
