//! ApiVersions (key 18): what is served here, and the finalized features (KIP-584).

use std::borrow::Cow;

use ottla_broker_metadata::controller::supported_features;
use ottla_broker_protocol::messages::api_versions_request::ApiVersionsRequest;
use ottla_broker_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_broker_protocol::{ApiKey, ErrorCode, frame};

use crate::api::call::Call;
use crate::api::route;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::listener::{Reply, Session};

/// From this version on the client names itself and its version.
const NAMES_FROM_VERSION: i16 = 3;
/// From this version on a feature's minimum may be 0 (KAFKA-17011).
const ZERO_MINIMUM_FROM_VERSION: i16 = 4;
/// From this version on the client says whom it means to talk to (KIP-1242).
const ROUTE_FROM_VERSION: i16 = 5;

/// Handles an ApiVersions of a served version.
pub fn handle(broker: &Broker, call: &Call) -> Result<Answer, Malformed> {
    let request: ApiVersionsRequest<'_> = call.request()?;
    let code = check(broker, &request, call.version);
    if code != ErrorCode::None {
        let refused = ApiVersionsResponse { error_code: code.code(), ..Default::default() };
        return Ok(Answer::now(call.reply(&refused)));
    }
    Ok(Answer::now(call.reply(&full(broker, &call.peer.session, call.version))))
}

/// The answer to an unserved version: in the oldest schema, with the versions of this API that are served (KIP-511).
pub fn unsupported(broker: &Broker, session: &Session, request_frame: &[u8]) -> Reply {
    let correlation = request_frame.get(4..8).and_then(|bytes| bytes.first_chunk::<4>());
    let correlation = correlation.map_or(0, |bytes| i32::from_be_bytes(*bytes));
    let mut response = full(broker, session, 0);
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response.api_keys.retain(|api| api.api_key == ApiKey::ApiVersions.code());
    match frame::encode_response(correlation, ApiKey::ApiVersions, 0, &response) {
        Ok(frame) => Reply::frame(frame),
        Err(_) => Reply::Close("the answer cannot be encoded"),
    }
}

fn check(broker: &Broker, request: &ApiVersionsRequest<'_>, version: i16) -> ErrorCode {
    if version >= NAMES_FROM_VERSION
        && !(is_client_word(&request.client_software_name)
            && is_client_word(&request.client_software_version))
    {
        return ErrorCode::InvalidRequest;
    }
    if version >= ROUTE_FROM_VERSION {
        match (request.cluster_id.as_deref(), request.node_id) {
            (None, -1) => {}
            (Some(cluster), node) if node >= 0 => {
                if cluster != broker.cluster_id.0 || node != broker.node_id.0 {
                    return ErrorCode::RebootstrapRequired;
                }
            }
            _ => return ErrorCode::InvalidRequest,
        }
    }
    ErrorCode::None
}

/// Letters, digits, `-` and `.`, a letter or digit first and last (KIP-511).
fn is_client_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

fn full(broker: &Broker, session: &Session, version: i16) -> ApiVersionsResponse<'static> {
    let mut api_keys: Vec<ApiVersion> = route::all(session)
        .map(|api| {
            let versions = api.advertised_versions();
            ApiVersion {
                api_key: api.code(),
                min_version: *versions.start(),
                max_version: *versions.end(),
                ..Default::default()
            }
        })
        .collect();
    api_keys.sort_by_key(|api| api.api_key);
    let view = broker.view();
    let hide_zero_minimum = version < ZERO_MINIMUM_FROM_VERSION;
    let supported_features = supported_features()
        .into_iter()
        .filter(|feature| !(hide_zero_minimum && feature.level_min == 0))
        .map(|feature| SupportedFeatureKey {
            name: Cow::Owned(feature.name),
            min_version: feature.level_min,
            max_version: feature.level_max,
            ..Default::default()
        })
        .collect();
    let finalized_features = view
        .finalized_features()
        .into_iter()
        .map(|(name, level)| FinalizedFeatureKey {
            name: Cow::Owned(name),
            max_version_level: level,
            min_version_level: level,
            ..Default::default()
        })
        .collect();
    ApiVersionsResponse {
        api_keys,
        supported_features,
        finalized_features_epoch: view.applied_end().get(),
        finalized_features,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::is_client_word;

    #[test]
    fn client_names_follow_kip_511() {
        assert!(is_client_word("apache-kafka-java"));
        assert!(is_client_word("4.3.1"));
        for word in ["", "-x", "x.", "a b", "a_b", "ü"] {
            assert!(!is_client_word(word), "{word:?}");
        }
    }
}
