//! What a Fetch remembers between requests.

mod session;

pub use session::{FetchSessions, FetchTarget, SessionError, SessionPlan, SessionRequest, TopicRef};
