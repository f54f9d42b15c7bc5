//! ForwardAdmin (own key): an admin request that another broker passes on to the active controller.

use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_protocol::ApiKey;
use ottla_broker_protocol::messages::forward_admin_request::ForwardAdminRequest;
use ottla_broker_protocol::messages::forward_admin_response::ForwardAdminResponse;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::controller::requests;
use crate::listener::Principal;

/// Decides on what was passed on.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: ForwardAdminRequest<'_> = call.request()?;
    let key = ApiKey::from_i16(request.api_key).ok_or(Malformed::Field("forwarded API key"))?;
    let principal = Principal::parse(&request.principal).ok_or(Malformed::Field("principal"))?;
    tracing::debug!(%principal, client_id = request.client_id.as_deref(), api = key.name(), "forwarded to this controller");
    let version = request.api_version;
    let body = Bytes::copy_from_slice(&request.body);
    let active = Arc::clone(&broker.controller.active);
    Ok(call.later(|call| async move {
        let response = match requests::decide_encoded(&active, key, version, &body).await {
            Ok(body) => ForwardAdminResponse { body: Vec::from(body).into(), ..Default::default() },
            Err(code) => ForwardAdminResponse { error_code: code.code(), ..Default::default() },
        };
        call.reply(&response)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rig;

    #[test]
    fn a_principal_without_a_kind_is_malformed() {
        let rig = Rig::new();
        let asked = |principal: &'static str| {
            let request = ForwardAdminRequest {
                principal: principal.into(),
                api_key: ApiKey::DescribeQuorum.code(),
                ..Default::default()
            };
            handle(&rig.broker, rig.call(&request, 0)).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(asked("User:ANONYMOUS"), Ok(()));
        assert_eq!(asked("somebody"), Err("invalid principal".to_owned()));
    }
}
