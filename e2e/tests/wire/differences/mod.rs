//! The same requests to two brokers, and their answers compared field by field.

mod meant;
mod report;
mod schema;
mod side;
mod table;

pub use meant::Meant;
pub use report::Report;
pub use schema::Schemas;
pub use side::Side;
pub use table::exchanges;
