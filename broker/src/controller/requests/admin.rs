//! Admin requests: any broker takes one, and the active controller decides on it, wherever it is.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use ottla_broker_protocol::{
    ApiKey, Decode, DecodeError, Encode, ErrorCode, Message, Reader, Request, Writer,
};

use super::{
    AlterConfigs, AlterPartitionReassignments, CreatePartitions, CreateTopics, DeleteTopics, DescribeQuorum,
    ElectLeaders, IncrementalAlterConfigs, UnregisterBroker,
};
use crate::controller::{Active, NotActive};

/// An API whose requests only the active controller decides on.
pub trait AdminApi: Sized + Send + Sync + 'static {
    /// What is asked.
    type Request<'a>: Request + Decode<'a> + Send + Sync;
    /// What is answered.
    type Response<'a>: Message + Decode<'a> + Send;

    /// Decides as the active controller; the answer is for this version.
    ///
    /// # Errors
    /// This node is not the active controller, and nothing has been decided.
    fn decide<'a>(
        active: &'a Arc<Active>,
        request: &'a Self::Request<'_>,
        version: i16,
    ) -> Deciding<'a, Self>;

    /// The answer that everything asked for failed with `code`.
    fn failed(request: &Self::Request<'_>, code: ErrorCode, version: i16) -> Self::Response<'static>;
}

/// A decision on its way.
pub type Deciding<'a, A> = BoxFuture<'a, Result<<A as AdminApi>::Response<'static>, NotActive>>;

/// What the active controller says to an admin request.
pub enum AdminAnswer<A: AdminApi> {
    /// It is this node.
    Here(A::Response<'static>),
    /// It is another one; the body of the response at the request's version.
    Elsewhere(Bytes),
}

/// Decides on a request that another broker has passed on, if this node is the active controller; gives the body of the
/// response, or the code of the whole.
pub async fn decide_encoded(
    active: &Arc<Active>,
    key: ApiKey,
    version: i16,
    body: &[u8],
) -> Result<Bytes, ErrorCode> {
    if !key.versions().contains(&version) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    match key {
        ApiKey::CreateTopics => decide::<CreateTopics>(active, version, body).await,
        ApiKey::DeleteTopics => decide::<DeleteTopics>(active, version, body).await,
        ApiKey::CreatePartitions => decide::<CreatePartitions>(active, version, body).await,
        ApiKey::AlterConfigs => decide::<AlterConfigs>(active, version, body).await,
        ApiKey::IncrementalAlterConfigs => decide::<IncrementalAlterConfigs>(active, version, body).await,
        ApiKey::AlterPartitionReassignments => {
            decide::<AlterPartitionReassignments>(active, version, body).await
        }
        ApiKey::ElectLeaders => decide::<ElectLeaders>(active, version, body).await,
        ApiKey::UnregisterBroker => decide::<UnregisterBroker>(active, version, body).await,
        ApiKey::DescribeQuorum => decide::<DescribeQuorum>(active, version, body).await,
        _ => Err(ErrorCode::InvalidRequest),
    }
}

async fn decide<A: AdminApi>(active: &Arc<Active>, version: i16, body: &[u8]) -> Result<Bytes, ErrorCode> {
    let request = decode::<A>(body, version).map_err(|_| ErrorCode::InvalidRequest)?;
    match A::decide(active, &request, version).await {
        Ok(response) => Ok(encode(&response, version)),
        Err(NotActive) => Err(ErrorCode::NotController),
    }
}

/// Reads the body of a request.
///
/// # Errors
/// It does not follow its schema, or names more than one request may.
pub fn decode<A: AdminApi>(body: &[u8], version: i16) -> Result<A::Request<'_>, DecodeError> {
    let items_max = <A::Request<'_> as Request>::KEY.rules().items_max;
    Decode::decode(&mut Reader::new(body).with_items_max(items_max), version)
}

/// A message as bytes, for the way between the broker that was asked and the controller.
pub fn encode<T: Encode>(message: &T, version: i16) -> Bytes {
    let mut writer = Writer::new();
    match message.encode(&mut writer, version) {
        Ok(()) => writer.into_bytes().unwrap_or_default(),
        Err(error) => {
            tracing::error!(version, %error, "a message cannot be encoded");
            Bytes::new()
        }
    }
}
