//! The way of an admin request to the active controller: this node decides itself if it is that, or passes the body on and
//! gives the answer back.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::api::Answer;
use crate::api::call::Call;
use crate::api::route::LONG_BYTES;
use crate::broker::Broker;
use crate::controller::requests::{self, AdminAnswer, AdminApi};
use crate::listener::Reply;

/// Answers with what the active controller says.
pub fn handle<A: AdminApi>(broker: &Arc<Broker>, mut call: Call) -> Answer {
    let body = call.take_body();
    let (is_long, serving) = (is_long(&body), Arc::clone(broker));
    let decision = async move {
        match requests::decode::<A>(&body, call.version) {
            Ok(request) => ask::<A>(&serving, &call, &request, body.clone()).await,
            // It must end this client's connection, not the one to the controller.
            Err(error) => call.malformed(&error.into()),
        }
    };
    answer(broker, is_long, decision)
}

/// Whether deciding on so long a request may keep a thread from serving others.
pub fn is_long(body: &Bytes) -> bool {
    body.len() >= LONG_BYTES
}

/// Answers by `decision`, which computes for long if it is about a long request.
pub fn answer(
    broker: &Arc<Broker>,
    is_long: bool,
    decision: impl Future<Output = Reply> + Send + 'static,
) -> Answer {
    if !is_long {
        return Answer::later(decision);
    }
    let broker = Arc::clone(broker);
    Answer::later(async move {
        let decided = broker.long_work.decide(decision).await;
        decided.unwrap_or(Reply::Close("the request could not be decided on"))
    })
}

/// Asks the active controller; `body` is the request as it goes to another broker.
pub async fn ask<A: AdminApi>(
    broker: &Arc<Broker>,
    call: &Call,
    request: &A::Request<'_>,
    body: Bytes,
) -> Reply {
    match broker.controller.admin::<A>(call.asker(), call.version, request, body).await {
        Ok(AdminAnswer::Here(response)) => call.reply(&response),
        Ok(AdminAnswer::Elsewhere(body)) => call.reply_encoded(body),
        Err(code) => call.reply(&A::failed(request, code, call.version)),
    }
}
