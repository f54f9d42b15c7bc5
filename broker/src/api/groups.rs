//! Group APIs.
use std::sync::Arc;

use super::call::Call;
use super::{Answer, Malformed};
use crate::broker::Broker;

/// Handles.
pub fn handle(_broker: &Arc<Broker>, _call: Call) -> Result<Answer, Malformed> {
    Ok(Answer::close("groups"))
}
