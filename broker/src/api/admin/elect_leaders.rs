//! ElectLeaders (key 43): decided on by the active controller, in `controller/requests/elect_leaders.rs`.

use std::sync::Arc;

use super::to_controller;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::requests::ElectLeaders;

/// Handles the request of a client.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    Ok(to_controller::handle::<ElectLeaders>(broker, call))
}
