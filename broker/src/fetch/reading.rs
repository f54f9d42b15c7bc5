//! Reading the partitions of one Fetch: once at its start, and again those that moved while it waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker_node::{FetchBudget, FetchTarget, Found, Reader, Share, TopicRef, Visit};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::Isolation;
use ottla_broker_types::Now;

use super::plan::Plan;
use crate::broker::Broker;
use crate::partitions::{FetchFailure, FetchRead, HostedPartition};
use crate::view::View;

/// A request after decoding; owns everything, since it may wait.
pub struct Fetching {
    /// Who fetches.
    pub reader: Reader,
    /// How long it waits at most.
    pub wait: Duration,
    /// Bytes of records for which it does not wait any longer.
    pub bytes_min: usize,
    /// Bytes of records in the answer, at most.
    pub bytes_max: usize,
    /// What is read.
    pub plan: Plan,
    /// Cuts off what the client cannot read; false if nothing is left.
    pub cut: Option<fn(&mut FetchRead) -> bool>,
    /// Whether the client wants to know of transactions that were aborted.
    pub read_committed: bool,
}

/// One partition's part of the answer.
pub struct Part {
    place: usize,
    /// What was asked for.
    pub target: FetchTarget,
    /// The partition, if it is here.
    pub partition: Option<Arc<HostedPartition>>,
    /// What was found.
    pub result: Result<FetchRead, FetchFailure>,
}

impl Part {
    fn has_records(&self) -> bool {
        self.result.as_ref().is_ok_and(|read| read.bytes > 0)
    }

    /// Forgets where the records are, but not how many: a fetch that waits must not keep deleted files on the disk.
    fn let_files_go(&mut self) {
        if let Ok(read) = &mut self.result {
            read.segments = Vec::new();
        }
    }

    fn found(&self) -> Found {
        self.result.as_ref().map_or(Found::Error, |read| Found::State {
            high_watermark: read.high_watermark.get(),
            log_start: read.log_start.get(),
            has_part: read.bytes > 0 || read.diverging.is_some(),
            is_behind: read.is_behind,
            standing: read.standing,
        })
    }
}

/// Those parts that the answer names.
pub fn answered(plan: &Plan, parts: Vec<Part>) -> Vec<Part> {
    let named = plan.answered(parts.iter().map(|part| (part.place, part.found())));
    parts.into_iter().zip(named).filter_map(|(part, is_named)| is_named.then_some(part)).collect()
}

/// Reads for one answer, as long as it has room.
struct Reading<'a> {
    broker: &'a Broker,
    fetching: &'a Fetching,
    view: Arc<View>,
    now: Now,
    budget: FetchBudget,
}

impl<'a> Reading<'a> {
    fn new(broker: &'a Broker, fetching: &'a Fetching) -> Reading<'a> {
        let budget = fetching.plan.budget(fetching.bytes_max);
        Reading { broker, fetching, view: broker.view(), now: broker.clock.now(), budget }
    }

    /// Reads a partition; it is watched before, if the fetch may wait or has a session.
    fn read(&mut self, visit: Visit) -> Part {
        let Visit { place, target, standing, .. } = visit;
        let found = match &target.topic {
            TopicRef::Id(id) => self.view.topic_name(*id).ok_or(ErrorCode::UnknownTopicId),
            TopicRef::Name(name) => Ok(name.clone()),
            TopicRef::Unnamable(_) => Err(ErrorCode::UnknownTopicOrPartition),
        };
        let hosted = found.and_then(|name| self.broker.partitions.serve(&self.view, &name, target.partition));
        let (partition, result) = match hosted {
            Ok(partition) => {
                let wanted = usize::try_from(target.bytes_max).unwrap_or(0);
                let read = self.read_hosted(&partition, place, &target, self.budget.share(standing, wanted));
                (Some(partition), read)
            }
            Err(code) => (None, Err(FetchFailure::from(code))),
        };
        if let Ok(read) = &result {
            self.budget.take(standing, read.bytes);
        }
        Part { place, target, partition, result }
    }

    fn read_hosted(
        &self,
        partition: &Arc<HostedPartition>,
        place: usize,
        target: &FetchTarget,
        share: Share,
    ) -> Result<FetchRead, FetchFailure> {
        let Fetching { plan, reader, wait, .. } = self.fetching;
        if plan.session_id != 0 || !wait.is_zero() {
            plan.watch(partition, place, *reader);
        }
        let isolation = match self.fetching.read_committed {
            true => Isolation::ReadCommitted,
            false => Isolation::ReadUncommitted,
        };
        let is_eligible = |node, epoch| self.broker.view().is_isr_eligible(node, epoch);
        let mut read = partition.fetch(self.now, *reader, target, (isolation, share), is_eligible)?;
        if self.fetching.cut.is_none_or(|cut| cut(&mut read)) {
            return Ok(read);
        }
        Err(ErrorCode::UnsupportedCompressionType.into())
    }
}

