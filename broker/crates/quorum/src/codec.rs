//! Big-endian fields of messages and files: writing, and reading that never goes past the end. No I/O.

use bytes::{Buf, BufMut, Bytes};
use ottla_broker_types::{DirectoryId, NodeId, Uuid};

use crate::VoterId;

/// Bytes that do not say what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// They end too early.
    #[error("{what} ends after {left} of {wanted} bytes")]
    Short { what: &'static str, wanted: usize, left: usize },
    /// A field has a value that has no meaning.
    #[error("{what} has the value {value}")]
    Value { what: &'static str, value: u64 },
    /// Intact bytes in a layout or of a kind that came after this release.
    #[error("{what} is intact but was written by a later release: start that one again, or a later one")]
    Newer { what: &'static str },
    /// A text is not UTF-8.
    #[error("{what} is not text")]
    Text { what: &'static str },
    /// A checksum does not match.
    #[error("{what} has the checksum {stored:#010x} but its bytes have {computed:#010x}")]
    Checksum { what: &'static str, stored: u32, computed: u32 },
}

/// Reads fields from the front of shared bytes; byte strings are slices of them, not copies.
pub(crate) struct Fields {
    bytes: Bytes,
}

impl Fields {
    /// Reads from the first of `bytes`.
    pub(crate) fn new(bytes: Bytes) -> Fields {
        Fields { bytes }
    }

    /// Count of bytes that are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len()
    }

    /// What is left.
    pub(crate) fn rest(self) -> Bytes {
        self.bytes
    }

    /// The next `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        if len > self.bytes.len() {
            return Err(DecodeError::Short { what, wanted: len, left: self.bytes.len() });
        }
        Ok(self.bytes.split_to(len))
    }

    fn need(&self, wanted: usize, what: &'static str) -> Result<(), DecodeError> {
        if self.bytes.len() < wanted {
            return Err(DecodeError::Short { what, wanted, left: self.bytes.len() });
        }
        Ok(())
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.need(1, what)?;
        Ok(self.bytes.get_u8())
    }

    pub(crate) fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Value { what, value: value.into() }),
        }
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.need(2, what)?;
        Ok(self.bytes.get_u16())
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.need(4, what)?;
        Ok(self.bytes.get_u32())
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.need(8, what)?;
        Ok(self.bytes.get_u64())
    }

    /// A 32-bit length and as many bytes.
    pub(crate) fn byte_string(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let len = self.u32(what)? as usize;
        self.bytes(len, what)
    }

    /// A 16-bit length and as much text.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        let len = self.u16(what)?.into();
        let bytes = self.bytes(len, what)?;
        String::from_utf8(bytes.into()).map_err(|_| DecodeError::Text { what })
    }

    pub(crate) fn voter_id(&mut self, what: &'static str) -> Result<VoterId, DecodeError> {
        self.need(20, what)?;
        let node = NodeId(self.bytes.get_i32());
        let mut directory = [0; 16];
        self.bytes.copy_to_slice(&mut directory);
        Ok(VoterId { node, directory: DirectoryId(Uuid(directory)) })
    }
}

/// Writes an identity as [`Fields::voter_id`] reads it.
pub(crate) fn put_voter_id(out: &mut Vec<u8>, id: VoterId) {
    out.put_i32(id.node.get());
    out.put_slice(&id.directory.to_wire());
}

/// Writes text as [`Fields::text`] reads it; longer than 65,535 bytes is cut, which no address is.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16(len);
    out.put_slice(&text.as_bytes()[..len.into()]);
}

/// Writes bytes as [`Fields::byte_string`] reads them.
pub(crate) fn put_byte_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("byte strings are bounded far below 4 GiB");
    out.put_u32(len);
    out.put_slice(bytes);
}

/// CRC32C (Castagnoli), as in Kafka's record batches.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_refused_before_anything_is_taken() {
        let mut fields = Fields::new(Bytes::from_static(&[0, 0, 0, 9, 1, 2]));
        let error = fields.byte_string("name").unwrap_err();
        assert_eq!(error, DecodeError::Short { what: "name", wanted: 9, left: 2 });
    }

    #[test]
    fn identities_and_texts_round_trip() {
        let id = VoterId { node: NodeId(7), directory: DirectoryId(Uuid([9; 16])) };
        let mut out = Vec::new();
        put_voter_id(&mut out, id);
        put_text(&mut out, "host:9091");
        let mut fields = Fields::new(out.into());
        assert_eq!(fields.voter_id("id"), Ok(id));
        assert_eq!(fields.text("address"), Ok("host:9091".to_owned()));
        assert_eq!(fields.left(), 0);
    }

    #[test]
    fn the_checksum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
