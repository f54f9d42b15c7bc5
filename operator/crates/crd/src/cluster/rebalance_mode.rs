//! When replicas move to even brokers out, by words that survive YAML.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// When replicas are moved to even brokers out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum RebalanceMode {
    /// At once.
    #[default]
    Auto,
    /// A plan is made and shown, and carried out once it is approved.
    Manual,
    /// No plan is made.
    Off,
}

/// The words of the schema.
const WORDS: [&str; 3] = ["Auto", "Manual", "Off"];

/// `Off` without quotes is a boolean to the YAML that kubectl reads, so what people write arrives as `false`.
impl<'de> Deserialize<'de> for RebalanceMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Mode;
        impl Visitor<'_> for Mode {
            type Value = RebalanceMode;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Auto, Manual or Off")
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<RebalanceMode, E> {
                match word {
                    "Auto" => Ok(RebalanceMode::Auto),
                    "Manual" => Ok(RebalanceMode::Manual),
                    "Off" => Ok(RebalanceMode::Off),
                    other => Err(E::unknown_variant(other, &WORDS)),
                }
            }
            fn visit_bool<E: Error>(self, on: bool) -> Result<RebalanceMode, E> {
                if on { Err(E::unknown_variant("true", &WORDS)) } else { Ok(RebalanceMode::Off) }
            }
        }
        deserializer.deserialize_any(Mode)
    }
}

impl JsonSchema for RebalanceMode {
    fn schema_name() -> Cow<'static, str> {
        "RebalanceMode".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // Without a type, which a text and a boolean do not share; the list says all there is to say.
        let [auto, manual, off] = WORDS;
        json_schema!({ "x-kubernetes-preserve-unknown-fields": true, "enum": [auto, manual, off, false] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_people_write_them_and_nothing_else_is() {
        for (json, mode) in [
            ("\"Auto\"", RebalanceMode::Auto),
            ("\"Manual\"", RebalanceMode::Manual),
            ("\"Off\"", RebalanceMode::Off),
            ("false", RebalanceMode::Off),
        ] {
            assert_eq!(serde_json::from_str::<RebalanceMode>(json).expect(json), mode);
        }
        for json in ["true", "\"Disabled\"", "\"off\"", "\"On\"", "0", "null"] {
            assert!(serde_json::from_str::<RebalanceMode>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::to_string(&RebalanceMode::Off).expect("a word"), "\"Off\"");
    }
}
