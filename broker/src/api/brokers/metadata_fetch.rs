//! MetadataFetch (own key): the committed metadata, for brokers outside of the quorum.

use std::sync::Arc;
use std::time::Duration;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::metadata_fetch_request::MetadataFetchRequest;
use ottla_broker_protocol::messages::metadata_fetch_response::{MetadataEntry, MetadataFetchResponse};
use ottla_broker_quorum::{Committed, MetadataLog};
use ottla_broker_types::Offset;

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;

/// The longest an observer may hold a metadata request open.
const METADATA_WAIT_MAX: Duration = Duration::from_secs(5);
/// Bytes of records per metadata answer, whatever is asked.
const METADATA_BYTES_MAX: usize = 8 << 20;

/// Serves the committed metadata to brokers outside of the quorum.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: MetadataFetchRequest = call.request()?;
    let from = Offset::clamped(request.from_offset);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(METADATA_WAIT_MAX);
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(METADATA_BYTES_MAX);
    let Some(log) = broker.controller.log().cloned() else {
        let response =
            MetadataFetchResponse { error_code: ErrorCode::NotController.code(), ..Default::default() };
        return Ok(Answer::now(call.reply(&response)));
    };
    Ok(call.later(|call| async move {
        let mut end = log.committed_end();
        let more = end.wait_for(|end| *end > from);
        let _ = tokio::time::timeout(wait, more).await;
        let parts = log.read_committed(from, bytes_max).unwrap_or_default();
        call.reply(&metadata_response(&*log, &parts))
    }))
}

fn metadata_response<'a>(log: &dyn MetadataLog, parts: &'a [Committed]) -> MetadataFetchResponse<'a> {
    let leadership = *log.leadership().borrow();
    let mut response = MetadataFetchResponse {
        leader_id: leadership.leader.map_or(-1, |node| node.0),
        term: i64::try_from(leadership.term.0).unwrap_or(i64::MAX),
        committed_end: log.committed_end().borrow().get(),
        snapshot_end: -1,
        ..Default::default()
    };
    for part in parts {
        match part {
            Committed::Snapshot { end, bytes } => {
                response.snapshot_end = end.get();
                response.snapshot = Some(bytes.as_ref().into());
            }
            Committed::Batch { offset, term, records } => response.entries.push(MetadataEntry {
                offset: offset.get(),
                term: i64::try_from(term.0).unwrap_or(i64::MAX),
                records: records.iter().map(|record| record.as_ref().into()).collect(),
                ..Default::default()
            }),
        }
    }
    response
}
