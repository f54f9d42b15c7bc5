//! The follower: where it fetches from, and what an answer does to its log. The only I/O is the log's.
//!
//! Invariant: records are taken over verbatim, and only after the leader found the logs equal up to the log end.

use ottla_broker_log::Log;
use ottla_broker_protocol::batch::batches;
use ottla_broker_types::{DurationMs, LeaderEpoch, NodeId, Now, Offset};

use crate::effects::Effects;
use crate::errors::FollowError;
use crate::facts::EpochEnd;
use crate::replica::{Replica, Role};

/// Whom a follower follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowerState {
    pub(crate) leader: NodeId,
    pub(crate) epoch: LeaderEpoch,
}

/// What a follower asks its leader for; answers are matched against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// The leader to ask.
    pub leader: NodeId,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// First offset wanted: the log end.
    pub fetch_offset: Offset,
    /// Epoch of the last record in the log; `None` for a log without records.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The follower's log start.
    pub log_start: Offset,
}

/// One partition of a Fetch answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetched<'a> {
    /// The leader's high watermark; `None` if it gave none.
    pub high_watermark: Option<Offset>,
    /// The leader's log start; `None` if it gave none.
    pub log_start: Option<Offset>,
    /// Where the logs part; then there are no records.
    pub diverging: Option<EpochEnd>,
    /// Batches; the last one may be cut.
    pub records: &'a [u8],
}

/// The range of the leader's log, from ListOffsets of a follower (earliest and latest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderOffsets {
    /// First offset of the leader's log.
    pub start: Offset,
    /// First offset after it.
    pub end: Offset,
}

/// What the fetcher does next with the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowerStep {
    /// Fetch on from the new [`Replica::fetch_position`]; the leader may make the next fetch wait.
    Continue,
    /// Learn the leader's log range, then call [`Replica::leader_offsets`].
    NeedLeaderOffsets,
    /// Fetch again after a pause: the leader is not ready.
    BackOff,
    /// Fetch no more until the metadata brings a newer leader epoch.
    AwaitMetadata,
    /// The answer belongs to an earlier position: ignore it.
    Stale,
}

/// Why a leader sent nothing, as far as its follower acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchRefusal {
    /// The follower's position is outside of the leader's log.
    OffsetOutOfRange,
    /// There is a newer leader epoch than the follower's.
    FencedLeaderEpoch,
    /// It passes: the leader has not heard of its election yet, or its disk has trouble.
    NotNow,
}

/// What a follower does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextFetch {
    /// Where to fetch from.
    pub position: FetchPosition,
    /// Records below this offset, exclusive, must be durable before the fetch goes out: it tells the leader that this
    /// replica has them.
    pub sync_to: Option<Offset>,
}

/// Pause after a leader could not be reached or is not ready; a new leader needs about as long to know of it.
pub const BACK_OFF: DurationMs = DurationMs(20);
/// Pause of a partition before it is fetched again though no new metadata came, after its leader was found deposed or
/// this broker without space.
const AWAIT_METADATA: DurationMs = DurationMs(100);

impl FollowerStep {
    /// How long the partition rests before it is fetched again; `None` if it goes on.
    pub fn pause(self) -> Option<DurationMs> {
        match self {
            FollowerStep::Continue | FollowerStep::Stale => None,
            FollowerStep::NeedLeaderOffsets | FollowerStep::BackOff => Some(BACK_OFF),
            FollowerStep::AwaitMetadata => Some(AWAIT_METADATA),
        }
    }
}

impl Replica {
    /// What to fetch, and what has to be durable first; `None` unless this replica follows.
    pub fn next_fetch(&self) -> Option<NextFetch> {
        Some(NextFetch { position: self.fetch_position()?, sync_to: self.uncounted_end() })
    }

    /// Where to fetch from; `None` unless this replica follows.
    pub fn fetch_position(&self) -> Option<FetchPosition> {
        let Role::Follower(follower) = &self.role else { return None };
        Some(FetchPosition {
            leader: follower.leader,
            leader_epoch: follower.epoch,
            fetch_offset: self.log.log_end(),
            last_fetched_epoch: self.log.latest_epoch(),
            log_start: self.log.log_start(),
        })
    }

    /// Applies the answer to the fetch of `position`.
    ///
    /// On an error of the log whole batches may have been appended. One for lack of space or open files passes; others
    /// are final for this replica.
    pub fn handle_fetch_response(
        &mut self,
        now: Now,
        position: &FetchPosition,
        answer: Result<FollowerFetched<'_>, FetchRefusal>,
    ) -> Result<(FollowerStep, Effects), FollowError> {
        if self.fetch_position().as_ref() != Some(position) {
            return Ok((FollowerStep::Stale, Effects::default()));
        }
        match answer {
            Ok(fetched) => {
                let effects = self.follow(now, position, &fetched)?;
                Ok((FollowerStep::Continue, effects))
            }
            Err(refusal) => Ok((after_refusal(refusal), Effects::default())),
        }
    }

