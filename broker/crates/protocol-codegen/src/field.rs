//! The one-line notation of a field, and version ranges. No I/O.
//!
//! ```text
//! name: type [@versions] [null[@versions]] [tag=N] [default=literal] [ignorable]
//! ```
//! Types: i8 i16 u16 i32 u32 i64 f64 bool uuid string bytes records, a struct of the same message, or `[]type`.
//! Versions: `3`, `3-5`, `3+`; left out, the field exists in every version of its struct.
//! `null` alone: null is allowed wherever the field exists, and is its default. `null@2+`: allowed from 2 on; the
//! default is the empty value, which every version can carry.
//! `ignorable`: may be dropped silently where the version has no such field.

use anyhow::{Context, bail, ensure};

/// An inclusive range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: i16,
}

impl Versions {
    /// `text` within `bounds`; an open end is the end of `bounds`.
    pub(crate) fn parse(text: &str, bounds: Versions) -> anyhow::Result<Versions> {
        let number = |text: &str| text.parse::<i16>().with_context(|| format!("versions {text:?}"));
        let (first, last) = if let Some(first) = text.strip_suffix('+') {
            (number(first)?, bounds.last)
        } else if let Some((first, last)) = text.split_once('-') {
            (number(first)?, number(last)?)
        } else {
            (number(text)?, number(text)?)
        };
        ensure!(first <= last, "versions {text:?} are empty within {bounds:?}");
        ensure!(bounds.first <= first && last <= bounds.last, "versions {text:?} exceed {bounds:?}");
        Ok(Versions { first, last })
    }

    pub(crate) fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = i16> {
        self.first..=self.last
    }
}

/// A field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A number, bool or uuid: the name doubles as that of the reader's method.
    Fixed(&'static Fixed),
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

/// A type of fixed size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fixed {
    pub(crate) name: &'static str,
    pub(crate) rust: &'static str,
    pub(crate) zero: &'static str,
    pub(crate) size: usize,
    pub(crate) kafka: &'static str,
}

const FIXED: [Fixed; 9] = [
    Fixed { name: "i8", rust: "i8", zero: "0", size: 1, kafka: "int8" },
    Fixed { name: "i16", rust: "i16", zero: "0", size: 2, kafka: "int16" },
    Fixed { name: "u16", rust: "u16", zero: "0", size: 2, kafka: "uint16" },
    Fixed { name: "i32", rust: "i32", zero: "0", size: 4, kafka: "int32" },
    Fixed { name: "u32", rust: "u32", zero: "0", size: 4, kafka: "uint32" },
    Fixed { name: "i64", rust: "i64", zero: "0", size: 8, kafka: "int64" },
    Fixed { name: "f64", rust: "f64", zero: "0.0", size: 8, kafka: "float64" },
    Fixed { name: "bool", rust: "bool", zero: "false", size: 1, kafka: "bool" },
    Fixed { name: "uuid", rust: "Uuid", zero: "Uuid::ZERO", size: 16, kafka: "uuid" },
];

impl Type {
    fn parse(text: &str) -> Type {
        if let Some(element) = text.strip_prefix("[]") {
            return Type::Array(Box::new(Type::parse(element)));
        }
        match (text, FIXED.iter().find(|fixed| fixed.name == text)) {
            (_, Some(fixed)) => Type::Fixed(fixed),
            ("string", _) => Type::String,
            ("bytes", _) => Type::Bytes,
            ("records", _) => Type::Records,
            _ => Type::Struct(text.to_owned()),
        }
    }

    /// The struct that the type is, or is an array of.
    pub(crate) fn struct_name(&self) -> Option<&str> {
        match self {
            Type::Struct(name) => Some(name),
            Type::Array(element) => element.struct_name(),
            _ => None,
        }
    }
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// Where the field exists, within its struct's versions.
    pub(crate) versions: Versions,
    /// Where null is allowed.
    pub(crate) null: Option<Versions>,
    pub(crate) tag: Option<u32>,
    /// A literal that differs from the type's own default.
    pub(crate) default: Option<String>,
    pub(crate) ignorable: bool,
}

impl Field {
    /// Reads one line of a struct that exists in `bounds`.
    pub(crate) fn parse(line: &str, bounds: Versions) -> anyhow::Result<Field> {
        let (name, rest) = line.split_once(": ").context("a field is `name: type ...`")?;
        let mut words = rest.split(' ');
        let ty = Type::parse(words.next().context("a field has a type")?);
        let mut field = Field {
            name: name.to_owned(),
            ty,
            versions: bounds,
            null: None,
            tag: None,
            default: None,
            ignorable: false,
        };
        for word in words {
            field.option(word).with_context(|| format!("field {line:?}"))?;
        }
        ensure!(field.ty != Type::Records || field.null.is_some(), "records are nullable: {line:?}");
        Ok(field)
    }

    fn option(&mut self, word: &str) -> anyhow::Result<()> {
        if let Some(versions) = word.strip_prefix('@') {
            self.versions = Versions::parse(versions, self.versions)?;
        } else if word == "null" {
            self.null = Some(self.versions);
        } else if let Some(versions) = word.strip_prefix("null@") {
            self.null = Some(Versions::parse(versions, self.versions)?);
        } else if let Some(tag) = word.strip_prefix("tag=") {
            self.tag = Some(tag.parse()?);
        } else if let Some(literal) = word.strip_prefix("default=") {
            self.default = Some(literal.to_owned());
        } else if word == "ignorable" {
            self.ignorable = true;
        } else {
            bail!("unknown word {word:?}");
        }
        Ok(())
    }

    /// Whether null is the value of an untouched field.
    pub(crate) fn null_by_default(&self) -> bool {
        self.null.is_some_and(|null| null.first <= self.versions.first) && self.default.is_none()
    }

    /// Whether the field can be null in some version only.
    pub(crate) fn null_in_part(&self) -> bool {
        self.null.is_some_and(|null| null != self.versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Versions = Versions { first: 2, last: 9 };

    #[test]
    fn a_full_line_is_read() {
        let field = Field::parse("topics: []Topic @3-7 null@5+ tag=4 default=x ignorable", BOUNDS).unwrap();
        assert_eq!(field.versions, Versions { first: 3, last: 7 });
        assert_eq!(field.null, Some(Versions { first: 5, last: 7 }));
        assert_eq!((field.tag, field.ignorable, field.ty.struct_name()), (Some(4), true, Some("Topic")));
        assert!(field.null_in_part() && !field.null_by_default());
    }

    #[test]
    fn versions_outside_of_the_struct_are_refused() {
        assert!(Field::parse("a: i32 @1+", BOUNDS).is_err());
        assert!(Field::parse("a: i32 @3-10", BOUNDS).is_err());
        assert!(Field::parse("a: i32 nul", BOUNDS).is_err());
    }
}
