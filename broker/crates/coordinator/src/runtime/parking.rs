//! Requests that a shard answers later, and what a decision means for them. No I/O.
//!
//! Invariant: a request that is parked is taken out once, by its answer, by a failed append, or with all others.

use std::collections::BTreeMap;

use ottla_broker_protocol::ErrorCode;

use crate::group::record::GroupRecord;
use crate::group::shard::GroupShard;
use crate::runtime::outcome::{Outcome, Reply, ReplyToken};

/// The parked requests of one shard, each with what its asker is answered through.
#[derive(Debug)]
pub struct Parking<A> {
    parked: BTreeMap<ReplyToken, A>,
    next_token: u64,
}

/// A decision whose records are in the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<A, C> {
    /// What the append returned; `None` if there was nothing to append.
    pub appended: Option<C>,
    /// To be answered at once.
    pub now: Vec<(A, Reply)>,
    /// To be answered when this append and all before it are committed.
    pub after_commit: Vec<(A, Reply)>,
}

/// A decision whose records could not be written.
#[derive(Debug, PartialEq, Eq)]
pub struct NotWritten<A> {
    /// Why.
    pub code: ErrorCode,
    /// Those who are told so instead of their answer.
    pub refused: Vec<A>,
    /// Whether the shard is ahead of its log by now: it has to be read again, and what is parked asks again.
    pub must_reload: bool,
}

impl<A> Default for Parking<A> {
    fn default() -> Self {
        Parking { parked: BTreeMap::new(), next_token: 0 }
    }
}

impl<A> Parking<A> {
    /// Parks a request; the decision about it names it by the token.
    pub fn park(&mut self, asker: A) -> ReplyToken {
        let token = ReplyToken(self.next_token);
        self.next_token += 1;
        self.parked.insert(token, asker);
        token
    }

    /// Carries out what `shard` has decided: `append` writes the records, if there are any, and only then they take effect
    /// and somebody is answered.
    pub fn settle<C>(
        &mut self,
        shard: &mut GroupShard,
        outcome: Outcome,
        append: impl FnOnce(&[GroupRecord]) -> Result<C, ErrorCode>,
    ) -> Result<Settled<A, C>, NotWritten<A>> {
        let must_reload = outcome.is_ahead_of_log();
        let Outcome { records, replies_now, replies_after_commit } = outcome;
        let appended = match records.is_empty() {
            true => None,
            false => match append(&records) {
                Ok(appended) => Some(appended),
                Err(code) => {
                    let unanswered = replies_now.into_iter().chain(replies_after_commit);
                    let refused = unanswered.filter_map(|(token, _)| self.parked.remove(&token)).collect();
                    return Err(NotWritten { code, refused, must_reload });
                }
            },
        };
        shard.appended(&records);
        Ok(Settled { appended, now: self.take(replies_now), after_commit: self.take(replies_after_commit) })
    }

    /// Everybody who is parked.
    pub fn take_all(&mut self) -> Vec<A> {
        std::mem::take(&mut self.parked).into_values().collect()
    }

    fn take(&mut self, replies: Vec<(ReplyToken, Reply)>) -> Vec<(A, Reply)> {
        let taken = replies.into_iter().map(|(token, reply)| Some((self.parked.remove(&token)?, reply)));
        taken.flatten().collect()
    }
}
