//! How good a placement is, whoever made it.

mod measure;
mod values;

pub(crate) use measure::{Loads, loads, score};
pub use values::{Dimension, DimensionScore, NewBrokers, Ratio, Score, Spread};
