//! What no plan can beat, and the bands within which brokers count as even.

mod band;
mod lower;

pub(crate) use band::Band;
pub(crate) use lower::{Floors, LowerBounds, lower_bounds};
