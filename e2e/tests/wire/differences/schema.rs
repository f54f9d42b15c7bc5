//! Messages as JSON, read and written by the specs of `broker/crates/protocol/spec`: a second reader of them beside the
//! generated code, which knows every field by its name. No I/O but [`Schemas::load`].
//!
//! A field that the request's JSON leaves out has its default; one that the version does not have is not sent. Bytes
//! and ids are hexadecimal text. An answer's JSON has every field of its version, tagged ones included.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use ottla_e2e::checkout;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct RawBody {
    fields: Vec<String>,
    #[serde(default)]
    structs: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct RawApi {
    api: String,
    versions: String,
    flexible: Option<i16>,
    request: RawBody,
    response: RawBody,
}

/// An inclusive range.
type Versions = (i16, i16);

struct Field {
    name: String,
    /// A fixed type, `string`, `bytes`, `records`, a struct, or `[]` and one of them.
    ty: String,
    versions: Versions,
    null: Option<Versions>,
    tag: Option<u64>,
    default: Option<String>,
}

struct Body {
    top: Vec<Field>,
    structs: BTreeMap<String, Vec<Field>>,
}

/// One API's messages.
pub struct Schema {
    /// The versions that the spec has.
    pub versions: Versions,
    flexible: i16,
    request: Body,
    response: Body,
}

/// Every API's messages by its name.
pub struct Schemas(BTreeMap<String, Schema>);

impl Schemas {
    /// Reads the specs of this checkout.
    pub fn load() -> Result<Schemas> {
        let mut schemas = BTreeMap::new();
        let folder = checkout().join("broker/crates/protocol/spec");
        for entry in std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            // Persisted records have no API's fields.
            let Ok(raw) = serde_json::from_slice::<RawApi>(&std::fs::read(&path)?) else { continue };
            let name = raw.api.clone();
            let schema = Schema::of(raw).with_context(|| format!("{}", path.display()))?;
            schemas.insert(name, schema);
        }
        Ok(Schemas(schemas))
    }

    /// The messages of an API.
    pub fn get(&self, api: &str) -> Result<&Schema> {
        self.0.get(api).with_context(|| format!("no API is named {api}"))
    }
}

