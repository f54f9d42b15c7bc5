//! AlterConfigs (key 33): decided on by the active controller, in `controller/requests/alter_configs.rs`, but for
//! settings of one broker, which that one takes.

use std::sync::Arc;

use super::config_requests;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::requests::AlterConfigs;

/// Handles the request of a client.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    Ok(config_requests::handle::<AlterConfigs>(broker, call))
}
