//! The disk under a log: a small trait, the operating system's files behind it, and a simulated one.

mod traits;

pub use traits::{Disk, DiskFile, OpenMode};