    fn follow(
        &mut self,
        now: Now,
        position: &FetchPosition,
        fetched: &FollowerFetched<'_>,
    ) -> Result<Effects, FollowError> {
        let mut effects = Effects::default();
        if let Some(leaders) = fetched.diverging {
            let end = truncation_point(&self.log, leaders);
            self.truncate(now, end, &mut effects)?;
            return Ok(effects);
        }
        let records = complete_batches(fetched.records, position.leader_epoch)?;
        let mut appended = Ok(());
        if !records.is_empty() {
            appended = self.append_fetched(records, now);
            effects.log_end = Some(self.log.log_end());
        }
        if let Some(leaders) = fetched.high_watermark {
            // It never falls here either: a new leader may know less of what is committed than this replica does.
            let reached = leaders.min(self.log.log_end());
            if reached > self.high_watermark {
                self.high_watermark = reached;
                self.log.note_committed(reached);
                effects.high_watermark = Some(reached);
            }
        }
        if let Some(leaders) = fetched.log_start {
            let start = leaders.min(self.high_watermark);
            if start > self.log.log_start() {
                self.log.advance_log_start(start);
                effects.log_start = Some(self.log.log_start());
            }
        }
        // A follower without space has to learn what its leader deleted all the same: that is what gives it space.
        appended?;
        Ok(effects)
    }

    /// Appends whole batches. An empty log that began where its leader's begins takes a first batch that lies across that
    /// offset, as after a deletion of records within it: the log begins with the batch, and is read from the offset on.
    fn append_fetched(&mut self, records: &[u8], now: Now) -> Result<(), FollowError> {
        let start = self.log.log_start();
        let first = batches(records).next().and_then(Result::ok).map(|(header, _)| header);
        let across = first.filter(|header| {
            start == self.log.log_end() && (header.base_offset..=header.last_offset()).contains(&start.get())
        });
        if let Some(header) = across.filter(|header| header.base_offset < start.get()) {
            self.log.reset_to(Offset::clamped(header.base_offset), now)?;
        }
        let appended = self.log.append_as_follower(records, now);
        self.log.advance_log_start(start);
        self.high_watermark = self.high_watermark.min(self.log.log_end());
        appended?;
        Ok(())
    }

    /// Moves a log that lies outside of its leader's: cut at the leader's end after an unclean election, or begun anew
    /// at the leader's start if the leader deleted what comes next.
    pub fn leader_offsets(
        &mut self,
        now: Now,
        position: &FetchPosition,
        leaders: LeaderOffsets,
    ) -> Result<(FollowerStep, Effects), FollowError> {
        let mut effects = Effects::default();
        if self.fetch_position().as_ref() != Some(position) {
            return Ok((FollowerStep::Stale, effects));
        }
        if leaders.end < self.log.log_end() {
            self.truncate(now, leaders.end, &mut effects)?;
        } else if leaders.start > self.log.log_end() {
            self.log.reset_to(leaders.start, now)?;
            self.high_watermark = leaders.start;
            effects.log_start = Some(leaders.start);
            effects.log_end = Some(leaders.start);
            effects.high_watermark = Some(leaders.start);
        }
        Ok((FollowerStep::Continue, effects))
    }

    fn truncate(&mut self, now: Now, end: Offset, effects: &mut Effects) -> Result<(), FollowError> {
        if end < self.log.log_start() {
            self.log.reset_to(end, now)?;
        } else {
            self.log.truncate_to(end, now)?;
        }
        let log_end = self.log.log_end();
        effects.log_end = Some(log_end);
        if log_end < self.high_watermark {
            tracing::warn!(
                %log_end, high_watermark = %self.high_watermark,
                "committed records were truncated: the leader was elected uncleanly"
            );
            self.high_watermark = log_end;
        }
        Ok(())
    }
}

/// Where to cut the log, given the leader's answer for the last epoch of it: at the end of the leader's epoch, or
/// before, if that epoch ends earlier here. A further fetch finds out whether epochs before it differ as well
/// (KIP-279).
fn truncation_point(log: &Log, leaders: EpochEnd) -> Offset {
    let ours = log.end_offset_for(leaders.epoch).map_or(log.log_end(), |(_, end)| end);
    ours.min(leaders.end).min(log.log_end())
}

/// The complete batches of an answer, all of which must be of the leader's epoch or earlier ones.
fn complete_batches(records: &[u8], leader_epoch: LeaderEpoch) -> Result<&[u8], FollowError> {
    let mut walk = batches(records);
    for batch in walk.by_ref() {
        // A malformed header is left to the log's own check, which names it.
        let Ok((header, _)) = batch else { return Ok(records) };
        if header.partition_leader_epoch > leader_epoch.get() {
            let (leader, found) = (leader_epoch.get(), header.partition_leader_epoch);
            return Err(FollowError::EpochFromTheFuture { leader, found });
        }
    }
    let complete = records.len() - walk.rest().len();
    Ok(&records[..complete])
}

fn after_refusal(refusal: FetchRefusal) -> FollowerStep {
    match refusal {
        FetchRefusal::OffsetOutOfRange => FollowerStep::NeedLeaderOffsets,
        FetchRefusal::FencedLeaderEpoch => FollowerStep::AwaitMetadata,
        FetchRefusal::NotNow => FollowerStep::BackOff,
    }
}
