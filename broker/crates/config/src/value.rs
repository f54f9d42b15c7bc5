//! Checked values: text in, a typed value or an error that says what to change out. No I/O.

use std::fmt;

use crate::listeners;
use crate::setting::{Check, Effect, Setting, ValueType};
use crate::suggest::nearest;
use crate::table::{
    broker_setting, broker_settings, group_setting, group_settings, removed_broker_setting,
    removed_topic_setting, topic_setting, topic_settings,
};
use crate::throttle::ThrottledReplicas;

/// The value of a setting, of the setting's type.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Of a boolean setting.
    Boolean(bool),
    /// Of a text or class setting.
    Text(String),
    /// Of an int, short or long setting.
    Integer(i64),
    /// Of a double setting.
    Real(f64),
    /// Of a list setting; trimmed, without empty parts.
    List(Vec<String>),
    /// Of a password setting; `Debug` and `Display` hide it.
    Secret(String),
}

/// Why a setting cannot have a value, in words that say what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("{name:?} is no setting{}", suggestion.map(|s| format!(": did you mean {s:?}?")).unwrap_or_default())]
    Unknown {
        /// What was given.
        name: String,
        /// The nearest known name.
        suggestion: Option<&'static str>,
    },
    /// Kafka had such a setting once.
    #[error("{name:?} is no setting any more: {advice}")]
    Removed {
        /// What was given.
        name: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// The value is of the wrong type or outside the range.
    #[error("{name} cannot be {value:?}: give {expected}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// What was given; hidden for secrets.
        value: String,
        /// What would do.
        expected: String,
    },
    /// The value asks for something that is not there.
    #[error("{name} cannot be {value:?}: {advice}")]
    Refused {
        /// The setting as it was named.
        name: String,
        /// What was given; hidden for secrets.
        value: String,
        /// What is missing, and what to do.
        advice: &'static str,
    },
    /// The setting cannot be changed while the broker runs.
    #[error("{name} cannot be changed while brokers run: set it in the broker's file and restart")]
    Static {
        /// The setting.
        name: &'static str,
    },
    /// The setting cannot be changed for all brokers at once.
    #[error("{name} can only be changed for one broker: name the broker")]
    PerBrokerOnly {
        /// The setting.
        name: &'static str,
    },
    /// APPEND and SUBTRACT need a list.
    #[error("{name} is no list: use SET or DELETE")]
    NotAList {
        /// The setting.
        name: &'static str,
    },
    /// A setting that must be given is missing.
    #[error("{name} is missing: {advice}")]
    Missing {
        /// The setting.
        name: &'static str,
        /// What to write.
        advice: &'static str,
    },
    /// Two settings contradict each other, or need something that is not served.
    #[error("{name}: {problem}")]
    Conflict {
        /// The setting to change.
        name: &'static str,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Value {
    /// Checks `text` against a row of the table, and whether what it asks for is there.
    pub fn parse(setting: &'static Setting, text: &str) -> Result<Value, ConfigError> {
        let value = Value::read(setting, text)?;
        match setting.effect {
            Effect::Refused { advice } if value.asks(setting) => Err(ConfigError::Refused {
                name: setting.name.to_owned(),
                value: shown(setting, text),
                advice,
            }),
            _ => Ok(value),
        }
    }

    /// What to tell about a value that is accepted and changes nothing; `None` if there is nothing to tell.
    pub fn note(&self, setting: &Setting) -> Option<String> {
        let (what, instead) = match setting.effect {
            Effect::Inert { instead } if self.asks(setting) => (setting.name.to_owned(), instead),
            Effect::Works | Effect::Inert { .. } | Effect::Refused { .. } => return None,
        };
        Some(format!("{what} has no effect: {instead}"))
    }

    /// Whether it asks for anything: neither nothing at all nor the default do.
    pub(crate) fn asks(&self, setting: &Setting) -> bool {
        let default = setting.default.and_then(|text| Value::read(setting, text).ok());
        !self.is_empty() && default.as_ref() != Some(self)
    }

    fn is_empty(&self) -> bool {
        match self {
            Value::Text(text) | Value::Secret(text) => text.is_empty(),
            Value::List(parts) => parts.is_empty(),
            Value::Boolean(_) | Value::Integer(_) | Value::Real(_) => false,
        }
    }

    /// The value of the setting's type, if it passes the setting's check.
    fn read(setting: &Setting, text: &str) -> Result<Value, ConfigError> {
        let trimmed = text.trim();
        let invalid = || ConfigError::Invalid {
            name: setting.name,
            value: shown(setting, text),
            expected: setting.takes(),
        };
        let value = match setting.value_type {
            ValueType::Boolean if trimmed.eq_ignore_ascii_case("true") => Value::Boolean(true),
            ValueType::Boolean if trimmed.eq_ignore_ascii_case("false") => Value::Boolean(false),
            ValueType::Boolean => return Err(invalid()),
            ValueType::Short => Value::Integer(trimmed.parse::<i16>().map_err(|_| invalid())?.into()),
            ValueType::Int => Value::Integer(trimmed.parse::<i32>().map_err(|_| invalid())?.into()),
            ValueType::Long => Value::Integer(trimmed.parse().map_err(|_| invalid())?),
            ValueType::Double => Value::Real(trimmed.parse().map_err(|_| invalid())?),
            ValueType::List => Value::List(split_list(text)),
            ValueType::String | ValueType::Class => Value::Text(trimmed.to_owned()),
            ValueType::Password => Value::Secret(text.to_owned()),
        };
        if passes(setting.check, &value, trimmed) { Ok(value) } else { Err(invalid()) }
    }

    /// The number, if it is one.
    pub fn as_integer(&self) -> Option<i64> {
        if let Value::Integer(value) = self { Some(*value) } else { None }
    }

    /// The decimal number, if it is one.
    pub fn as_real(&self) -> Option<f64> {
        if let Value::Real(value) = self { Some(*value) } else { None }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Boolean(value) = self { Some(*value) } else { None }
    }

    /// The parts, if it is a list.
    pub fn as_list(&self) -> Option<&[String]> {
        if let Value::List(parts) = self { Some(parts) } else { None }
    }

    /// The text of a text, class or password value.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) | Value::Secret(text) = self { Some(text) } else { None }
    }
}

