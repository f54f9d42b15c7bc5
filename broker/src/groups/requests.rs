//! What the group APIs ask of the shards: find the right one, decide, append, answer.

use std::sync::Arc;

use ottla_broker_coordinator::{
    Caller, CommitRequest, Generation, GroupDescription, GroupId, GroupListing, GroupShard, JoinRequest,
    Leaver, SyncRequest,
};
use ottla_broker_protocol::ErrorCode;
use ottla_broker_types::TopicPartition;

use super::hosted_shard::{Answered, Parked};
use super::registry::Groups;
use crate::broker::Broker;

/// The answer of an operation that gives one code for each part, or one for all.
type PerPart = Result<Answered<Vec<ErrorCode>>, ErrorCode>;

impl Groups {
    /// Joins; the answer comes when the group's members are together.
    pub fn join(&self, broker: &Arc<Broker>, join: &JoinRequest) -> Result<Parked, ErrorCode> {
        let shard = self.shard(broker, join.group.as_str())?;
        let decided = shard.decide(broker, |loaded, now| {
            let (token, parked) = loaded.park();
            (parked, loaded.shard.join(now, join, token))
        })?;
        Ok(decided.value)
    }

    /// Syncs; the answer comes when the leader's assignment is committed.
    pub fn sync(&self, broker: &Arc<Broker>, sync: SyncRequest) -> Result<Parked, ErrorCode> {
        let shard = self.shard(broker, sync.group.as_str())?;
        let decided = shard.decide(broker, |loaded, now| {
            let (token, parked) = loaded.park();
            (parked, loaded.shard.sync(now, sync, token))
        })?;
        Ok(decided.value)
    }

    /// A heartbeat, which writes nothing.
    pub fn heartbeat(
        &self,
        broker: &Arc<Broker>,
        group: &GroupId,
        caller: &Caller,
        generation: Option<Generation>,
    ) -> ErrorCode {
        let beat = self.shard(broker, group.as_str()).and_then(|shard| {
            shard.with(|loaded| loaded.shard.heartbeat(broker.clock.now(), group, caller, generation))
        });
        beat.unwrap_or_else(|code| code)
    }

    /// Leaves; one code for each leaver.
    pub fn leave(&self, broker: &Arc<Broker>, group: &GroupId, leavers: &[Leaver]) -> PerPart {
        let shard = self.shard(broker, group.as_str())?;
        shard.decide(broker, |loaded, now| loaded.shard.leave(now, group, leavers))
    }

    /// Commits offsets; one code for each.
    pub fn commit_offsets(&self, broker: &Arc<Broker>, commit: &CommitRequest) -> PerPart {
        let shard = self.shard(broker, commit.group.as_str())?;
        flatten(shard.decide(broker, |loaded, now| split(loaded.shard.commit_offsets(now, commit)))?)
    }

    /// Deletes offsets; one code for each.
    pub fn delete_offsets(
        &self,
        broker: &Arc<Broker>,
        group: &GroupId,
        wanted: &[TopicPartition],
    ) -> PerPart {
        let shard = self.shard(broker, group.as_str())?;
        flatten(shard.decide(broker, |loaded, _| split(loaded.shard.delete_offsets(group, wanted)))?)
    }

    /// Deletes a group that has no members.
    pub fn delete_group(&self, broker: &Arc<Broker>, group: &GroupId) -> Result<Answered<()>, ErrorCode> {
        let shard = self.shard(broker, group.as_str())?;
        flatten(shard.decide(broker, |loaded, _| {
            split(loaded.shard.delete_group(group).map(|outcome| ((), outcome)))
        })?)
    }

    /// Reads the shard of a group; what was read may be told when it is committed.
    pub fn read<T>(
        &self,
        broker: &Broker,
        group: &GroupId,
        read: impl FnOnce(&GroupShard) -> T,
    ) -> Result<Answered<T>, ErrorCode> {
        let shard = self.shard(broker, group.as_str())?;
        shard.with(|loaded| Answered { value: read(&loaded.shard), commit: loaded.pending_commit() })
    }

    /// A group as administrators see it; `None` if there is no such group.
    pub fn describe(&self, broker: &Broker, group: &GroupId) -> Result<Option<GroupDescription>, ErrorCode> {
        self.shard(broker, group.as_str())?.with(|loaded| loaded.shard.describe(group))
    }

    /// The groups of all shards that are loaded, and whether some are not yet.
    pub fn list(&self) -> (Vec<GroupListing>, bool) {
        let mut listed = Vec::new();
        let mut is_loading = false;
        for shard in self.shards() {
            match shard.with(|loaded| loaded.shard.list().collect::<Vec<_>>()) {
                Ok(groups) => listed.extend(groups),
                Err(code) => is_loading |= code == ErrorCode::CoordinatorLoadInProgress,
            }
        }
        (listed, is_loading)
    }
}

/// A refused decision has no outcome.
fn split<T>(
    decided: Result<(T, ottla_broker_coordinator::Outcome), ErrorCode>,
) -> (Result<T, ErrorCode>, ottla_broker_coordinator::Outcome) {
    match decided {
        Ok((value, outcome)) => (Ok(value), outcome),
        Err(code) => (Err(code), ottla_broker_coordinator::Outcome::default()),
    }
}

fn flatten<T>(answered: Answered<Result<T, ErrorCode>>) -> Result<Answered<T>, ErrorCode> {
    Ok(Answered { value: answered.value?, commit: answered.commit })
}
