//! What IncrementalAlterConfigs and AlterConfigs share: settings of one broker are taken by that broker only, as in
//! Kafka; everything else goes to the active controller.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use ottla_broker_metadata::ConfigResource;
use ottla_broker_metadata::controller::{self, ConfigResult, Context, Decision};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::{NodeId, TopicName};

use super::parts;
use crate::api::Answer;
use crate::api::call::Call;
use crate::broker::Broker;
use crate::controller::NotActive;
use crate::errors::KafkaError;
use crate::listener::Reply;

/// Why this broker does not take the settings of a resource; `None` if it, or the controller, may.
pub fn refusal(self_id: NodeId, resource_type: i8, name: &str) -> Option<String> {
    match ConfigResource::from_wire(resource_type, name) {
        Some(ConfigResource::Broker(Some(id))) if id != self_id => {
            Some(format!("this is broker {self_id}: ask broker {id} to alter its own settings"))
        }
        _ => None,
    }
}

/// Why a resource cannot be altered.
pub type Refusal = (ErrorCode, String);

/// The refusal of a request that cannot be meant.
pub fn invalid(message: impl Into<String>) -> Refusal {
    (ErrorCode::InvalidRequest, message.into())
}

/// The resource whose settings are to change; `is_twice` says that the request names it once more.
pub fn target(resource_type: i8, name: &str, is_twice: bool) -> Result<ConfigResource, Refusal> {
    if is_twice {
        return Err(invalid("the resource is named twice"));
    }
    let target = ConfigResource::from_wire(resource_type, name)
        .ok_or_else(|| invalid("this kind of resource has no configuration here, or its name is invalid"))?;
    match &target {
        ConfigResource::Topic(name) if name.is_empty() => Err(invalid("the topic has no name")),
        ConfigResource::Topic(name) if TopicName::new(name).is_err() => {
            Err((ErrorCode::InvalidTopicException, "no topic can have this name".to_owned()))
        }
        _ => Ok(target),
    }
}

/// Decides on the changes of `resources` as the active controller, part by part; the rows of the answer, in their order.
///
/// `name` gives a resource as the request names it, `change` what is wanted of it, told whether it is named once more,
/// `settings` how many settings that concerns, and `row` what the answer says of it.
pub async fn decide_each<R, S, Row>(
    broker: &Arc<Broker>,
    resources: &[R],
    name: impl Fn(&R) -> (i8, &str),
    change: impl Fn(&R, bool) -> Result<(ConfigResource, S), Refusal>,
    settings: impl Fn(&S) -> usize,
    decide: impl Fn(Context<'_>, &[(ConfigResource, S)]) -> Decision<Vec<ConfigResult>>,
    row: impl Fn(&R, ErrorCode, Option<String>) -> Row,
) -> Result<Vec<Row>, NotActive> {
    let twice = named_twice(resources.iter().map(&name));
    let mut outcomes = Vec::with_capacity(resources.len());
    let mut wanted = Vec::new();
    let mut places = Vec::new();
    for (place, resource) in resources.iter().enumerate() {
        outcomes.push(change(resource, twice.contains(&name(resource))).map(|change| {
            places.push(place);
            wanted.push(change);
        }));
    }
    let decide = |context: Context<'_>, wanted: &[(ConfigResource, S)], _| {
        Ok::<_, Infallible>(decide(context, wanted))
    };
    let outcome = |result: ConfigResult| result.outcome.map_err(|error| (error.code(), error.to_string()));
    let lost = |_: &(ConfigResource, S)| {
        let code = ErrorCode::NotController;
        Err((code, code.message().to_owned()))
    };
    let split =
        controller::split_batches(&wanted, |(resource, _)| resource.clone(), |(_, change)| settings(change));
    let Ok(decided) = parts::decide(broker, &wanted, split, decide, outcome, lost).await?;
    for (outcome, place) in decided.into_iter().zip(places) {
        outcomes[place] = outcome;
    }
    let rows = resources.iter().zip(outcomes).map(|(resource, outcome)| match outcome {
        Ok(()) => row(resource, ErrorCode::None, None),
        Err((code, message)) => row(resource, code, Some(message)),
    });
    Ok(rows.collect())
}

/// The resources that a request names more than once: nobody can say which of the changes is meant.
fn named_twice<'a>(resources: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, &'a str)> {
    let mut seen = BTreeSet::new();
    resources.filter(|resource| !seen.insert(*resource)).collect()
}

/// Takes out of `items` what is refused; gives the refusals with their places among all.
pub fn take_out<T, R>(items: &mut Vec<T>, refuse: impl Fn(&T) -> Option<R>) -> Vec<(usize, R)> {
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
pub fn put_back<R>(rows: &mut Vec<R>, refused: Vec<(usize, R)>) {
    let mut rest = std::mem::take(rows).into_iter();
    for (place, row) in refused {
        // A controller that answers fewer resources than it was asked for must not cost the others their answers.
        rows.extend(rest.by_ref().take(place - rows.len()));
        rows.push(row);
    }
    rows.extend(rest);
}

/// Passes `body` on to the active controller; `finish` makes the client's answer of the controller's.
pub fn forward<F>(broker: &Arc<Broker>, call: Call, body: Bytes, finish: F) -> Answer
where
    F: FnOnce(&Call, &Bytes, Result<Bytes, ErrorCode>) -> Reply + Send + 'static,
{
    let broker = Arc::clone(broker);
    call.later(|call| async move {
        let answer = broker.controller.forward(&broker, call.key, call.version, call.asker(), body.clone());
        let answer = answer.await;
        finish(&call, &body, answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
