//! Numbers as a person reads them.

use std::fmt;

/// Bytes in the largest unit of 1024 that leaves at least one before the point.
pub struct Bytes(pub i64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut unit = 0;
        let mut rest = self.0 as f64;
        while rest >= 1024.0 && unit + 1 < UNITS.len() {
            rest /= 1024.0;
            unit += 1;
        }
        let text = if unit == 0 { format!("{} B", self.0) } else { format!("{rest:.1} {}", UNITS[unit]) };
        f.pad(&text)
    }
}
