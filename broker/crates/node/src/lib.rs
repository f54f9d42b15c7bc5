//! What a broker decides beside its partitions and on requests: who counts as alive, when it is cut off itself, which
//! others may be dead, what its controller does unasked, what a fetch session remembers. Pure: time is an argument.

mod due_list;
mod duties;
mod fetch;
mod heartbeats;
mod leader_return;
mod leases;
mod membership;
mod suspects;

pub use due_list::DueList;
pub use duties::{Duties, Round};
pub use fetch::{
    Ask, Complaints, FetchBudget, FetchSession, FetchSessions, FetchTarget, FollowerSession, Found, Pause,
    Reader, Rests, SessionChange, SessionError, Share, Standing, TopicRef, Turn, Unnamable, Visit,
};
pub use heartbeats::{Contact, Heartbeats};
pub use leases::Leases;
pub use membership::{Membership, NextStep};
pub use suspects::Suspects;
