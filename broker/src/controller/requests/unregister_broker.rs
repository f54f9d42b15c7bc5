//! UnregisterBroker (key 64): a broker that is gone for good leaves the cluster's metadata.

use std::borrow::Cow;
use std::sync::Arc;

use ottla_broker_metadata::controller;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_broker_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_broker_types::NodeId;

use super::{AdminApi, Deciding};
use crate::controller::Active;
use crate::errors::KafkaError;

/// How the active controller decides on it.
pub struct UnregisterBroker;

impl AdminApi for UnregisterBroker {
    type Request<'a> = UnregisterBrokerRequest;
    type Response<'a> = UnregisterBrokerResponse<'a>;

    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        version: i16,
    ) -> Deciding<'a, Self> {
        Box::pin(async move {
            let Some(node) = NodeId::from_wire(request.broker_id) else {
                return Ok(Self::failed(request, ErrorCode::BrokerIdNotRegistered, version));
            };
            let decided = active.decide(|context, _, _| controller::unregister_broker(context, node));
            Ok(match decided.await? {
                Ok(_) => {
                    active.leases(|leases| leases.forget(node));
                    UnregisterBrokerResponse::default()
                }
                Err(error) => UnregisterBrokerResponse {
                    error_code: error.code().code(),
                    error_message: Some(Cow::Owned(error.to_string())),
                    ..Default::default()
                },
            })
        })
    }

    fn failed(_request: &Self::Request<'_>, code: ErrorCode, _version: i16) -> Self::Response<'static> {
        UnregisterBrokerResponse {
            error_code: code.code(),
            error_message: Some(Cow::Borrowed(code.message())),
            ..Default::default()
        }
    }
}
