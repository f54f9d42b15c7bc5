//! Struct definitions, their defaults and the `Message` trait. No I/O.

use super::{lifetime, range_text};
use crate::field::{Field, Type};
use crate::message::{Message, Struct};

/// The Rust type of a field; `lifetime` is that of the borrowed parts.
pub(super) fn rust_type(message: &Message, field: &Field, lifetime: &str) -> String {
    let inner = element_type(message, &field.ty, lifetime);
    if field.null.is_some() { format!("Option<{inner}>") } else { inner }
}

fn element_type(message: &Message, ty: &Type, lifetime: &str) -> String {
    match ty {
        Type::Fixed(fixed) => fixed.rust.to_owned(),
        Type::String => format!("Cow<{lifetime}, str>"),
        Type::Bytes => format!("Cow<{lifetime}, [u8]>"),
        Type::Records => format!("Records<{lifetime}>"),
        Type::Struct(name) => format!("{name}{}", super::lifetime(message, message.get(name), lifetime)),
        Type::Array(element) => format!("Vec<{}>", element_type(message, element, lifetime)),
    }
}

/// The value of an untouched field.
pub(super) fn default_value(field: &Field) -> String {
    if field.null_by_default() {
        return "None".into();
    }
    let value = match (&field.ty, field.default.as_deref()) {
        (Type::Fixed(_), Some(literal)) => literal.to_owned(),
        (Type::Fixed(fixed), None) => fixed.zero.to_owned(),
        (Type::String, Some(literal)) if literal != "\"\"" => format!("Cow::Borrowed({literal})"),
        (Type::String, _) => "Cow::Borrowed(\"\")".into(),
        (Type::Bytes, _) => "Cow::Borrowed(&[])".into(),
        (Type::Records, _) => "Records::Borrowed(&[])".into(),
        (Type::Struct(_), _) => "Default::default()".into(),
        (Type::Array(_), _) => "Vec::new()".into(),
    };
    if field.null.is_some() { format!("Some({value})") } else { value }
}

/// Whether `Default` can be derived for the field.
fn default_is_plain(field: &Field) -> bool {
    field.null_by_default() || (field.null.is_none() && field.default.is_none())
}

/// The condition under which the field holds another value than its default.
pub(super) fn differs_from_default(field: &Field) -> String {
    let name = &field.name;
    if field.null_by_default() {
        return format!("self.{name}.is_some()");
    }
    match (&field.ty, field.null.is_some()) {
        (Type::Fixed(fixed), false) if fixed.name == "bool" => {
            if default_value(field) == "true" {
                format!("!self.{name}")
            } else {
                format!("self.{name}")
            }
        }
        (Type::Fixed(_), false) => format!("self.{name} != {}", default_value(field)),
        (Type::String | Type::Bytes | Type::Array(_), false) if field.default.is_none() => {
            format!("!self.{name}.is_empty()")
        }
        (Type::String | Type::Bytes | Type::Array(_) | Type::Records, true) => {
            format!("self.{name}.as_ref().is_none_or(|value| !value.is_empty())")
        }
        (Type::Struct(name_of_type), false) => format!("self.{name} != {name_of_type}::default()"),
        _ => format!("self.{name} != {}", default_value(field)),
    }
}

fn field_doc(field: &Field) -> String {
    let mut facts = vec![match &field.ty {
        Type::Fixed(fixed) => fixed.kafka.to_owned(),
        Type::String => "string".into(),
        Type::Bytes => "bytes".into(),
        Type::Records => "record batches".into(),
        Type::Struct(name) => format!("[`{name}`]"),
        Type::Array(element) => format!("array of {}", array_doc(element)),
    }];
    let noun = if field.versions.first == field.versions.last { "version" } else { "versions" };
    facts.push(format!("{noun} {}", range_text(field.versions)));
    if let Some(tag) = field.tag {
        facts.push(format!("tag {tag}"));
    }
    if field.null_in_part() {
        facts.push(format!("null from version {} on", field.null.map_or(0, |null| null.first)));
    } else if field.null.is_some() {
        facts.push("nullable".into());
    }
    if let Some(literal) = &field.default {
        facts.push(format!("default `{literal}`"));
    }
    if field.ignorable {
        facts.push("dropped silently elsewhere".into());
    }
    let mut doc = facts.join(", ");
    doc[..1].make_ascii_uppercase();
    doc
}

fn array_doc(element: &Type) -> String {
    match element {
        Type::Fixed(fixed) => fixed.kafka.to_owned(),
        Type::String => "string".into(),
        Type::Struct(name) => format!("[`{name}`]"),
        Type::Bytes | Type::Records | Type::Array(_) => "bytes".into(),
    }
}

/// The struct and, where it cannot be derived, its `Default`.
pub(super) fn definition(message: &Message, s: &Struct) -> String {
    let derive = if s.fields.iter().all(default_is_plain) { ", Default" } else { "" };
    let doc = if s.name == message.name {
        format!("`{}`.", s.name)
    } else {
        format!("Part of [`{}`], versions {}.", message.name, range_text(s.versions))
    };
    let lifetime_a = lifetime(message, s, "'a");
    let mut code = format!(
        "/// {doc}\n#[derive(Clone, Debug, PartialEq{derive})]\npub struct {}{lifetime_a} {{\n",
        s.name
    );
    for field in &s.fields {
        let ty = rust_type(message, field, "'a");
        code.push_str(&format!("/// {}.\npub {}: {ty},\n", field_doc(field), field.name));
    }
    code.push_str("}\n\n");
    if derive.is_empty() {
        let anonymous = lifetime(message, s, "'_");
        code.push_str(&format!(
            "impl Default for {}{anonymous} {{\nfn default() -> Self {{\nSelf {{\n",
            s.name
        ));
        for field in &s.fields {
            code.push_str(&format!("{}: {},\n", field.name, default_value(field)));
        }
        code.push_str("}\n}\n}\n\n");
    }
    code
}

/// The `Message` implementation.
pub(super) fn message_impl(message: &Message) -> String {
    let top = &message.structs[0];
    format!(
        "impl Message for {name}{lifetime} {{\nconst NAME: &'static str = \"{name}\";\nconst VERSIONS: \
         std::ops::RangeInclusive<i16> = {first}..={last};\nconst FLEXIBLE_FROM: i16 = {flexible};\n}}\n",
        name = message.name,
        lifetime = lifetime(message, top, "'_"),
        first = message.versions.first,
        last = message.versions.last,
        flexible = message.flexible.map_or("i16::MAX".to_owned(), |first| first.to_string()),
    )
}
