//! Producer ids: handed out from a block that the controller reserved for this broker.

use std::time::Duration;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::allocate_producer_ids_request::AllocateProducerIdsRequest;
use ottla_broker_types::ProducerId;
use tokio::sync::Mutex;

use crate::controller::Controller;

/// Attempts to reach a controller for a new block; the client retries after the error.
const ATTEMPTS_MAX: usize = 20;
/// Pause between attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The rest of the present block.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<std::ops::Range<i64>>,
}

impl ProducerIds {
    /// An id that no producer has had; fetches a new block when this one is used up.
    pub async fn next(&self, controller: &Controller) -> Result<ProducerId, ErrorCode> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            *block = reserve(controller).await?;
        }
        let id = block.start;
        block.start += 1;
        Ok(ProducerId(id))
    }
}

async fn reserve(controller: &Controller) -> Result<std::ops::Range<i64>, ErrorCode> {
    for _ in 0..ATTEMPTS_MAX {
        if let Some(epoch) = controller.broker_epoch() {
            let request = AllocateProducerIdsRequest {
                broker_id: controller.active.node_id().0,
                broker_epoch: epoch.0,
                ..Default::default()
            };
            match controller.allocate_producer_ids(&request).await {
                Ok(response) if response.error_code == 0 && response.producer_id_len > 0 => {
                    let start = response.producer_id_start;
                    return Ok(start..start + i64::from(response.producer_id_len));
                }
                Ok(response) => {
                    let code = ErrorCode::from_wire(response.error_code);
                    tracing::debug!(code = code.name(), "no block of producer ids yet");
                }
                Err(error) => tracing::debug!(%error, "no block of producer ids yet"),
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    Err(ErrorCode::CoordinatorLoadInProgress)
}
