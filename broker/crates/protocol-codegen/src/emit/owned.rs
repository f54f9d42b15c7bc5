//! `into_owned` of structs that borrow. No I/O.

use crate::field::{Field, Type};
use crate::message::{Message, Struct};

/// The method, or nothing for a struct that owns everything anyway.
pub(super) fn implementation(message: &Message, s: &Struct) -> String {
    if !message.borrows(s) {
        return String::new();
    }
    let fields: String =
        s.fields.iter().map(|field| format!("{}: {},\n", field.name, owned_field(message, field))).collect();
    format!(
        "impl {name}<'_> {{\n/// The same value, free of the buffer it was decoded from.\npub fn into_owned(self) -> \
         {name}<'static> {{\n{name} {{\n{fields}}}\n}}\n}}\n\n",
        name = s.name
    )
}

fn owned_field(message: &Message, field: &Field) -> String {
    let value = format!("self.{}", field.name);
    match owned(message, &field.ty, "value") {
        None => value,
        Some(inner) if field.null.is_some() => format!("{value}.map(|value| {inner})"),
        Some(_) => owned(message, &field.ty, &value).unwrap_or(value),
    }
}

/// An expression for `value` without borrows; none if it has none.
fn owned(message: &Message, ty: &Type, value: &str) -> Option<String> {
    Some(match ty {
        Type::Fixed(_) => return None,
        Type::String | Type::Bytes => format!("Cow::Owned({value}.into_owned())"),
        Type::Records => format!("{value}.into_owned()"),
        Type::Struct(name) if message.borrows(message.get(name)) => format!("{value}.into_owned()"),
        Type::Struct(_) => return None,
        Type::Array(element) => {
            let item = owned(message, element, "item")?;
            format!("{value}.into_iter().map(|item| {item}).collect()")
        }
    })
}