/// Reads `3`, `3-5` or `3+`.
pub fn versions(text: &str) -> Result<Versions> {
    if let Some(first) = text.strip_suffix('+') {
        return Ok((first.parse()?, i16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Ok((first.parse()?, last.parse()?))
}

fn within(versions: Versions, version: i16) -> bool {
    (versions.0..=versions.1).contains(&version)
}

impl Field {
    fn parse(line: &str) -> Result<Field> {
        let (name, rest) = line.split_once(": ").context("a field is `name: type`")?;
        let mut words = rest.split(' ');
        let ty = words.next().unwrap_or_default().to_owned();
        let mut field = Field {
            name: name.to_owned(),
            ty,
            versions: (0, i16::MAX),
            null: None,
            tag: None,
            default: None,
        };
        for word in words {
            match word.split_once(['@', '=']) {
                Some(("", range)) => field.versions = versions(range)?,
                Some(("null", range)) => field.null = Some(versions(range)?),
                Some(("tag", number)) => field.tag = Some(number.parse()?),
                Some(("default", literal)) => field.default = Some(literal.to_owned()),
                None if word == "null" => field.null = Some(field.versions),
                None if word == "ignorable" => {}
                _ => bail!("unknown word {word:?}"),
            }
        }
        Ok(field)
    }

    fn default(&self) -> Value {
        let literal = self.default.as_deref();
        match self.ty.as_str() {
            _ if literal.is_none() && self.null.is_some_and(|null| null.0 <= self.versions.0) => Value::Null,
            ty if ty.starts_with("[]") => json!([]),
            "bool" => json!(literal == Some("true")),
            "string" | "bytes" | "records" => json!(literal.unwrap_or_default().trim_matches('"')),
            "uuid" => json!("0".repeat(32)),
            "i8" | "i16" | "u16" | "i32" | "u32" | "i64" => {
                json!(literal.and_then(|text| text.parse::<i64>().ok()).unwrap_or(0))
            }
            "f64" => json!(0.0),
            _ => json!({}),
        }
    }
}

impl Body {
    fn of(raw: RawBody) -> Result<Body> {
        let fields = |lines: Vec<String>| -> Result<Vec<Field>> {
            lines.iter().map(|line| Field::parse(line)).collect()
        };
        let structs = raw.structs.into_iter().map(|(name, lines)| Ok((name, fields(lines)?)));
        Ok(Body { top: fields(raw.fields)?, structs: structs.collect::<Result<_>>()? })
    }
}

impl Schema {
    fn of(raw: RawApi) -> Result<Schema> {
        Ok(Schema {
            versions: versions(&raw.versions)?,
            flexible: raw.flexible.unwrap_or(i16::MAX),
            request: Body::of(raw.request)?,
            response: Body::of(raw.response)?,
        })
    }

    /// The body of a request.
    pub fn encode(&self, request: &Value, version: i16) -> Result<Vec<u8>> {
        let body = Coder { body: &self.request, version, flexible: version >= self.flexible };
        let mut bytes = Vec::new();
        body.put_struct(&self.request.top, request, &mut bytes)?;
        Ok(bytes)
    }

    /// An answer from its body.
    pub fn decode(&self, mut bytes: &[u8], version: i16) -> Result<Value> {
        let body = Coder { body: &self.response, version, flexible: version >= self.flexible };
        let answer = body.take_struct(&self.response.top, &mut bytes)?;
        ensure!(bytes.is_empty(), "{} bytes are left of the answer", bytes.len());
        Ok(answer)
    }
}

struct Coder<'a> {
    body: &'a Body,
    version: i16,
    flexible: bool,
}

impl Coder<'_> {
    fn put_struct(&self, fields: &[Field], value: &Value, out: &mut Vec<u8>) -> Result<()> {
        let given = value.as_object().with_context(|| format!("{value} is no object"))?;
        for name in given.keys() {
            ensure!(fields.iter().any(|field| field.name == *name), "there is no field {name}");
        }
        let mut tagged = Vec::new();
        for field in fields.iter().filter(|field| within(field.versions, self.version)) {
            let given = given.get(&field.name);
            let value = given.cloned().unwrap_or_else(|| field.default());
            let name = || format!("field {}", field.name);
            match field.tag {
                None => self.put(field, &field.ty, &value, out).with_context(name)?,
                Some(tag) if given.is_some() => {
                    let mut bytes = Vec::new();
                    self.put(field, &field.ty, &value, &mut bytes).with_context(name)?;
                    tagged.push((tag, bytes));
                }
                Some(_) => {}
            }
        }
        if self.flexible {
            put_uvarint(tagged.len() as u64, out);
            for (tag, bytes) in tagged {
                put_uvarint(tag, out);
                put_uvarint(bytes.len() as u64, out);
                out.extend(bytes);
            }
        }
        Ok(())
    }

    fn put(&self, field: &Field, ty: &str, value: &Value, out: &mut Vec<u8>) -> Result<()> {
        if let Some(size) = fixed_size(ty) {
            match ty {
                "uuid" => out.extend(from_hex(value.as_str().context("an id is text")?)?),
                "bool" => out.push(u8::from(value.as_bool().context("no bool")?)),
                "f64" => out.extend(value.as_f64().context("no number")?.to_be_bytes()),
                _ => {
                    let number = value.as_i64().with_context(|| format!("{value} is no number"))?;
                    out.extend(&number.to_be_bytes()[8 - size..]);
                }
            }
            return Ok(());
        }
        let is_struct = self.body.structs.contains_key(ty);
        if value.is_null() {
            ensure!(field.null.is_some_and(|null| within(null, self.version)), "it cannot be null");
            match ty {
                _ if is_struct => out.push(0xff),
                _ if self.flexible => out.push(0),
                "string" => out.extend((-1_i16).to_be_bytes()),
                _ => out.extend((-1_i32).to_be_bytes()),
            }
            return Ok(());
        }
        if let Some(element) = ty.strip_prefix("[]") {
            let elements = value.as_array().with_context(|| format!("{value} is no list"))?;
            self.put_len(elements.len(), false, out);
            return elements.iter().try_for_each(|value| self.put(field, element, value, out));
        }
        if is_struct {
            if field.null.is_some() && !field.ty.starts_with("[]") {
                out.push(1);
            }
            return self.put_struct(&self.body.structs[ty], value, out);
        }
        let text = value.as_str().with_context(|| format!("{value} is no text"))?;
        let bytes = if ty == "string" { text.as_bytes().to_vec() } else { from_hex(text)? };
        self.put_len(bytes.len(), ty == "string", out);
        out.extend(bytes);
        Ok(())
    }

    fn put_len(&self, len: usize, is_string: bool, out: &mut Vec<u8>) {
        match (self.flexible, is_string) {
            (true, _) => put_uvarint(len as u64 + 1, out),
            (false, true) => out.extend((len as i16).to_be_bytes()),
            (false, false) => out.extend((len as i32).to_be_bytes()),
        }
    }

    fn take_struct(&self, fields: &[Field], bytes: &mut &[u8]) -> Result<Value> {
        let mut taken = Map::new();
        let mine = || fields.iter().filter(|field| within(field.versions, self.version));
        for field in mine() {
            let value = match field.tag {
                None => self.take(field, &field.ty, bytes).with_context(|| field.name.clone())?,
                Some(_) => self.default_of(field),
            };
            taken.insert(field.name.clone(), value);
        }
        let count = if self.flexible { take_uvarint(bytes)? } else { 0 };
        for _ in 0..count {
            let tag = take_uvarint(bytes)?;
            let len = take_uvarint(bytes)?;
            let mut value = take_bytes(bytes, usize::try_from(len)?)?;
            match mine().find(|field| field.tag == Some(tag)) {
                Some(field) => taken.insert(field.name.clone(), self.take(field, &field.ty, &mut value)?),
                None => taken.insert(format!("tag_{tag}"), json!(to_hex(value))),
            };
        }
        Ok(Value::Object(taken))
    }

    /// What a tagged field means that is not there: a struct of defaults in full.
    fn default_of(&self, field: &Field) -> Value {
        match self.body.structs.get(&field.ty) {
            Some(fields) if field.null.is_none() => {
                let mine = fields.iter().filter(|field| within(field.versions, self.version));
                Value::Object(mine.map(|field| (field.name.clone(), self.default_of(field))).collect())
            }
            _ => field.default(),
        }
    }

    fn take(&self, field: &Field, ty: &str, bytes: &mut &[u8]) -> Result<Value> {
        if let Some(size) = fixed_size(ty) {
            let raw = take_bytes(bytes, size)?;
            let negative = raw[0] & 0x80 != 0 && !ty.starts_with('u');
            let mut wide = [if negative { 0xff } else { 0 }; 8];
            return Ok(match ty {
                "uuid" => json!(to_hex(raw)),
                "bool" => json!(raw[0] != 0),
                "f64" => json!(f64::from_be_bytes(raw.try_into()?)),
                _ => {
                    wide[8 - size..].copy_from_slice(raw);
                    json!(i64::from_be_bytes(wide))
                }
            });
        }
        if let Some(element) = ty.strip_prefix("[]") {
            let Some(len) = self.take_len(false, bytes)? else { return Ok(Value::Null) };
            let elements = (0..len).map(|_| self.take(field, element, bytes));
            return Ok(Value::Array(elements.collect::<Result<_>>()?));
        }
        if let Some(fields) = self.body.structs.get(ty) {
            if field.null.is_some() && !field.ty.starts_with("[]") && take_bytes(bytes, 1)?[0] == 0xff {
                return Ok(Value::Null);
            }
            return self.take_struct(fields, bytes);
        }
        let is_string = ty == "string";
        let Some(len) = self.take_len(is_string, bytes)? else { return Ok(Value::Null) };
        let raw = take_bytes(bytes, len)?;
        Ok(if is_string { json!(std::str::from_utf8(raw)?) } else { json!(to_hex(raw)) })
    }

    fn take_len(&self, is_string: bool, bytes: &mut &[u8]) -> Result<Option<usize>> {
        let len = match (self.flexible, is_string) {
            (true, _) => i64::try_from(take_uvarint(bytes)?)? - 1,
            (false, true) => i64::from(i16::from_be_bytes(take_bytes(bytes, 2)?.try_into()?)),
            (false, false) => i64::from(i32::from_be_bytes(take_bytes(bytes, 4)?.try_into()?)),
        };
        Ok(usize::try_from(len).ok())
    }
}

fn fixed_size(ty: &str) -> Option<usize> {
    Some(match ty {
        "i8" | "bool" => 1,
        "i16" | "u16" => 2,
        "i32" | "u32" => 4,
        "i64" | "f64" => 8,
        "uuid" => 16,
        _ => return None,
    })
}

fn take_bytes<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len).context("the answer ends too early")?;
    *bytes = rest;
    Ok(taken)
}

fn put_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_uvarint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = take_bytes(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("a varint does not end")
}

/// Bytes as hexadecimal text.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    ensure!(text.len().is_multiple_of(2) && text.is_ascii(), "{text:?} is not hexadecimal");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}
