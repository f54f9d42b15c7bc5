//! Groups of the classic protocol: members join, one of them assigns, all heed the generation.

pub(crate) mod group;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod member;
pub(crate) mod protocols;
pub(crate) mod rebalance;
pub(crate) mod sync;
pub(crate) mod tick;
