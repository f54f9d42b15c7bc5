//! Kafka's uuids: 128 bits, written as 22 characters of URL-safe base64.

use std::fmt;
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// 16 bytes are 128 bits, so 22 characters of 6 bits, without padding.
const TEXT_LEN: usize = 22;

/// A 128-bit id in Kafka's notation.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// Text that is not 22 characters of URL-safe base64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: give 22 characters of URL-safe base64")]
pub struct InvalidUuid {
    /// What was given.
    pub text: String,
}

impl Uuid {
    /// Kafka's "no id".
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// Whether this is Kafka's "no id".
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }

    /// The id that Kafka would print as `text`.
    pub fn parse(text: &str) -> Result<Uuid, InvalidUuid> {
        let invalid = || InvalidUuid { text: text.chars().take(64).collect() };
        if text.len() != TEXT_LEN {
            return Err(invalid());
        }
        let mut bits = 0u32;
        let mut bit_count = 0;
        let mut bytes = [0u8; 16];
        let mut filled = 0;
        for c in text.bytes() {
            let value = ALPHABET.iter().position(|a| *a == c).ok_or_else(invalid)?;
            bits = (bits << 6) | value as u32;
            bit_count += 6;
            if bit_count >= 8 && filled < 16 {
                bit_count -= 8;
                bytes[filled] = (bits >> bit_count) as u8;
                filled += 1;
            }
        }
        Ok(Uuid(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; TEXT_LEN];
        let value = u128::from_be_bytes(self.0);
        for (i, slot) in text.iter_mut().enumerate() {
            // The last character holds the two lowest bits, shifted up as base64 pads with zeros.
            let shift = 122 - 6 * i as i32;
            let index = if shift >= 0 { value >> shift } else { value << -shift } & 63;
            *slot = ALPHABET[index as usize];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! typed_uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Kafka's "no id" becomes `None`.
            pub fn from_wire(bytes: [u8; 16]) -> Option<Self> {
                let id = Uuid(bytes);
                if id.is_zero() { None } else { Some(Self(id)) }
            }

            /// The 16 bytes as they stand on the wire.
            pub fn to_wire(self) -> [u8; 16] {
                self.0.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidUuid;
            fn from_str(text: &str) -> Result<Self, InvalidUuid> {
                Uuid::parse(text).map(Self)
            }
        }
    };
}

typed_uuid! {
    /// The id of one life of a topic: a topic created again under the same name has another (KIP-516).
    TopicId
}
typed_uuid! {
    /// The id of one formatted log directory (KIP-858); an emptied disk never has the old one.
    DirectoryId
}

/// The id of a cluster: free text in Kafka's format, compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub String);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_as_kafka_writes_it() {
        for text in ["MkU3OEVBNTcwNTJENDM2Qg", "AAAAAAAAAAAAAAAAAAAAAA", "_____________________w"] {
            assert_eq!(Uuid::parse(text).map(|id| id.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn wrong_length_and_wrong_letters_are_refused() {
        assert!(Uuid::parse("short").is_err());
        assert!(Uuid::parse("MkU3OEVBNTcwNTJENDM2Q+").is_err());
    }
}