/// The value as Kafka's tools print it; secrets are hidden.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => value.fmt(f),
            Value::Text(text) => text.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Real(value) => value.fmt(f),
            Value::List(parts) => parts.join(",").fmt(f),
            Value::Secret(_) => "(hidden)".fmt(f),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Checks a topic setting.
pub fn validate_topic(name: &str, value: &str) -> Result<Value, ConfigError> {
    Value::parse(known_topic(name)?, value)
}

/// Checks a broker setting, whatever its update mode.
pub fn validate_broker(name: &str, value: &str) -> Result<Value, ConfigError> {
    Value::parse(known_broker(name)?, value)
}

/// What to tell about a topic setting that is accepted and changes nothing.
pub fn note_topic(name: &str, value: &str) -> Option<String> {
    note(topic_setting(name)?, value)
}

/// What to tell about a broker setting that is accepted and changes nothing.
pub fn note_broker(name: &str, value: &str) -> Option<String> {
    note(broker_setting(name)?, value)
}

/// What to tell about a group setting that is accepted and changes nothing.
pub fn note_group(name: &str, value: &str) -> Option<String> {
    note(group_setting(name)?, value)
}

fn note(setting: &'static Setting, value: &str) -> Option<String> {
    Value::parse(setting, value).ok()?.note(setting)
}

/// The topic setting of that name, or an error with the nearest one.
pub fn known_topic(name: &str) -> Result<&'static Setting, ConfigError> {
    topic_setting(name).ok_or_else(|| match removed_topic_setting(name) {
        Some(advice) => ConfigError::Removed { name: name.to_owned(), advice },
        None => unknown(name, topic_settings().map(|setting| setting.name)),
    })
}

/// The broker setting of that name, or an error with the nearest one.
pub fn known_broker(name: &str) -> Result<&'static Setting, ConfigError> {
    broker_setting(name).ok_or_else(|| match removed_broker_setting(name) {
        Some(advice) => ConfigError::Removed { name: name.to_owned(), advice },
        None => unknown(name, broker_settings().map(|setting| setting.name)),
    })
}

