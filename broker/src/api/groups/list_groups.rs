//! ListGroups (key 16): the groups that this broker coordinates.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_broker_coordinator::GroupListing;
use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::list_groups_request::ListGroupsRequest;
use ottla_broker_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// Handles a ListGroups.
pub fn handle(broker: &Arc<Broker>, call: &Call) -> Result<Answer, Malformed> {
    let request: ListGroupsRequest<'_> = call.request()?;
    let has = |filter: &[Cow<'_, str>], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let (listed, is_loading) = broker.groups.list();
    // Looked up once, however long the filters and however many the groups are.
    let (mut kinds, mut states) = (BTreeMap::new(), BTreeMap::new());
    let matching = listed.iter().filter(|listing| {
        let (kind, state) = (listing.kind.name(), listing.state);
        *kinds.entry(kind).or_insert_with(|| has(&request.types_filter, kind))
            && *states.entry(state).or_insert_with(|| has(&request.states_filter, state))
    });
    let code = if is_loading { ErrorCode::CoordinatorLoadInProgress } else { ErrorCode::None };
    let response = ListGroupsResponse {
        error_code: code.code(),
        groups: matching.map(row).collect(),
        ..Default::default()
    };
    Ok(Answer::now(call.reply(&response)))
}

fn row(listing: &GroupListing) -> ListedGroup<'_> {
    ListedGroup {
        group_id: Cow::Borrowed(listing.group.as_str()),
        protocol_type: Cow::Borrowed(&listing.protocol_type),
        group_state: Cow::Borrowed(listing.state),
        group_type: Cow::Borrowed(listing.kind.name()),
    }
}
