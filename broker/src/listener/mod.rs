//! Client and peer connections: accept, frames in, answers out, limits, drain.

mod accept;
mod admission;
mod connection;
mod gate;
mod handler;
mod limits;
#[cfg(test)]
mod memory_transport;
mod order;
mod outbox;
mod session;
#[cfg(test)]
mod tests;
mod transport;

pub use accept::{ListenerSettings, serve};
pub use admission::{Admission, ConnectionLimits};
pub use gate::until_in_service;
pub use handler::{Frame, Handled, Handler, PeerInfo, Reply};
pub use limits::{Budgets, ByteBudget, Reservation};
pub use order::Turn;
pub use session::{Principal, Role, Session};