/// The group setting of that name, or an error with the nearest one.
pub fn known_group(name: &str) -> Result<&'static Setting, ConfigError> {
    group_setting(name).ok_or_else(|| unknown(name, group_settings().map(|setting| setting.name)))
}

fn unknown(name: &str, known: impl Iterator<Item = &'static str>) -> ConfigError {
    ConfigError::Unknown { name: shortened(name), suggestion: nearest(name, known) }
}

/// The parts of a comma-separated list: trimmed, empty ones left out.
pub fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Error messages repeat at most this much of what was given, so that they stay readable.
const SHOWN_CHARS_MAX: usize = 128;

fn shown(setting: &Setting, text: &str) -> String {
    if setting.sensitive { "(hidden)".to_owned() } else { shortened(text) }
}

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

fn passes(check: Check, value: &Value, text: &str) -> bool {
    match (check, value) {
        (Check::Any, _) => true,
        (Check::Range { min, max }, Value::Integer(value)) => (min..=max).contains(value),
        (Check::RealRange { min, max }, Value::Real(value)) => (min..=max).contains(value),
        (Check::OneOf(words), Value::Text(text)) => words.contains(&text.as_str()),
        (Check::EachOf(words), Value::List(parts)) => parts.iter().all(|part| words.contains(&part.as_str())),
        (Check::NonEmpty, Value::List(parts)) => !parts.is_empty(),
        (Check::NonEmpty, Value::Text(text)) => !text.is_empty(),
        (Check::GzipLevel, Value::Integer(level)) => *level == -1 || (1..=9).contains(level),
        (Check::ThrottledReplicas, Value::List(parts)) => ThrottledReplicas::from_parts(parts).is_some(),
        (Check::ConnectionOverrides, Value::Text(_)) => split_list(text).iter().all(|part| {
            part.rsplit_once(':')
                .is_some_and(|(host, limit)| !host.is_empty() && limit.parse::<u32>().is_ok())
        }),
        (Check::Listeners, Value::List(_)) => listeners::parse_listeners(text).is_ok(),
        (Check::ProtocolMap, Value::List(_)) => listeners::parse_protocol_map(text).is_ok(),
        (Check::Voters, Value::List(_)) => listeners::parse_voters(text).is_ok(),
        (Check::Servers, Value::List(_)) => listeners::parse_servers(text).is_ok(),
        _ => false,
    }
}

impl Setting {
    /// What it does, and what becomes of it here.
    pub fn documentation(&self) -> String {
        let about = self.about;
        match self.effect {
            Effect::Works => about.to_owned(),
            Effect::Inert { instead } => format!("{about} Has no effect here: {instead}."),
            Effect::Refused { advice } => {
                let default = self.default.filter(|text| !text.is_empty()).unwrap_or("nothing");
                format!("{about} Takes {default} only: {advice}.")
            }
        }
    }

