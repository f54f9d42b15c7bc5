//! Large admin requests, decided part by part, so that what cannot wait gets its turn in between.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_metadata::controller::{Context, Decision, Seed};

use crate::controller::{Active, NotActive};

/// How long an answer waits until this broker serves by what was decided.
const SERVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Decides on `items` in `parts`, and waits until this broker serves by the decisions; the answer's rows, each made of a
/// result by `row`.
///
/// When this node stops being the controller midway, what is decided stays, and each item of the rest is answered by
/// `lost`: the whole request must not be tried again. A refusal of the first part refuses everything.
pub async fn decide<I, R, E, Row>(
    active: &Arc<Active>,
    items: &[I],
    parts: Vec<Range<usize>>,
    decide: impl Fn(Context<'_>, &[I], Seed) -> Result<Decision<Vec<R>>, E>,
    row: impl Fn(R) -> Row,
    lost: impl Fn(&I) -> Row,
) -> Result<Result<Vec<Row>, E>, NotActive> {
    let mut rows = Vec::with_capacity(items.len());
    let mut last = None;
    for part in parts {
        let items_of_part = &items[part.clone()];
        let decided = active.decide_ahead(|context, _, seed| decide(context, items_of_part, seed)).await;
        match decided {
            Ok(Ok(decided)) => {
                rows.extend(decided.reply.into_iter().map(&row));
                last = decided.at.or(last);
            }
            Ok(Err(refused)) => return Ok(Err(refused)),
            Err(NotActive) if part.start == 0 => return Err(NotActive),
            Err(NotActive) => {
                rows.extend(items[part.start..].iter().map(&lost));
                break;
            }
        }
    }
    if let Some(at) = last {
        let _ = tokio::time::timeout(SERVE_TIMEOUT, active.parts.served.wait_applied(at.next())).await;
    }
    Ok(Ok(rows))
}