/// Reads what is due: what the request names, and the rest as long as the answer has room for it.
pub fn read_all(broker: &Broker, fetching: &Fetching) -> Vec<Part> {
    let mut reading = Reading::new(broker, fetching);
    let mut parts = Vec::with_capacity(fetching.plan.visits().len());
    for visit in fetching.plan.visits() {
        if visit.is_named || !reading.budget.is_spent(visit.standing) {
            parts.push(reading.read(visit.clone()));
        }
    }
    parts
}

/// Reads those partitions again of which something new or something else may be there: the moved ones, and those with
/// records, whose share of the answer may be another by now. The others are as they were.
fn read_again(broker: &Broker, fetching: &Fetching, parts: &mut Vec<Part>, moved: Vec<Visit>) {
    let mut reading = Reading::new(broker, fetching);
    let places: BTreeSet<usize> = moved.iter().map(|visit| visit.place).collect();
    let mut seen = BTreeSet::new();
    for part in parts.iter_mut().filter(|part| places.contains(&part.place) || part.has_records()) {
        seen.insert(part.place);
        let standing = part.result.as_ref().map_or_else(|_| Default::default(), |read| read.standing);
        let (place, target) = (part.place, part.target.clone());
        *part = reading.read(Visit { place, target, standing, is_named: false });
    }
    let new = moved.into_iter().filter(|visit| !seen.contains(&visit.place));
    parts.extend(new.map(|visit| reading.read(visit)));
}

/// Whether an answer is due now: enough bytes, or something the fetcher must hear at once.
pub fn is_enough(fetching: &Fetching, parts: &[Part]) -> bool {
    let mut bytes = 0;
    for part in parts {
        match &part.result {
            Err(failure) if failure.is_old => {}
            Err(_) => return true,
            Ok(read) if read.diverging.is_some() => return true,
            Ok(read) if fetching.reader.is_follower() && is_behind(&part.target, read) => return true,
            Ok(read) => bytes += read.bytes,
        }
    }
    bytes >= fetching.bytes_min || fetching.plan.is_empty()
}

/// Whether the follower's log begins before the leader's: it deletes as soon as it hears of that, and somebody may
/// wait for it (DeleteRecords).
fn is_behind(target: &FetchTarget, read: &FetchRead) -> bool {
    target.log_start.is_some_and(|theirs| theirs < read.log_start)
}

/// Waits until `parts` are an answer, which is at the latest when the time is over.
pub async fn wait_for_records(
    broker: &Arc<Broker>,
    fetching: &Arc<Fetching>,
    mut parts: Vec<Part>,
) -> Vec<Part> {
    let mut deadline = Box::pin(tokio::time::sleep(fetching.wait));
    loop {
        parts.iter_mut().for_each(Part::let_files_go);
        let timed_out = tokio::select! {
            // The time first: a partition may move again each time before all are read.
            biased;
            () = &mut deadline => true,
            () = fetching.plan.woken() => false,
        };
        let (reading, fetched) = (Arc::clone(broker), Arc::clone(fetching));
        let read = move || {
            let moved = fetched.plan.take_moved();
            read_again(&reading, &fetched, &mut parts, moved);
            parts
        };
        parts = broker.disk.run(false, read).await;
        if timed_out || is_enough(fetching, &parts) {
            return parts;
        }
    }
}
