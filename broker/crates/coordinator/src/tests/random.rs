//! Invariants under random clients.

use std::convert::Infallible;

use proptest::prelude::*;

use super::stage::{REBALANCE, SESSION, Stage, consumer, dynamic, group, join_request, static_caller};
use crate::{Caller, GroupShard, GroupState, MemberId, NEW_MEMBER_JOIN_TIMEOUT, NotWritten, Turn};

/// What a client does next; the number picks one of the members known.
#[derive(Clone, Debug)]
enum Step {
    Join {
        requires_id: bool,
    },
    JoinStatic(u8),
    Rejoin {
        member: usize,
        changed: bool,
    },
    Sync(usize),
    Heartbeat(usize),
    Commit {
        member: usize,
        offset: i64,
    },
    Leave(usize),
    Pass(u64),
    /// From now on the log takes records, or does not.
    Refuse(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(|requires_id| Step::Join { requires_id }),
        (0u8..2).prop_map(Step::JoinStatic),
        (any::<usize>(), any::<bool>()).prop_map(|(member, changed)| Step::Rejoin { member, changed }),
        any::<usize>().prop_map(Step::Sync),
        any::<usize>().prop_map(Step::Heartbeat),
        (any::<usize>(), 0i64..100).prop_map(|(member, offset)| Step::Commit { member, offset }),
        any::<usize>().prop_map(Step::Leave),
        (1u64..2 * SESSION).prop_map(Step::Pass),
        any::<bool>().prop_map(Step::Refuse),
    ]
}

/// The clients: what they learned from answers.
struct Clients {
    stage: Stage,
    members: Vec<Caller>,
    generation: i32,
}

impl Clients {
    fn pick(&self, member: usize) -> Caller {
        self.members.get(member % self.members.len().max(1)).cloned().unwrap_or_default()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join { requires_id } => {
                let mut request = join_request(Caller::default());
                request.requires_known_member = requires_id;
                self.stage.join(&request);
            }
            Step::JoinStatic(name) => {
                self.stage.join(&join_request(static_caller(None, &format!("pod-{name}"))));
            }
            Step::Rejoin { member, changed } => {
                let mut request = join_request(self.pick(member));
                if changed {
                    request.protocols = consumer(&["t", "u"]);
                }
                self.stage.join(&request);
            }
            Step::Sync(member) => {
                self.stage.sync(self.pick(member), self.generation, &[]);
            }
            Step::Heartbeat(member) => {
                let _ = self.stage.heartbeat(&self.pick(member), self.generation);
            }
            Step::Commit { member, offset } => {
                let _ = self.stage.commit(self.pick(member), self.generation, offset);
            }
            Step::Leave(member) => {
                let leavers = [self.pick(member)];
                let left = |shard: &GroupShard, turn: &Turn| {
                    Ok::<_, Infallible>(shard.leave(turn, &group(), &leavers))
                };
                let _ = self.stage.decide(left);
            }
            Step::Pass(milliseconds) => self.stage.pass(milliseconds),
            Step::Refuse(refuses) => self.stage.log.refuses = refuses.then_some(NotWritten::Unavailable),
        }
        self.learn();
    }

    fn learn(&mut self) {
        for reply in self.stage.answers.values() {
            let Ok(crate::Reply::Join(reply)) = reply else { continue };
            let id = match reply {
                Ok(joined) => Some(&joined.member),
                Err(refused) => refused.member.as_ref(),
            };
            if let Some(id) = id
                && !self.members.iter().any(|known| known.member.as_ref() == Some(id))
            {
                self.members.push(caller_of(id));
            }
            if let Ok(joined) = reply {
                self.generation = self.generation.max(joined.generation.0);
            }
        }
    }
}

fn caller_of(id: &MemberId) -> Caller {
    match id.as_str().get(..5) {
        Some(instance @ ("pod-0" | "pod-1")) => static_caller(Some(id), instance),
        _ => dynamic(id),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A request is answered at most once (the stage checks that) and, when all clients fall silent, at least once;
    /// the group ends empty, and a shard that reads the log holds what this one holds.
    #[test]
    fn every_request_is_answered_once_and_the_log_tells_the_same(steps in prop::collection::vec(step(), 1..60)) {
        let mut clients = Clients { stage: Stage::new(), members: Vec::new(), generation: 0 };
        let mut generation = 0;
        for step in steps {
            clients.take(step);
            let stage = &clients.stage;
            prop_assert!(clients.generation >= generation);
            generation = clients.generation;
            let described = stage.shard().describe(&group());
            if described.as_ref().is_some_and(|described| described.state == GroupState::Stable) {
                prop_assert_eq!(described, stage.reloaded().shard().describe(&group()));
            }
            let reloaded = stage.reloaded();
            prop_assert!(stage.shard().all_committed(&group()).eq(reloaded.shard().all_committed(&group())));
        }
        let mut stage = clients.stage;
        stage.log.refuses = None;
        stage.pass(NEW_MEMBER_JOIN_TIMEOUT.0 + 2 * REBALANCE + 2 * SESSION);
        prop_assert_eq!(stage.answers.len() as u64, stage.asked());
        let members = stage.shard().describe(&group()).map_or(0, |described| described.members.len());
        prop_assert_eq!(members, 0);
    }
}
