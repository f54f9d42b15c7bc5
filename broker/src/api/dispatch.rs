//! From a frame to the file of its API, with the checks that all APIs share.

use std::sync::Arc;

use ottla_broker_protocol::ApiKey;

use super::answer::{Answer, Malformed};
use super::call::Call;
use super::{api_versions, served};
use crate::broker::Broker;
use crate::listener::{Frame, Handled, Handler, PeerInfo, Reply};

/// Answers requests of all listeners.
pub struct Api {
    broker: Arc<Broker>,
}

impl Api {
    /// The API of a broker.
    pub fn new(broker: Arc<Broker>) -> Api {
        Api { broker }
    }

    fn answer(&self, peer: &PeerInfo, frame: Frame) -> Result<Answer, Malformed> {
        let Some((key, version)) = key_and_version(&frame.bytes) else {
            return Ok(Answer::close("the frame is shorter than a request header"));
        };
        let Some(api) = ApiKey::from_i16(key).filter(|api| served::is_served(*api, peer.internal)) else {
            return Ok(Answer::close("the API is not served on this listener"));
        };
        if !served::versions(api).contains(&version) {
            if api == ApiKey::ApiVersions {
                // KIP-511: the client learns our versions in the oldest schema and asks again.
                return Ok(Answer::now(api_versions::unsupported(&self.broker, peer, &frame.bytes)));
            }
            return Ok(Answer::close("the version of the API is not served"));
        }
        let call = Call::open(peer, frame, api)?;
        served::handle(&self.broker, call)
    }
}

fn key_and_version(frame: &[u8]) -> Option<(i16, i16)> {
    let (key, rest) = frame.split_first_chunk::<2>()?;
    let version = rest.first_chunk::<2>()?;
    Some((i16::from_be_bytes(*key), i16::from_be_bytes(*version)))
}

impl Handler for Api {
    fn handle(&self, peer: &PeerInfo, frame: Frame) -> Handled {
        let started = self.broker.clock.micros();
        let key = key_and_version(&frame.bytes).map_or(-1, |(key, _)| key);
        let handled = match self.answer(peer, frame) {
            Ok(Answer(handled)) => handled,
            Err(malformed) => {
                tracing::info!(address = %peer.address, api_key = key, %malformed, "malformed request");
                Handled::Now(Reply::Close("the request is malformed"))
            }
        };
        let broker = Arc::clone(&self.broker);
        match handled {
            Handled::Now(reply) => {
                broker.metrics.request(key, broker.clock.micros().saturating_sub(started));
                Handled::Now(reply)
            }
            Handled::Later(future) => Handled::Later(Box::pin(async move {
                let reply = future.await;
                broker.metrics.request(key, broker.clock.micros().saturating_sub(started));
                reply
            })),
        }
    }

    fn connection_count(&self, peer: &PeerInfo, change: i64) {
        let metrics = &self.broker.metrics;
        let gauge = if peer.internal { &metrics.broker_connections } else { &metrics.client_connections };
        gauge.fetch_add(change, std::sync::atomic::Ordering::Relaxed);
    }
}
