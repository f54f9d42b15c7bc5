//! Forming the first quorum and changing who takes part.
//!
//! I/O: messages through [`Dial`]'s transport; a deadline on everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use ottla_broker_types::NodeId;

use super::dial::Dial;
use super::messages::{self, HelloAnswer, Kind, Route, Status};
use super::node::Raft;
use super::types::{Address, Clid, Types};
use crate::codec::Fields;
use crate::{InitializeError, Initialized, Member, MembershipError, Peer, TransportError, VoterId};

/// How long the voter that forms the quorum asks the others before it gives up; they may still be starting.
const INITIALIZE_DEADLINE: Duration = Duration::from_secs(10);
/// Between two rounds of asking: short, since a local cluster is up in less than a second.
const INITIALIZE_PAUSE: Duration = Duration::from_millis(25);
/// How long one answer to a hello may take.
const HELLO_DEADLINE: Duration = Duration::from_millis(500);
/// How long a change of the membership may take, catching up of a new voter included.
const CHANGE_DEADLINE: Duration = Duration::from_secs(30);

type Change = ChangeMembers<VoterId, Address>;

/// Changes the membership of one node's quorum.
#[derive(Clone)]
pub(crate) struct Members {
    pub(crate) me: VoterId,
    pub(crate) raft: Raft,
    pub(crate) dial: Dial,
}

impl Members {
    /// See [`initialize`](crate::MetadataLog::initialize).
    pub(crate) async fn initialize(
        &self,
        voters: Vec<(NodeId, String)>,
    ) -> Result<Initialized, InitializeError> {
        if self.raft.is_initialized().await.map_err(|_| InitializeError::Stopped)? {
            return Ok(Initialized::AlreadyMember);
        }
        let voters: BTreeMap<NodeId, String> = voters.into_iter().collect();
        if !voters.contains_key(&self.me.node) {
            return Err(InitializeError::NotAVoter { node: self.me.node });
        }
        match voters.keys().next() {
            Some(first) if *first != self.me.node => return Ok(Initialized::LeftTo { node: *first }),
            _ => {}
        }
        let mut members = BTreeMap::new();
        for (id, address, has_log) in self.ask_all(&voters).await? {
            if has_log {
                return Ok(Initialized::ClusterExists { witness: id.node });
            }
            members.insert(id, Address(address));
        }
        // The library stands for election as part of it: nobody else can lead yet. Asking for another one would
        // only give up the first, and its flushes, for a second term.
        match self.raft.initialize(members).await {
            Ok(()) => Ok(Initialized::Created),
            Err(RaftError::APIError(_)) => Ok(Initialized::AlreadyMember),
            Err(RaftError::Fatal(_)) => Err(InitializeError::Stopped),
        }
    }

    /// Asks every voter who it is and whether it holds a log, until all have answered.
    async fn ask_all(
        &self,
        voters: &BTreeMap<NodeId, String>,
    ) -> Result<Vec<(VoterId, String, bool)>, InitializeError> {
        let mut known = BTreeMap::new();
        let rounds = INITIALIZE_DEADLINE.as_millis() / INITIALIZE_PAUSE.as_millis();
        let asking = async {
            for _ in 0..rounds {
                let silent = voters.iter().filter(|(node, _)| !known.contains_key(*node));
                let answers = join_all(silent.map(|(node, address)| self.ask(*node, address))).await;
                known.extend(answers.into_iter().flatten().map(|answer| (answer.id.node, answer)));
                if known.len() == voters.len() {
                    return;
                }
                tokio::time::sleep(INITIALIZE_PAUSE).await;
            }
        };
        // On a time-out, what is known so far says who is silent.
        let _ = tokio::time::timeout(INITIALIZE_DEADLINE, asking).await;
        let silent: Vec<NodeId> = voters.keys().filter(|node| !known.contains_key(node)).copied().collect();
        if !silent.is_empty() {
            return Err(InitializeError::Unreachable { silent });
        }
        Ok(known
            .into_values()
            .map(|answer| {
                (answer.id, voters.get(&answer.id.node).cloned().unwrap_or_default(), answer.has_log)
            })
            .collect())
    }

    async fn ask(&self, node: NodeId, address: &str) -> Option<HelloAnswer> {
        if node == self.me.node {
            return Some(HelloAnswer { id: self.me, has_log: false, leads: false });
        }
        self.dial
            .hello(node, address, HELLO_DEADLINE)
            .await
            .ok()
            .flatten()
            .filter(|answer| answer.id.node == node)
    }

    /// See [`add_observer`](crate::MetadataLog::add_observer).
    pub(crate) async fn add_observer(&self, member: Member) -> Result<(), MembershipError> {
        let known = self.address(member.id);
        if known.as_ref() == Some(&member.address) {
            return Ok(());
        }
        let nodes = BTreeMap::from([(member.id, Address(member.address))]);
        self.change(if known.is_some() { Change::SetNodes(nodes) } else { Change::AddNodes(nodes) }, true)
            .await
    }

