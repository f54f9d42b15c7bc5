//! Settings of one listener, `listener.name.NAME.SETTING` (KIP-103): there are none yet. No I/O.

use crate::setting::{Effect, Setting};
use crate::table::broker_setting;
use crate::value::{ConfigError, Value};

const NOT_SERVED: &str =
    "listeners have no settings of their own yet: drop it and give the setting without its prefix";

/// The setting that a name sets for one listener.
pub(crate) fn setting(name: &str) -> Option<&'static Setting> {
    let (_, mut rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    loop {
        if let Some(setting) = broker_setting(rest) {
            return Some(setting);
        }
        // The name of a SASL mechanism may stand before the setting.
        (_, rest) = rest.split_once('.')?;
    }
}

/// Refuses what would change how the listener's connections are served; gives what to tell about the rest.
pub(crate) fn check(
    name: &str,
    setting: &'static Setting,
    text: &str,
) -> Result<Option<String>, ConfigError> {
    let refuse = |value, advice| ConfigError::Refused { name: name.to_owned(), value, advice };
    let value = Value::parse(setting, text).map_err(|error| match error {
        ConfigError::Refused { value, advice, .. } => refuse(value, advice),
        other => other,
    })?;
    if setting.effect == Effect::Works && value.asks(setting) {
        return Err(refuse(value.to_string(), NOT_SERVED));
    }
    let note = value.note(setting);
    Ok(note.map(|note| format!("{name}{}", note.strip_prefix(setting.name).unwrap_or_default())))
}
