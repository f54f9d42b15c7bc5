//! A digest of everything that happened: two runs of one seed are the same if and only if their digests are.
//! May print the events to standard error when asked to; otherwise no I/O.

use std::fmt;

use crate::queue::SimTime;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a, 64 bits, over the text of every event.
#[derive(Debug)]
pub struct Trace {
    digest: u64,
    event_count: u64,
    print: bool,
}

impl Trace {
    /// An empty trace; `print` shows each event.
    pub fn new(print: bool) -> Trace {
        Trace { digest: FNV_OFFSET, event_count: 0, print }
    }

    /// Adds an event.
    pub fn record(&mut self, at: SimTime, event: fmt::Arguments<'_>) {
        if self.print {
            eprintln!("{:>10} {event}", at.0);
        }
        self.event_count += 1;
        self.mix(&at.0.to_le_bytes());
        // Hashing while formatting: no text is built.
        let written = fmt::Write::write_fmt(self, event);
        debug_assert!(written.is_ok(), "hashing does not fail");
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }

    /// The digest so far.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Count of events so far.
    pub fn event_count(&self) -> u64 {
        self.event_count
    }
}

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.mix(text.as_bytes());
        Ok(())
    }
}
