//! ForwardAdmin (own key): an admin request that another broker passes on to the active controller.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::ApiKey;
use ottla_broker_protocol::messages::forward_admin_request::ForwardAdminRequest;
use ottla_broker_protocol::messages::forward_admin_response::ForwardAdminResponse;

use crate::api::admin::forward;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// Decides on what was passed on.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: ForwardAdminRequest<'_> = call.request()?;
    let key = ApiKey::from_i16(request.api_key).ok_or(Malformed::Field("forwarded API key"))?;
    let version = request.api_version;
    let body = Bytes::copy_from_slice(&request.body);
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        let response = match forward::decide(&broker, key, version, &body).await {
            Ok(body) => ForwardAdminResponse { body: Vec::from(body).into(), ..Default::default() },
            Err(code) => ForwardAdminResponse { error_code: code.code(), ..Default::default() },
        };
        call.reply(&response)
    }))
}