    /// What a value must be, in words.
    pub fn takes(&self) -> String {
        let kind = match self.value_type {
            ValueType::Boolean => "true or false",
            ValueType::Short | ValueType::Int | ValueType::Long => "a whole number",
            ValueType::Double => "a number",
            ValueType::List => "a list separated by commas",
            ValueType::String | ValueType::Class | ValueType::Password => "a text",
        };
        match self.check {
            Check::Any => match self.value_type {
                ValueType::Int => format!("{kind} of 32 bits"),
                ValueType::Short => format!("{kind} of 16 bits"),
                _ => kind.to_owned(),
            },
            Check::Range { min, max: i64::MAX } => format!("{kind}, at least {min}"),
            Check::Range { min, max } => format!("{kind} from {min} to {max}"),
            Check::RealRange { min, max } => format!("{kind} from {min} to {max}"),
            Check::OneOf(words) => format!("one of {}", words.join(", ")),
            Check::EachOf(words) => format!("a list of {}, separated by commas", words.join(", ")),
            Check::NonEmpty => format!("{kind} that is not empty"),
            Check::GzipLevel => "-1 or a whole number from 1 to 9".to_owned(),
            Check::ThrottledReplicas => "\"*\", or partition:broker pairs such as \"0:101,1:102\"".to_owned(),
            Check::ConnectionOverrides => "host:limit pairs such as \"10.0.0.7:100\"".to_owned(),
            Check::Listeners => "NAME://host:port, separated by commas, each name once".to_owned(),
            Check::ProtocolMap => {
                "NAME:PROTOCOL pairs with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, each name once"
                    .to_owned()
            }
            Check::Voters => "id@host:port, separated by commas, each id once".to_owned(),
            Check::Servers => "host:port, separated by commas".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let error = validate_topic("retention.mss", "1").expect_err("unknown");
        assert_eq!(error.to_string(), "\"retention.mss\" is no setting: did you mean \"retention.ms\"?");
        let error = validate_topic("completely-different", "1").expect_err("unknown");
        assert_eq!(error.to_string(), "\"completely-different\" is no setting");
    }

    #[test]
    fn a_removed_name_says_what_to_do() {
        let error = validate_topic("message.format.version", "2.8").expect_err("removed");
        assert!(error.to_string().contains("drop it"), "{error}");
    }

    #[test]
    fn values_outside_the_range_are_refused_with_the_range() {
        let error = validate_topic("segment.bytes", "1024").expect_err("too small");
        assert_eq!(
            error.to_string(),
            "segment.bytes cannot be \"1024\": give a whole number, at least 1048576"
        );
        assert!(validate_topic("retention.ms", "-2").is_err());
        assert!(validate_topic("retention.ms", "-1").is_ok());
        assert!(validate_topic("segment.bytes", "4294967296").is_err());
        assert!(validate_topic("min.cleanable.dirty.ratio", "1.01").is_err());
        assert!(validate_topic("min.cleanable.dirty.ratio", "NaN").is_err());
        assert!(validate_topic("compression.gzip.level", "0").is_err());
    }

    #[test]
    fn an_empty_cleanup_policy_keeps_for_ever() {
        assert_eq!(validate_topic("cleanup.policy", ""), Ok(Value::List(vec![])));
        assert!(validate_topic("cleanup.policy", "delete, compact").is_ok());
        assert!(validate_topic("cleanup.policy", "shred").is_err());
    }

    #[test]
    fn secrets_never_reach_a_message() {
        let value = validate_broker("ssl.key.password", "hunter2").expect("a text");
        assert!(!format!("{value:?} {value}").contains("hunter2"));
    }

    #[test]
    fn a_value_that_asks_for_what_is_not_there_is_refused_with_a_way_out() {
        let error = validate_topic("remote.storage.enable", "true").expect_err("no tiers");
        assert!(
            error
                .to_string()
                .starts_with("remote.storage.enable cannot be \"true\": there is no remote tier")
        );
        assert!(validate_topic("remote.storage.enable", " FALSE ").is_ok());
        let secret = validate_broker("sasl.jaas.config", "hunter2").expect_err("no SASL");
        assert!(secret.to_string().contains("(hidden)"), "{secret}");
    }

    #[test]
    fn a_value_without_effect_is_told() {
        let note = |name, text| {
            validate_topic(name, text).expect("accepted").note(known_topic(name).expect("a row"))
        };
        let inert = note("compression.type", "zstd").expect("a note");
        assert!(inert.starts_with("compression.type has no effect: "), "{inert}");
        assert_eq!(note("compression.type", "producer"), None);
        assert_eq!(note("cleanup.policy", "compact,delete"), None);
        assert_eq!(note("retention.ms", "5"), None);
    }

    #[test]
    fn throttle_lists_take_a_star_or_pairs() {
        for good in ["", "*", "0:1,1:2"] {
            assert!(validate_topic("leader.replication.throttled.replicas", good).is_ok(), "{good}");
        }
        for bad in ["0", "0:1:2", "a:1", "0:-1"] {
            assert!(validate_topic("leader.replication.throttled.replicas", bad).is_err(), "{bad}");
        }
    }
}
