//! Fetch sessions (KIP-227): a fetcher names its partitions once, then only what changed, and is told only what is new.
//! The leader's side and the follower's, and when a partition that fails is asked for again.

mod budget;
mod cache;
mod follower;
mod rest;
mod session;
mod target;

pub use budget::{FetchBudget, Share};
pub use cache::FetchSessions;
pub use follower::{Ask, FollowerSession, Turn};
pub use rest::{Complaints, Pause, Rests};
pub use session::{FetchSession, Found, Reader, SessionChange, SessionError, Visit};
pub use target::{FetchTarget, Standing, TopicRef, Unnamable};
