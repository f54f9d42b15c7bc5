//! The leader's side of Fetch, for consumers and followers. The only I/O is the log's.

use ottla_broker_log::{AbortedTransaction, LogRead};
use ottla_broker_types::{LeaderEpoch, Now, Offset};

use crate::effects::Effects;
use crate::errors::FetchError;
use crate::facts::{EpochEnd, FetchFacts, FollowerId, Isolation};
use crate::replica::{Replica, Role};

/// The answer to one partition of a Fetch.
#[derive(Debug)]
pub struct FetchOutcome {
    /// The records; none when the logs diverge.
    pub read: LogRead,
    /// The high watermark after the fetch was counted.
    pub high_watermark: Offset,
    /// First offset that a read_committed consumer may not see.
    pub last_stable_offset: Offset,
    /// Of which there may be records among those that a reader of committed ones gets; he drops them.
    pub aborted: Vec<AbortedTransaction>,
    /// The leader's log start.
    pub log_start: Offset,
    /// Where the asker's log leaves the leader's (KIP-595): it truncates there and fetches again.
    pub diverging: Option<EpochEnd>,
    /// What changed.
    pub effects: Effects,
}

impl Replica {
    /// Answers a fetch; one of a follower also counts as its report of how far it is.
    ///
    /// Whoever must wait for more bytes arms the wait first and calls again.
    pub fn handle_fetch(&mut self, now: Now, facts: &FetchFacts) -> Result<FetchOutcome, FetchError> {
        let leader = self.leader_for(facts.current_leader_epoch)?;
        if let Some(follower) = facts.replica {
            leader.check_follower(follower)?;
        }
        if let Some(diverging) = self.divergence(facts)? {
            return Ok(self.outcome(LogRead::empty(facts.fetch_offset), Some(diverging), Effects::default()));
        }
        let log_end = self.log.log_end();
        if facts.fetch_offset < self.log.log_start() || facts.fetch_offset > log_end {
            return Err(self.out_of_range());
        }
        let bound = match (facts.replica, facts.isolation) {
            (Some(_), _) | (None, Isolation::LogEnd) => log_end,
            (None, Isolation::ReadUncommitted) => self.high_watermark,
            (None, Isolation::ReadCommitted) => self.last_stable_offset(),
        };
        let read = if facts.fetch_offset < bound {
            self.log.read(facts.fetch_offset, facts.max_bytes, bound, facts.at_least_one)?
        } else {
            LogRead::empty(facts.fetch_offset)
        };
        let mut effects = Effects::default();
        if let Some(follower) = facts.replica {
            self.count_fetch(now, follower, facts, &mut effects);
        }
        let aborted = match (facts.replica, facts.isolation) {
            (None, Isolation::ReadCommitted) => self.log.aborted_in(&read, facts.fetch_offset, bound)?,
            _ => Vec::new(),
        };
        Ok(FetchOutcome { aborted, ..self.outcome(read, None, effects) })
    }

    fn count_fetch(&mut self, now: Now, follower: FollowerId, facts: &FetchFacts, effects: &mut Effects) {
        let log_end = self.log.log_end();
        let high_watermark = self.high_watermark;
        let Role::Leader(leader) = &mut self.role else { return };
        leader.fetched(now.mono, follower, facts.fetch_offset, facts.log_start, log_end);
        effects.isr_change = leader.propose_expansion(follower.node, high_watermark);
        self.advance_high_watermark(now, effects);
    }

    fn divergence(&self, facts: &FetchFacts) -> Result<Option<EpochEnd>, FetchError> {
        let Some(asked) = facts.last_fetched_epoch else { return Ok(None) };
        let ours = self.epoch_end_of(asked).ok_or_else(|| self.out_of_range())?;
        let diverges = ours.epoch < asked || ours.end < facts.fetch_offset;
        Ok(diverges.then_some(ours))
    }

    /// The largest epoch of the leader's log that is not above `asked`, with its end.
    pub(crate) fn epoch_end_of(&self, asked: LeaderEpoch) -> Option<EpochEnd> {
        // The leader's own epoch is known before its first record.
        if self.leader_epoch() == Some(asked) {
            return Some(EpochEnd { epoch: asked, end: self.log.log_end() });
        }
        let (epoch, end) = self.log.end_offset_for(asked)?;
        Some(EpochEnd { epoch, end })
    }

    fn out_of_range(&self) -> FetchError {
        FetchError::OffsetOutOfRange { log_start: self.log.log_start(), log_end: self.log.log_end() }
    }

    fn outcome(&self, read: LogRead, diverging: Option<EpochEnd>, effects: Effects) -> FetchOutcome {
        FetchOutcome {
            read,
            high_watermark: self.high_watermark,
            last_stable_offset: self.last_stable_offset(),
            aborted: Vec::new(),
            log_start: self.log.log_start(),
            diverging,
            effects,
        }
    }
}
