//! Walking over batches that lie one after the other. No I/O.

use super::{BatchError, BatchHeader, LENGTH_PREFIX_LEN};

/// Iterator over the complete batches of a slice; see [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

/// The complete batches at the start of `bytes`, each with its header; CRCs are not checked.
/// A batch cut short ends the iteration without an error, as the last batch of a Fetch may be cut;
/// a malformed header is an error and the last item.
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

impl<'a> Batches<'a> {
    /// The bytes after the last complete batch that was returned.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<(BatchHeader, &'a [u8]), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.len() <= LENGTH_PREFIX_LEN {
            return None;
        }
        let header = match BatchHeader::parse(self.rest) {
            Ok(header) => header,
            Err(BatchError::Incomplete { .. }) => return None,
            Err(error) => {
                self.rest = &[];
                return Some(Err(error));
            }
        };
        let (batch, rest) = self.rest.split_at_checked(header.size())?;
        self.rest = rest;
        Some(Ok((header, batch)))
    }
}
