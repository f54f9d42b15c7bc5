//! `Encode` implementations. No I/O.

use super::decode::tag_versions;
use super::structs::differs_from_default;
use super::{condition, flexible, lifetime, negated_condition, uses};
use crate::field::{Field, Type};
use crate::message::{Message, Struct};

/// The `Encode` implementation of a struct.
pub(super) fn implementation(message: &Message, s: &Struct) -> String {
    let flex = flexible(message, s.versions);
    let flex_name = if flex.starts_with("version") { "flexible" } else { &flex };
    let mut body = String::new();
    for field in s.fields.iter().filter(|field| field.tag.is_none()) {
        let write = write_field(s, field, flex_name);
        body.push_str(&match condition(field.versions, s.versions) {
            None => write,
            Some(test) => match or_unsupported(s, field, "") {
                refuse if refuse.is_empty() => format!("if {test} {{\n{write}}}\n"),
                refuse => format!("if {test} {{\n{write}}} else {refuse}"),
            },
        });
    }
    body.push_str(&tags(message, s, &flex));
    if uses(&body, "flexible") {
        body.insert_str(0, &format!("let flexible = {flex};\n"));
    }
    if s.name == message.name {
        body.insert_str(
            0,
            &format!(
                "if !({}..={}).contains(&version) {{\nreturn Err(EncodeError::UnsupportedVersion {{ message: \"{}\", \
                 version }});\n}}\n",
                s.versions.first, s.versions.last, s.name
            ),
        );
    }
    let writer = if uses(&body, "w") { "w" } else { "_w" };
    let version = if uses(&body, "version") { "version" } else { "_version" };
    format!(
        "impl Encode for {}{} {{\nfn encode(&self, {writer}: &mut Writer, {version}: i16) -> Result<(), EncodeError> \
         {{\n{body}Ok(())\n}}\n}}\n\n",
        s.name,
        lifetime(message, s, "'_"),
    )
}

/// Code that refuses a value which the version cannot carry, under a further condition; empty if the value may be
/// dropped.
fn or_unsupported(s: &Struct, field: &Field, condition: &str) -> String {
    if field.ignorable {
        return String::new();
    }
    format!(
        "if {condition}{} {{\nreturn Err(EncodeError::UnsupportedField {{ field: \"{}.{}\", version }});\n}}\n",
        differs_from_default(field),
        s.name,
        field.name
    )
}

fn write_field(s: &Struct, field: &Field, flexible: &str) -> String {
    let name = format!("self.{}", field.name);
    let Some(null) = field.null else { return write_plain(&field.ty, &name, true, flexible) };
    let mut code = String::new();
    if let Some(test) = negated_condition(null, field.versions) {
        code.push_str(&format!(
            "if {name}.is_none() && {test} {{\nreturn Err(EncodeError::UnexpectedNull {{ field: \"{}.{}\", version \
             }});\n}}\n",
            s.name, field.name
        ));
    }
    code.push_str(&match &field.ty {
        Type::String => format!("w.put_nullable_string({name}.as_deref(), {flexible})?;\n"),
        Type::Bytes => format!("w.put_nullable_bytes({name}.as_deref(), {flexible})?;\n"),
        Type::Records => format!("w.put_nullable_records({name}.as_ref(), {flexible})?;\n"),
        Type::Struct(_) => format!(
            "match &{name} {{\nSome(value) => {{\nw.put_i8(1);\nvalue.encode(w, version)?;\n}}\nNone => \
             w.put_i8(-1),\n}}\n"
        ),
        Type::Array(element) => format!(
            "w.put_nullable_array_len({name}.as_ref().map(Vec::len), {flexible})?;\nfor item in \
             {name}.iter().flatten() {{\n{}}}\n",
            write_plain(element, "item", false, flexible)
        ),
        Type::Fixed(_) => write_plain(&field.ty, &name, true, flexible),
    });
    code
}

/// `place` says whether `value` is a place (a field) rather than a reference (a loop variable).
fn write_plain(ty: &Type, value: &str, place: bool, flexible: &str) -> String {
    let by_ref = if place { format!("&{value}") } else { value.to_owned() };
    let by_value = if place { value.to_owned() } else { format!("*{value}") };
    match ty {
        Type::Fixed(fixed) => format!("w.put_{}({by_value});\n", fixed.name),
        Type::String => format!("w.put_string({by_ref}, {flexible})?;\n"),
        Type::Bytes => format!("w.put_bytes({by_ref}, {flexible})?;\n"),
        Type::Records => format!("w.put_nullable_records(Some({by_ref}), {flexible})?;\n"),
        Type::Struct(_) => format!("{value}.encode(w, version)?;\n"),
        Type::Array(element) => format!(
            "w.put_array_len({value}.len(), {flexible})?;\nfor item in {by_ref} {{\n{}}}\n",
            write_plain(element, "item", false, flexible)
        ),
    }
}

/// Code that writes the tag section, in the order of tags.
fn tags(message: &Message, s: &Struct, flex: &str) -> String {
    let mut code = String::new();
    let mut tagged: Vec<&Field> = s.fields.iter().filter(|field| field.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    for field in &tagged {
        if let Some(test) = negated_condition(field.versions, s.versions) {
            code.push_str(&or_unsupported(s, field, &format!("{test} && ")));
        }
    }
    if flex == "false" {
        return code;
    }
    let mut section = String::new();
    if tagged.is_empty() {
        section.push_str("w.put_uvarint(0);\n");
    } else {
        let outer = tag_versions(message, s.versions);
        let mut writes = String::new();
        let mut counts = Vec::new();
        for field in &tagged {
            let differs = differs_from_default(field);
            let test = match condition(field.versions, outer) {
                None => differs,
                Some(test) => format!("{test} && {differs}"),
            };
            counts.push(format!("u32::from({test})"));
            let tag = field.tag.unwrap_or_default();
            let write = write_field(s, field, "true");
            writes.push_str(&format!(
                "if {test} {{\nw.put_tagged_field({tag}, |w| {{\n{write}Ok(())\n}})?;\n}}\n"
            ));
        }
        section.push_str(&format!("w.put_uvarint({});\n{writes}", counts.join(" + ")));
    }
    code.push_str(&if flex == "true" { section } else { format!("if flexible {{\n{section}}}\n") });
    code
}
