//! `Decode` implementations. No I/O.

use super::structs::default_value;
use super::{as_result, bytes_min, condition, flexible, lifetime, uses};
use crate::field::{Field, Type, Versions};
use crate::message::{Message, Struct};

/// The `Decode` implementation of a struct.
pub(super) fn implementation(message: &Message, s: &Struct) -> String {
    let flex = flexible(message, s.versions);
    let mut guard = String::new();
    if s.name == message.name {
        guard.push_str(&format!(
            "if !({}..={}).contains(&version) {{\nreturn Err(DecodeError::UnsupportedVersion {{ message: \"{}\", \
             version }});\n}}\n",
            s.versions.first, s.versions.last, s.name
        ));
    }
    let mut body = String::new();
    let flex_name = if flex.starts_with("version") { "flexible" } else { &flex };
    for field in &s.fields {
        if field.tag.is_some() {
            body.push_str(&format!("let mut {} = {};\n", field.name, default_value(field)));
            continue;
        }
        let inner = Inner { message, versions: field.versions, flexible: flex_name };
        let read = inner.field(field);
        match condition(field.versions, s.versions) {
            None => body.push_str(&format!("let {} = {read};\n", field.name)),
            Some(test) => body.push_str(&format!(
                "let {} = if {test} {{ {read} }} else {{ {} }};\n",
                field.name,
                default_value(field)
            )),
        }
    }
    body.push_str(&tags(message, s, &flex));
    if uses(&body, "flexible") {
        guard.push_str(&format!("let flexible = {flex};\n"));
    }
    let body = guard + &body;
    let names: Vec<&str> = s.fields.iter().map(|field| field.name.as_str()).collect();
    let reader = if uses(&body, "r") { "r" } else { "_r" };
    let version = if uses(&body, "version") { "version" } else { "_version" };
    format!(
        "impl<'a> Decode<'a> for {}{} {{\nfn decode({reader}: &mut Reader<'a>, {version}: i16) -> Result<Self, \
         DecodeError> {{\n{body}Ok(Self {{ {} }})\n}}\n}}\n\n",
        s.name,
        lifetime(message, s, "'a"),
        names.join(", ")
    )
}

/// Code that reads the tag section.
fn tags(message: &Message, s: &Struct, flex: &str) -> String {
    if flex == "false" {
        return String::new();
    }
    let mut arms = String::new();
    for field in &s.fields {
        let Some(tag) = field.tag else { continue };
        let inner = Inner { message, versions: field.versions, flexible: "true" };
        let guard = condition(field.versions, tag_versions(message, s.versions));
        let guard = guard.map_or(String::new(), |test| format!(" if {test}"));
        let read = inner.field(field);
        arms.push_str(&format!(
            "{tag}{guard} => {} = r.tagged_value(|r| {})?,\n",
            field.name,
            as_result(&read)
        ));
    }
    let section = if arms.is_empty() {
        "r.skip_tagged_fields()?;\n".to_owned()
    } else {
        format!(
            "for _ in 0..r.uvarint()? {{\nmatch r.uvarint()? {{\n{arms}_ => r.skip_tagged_value()?,\n}}\n}}\n"
        )
    };
    if flex == "true" { section } else { format!("if flexible {{\n{section}}}\n") }
}

/// The versions in which the struct has tags.
pub(super) fn tag_versions(message: &Message, versions: Versions) -> Versions {
    let first = message.flexible.unwrap_or(versions.first).max(versions.first);
    Versions { first, last: versions.last }
}

/// Where a value is read: its versions, and the expression for flexibility.
struct Inner<'a> {
    message: &'a Message,
    versions: Versions,
    flexible: &'a str,
}

impl Inner<'_> {
    /// An expression that reads the field, with its nullability.
    fn field(&self, field: &Field) -> String {
        let flexible = self.flexible;
        let Some(null) = field.null else { return self.plain(&field.ty) };
        let read = match &field.ty {
            Type::String => format!("r.nullable_string({flexible})?"),
            Type::Bytes => format!("r.nullable_bytes({flexible})?"),
            Type::Records => format!("r.nullable_records({flexible})?"),
            Type::Struct(name) => {
                format!("if r.i8()? < 0 {{ None }} else {{ Some({name}::decode(r, version)?) }}")
            }
            Type::Array(element) => {
                let item = as_result(&self.plain(element));
                let min = bytes_min(self.message, element, self.versions);
                format!("r.nullable_array({flexible}, {min}, |r| {item})?")
            }
            Type::Fixed(_) => self.plain(&field.ty),
        };
        match condition(null, field.versions) {
            None => read,
            Some(test) => format!("r.null_only_if({test}, |r| {})?", as_result(&read)),
        }
    }

    fn plain(&self, ty: &Type) -> String {
        let flexible = self.flexible;
        match ty {
            Type::Fixed(fixed) => format!("r.{}()?", fixed.name),
            Type::String => format!("r.string({flexible})?"),
            Type::Bytes => format!("r.bytes({flexible})?"),
            Type::Records => format!("r.records({flexible})?"),
            Type::Struct(name) => format!("{name}::decode(r, version)?"),
            Type::Array(element) => {
                let item = as_result(&self.plain(element));
                let min = bytes_min(self.message, element, self.versions);
                format!("r.array({flexible}, {min}, |r| {item})?")
            }
        }
    }
}
