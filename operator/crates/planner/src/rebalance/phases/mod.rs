//! The phases of planning, in their order: what is forced, counts, refinement, topics, leaders; then what was needless.

pub(crate) mod chain;
pub(crate) mod counts;
pub(crate) mod forced;
pub(crate) mod leaders;
pub(crate) mod refine;
pub(crate) mod shortlist;
pub(crate) mod topic_fill;
pub(crate) mod topic_repair;
pub(crate) mod trim;
