//! What AlterConfigs and IncrementalAlterConfigs have in common.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use ottla_broker_metadata::ConfigResource;
use ottla_broker_metadata::controller::{self, ConfigResult, Context, Decision};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::TopicName;

use super::{AdminApi, parts};
use crate::controller::{Active, NotActive};
use crate::errors::KafkaError;

/// An API that alters the settings of resources, row by row.
pub trait ConfigApi: AdminApi {
    /// What is asked of one resource.
    type Resource<'a>;
    /// What is answered about one.
    type Row<'a>: Send;

    /// The resources of a request.
    fn resources<'r, 'a>(request: &'r mut Self::Request<'a>) -> &'r mut Vec<Self::Resource<'a>>;

    /// Kind and name of a resource as the request has them.
    fn resource<'r>(resource: &'r Self::Resource<'_>) -> (i8, &'r str);

    /// What is said of a resource.
    fn row<'a>(resource: (i8, &str), code: ErrorCode, message: Option<String>) -> Self::Row<'a>;

    /// The response that consists of these rows.
    fn response(rows: Vec<Self::Row<'_>>) -> Self::Response<'_>;

    /// The rows of a response.
    fn rows(response: Self::Response<'_>) -> Vec<Self::Row<'_>>;
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

/// Decides on the changes of `resources` as the active controller, part by part; the answer's rows are in their order.
///
/// `change` gives what is wanted of a resource, told whether it is named once more, and `settings` how many settings
/// that concerns.
pub async fn decide_each<'a, A: ConfigApi, S>(
    active: &Arc<Active>,
    resources: &[A::Resource<'a>],
    change: impl Fn(&A::Resource<'a>, bool) -> Result<(ConfigResource, S), Refusal>,
    settings: impl Fn(&S) -> usize,
    decide: impl Fn(Context<'_>, &[(ConfigResource, S)]) -> Decision<Vec<ConfigResult>>,
) -> Result<A::Response<'static>, NotActive> {
    let twice = named_twice(resources.iter().map(A::resource));
    let mut outcomes = Vec::with_capacity(resources.len());
    let mut wanted = Vec::new();
    let mut places = Vec::new();
    for (place, resource) in resources.iter().enumerate() {
        outcomes.push(change(resource, twice.contains(&A::resource(resource))).map(|change| {
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
    let Ok(decided) = parts::decide(active, &wanted, split, decide, outcome, lost).await?;
    for (outcome, place) in decided.into_iter().zip(places) {
        outcomes[place] = outcome;
    }
    let rows = resources.iter().zip(outcomes).map(|(resource, outcome)| match outcome {
        Ok(()) => A::row(A::resource(resource), ErrorCode::None, None),
        Err((code, message)) => A::row(A::resource(resource), code, Some(message)),
    });
    Ok(A::response(rows.collect()))
}

/// The answer that every one of `resources` failed.
pub fn all_failed<A: ConfigApi>(resources: &[A::Resource<'_>], code: ErrorCode) -> A::Response<'static> {
    let rows =
        resources.iter().map(|resource| A::row(A::resource(resource), code, Some(code.message().to_owned())));
    A::response(rows.collect())
}

/// The resources that a request names more than once: nobody can say which of the changes is meant.
fn named_twice<'a>(resources: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, &'a str)> {
    let mut seen = BTreeSet::new();
    resources.filter(|resource| !seen.insert(*resource)).collect()
}
