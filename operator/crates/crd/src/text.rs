//! Scalars that people write with or without quotes, and Kubernetes quantities. Pure.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A text that may stand in YAML without quotes: `2` and `"2"` are the same value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ScalarText(pub String);

impl ScalarText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ScalarText {
    fn from(text: &str) -> Self {
        ScalarText(text.to_owned())
    }
}

impl fmt::Display for ScalarText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = ScalarText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }
            fn visit_str<E>(self, text: &str) -> Result<ScalarText, E> {
                Ok(ScalarText(text.to_owned()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<ScalarText, E> {
                Ok(ScalarText(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<ScalarText, E> {
                Ok(ScalarText(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<ScalarText, E> {
                Ok(ScalarText(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<ScalarText, E> {
                Ok(ScalarText(value.to_string()))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

impl JsonSchema for ScalarText {
    fn schema_name() -> Cow<'static, str> {
        "ScalarText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}

/// What Kubernetes accepts as a quantity of bytes or cores.
pub(crate) const QUANTITY_PATTERN: &str = r"^[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?$";

/// A Kubernetes quantity such as `500m`, `2` or `10Gi`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuantityText(pub ScalarText);

impl QuantityText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

impl JsonSchema for QuantityText {
    fn schema_name() -> Cow<'static, str> {
        "QuantityText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": QUANTITY_PATTERN })
    }
}

/// A quantity in thousandths, rounded up as Kubernetes does; `None` if the text is none or is too large.
pub fn quantity_milli(text: &str) -> Option<u128> {
    let digits_end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty()
        || (number.contains('.') && fraction.is_empty())
        || fraction.len() > FRACTION_DIGITS_MAX
    {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let (multiplier, divisor): (u128, u128) = match suffix {
        "n" => (1, 1_000_000),
        "u" => (1, 1_000),
        "m" => (1, 1),
        "" => (1_000, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1_000 << 10, 1),
        "Mi" => (1_000 << 20, 1),
        "Gi" => (1_000 << 30, 1),
        "Ti" => (1_000 << 40, 1),
        "Pi" => (1_000 << 50, 1),
        "Ei" => (1_000 << 60, 1),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            (10u128.checked_pow(digits.parse().ok()?)?.checked_mul(1_000)?, 1)
        }
    };
    Some(digits.checked_mul(multiplier)?.div_ceil(scale.checked_mul(divisor)?))
}

/// Kubernetes keeps nine digits after the point at most.
const FRACTION_DIGITS_MAX: usize = 9;

/// A quantity as whole bytes, rounded up; `None` if the text is none or exceeds 2^63-1.
pub fn quantity_bytes(text: &str) -> Option<u64> {
    let bytes = quantity_milli(text)?.div_ceil(1_000);
    u64::try_from(bytes).ok().filter(|bytes| i64::try_from(*bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_kubernetes_reads_them() {
        assert_eq!(quantity_bytes("1Gi"), Some(1 << 30));
        assert_eq!(quantity_bytes("1.5Gi"), Some(3 << 29));
        assert_eq!(quantity_bytes("10k"), Some(10_000));
        assert_eq!(quantity_bytes("1e3"), Some(1_000));
        assert_eq!(quantity_bytes("12E"), None);
        assert_eq!(quantity_milli("500m"), Some(500));
        assert_eq!(quantity_milli("0.1"), Some(100));
        assert_eq!(quantity_milli("100u"), Some(1));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "Gi", "1GiB", "-1", "1.", ".5", "1,5Gi", "1 Gi", "ten", "1e99"] {
            assert_eq!(quantity_milli(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_without_quotes_are_texts() {
        for (json, text) in [("2", "2"), ("\"2\"", "2"), ("true", "true"), ("0.5", "0.5"), ("-1", "-1")] {
            assert_eq!(serde_json::from_str::<ScalarText>(json).expect("a scalar"), text.into());
        }
        assert!(serde_json::from_str::<ScalarText>("{}").is_err());
    }
}
