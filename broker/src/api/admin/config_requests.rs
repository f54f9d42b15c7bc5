//! What IncrementalAlterConfigs and AlterConfigs share: settings of one broker are taken by that broker only, as in
//! Kafka; everything else goes to the active controller.

use std::sync::Arc;

use ottla_broker_metadata::ConfigResource;
use ottla_broker_protocol::{Decode, ErrorCode, Reader};
use ottla_broker_types::NodeId;

use super::to_controller;
use crate::api::Answer;
use crate::api::call::Call;
use crate::broker::Broker;
use crate::controller::requests::{self, AdminAnswer, AdminApi, ConfigApi};
use crate::listener::Reply;

/// Handles the request of a client.
pub fn handle<A: ConfigApi>(broker: &Arc<Broker>, mut call: Call) -> Answer {
    let body = call.take_body();
    let (is_long, serving) = (to_controller::is_long(&body), Arc::clone(broker));
    let decision = async move {
        let broker = serving;
        let mut rest = match requests::decode::<A>(&body, call.version) {
            Ok(request) => request,
            Err(error) => return call.malformed(&error.into()),
        };
        let refused = split::<A>(&mut rest, broker.node_id);
        if refused.is_empty() {
            return to_controller::ask::<A>(&broker, &call, &rest, body.clone()).await;
        }
        if A::resources(&mut rest).is_empty() {
            return finish::<A>(&call, Vec::new(), &refused);
        }
        let body = requests::encode(&rest, call.version);
        match broker.controller.admin::<A>(call.asker(), call.version, &rest, body).await {
            Ok(AdminAnswer::Here(response)) => finish::<A>(&call, A::rows(response), &refused),
            Ok(AdminAnswer::Elsewhere(body)) => {
                match <A as AdminApi>::Response::decode(&mut Reader::new(&body), call.version) {
                    Ok(response) => finish::<A>(&call, A::rows(response), &refused),
                    Err(_) => Reply::Close("the controller's answer is malformed"),
                }
            }
            Err(code) => finish::<A>(&call, A::rows(A::failed(&rest, code, call.version)), &refused),
        }
    };
    to_controller::answer(broker, is_long, decision)
}

/// A resource that is another broker's.
struct OfOther {
    kind: i8,
    name: String,
    message: String,
}

/// Takes the settings of other brokers out of a request; gives them with their places among all.
fn split<A: ConfigApi>(request: &mut A::Request<'_>, self_id: NodeId) -> Vec<(usize, OfOther)> {
    take_out(A::resources(request), |resource| {
        let (kind, name) = A::resource(resource);
        refusal(self_id, kind, name).map(|message| OfOther { kind, name: name.to_owned(), message })
    })
}

/// Why this broker does not take the settings of a resource; `None` if it, or the controller, may.
fn refusal(self_id: NodeId, resource_type: i8, name: &str) -> Option<String> {
    match ConfigResource::from_wire(resource_type, name) {
        Some(ConfigResource::Broker(Some(id))) if id != self_id => {
            Some(format!("this is broker {self_id}: ask broker {id} to alter its own settings"))
        }
        _ => None,
    }
}

/// The answer to all of the request.
fn finish<A: ConfigApi>(call: &Call, rows: Vec<A::Row<'_>>, refused: &[(usize, OfOther)]) -> Reply {
    call.reply(&A::response(merge::<A>(rows, refused)))
}

/// The controller's rows and those of refused resources, each in its place.
fn merge<'a, A: ConfigApi>(mut rows: Vec<A::Row<'a>>, refused: &[(usize, OfOther)]) -> Vec<A::Row<'a>> {
    let refused = refused.iter().map(|(place, other)| {
        let message = Some(other.message.clone());
        (*place, A::row((other.kind, &other.name), ErrorCode::InvalidRequest, message))
    });
    put_back(&mut rows, refused);
    rows
}

/// Takes out of `items` what is refused; gives the refusals with their places among all.
fn take_out<T, R>(items: &mut Vec<T>, refuse: impl Fn(&T) -> Option<R>) -> Vec<(usize, R)> {
    let mut refused = Vec::new();
    let mut place = 0;
    items.retain(|item| {
        let row = refuse(item);
        let stays = row.is_none();
        refused.extend(row.map(|row| (place, row)));
        place += 1;
        stays
    });
    refused
}

/// Puts what was refused back in its places.
fn put_back<R>(rows: &mut Vec<R>, refused: impl IntoIterator<Item = (usize, R)>) {
    let mut rest = std::mem::take(rows).into_iter();
    for (place, row) in refused {
        // A controller that answers fewer resources than it was asked for must not cost the others their answers.
        rows.extend(rest.by_ref().take(place - rows.len()));
        rows.push(row);
    }
    rows.extend(rest);
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use ottla_broker_protocol::messages::incremental_alter_configs_request::{
        AlterConfigsResource, IncrementalAlterConfigsRequest,
    };
    use ottla_broker_protocol::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponse;

    use super::*;
    use crate::controller::requests::IncrementalAlterConfigs;
    use crate::testing::Rig;

    /// Work by the square of this size would take minutes.
    #[test]
    fn half_a_million_refused_resources_go_back_to_their_places() {
        let all: Vec<usize> = (0..1_000_000).collect();
        let mut rest = all.clone();
        let refused = take_out(&mut rest, |item| (item % 2 == 0).then_some(*item));
        put_back(&mut rest, refused);
        assert_eq!(rest, all);
        let mut short = vec![7];
        put_back(&mut short, vec![(0, 1), (5, 2)]);
        assert_eq!(short, [1, 7, 2]);
    }

    fn request(resources: &[(i8, &'static str)]) -> IncrementalAlterConfigsRequest<'static> {
        let resources = resources.iter().map(|(resource_type, name)| AlterConfigsResource {
            resource_type: *resource_type,
            resource_name: Cow::Borrowed(*name),
            ..Default::default()
        });
        IncrementalAlterConfigsRequest { resources: resources.collect(), ..Default::default() }
    }

    #[tokio::test]
    async fn settings_of_another_broker_are_refused() {
        let body = Rig::new().ask(&request(&[(4, "2")]), 1).await.unwrap();
        let response = IncrementalAlterConfigsResponse::decode(&mut Reader::new(&body), 1).unwrap();
        let row = &response.responses[0];
        assert_eq!((row.error_code, &*row.resource_name), (ErrorCode::InvalidRequest.code(), "2"));
        let message = row.error_message.as_deref();
        assert_eq!(message, Some("this is broker 1: ask broker 2 to alter its own settings"));
    }

    #[test]
    fn everything_else_of_the_request_is_answered_in_its_place() {
        let all = [(2, "t"), (4, "2"), (4, ""), (4, "1"), (4, "3"), (4, "x")];
        let mut rest = request(&all);
        let refused = split::<IncrementalAlterConfigs>(&mut rest, NodeId(1));
        assert_eq!(rest, request(&[(2, "t"), (4, ""), (4, "1"), (4, "x")]));
        let rows = IncrementalAlterConfigs::failed(&rest, ErrorCode::None, 1).responses;
        let merged = merge::<IncrementalAlterConfigs>(rows, &refused);
        let rows = merged.iter().map(|row| (row.resource_type, &*row.resource_name, row.error_code));
        let refused =
            |name| if matches!(name, "2" | "3") { ErrorCode::InvalidRequest } else { ErrorCode::None };
        assert!(rows.eq(all.map(|(kind, name)| (kind, name, refused(name).code()))));
    }
}
