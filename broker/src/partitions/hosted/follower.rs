//! The follower's side of a hosted partition: where it fetches from, and what an answer does to it.

use std::sync::atomic::Ordering;

use ottla_broker_replication::{
    Effects, FetchPosition, FetchRefusal, FollowError, FollowerFetched, FollowerStep, LeaderOffsets,
    NextFetch, Replica,
};
use ottla_broker_types::Now;

use super::{HostedPartition, State};
use crate::partitions::codes::{self, DiskError};

impl HostedPartition {
    /// What this follower wants to fetch, and what must be durable first; `None` if it does not follow.
    pub fn next_fetch(&self) -> Option<NextFetch> {
        self.read(Replica::next_fetch).flatten()
    }

    /// Applies what the leader answered to a fetch at `position`.
    pub fn apply_fetched(
        &self,
        now: Now,
        position: &FetchPosition,
        fetched: Result<FollowerFetched<'_>, FetchRefusal>,
    ) -> Option<FollowerStep> {
        let mut fetched = fetched;
        let mut has_space = true;
        if let Ok(fetched) = &mut fetched {
            has_space = self.space.take(fetched.records.len());
            if !has_space {
                // What else the leader says is taken over: that it has deleted records gives space back.
                fetched.records = &[];
            }
            self.counters.replication_bytes_in.fetch_add(fetched.records.len() as u64, Ordering::Relaxed);
        }
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut()?;
        let result = replica.handle_fetch_response(now, position, fetched);
        let step = self.followed(&mut guard, now, result);
        if has_space || step != Some(FollowerStep::Continue) {
            step
        } else {
            Some(FollowerStep::AwaitMetadata)
        }
    }

    /// Takes over the range of the leader's log, after a fetch outside of it.
    pub fn apply_leader_offsets(
        &self,
        now: Now,
        position: &FetchPosition,
        offsets: LeaderOffsets,
    ) -> Option<FollowerStep> {
        let mut guard = self.state.lock();
        let replica = guard.replica.as_mut()?;
        let result = replica.leader_offsets(now, position, offsets);
        self.followed(&mut guard, now, result)
    }

    fn followed(
        &self,
        guard: &mut State,
        now: Now,
        result: Result<(FollowerStep, Effects), FollowError>,
    ) -> Option<FollowerStep> {
        match result {
            Ok((step, effects)) => {
                self.settle(guard.replica.as_ref()?, effects);
                Some(step)
            }
            Err(error) => {
                if codes::is_final_follow(&error) {
                    self.fail(guard, "follow", &error);
                    return None;
                }
                // Some of it may have been taken over.
                if let Some(replica) = &guard.replica {
                    self.touched.note(&self.id, &self.marks, replica);
                }
                if let Some(error) = error.disk_error() {
                    self.space.failed(error, now.mono);
                    return Some(FollowerStep::AwaitMetadata);
                }
                if self.complaints.lock().is_news(now.mono) {
                    tracing::warn!(partition = %self.id, %error, "fetched records cannot be applied; fetching again");
                }
                Some(FollowerStep::BackOff)
            }
        }
    }
}
