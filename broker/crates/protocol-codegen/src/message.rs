//! A message as a spec file describes it: what it is made of, and how its parts are named in Rust. No I/O.

use crate::field::{Field, Type, Versions};

/// A top-level schema.
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) versions: Versions,
    /// First flexible version, if any.
    pub(crate) flexible: Option<i16>,
    /// Whether the reference codec of the tests knows the schema.
    pub(crate) oracle: bool,
    /// The message itself first, then the structs it is made of, outer before inner.
    pub(crate) structs: Vec<Struct>,
}

/// A struct of a message.
pub(crate) struct Struct {
    pub(crate) name: String,
    /// Versions in which the struct can occur.
    pub(crate) versions: Versions,
    pub(crate) fields: Vec<Field>,
}

impl Message {
    /// The struct `name` of this message.
    pub(crate) fn get(&self, name: &str) -> &Struct {
        self.structs.iter().find(|s| s.name == name).expect("load() made sure that used structs exist")
    }

    /// Whether the struct borrows from the buffer it was decoded from.
    pub(crate) fn borrows(&self, s: &Struct) -> bool {
        fn leaf(ty: &Type) -> bool {
            match ty {
                Type::String | Type::Bytes | Type::Records => true,
                Type::Array(element) => leaf(element),
                _ => false,
            }
        }
        s.fields.iter().any(|field| {
            leaf(&field.ty) || field.ty.struct_name().is_some_and(|name| self.borrows(self.get(name)))
        })
    }

    /// Whether `version` is flexible.
    pub(crate) fn is_flexible(&self, version: i16) -> bool {
        self.flexible.is_some_and(|first| version >= first)
    }
}

/// `ProduceRequest` as `produce_request`.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// `controller_mutation` as `ControllerMutation`.
pub(crate) fn pascal(name: &str) -> String {
    let words = name.split('_').filter_map(|word| Some((word.chars().next()?, word.get(1..)?)));
    words.fold(String::new(), |name, (first, rest)| format!("{name}{}{rest}", first.to_ascii_uppercase()))
}
