//! A plan as people and programs read it.

mod reasons;
pub mod report;
mod table;
mod units;

pub use reasons::{Explanation, Reason, explain};
pub use table::{RowsMax, Table};
pub use units::Bytes;
