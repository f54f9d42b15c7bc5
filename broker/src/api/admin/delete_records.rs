//! DeleteRecords (key 21): moves a partition's start up and answers when every live replica's start has followed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_protocol::ErrorCode;
use ottla_broker_protocol::messages::delete_records_request::DeleteRecordsRequest;
use ottla_broker_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use ottla_broker_types::{Offset, PartitionIndex, TopicName};

use crate::api::call::Call;
use crate::api::{Answer, Malformed};
use crate::broker::Broker;
use crate::listener::Reply;
use crate::partitions::{FetchWaiter, HostedPartition};

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;
/// The low watermark of a partition of which nothing was deleted.
const NO_LOW_WATERMARK: i64 = -1;
/// The longest a request may wait, whatever the client asks.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// One partition of the request.
struct Row {
    topic: usize,
    index: i32,
    state: State,
}

enum State {
    Failed(ErrorCode),
    /// The leader has deleted; some replica's log may still start before `until`.
    Deleting {
        partition: Arc<HostedPartition>,
        until: Offset,
        low_watermark: Offset,
    },
}

impl State {
    fn is_pending(&self) -> bool {
        matches!(self, State::Deleting { until, low_watermark, .. } if low_watermark < until)
    }
}

/// Handles a DeleteRecords.
pub fn handle(broker: &Arc<Broker>, call: Call) -> Result<Answer, Malformed> {
    let request: DeleteRecordsRequest<'_> = call.request()?;
    let names: Vec<String> = request.topics.iter().map(|topic| topic.name.clone().into_owned()).collect();
    let mut rows = Vec::new();
    for (topic, asked) in request.topics.iter().enumerate() {
        let partitions: BTreeMap<i32, i64> =
            asked.partitions.iter().map(|row| (row.partition_index, row.offset)).collect();
        for (index, offset) in partitions {
            let state = delete(broker, &asked.name, index, offset).unwrap_or_else(State::Failed);
            rows.push(Row { topic, index, state });
        }
    }
    let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(WAIT_MAX);
    if !rows.iter().any(|row| row.state.is_pending()) {
        return Ok(Answer::now(reply(&call, &names, rows)));
    }
    let broker = Arc::clone(broker);
    Ok(call.later(|call| async move {
        wait_for_followers(&broker, &mut rows, wait).await;
        reply(&call, &names, rows)
    }))
}

fn delete(broker: &Broker, topic: &str, index: i32, offset: i64) -> Result<State, ErrorCode> {
    let view = broker.view();
    let name = TopicName::new(topic).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    if name.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = broker.partitions.serve(&view, &name, PartitionIndex(index))?;
    let before = match offset {
        HIGH_WATERMARK => None,
        _ => Some(Offset::new(offset).ok_or(ErrorCode::OffsetOutOfRange)?),
    };
    let until = partition.delete_records(before)?;
    let low_watermark = partition.low_watermark(&view)?;
    Ok(State::Deleting { partition, until, low_watermark })
}

/// Looks at the replicas again whenever one of them has moved, until all have or the time is over.
async fn wait_for_followers(broker: &Broker, rows: &mut [Row], wait: Duration) {
    let waiter = Arc::new(FetchWaiter::default());
    let mut deadline = Box::pin(tokio::time::sleep(wait));
    loop {
        for (place, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.state.is_pending()) {
            let State::Deleting { partition, low_watermark, .. } = &mut row.state else { continue };
            // Armed before the look, so that no move between the two is missed.
            partition.arm_low_watermark(&waiter, place);
            let (looked_at, view) = (Arc::clone(partition), broker.view());
            match broker.disk.run(false, move || looked_at.low_watermark(&view)).await {
                Ok(reached) => *low_watermark = reached,
                Err(code) => row.state = State::Failed(code),
            }
        }
        if !rows.iter().any(|row| row.state.is_pending()) {
            return;
        }
        tokio::select! {
            biased;
            () = waiter.woken() => drop(waiter.take_moved()),
            () = &mut deadline => return,
        }
    }
}

fn reply(call: &Call, names: &[String], rows: Vec<Row>) -> Reply {
    let mut topics: Vec<DeleteRecordsTopicResult<'static>> = names
        .iter()
        .map(|name| DeleteRecordsTopicResult { name: Cow::Owned(name.clone()), ..Default::default() })
        .collect();
    for row in rows {
        let (low_watermark, code) = match &row.state {
            State::Failed(code) => (NO_LOW_WATERMARK, *code),
            State::Deleting { low_watermark, .. } if row.state.is_pending() => {
                (low_watermark.get(), ErrorCode::RequestTimedOut)
            }
            State::Deleting { low_watermark, .. } => (low_watermark.get(), ErrorCode::None),
        };
        topics[row.topic].partitions.push(DeleteRecordsPartitionResult {
            partition_index: row.index,
            low_watermark,
            error_code: code.code(),
        });
    }
    call.reply(&DeleteRecordsResponse { topics, ..Default::default() })
}