    /// See [`add_voter`](crate::MetadataLog::add_voter).
    pub(crate) async fn add_voter(&self, member: Member) -> Result<(), MembershipError> {
        let id = member.id;
        let voters = self.voters();
        if let Some(other) = voters.iter().find(|voter| voter.node == id.node && **voter != id) {
            return Err(MembershipError::DuplicateVoter { node: other.node });
        }
        self.add_observer(member).await?;
        if voters.contains(&id) {
            return Ok(());
        }
        self.wait_caught_up(id).await?;
        self.change(Change::AddVoterIds(BTreeSet::from([id])), true).await
    }

    /// See [`remove_voter`](crate::MetadataLog::remove_voter).
    pub(crate) async fn remove_voter(&self, id: VoterId) -> Result<(), MembershipError> {
        let voters = self.voters();
        let change = if !voters.contains(&id) {
            self.address(id).ok_or(MembershipError::UnknownMember)?;
            Change::RemoveNodes(BTreeSet::from([id]))
        } else if voters.len() == 1 {
            return Err(MembershipError::LastVoter);
        } else {
            Change::RemoveVoters(BTreeSet::from([id]))
        };
        self.change(change, false).await
    }

    /// Completes a change that an earlier leader left half done.
    pub(crate) async fn finish_change(&self) -> Result<(), MembershipError> {
        let target = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let configs = metrics.membership_config.get_joint_config();
            if configs.len() < 2 {
                return Ok(());
            }
            configs.last().cloned().unwrap_or_default()
        };
        self.change(Change::ReplaceAllVoters(target), false).await
    }

    /// Waits until an observer holds what this leader held when it began to wait.
    async fn wait_caught_up(&self, id: VoterId) -> Result<(), MembershipError> {
        let mut metrics = self.raft.metrics();
        let target = metrics.borrow_watched().last_log_index;
        let caught_up = async {
            loop {
                match &metrics.borrow_and_update().replication {
                    Some(others)
                        if others.get(&id).copied().flatten().map(|matched| matched.index) < target => {}
                    // Caught up; or leadership is lost, and the change that follows says so.
                    _ => return Ok(()),
                }
                metrics.changed().await.map_err(|_| MembershipError::Stopped)?;
            }
        };
        tokio::time::timeout(CHANGE_DEADLINE, caught_up).await.unwrap_or(Err(MembershipError::TimedOut))
    }

    /// Makes one change. It goes on if the caller gives up: half of it would leave two voter sets in force.
    async fn change(&self, change: Change, retain: bool) -> Result<(), MembershipError> {
        let raft = self.raft.clone();
        let task = tokio::spawn(async move { raft.change_membership(change, retain).await });
        match tokio::time::timeout(CHANGE_DEADLINE, task).await {
            Err(_) => Err(MembershipError::TimedOut),
            Ok(Err(_)) => Err(MembershipError::Stopped),
            Ok(Ok(outcome)) => outcome.map(drop).map_err(refusal),
        }
    }

    fn voters(&self) -> BTreeSet<VoterId> {
        self.raft.metrics().borrow_watched().membership_config.voter_ids().collect()
    }

    fn address(&self, id: VoterId) -> Option<String> {
        self.raft.metrics().borrow_watched().membership_config.get_node(&id).map(|address| address.0.clone())
    }
}

fn refusal(error: RaftError<Types, ClientWriteError<Types>>) -> MembershipError {
    let error = match error {
        RaftError::Fatal(_) => return MembershipError::Stopped,
        RaftError::APIError(error) => error,
    };
    match error {
        ClientWriteError::ForwardToLeader(forward) => {
            MembershipError::NotLeader { leader: forward.leader_id.map(|id| id.node) }
        }
        ClientWriteError::LogEntryDiscarded(_) => MembershipError::TimedOut,
        ClientWriteError::PreconditionFailed(_) => MembershipError::InProgress,
        ClientWriteError::ChangeMembershipError(error) => rejected_change(&error),
    }
}

fn rejected_change(error: &ChangeMembershipError<Clid, VoterId>) -> MembershipError {
    match error {
        ChangeMembershipError::InProgress(_)
        | ChangeMembershipError::UncommittedLeaderLog(_)
        | ChangeMembershipError::UnsupportedMembershipTransition(_) => MembershipError::InProgress,
        ChangeMembershipError::EmptyMembership(_) => MembershipError::LastVoter,
        ChangeMembershipError::LearnerNotFound(_) | ChangeMembershipError::NodeMetadataChanged(_) => {
            MembershipError::UnknownMember
        }
    }
}

impl Dial {
    /// Asks who lives at a node; `None` if the answer makes no sense.
    pub(crate) async fn hello(
        &self,
        node: NodeId,
        address: &str,
        deadline: Duration,
    ) -> Result<Option<HelloAnswer>, TransportError> {
        let to = VoterId { node, ..VoterId::default() };
        let payload = messages::request(Route { to, from: self.me });
        let peer = Peer { node, address: address.to_owned() };
        let call = self.transport.call(peer, Kind::Hello as i8, payload.into());
        let late = |_| TransportError::Unreachable { reason: "no answer in time".to_owned() };
        let answer = tokio::time::timeout(deadline, call).await.map_err(late)??;
        let mut fields = Fields::new(answer);
        match messages::take_status(&mut fields) {
            Ok(Status::Ok) => Ok(messages::take_hello_answer(&mut fields).ok()),
            Ok(_) | Err(_) => Ok(None),
        }
    }
}
