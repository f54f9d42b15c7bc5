//! Random members of the consumer protocol, with answers that are lost and coordinators that begin anew: no partition is
//! ever with two members, and all settle.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::consumers_stage::{Consumer, KnownTopics};
use super::stage::Stage;
use crate::{ConsumerHeartbeatError, DecideError};

const MEMBERS: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A heartbeat; the answer may be lost.
    Beat(usize, bool),
    Leave(usize),
    Vanish(usize),
    /// A client that subscribes to other topics.
    Subscribe(usize, usize),
    /// A topic has this many partitions, or is made anew.
    Resize(usize, u32),
    Remake(usize),
    Reload,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..MEMBERS, prop::bool::weighted(0.2)).prop_map(|(member, lost)| Event::Beat(member, lost)),
        1 => (0..MEMBERS).prop_map(Event::Leave),
        1 => (0..MEMBERS).prop_map(Event::Vanish),
        2 => (0..MEMBERS, 0..4usize).prop_map(|(member, topics)| Event::Subscribe(member, topics)),
        1 => (0..3usize, 1..7u32).prop_map(|(topic, count)| Event::Resize(topic, count)),
        1 => (0..3usize).prop_map(Event::Remake),
        1 => Just(Event::Reload),
        2 => (0..50_000u64).prop_map(Event::Pass),
    ]
}

const NAMES: [&str; 3] = ["t", "u", "v"];
const SUBSCRIPTIONS: [&[&str]; 4] = [&["t"], &["t", "u"], &["u", "v"], &["t", "u", "v"]];

struct World {
    stage: Stage,
    topics: KnownTopics,
    /// Clients that live, under names that are never used twice.
    clients: BTreeMap<usize, Consumer>,
    made: usize,
}

impl World {
    fn client(&mut self, member: usize) -> &mut Consumer {
        let made = &mut self.made;
        self.clients.entry(member).or_insert_with(|| {
            *made += 1;
            Consumer::new(&format!("{member}-{made}"), SUBSCRIPTIONS[member % 4])
        })
    }

    fn beat(&mut self, member: usize, is_lost: bool) {
        let request = self.client(member).request();
        match self.stage.consumer_heartbeat(&request, &self.topics) {
            Ok(reply) if !is_lost => self.client(member).hear(&reply),
            Ok(_) => {}
            // As a client does: it has nothing any more, and begins anew.
            Err(DecideError::Refused(
                ConsumerHeartbeatError::UnknownMember
                | ConsumerHeartbeatError::UnknownGroup
                | ConsumerHeartbeatError::FencedEpoch { .. },
            )) => drop(self.clients.remove(&member)),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// What clients believe that they have, and what the coordinator says that they have, has one owner each.
    fn check(&self) {
        let group = self.stage.shard().describe_consumers(&super::stage::group());
        let members = group.map(|group| group.members).unwrap_or_default();
        let mut owners = BTreeMap::new();
        for member in &members {
            for at in member.current.assigned.iter().chain(member.current.revoking.iter()) {
                assert!(owners.insert(at, member.member.clone()).is_none(), "two have {at:?}");
            }
        }
        for client in self.clients.values() {
            // Whom the coordinator has given up may not know it yet.
            if members.iter().any(|member| member.member == client.id) {
                for at in client.owned.iter() {
                    assert_eq!(owners.get(&at), Some(&client.id), "{at:?} is another's");
                }
            }
        }
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Beat(member, is_lost) => self.beat(member, is_lost),
            Event::Leave(member) => {
                if let Some(mut client) = self.clients.remove(&member) {
                    client.epoch = -1;
                    let _ = self.stage.consumer_heartbeat(&client.request(), &self.topics);
                }
            }
            Event::Vanish(member) => drop(self.clients.remove(&member)),
            Event::Subscribe(member, topics) => self.client(member).topics = SUBSCRIPTIONS[topics].to_vec(),
            Event::Resize(topic, count) => {
                let (made, _) = self.topics.0.get(NAMES[topic]).copied().unwrap_or_default();
                self.topics.0.insert(NAMES[topic], (made, count));
                self.stage.topics_changed();
            }
            Event::Remake(topic) => {
                let (made, count) = self.topics.0.get(NAMES[topic]).copied().unwrap_or((0, 1));
                self.topics.0.insert(NAMES[topic], (made + 1, count));
                self.stage.topics_changed();
            }
            Event::Reload => self.stage = self.stage.reloaded(),
            Event::Pass(milliseconds) => self.stage.pass(milliseconds),
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_partition_is_with_two_members_and_all_settle(events in prop::collection::vec(event(), 0..80)) {
        let topics = KnownTopics::of(&[("t", 4), ("u", 3)]);
        let mut world = World { stage: Stage::new(), topics, clients: BTreeMap::new(), made: 0 };
        for event in events {
            world.play(event);
        }
        // Who has vanished is given up; then everybody beats until all is settled.
        for _ in 0..8 {
            world.stage.pass(20_000);
            // At least one, who begins anew if it was given up.
            world.client(0);
            for member in world.clients.keys().copied().collect::<Vec<_>>() {
                world.play(Event::Beat(member, false));
            }
        }
        let group = world.stage.shard().describe_consumers(&super::stage::group()).unwrap();
        prop_assert_eq!(group.state, crate::ConsumerGroupState::Stable);
        prop_assert_eq!(group.members.len(), world.clients.len());
        let wanted = NAMES.iter().filter(|name| world.clients.values().any(|client| client.topics.contains(*name)));
        let all: u32 = wanted.filter_map(|name| world.topics.0.get(name)).map(|(_, count)| *count).sum();
        let owned: usize = world.clients.values().map(|client| client.owned.count()).sum();
        prop_assert_eq!(owned, all as usize);
    }
}
