//! One of the two brokers: asks it, and makes its answers comparable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ottla_broker_protocol::batch::{BatchBuilder, BatchOptions};
use ottla_broker_protocol::{ApiKey, Reader, RequestHeader, ResponseHeader, Writer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::schema::{Schema, Schemas, to_hex};
use super::table::Exchange;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often what takes time is asked for again, and after which pause.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(50);
/// Fields that hold sentences, which every product words in its own way: only whether there is one is compared, and of
/// what went well not even that.
const SENTENCES: [&str; 2] = ["error_message", "documentation"];
/// Fields that tell of the machine.
const MACHINE: [&str; 3] = ["log_dir", "total_bytes", "usable_bytes"];
/// What rows of lists go by.
const KEYS: [&str; 12] = [
    "name",
    "topic",
    "topic_name",
    "topic_id",
    "group_id",
    "key",
    "resource_type",
    "resource_name",
    "partition_index",
    "partition",
    "partition_id",
    "index",
];

/// A broker, with what it told.
pub struct Side {
    address: SocketAddr,
    stream: Option<TcpStream>,
    told: BTreeMap<String, Value>,
}

impl Side {
    /// The broker that listens on an address of this machine.
    pub fn at(address: SocketAddr) -> Side {
        let told = BTreeMap::from([
            ("batch".to_owned(), json!(batch(-1, -1, -1))),
            ("no_id".to_owned(), json!("0".repeat(32))),
            ("strange_id".to_owned(), json!("a5".repeat(16))),
        ]);
        Side { address, stream: None, told }
    }

    /// The versions of each API that it lists.
    pub async fn listed(&mut self, schemas: &Schemas) -> Result<BTreeMap<i64, (i16, i16)>> {
        let request = json!({"client_software_name": "test", "client_software_version": "1"});
        let answer = self.ask(schemas.get("ApiVersions")?, "ApiVersions", 3, 3, &request).await?;
        let number = |row: &Value, name: &str| row[name].as_i64().context("no number");
        let rows = answer["api_keys"].as_array().context("no list")?.iter().map(|row| {
            let versions = (number(row, "min_version")?.try_into()?, number(row, "max_version")?.try_into()?);
            Ok((number(row, "api_key")?, versions))
        });
        rows.collect()
    }

    /// The comparable answer to an exchange in one version.
    pub async fn answer(&mut self, schema: &Schema, exchange: &Exchange, version: i16) -> Result<Value> {
        let request = self.filled_in(&Value::Object(exchange.request.clone()), version)?;
        let claimed = exchange.claim_version.unwrap_or(version);
        for _ in 0..TRIES {
            let answer = self.ask(schema, &exchange.api, version, claimed, &request).await?;
            if exchange.until.iter().any(|(place, wanted)| answer.pointer(place) != Some(wanted)) {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            for (name, place) in &exchange.save {
                let value = place.as_str().and_then(|place| answer.pointer(place));
                self.told.insert(name.clone(), value.with_context(|| format!("no {place}"))?.clone());
            }
            return Ok(self.comparable("", answer));
        }
        bail!("it does not come to {:?}", exchange.until)
    }

    /// A request's texts with what was told in the place of names.
    fn filled_in(&self, value: &Value, version: i16) -> Result<Value> {
        Ok(match value {
            Value::Array(values) => {
                values.iter().map(|value| self.filled_in(value, version)).collect::<Result<_>>()?
            }
            Value::Object(fields) => {
                let filled = fields.iter().map(|(k, v)| Ok((k.clone(), self.filled_in(v, version)?)));
                Value::Object(filled.collect::<Result<_>>()?)
            }
            Value::String(text) => match text.strip_prefix('$') {
                Some(name) => self.told.get(name).with_context(|| format!("${name} is not known"))?.clone(),
                None => json!(text.replace("{version}", &version.to_string())),
            },
            other => other.clone(),
        })
    }

    fn comparable(&self, name: &str, value: Value) -> Value {
        match value {
            Value::Array(values) => {
                let values = values.into_iter().filter(|value| !is_empty_row(value));
                let mut values: Vec<Value> = values.map(|value| self.comparable(name, value)).collect();
                // Kafka's order is that of its hash tables.
                values.sort_by_key(|row| KEYS.map(|key| row.get(key).unwrap_or(&Value::Null).to_string()));
                Value::Array(values)
            }
            Value::Object(fields) => {
                let went_well = fields.get("error_code") == Some(&json!(0));
                let fields = fields.into_iter().map(|(name, value)| {
                    let value = match name.as_str() {
                        "error_message" if went_well => Value::Null,
                        _ => self.comparable(&name, value),
                    };
                    (name, value)
                });
                Value::Object(fields.collect())
            }
            Value::String(text) if SENTENCES.contains(&name) => {
                if text.is_empty() {
                    Value::Null
                } else {
                    json!("a sentence")
                }
            }
            _ if MACHINE.contains(&name) => json!("the machine's"),
            // Short texts and numbers mean something of their own: only ids are names of what was told.
            Value::Number(_) if name == "port" => json!("$port"),
            Value::String(text) if text.len() > 8 => {
                let told = self.told.iter().find(|(_, told)| told.as_str() == Some(&text));
                match told {
                    Some((name, _)) => json!(format!("${name}")),
                    None if name == "topic_id" => json!("a new id"),
                    None => json!(text),
                }
            }
            other => other,
        }
    }

    /// Sends a request; the answer, or what happened to the connection.
    pub async fn ask(
        &mut self,
        schema: &Schema,
        api: &str,
        version: i16,
        claimed: i16,
        request: &Value,
    ) -> Result<Value> {
        let key =
            ApiKey::ALL.iter().copied().find(|key| key.name() == api).context("no key has this name")?;
        let header = RequestHeader {
            api_key: key.code(),
            api_version: claimed,
            correlation_id: 7,
            client_id: Some("differences".into()),
        };
        let mut writer = Writer::new();
        header.encode(&mut writer)?;
        let mut frame = writer.into_bytes().context("a file in a header")?.to_vec();
        frame.extend(schema.encode(request, version).context("write the request")?);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(&frame)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                self.stream = None;
                return Ok(json!(if answer.is_err() { "no answer" } else { "the connection is closed" }));
            }
        };
        // An unknown version of ApiVersions is answered in the oldest one.
        let version = if claimed == version { version } else { 0 };
        let mut reader = Reader::new(&answer);
        ResponseHeader::decode(&mut reader, key, version)?;
        let body = &answer[answer.len() - reader.remaining()..];
        schema.decode(body, version).with_context(|| format!("read {}", to_hex(body)))
    }

    async fn exchange(&mut self, frame: &[u8]) -> std::io::Result<Vec<u8>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(TcpStream::connect(self.address).await?),
        };
        stream.write_i32(i32::try_from(frame.len()).unwrap_or(i32::MAX)).await?;
        stream.write_all(frame).await?;
        let len = stream.read_i32().await?;
        let mut answer = vec![0; usize::try_from(len).unwrap_or(0)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// Whether a row has nothing but its name: Kafka leaves some out of its answers, and no client looks at them.
fn is_empty_row(row: &Value) -> bool {
    let Some(fields) = row.as_object() else { return false };
    let mut lists = fields.values().filter_map(Value::as_array).peekable();
    !fields.contains_key("error_code") && lists.peek().is_some() && lists.all(Vec::is_empty)
}

/// A batch with one record, as hexadecimal text.
fn batch(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> String {
    let options = BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() };
    let mut batch = BatchBuilder::new(options);
    batch.append(Some(b"key"), Some(b"value"), 1_700_000_000_000);
    batch.build().map(|bytes| to_hex(&bytes)).unwrap_or_default()
}
