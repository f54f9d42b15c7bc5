//! What changes while planning: which replica is where, and the lists that follow from it.

mod placement;
mod slots;
mod spread;

pub(crate) use placement::{Placement, lead, lists};
pub(crate) use slots::{Held, State};
pub(crate) use spread::TopicSpread;
