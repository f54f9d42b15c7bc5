//! The disk under a log: a small trait, the operating system's files behind it, and a simulated one.

mod files;
#[cfg(any(test, feature = "testing"))]
mod fixtures;
mod paced;
mod real;
mod reserve;
#[cfg(any(test, feature = "testing"))]
mod sim;
mod traits;
mod trouble;

pub use files::replace_file;
pub(crate) use files::{read_whole, remove_if_exists};
#[cfg(any(test, feature = "testing"))]
pub use fixtures::{fixtures, make_fixture};
pub use paced::{PacedDisk, Writebacks};
pub use real::RealDisk;
pub use reserve::{RESERVE_FILE, ReservedDisk};
#[cfg(any(test, feature = "testing"))]
pub use sim::{SimDisk, SimError, SimFault, SimOp};
pub use traits::{Disk, DiskFile, OpenMode};
pub use trouble::{Trouble, advice, trouble};
