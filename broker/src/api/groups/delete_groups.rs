//! DeleteGroups (key 42): only groups without members.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_broker_protocol::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use super::parts;
use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::errors::KafkaError;

/// From this version on a group's code has a text.
const MESSAGE_FROM_VERSION: i16 = 3;

/// Handles a DeleteGroups.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: DeleteGroupsRequest<'_> = call.request()?;
    let mut seen = BTreeSet::new();
    let once = request.groups_names.iter().filter(|name| seen.insert(name.to_string()));
    let names: Vec<String> = once.map(|name| name.clone().into_owned()).collect();
    let deleted: Vec<_> =
        names.iter().map(|name| broker.groups.delete_group(broker, &parts::any_group(name))).collect();
    Ok(call.later(|call| async move {
        let mut results = Vec::with_capacity(names.len());
        for (name, deleted) in names.into_iter().zip(deleted) {
            let deleted = match deleted {
                Ok(deleted) => deleted.committed().await.map_err(|why| why.code()),
                Err(error) => Err(error.code()),
            };
            let code = parts::code(deleted);
            let has_message = code != ErrorCode::None && call.version >= MESSAGE_FROM_VERSION;
            results.push(DeletableGroupResult {
                group_id: Cow::Owned(name),
                error_code: code.code(),
                error_message: has_message.then(|| Cow::Borrowed(code.message())),
            });
        }
        call.reply(&DeleteGroupsResponse { results, ..Default::default() })
    }))
}
