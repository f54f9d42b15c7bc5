//! Typed reading of effective values by name. No I/O.
//!
//! Stored values were checked when they were set. One that no longer passes (an older release took it) reads as
//! the default, so that a broker never fails to load a topic over it.

use ottla_broker_types::DurationMs;

use crate::effective::{BrokerLayers, ConfigMap, effective_broker, effective_topic};
use crate::setting::Setting;
use crate::table::{broker_setting, topic_setting};
use crate::value::Value;

/// Reads settings of one resource by name.
pub(crate) struct Typed<'a> {
    topic: Option<&'a ConfigMap>,
    broker: BrokerLayers<'a>,
}

impl<'a> Typed<'a> {
    pub(crate) fn of_topic(topic: &'a ConfigMap, broker: BrokerLayers<'a>) -> Typed<'a> {
        Typed { topic: Some(topic), broker }
    }

    pub(crate) fn of_broker(broker: BrokerLayers<'a>) -> Typed<'a> {
        Typed { topic: None, broker }
    }

    /// `None` is Kafka's null. Names come from this crate, so a missing row is a programming error that the
    /// tests of both configurations find; it reads as null.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        let (setting, text): (&'static Setting, Option<String>) = match self.topic {
            Some(topic) => {
                let setting = topic_setting(name)?;
                (setting, effective_topic(setting, topic, self.broker).value)
            }
            None => {
                let setting = broker_setting(name)?;
                (setting, effective_broker(setting, self.broker).value)
            }
        };
        let default = || Value::parse(setting, setting.default?).ok();
        text.and_then(|text| Value::parse(setting, &text).ok()).or_else(default)
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        self.value(name).and_then(|value| value.as_integer()).unwrap_or_default()
    }

    pub(crate) fn u32(&self, name: &str) -> u32 {
        self.integer(name).clamp(0, u32::MAX.into()) as u32
    }

    pub(crate) fn i32(&self, name: &str) -> i32 {
        self.integer(name).clamp(i32::MIN.into(), i32::MAX.into()) as i32
    }

    pub(crate) fn u64(&self, name: &str) -> u64 {
        self.integer(name).max(0) as u64
    }

    /// Negative and 2^63-1 mean "no limit".
    pub(crate) fn limit(&self, name: &str) -> Option<u64> {
        let value = self.integer(name);
        if value < 0 || value == i64::MAX { None } else { Some(value as u64) }
    }

    pub(crate) fn duration(&self, name: &str) -> DurationMs {
        DurationMs(self.u64(name))
    }

    pub(crate) fn duration_limit(&self, name: &str) -> Option<DurationMs> {
        self.limit(name).map(DurationMs)
    }

    pub(crate) fn real(&self, name: &str) -> f64 {
        self.value(name).and_then(|value| value.as_real()).unwrap_or_default()
    }

    pub(crate) fn bool(&self, name: &str) -> bool {
        self.value(name).and_then(|value| value.as_bool()).unwrap_or_default()
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.value(name).and_then(|value| value.as_list().map(<[String]>::to_vec)).unwrap_or_default()
    }

    /// The text; empty and null are `None`.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.value(name).and_then(|value| value.as_text().map(str::to_owned)).filter(|text| !text.is_empty())
    }
}
