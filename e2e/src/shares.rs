//! What each broker should hold and lead, by rules of the test's own: shares of racks and brokers as a person would work
//! them out, and the bands around them that documentation promises.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

/// A topic may have so much more or less than its share on a broker, as a part of it; one at least.
const BAND: f64 = 0.05;
/// A broker may lead so much more or less than its share, beside one, as a part of it.
const LEADERS_BAND: f64 = 0.02;
/// The least that a broker which has just come carries of an even share.
const SERVES: f64 = 0.95;

/// Topics of several sizes beside the example: name, partitions, records of a kilobyte.
pub const SIZED_TOPICS: [(&str, u32, usize); 4] =
    [("big", 6, 6_000), ("wide", 24, 2_400), ("small", 3, 30), ("empty", 5, 0)];

/// Those of them that together carry so little that they are spread only where it costs nothing.
const LIGHT_TOPICS: [&str; 2] = ["small", "empty"];

/// Lines of key, tab and value, as producers read them, for so many records of a kilobyte with different keys.
pub fn sized_input(records: usize) -> String {
    (0..records).map(|index| format!("{index}\t{}\n", "x".repeat(1_000))).collect()
}

/// One partition as a client sees it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its topic.
    pub topic: String,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Who leads it.
    pub leader: i32,
}

/// A cluster as it should be even.
#[derive(Clone, Debug)]
pub struct Shares {
    /// The rack of every broker; all the same where there are none.
    pub racks: BTreeMap<i32, String>,
    /// Every partition.
    pub partitions: Vec<Placed>,
    /// Bytes on each broker.
    pub bytes: BTreeMap<i32, u64>,
}

impl Shares {
    /// Whether every topic is even, and so are bytes, leaders, and what brokers that have just come carry.
    ///
    /// # Errors
    /// Says what is not.
    pub fn check(&self, new: &[i32]) -> Result<()> {
        self.check_racks()?;
        let topics: BTreeSet<&str> = self.partitions.iter().map(|each| each.topic.as_str()).collect();
        for topic in topics.into_iter().filter(|topic| !LIGHT_TOPICS.contains(topic)) {
            self.check_topic(topic)?;
        }
        self.check_leaders(new)?;
        self.check_bytes(new)
    }

    fn of_topic<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Placed> {
        self.partitions.iter().filter(move |each| each.topic == topic)
    }

    /// No rack holds more replicas of a partition than it must.
    fn check_racks(&self) -> Result<()> {
        for each in &self.partitions {
            let limit = self.per_rack(each.replicas.len());
            let mut held: BTreeMap<Option<&String>, usize> = BTreeMap::new();
            each.replicas.iter().for_each(|broker| *held.entry(self.racks.get(broker)).or_default() += 1);
            ensure!(!held.contains_key(&None), "{each:?} is on a broker that has left");
            ensure!(held.values().all(|count| *count <= limit), "{each:?} crowds a rack: {:?}", self.racks);
        }
        Ok(())
    }

    /// The most replicas of a partition with so many that a rack must hold for all to find a place.
    fn per_rack(&self, replicas: usize) -> usize {
        let sizes = self.sizes();
        let room = |limit: usize| sizes.values().map(|size| (*size).min(limit)).sum::<usize>();
        (1..=replicas).find(|limit| room(*limit) >= replicas).unwrap_or(replicas)
    }

    fn sizes(&self) -> BTreeMap<&str, usize> {
        let mut sizes = BTreeMap::new();
        self.racks.values().for_each(|rack| *sizes.entry(rack.as_str()).or_default() += 1);
        sizes
    }

    /// What each broker should hold of `total`, spread as partitions with so many replicas are: the same for all, except
    /// where a rack is too small to hold as much.
    fn share(&self, total: f64, replicas: usize) -> BTreeMap<i32, f64> {
        let sizes = self.sizes();
        let limit = self.per_rack(replicas);
        let most = |size: usize| total * size.min(limit) as f64 / replicas as f64;
        let mut open: BTreeMap<&str, usize> = sizes.clone();
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        let mut left = total;
        loop {
            let even = left / open.values().sum::<usize>().max(1) as f64;
            let full: Vec<&str> = open
                .iter()
                .filter(|(_, size)| most(**size) < even * **size as f64)
                .map(|(rack, _)| *rack)
                .collect();
            if full.is_empty() {
                shares.extend(open.keys().map(|rack| (*rack, even)));
                break;
            }
            for rack in full {
                let size = open.remove(rack).unwrap_or(1);
                shares.insert(rack, most(size) / size as f64);
                left -= most(size);
            }
        }
        self.racks.iter().map(|(broker, rack)| (*broker, shares[rack.as_str()])).collect()
    }

    /// Replicas and leaders of one topic.
    fn check_topic(&self, topic: &str) -> Result<()> {
        let partitions = self.of_topic(topic).count();
        let replicas = self.of_topic(topic).map(|each| each.replicas.len()).max().unwrap_or(1);
        let share = self.share((partitions * replicas) as f64, replicas);
        let held =
            self.count(|broker| self.of_topic(topic).filter(|each| each.replicas.contains(&broker)).count());
        let even = partitions as f64 / self.racks.len() as f64;
        let led = self.count(|broker| self.of_topic(topic).filter(|each| each.leader == broker).count());
        let preferred = self.count(|broker| {
            self.of_topic(topic).filter(|each| each.replicas.first() == Some(&broker)).count()
        });
        println!("{topic}: replicas {:?}, leaders {:?}", held.values(), led.values());
        for broker in self.racks.keys() {
            let (held, share) = (held[broker], share[broker]);
            ensure!(within(held, share), "{topic}: broker {broker} holds {held}, its share is {share:.2}");
            let (led, preferred) = (led[broker], preferred[broker]);
            ensure!(within(preferred, even), "{topic}: {broker} is preferred {preferred} times of {even:.2}");
            ensure!(within(led, even), "{topic}: broker {broker} leads {led}, its share is {even:.2}");
        }
        Ok(())
    }

    fn count(&self, of: impl Fn(i32) -> usize) -> BTreeMap<i32, usize> {
        self.racks.keys().map(|broker| (*broker, of(*broker))).collect()
    }

    /// Leaders of all topics together: one more or less than even, and two percent.
    fn check_leaders(&self, new: &[i32]) -> Result<()> {
        let even = self.partitions.len() as f64 / self.racks.len() as f64;
        let led = self.count(|broker| self.partitions.iter().filter(|each| each.leader == broker).count());
        println!("leaders {:?}", led.values());
        for (broker, led) in led {
            let band = 1.0 + even * LEADERS_BAND;
            ensure!((led as f64 - even).abs() <= band, "broker {broker} leads {led}, its share is {even:.2}");
            let serves = !new.contains(&broker) || led as f64 >= (even * SERVES).floor();
            ensure!(serves, "new broker {broker} leads {led} of {even:.2}");
        }
        Ok(())
    }

    fn check_bytes(&self, new: &[i32]) -> Result<()> {
        let total: u64 = self.bytes.values().sum();
        let replicas = self.partitions.iter().map(|each| each.replicas.len()).max().unwrap_or(1);
        println!("bytes {:?}", self.bytes.values());
        for (broker, share) in self.share(total as f64, replicas) {
            let bytes = self.bytes.get(&broker).copied().unwrap_or(0) as f64;
            ensure!(bytes <= share * (1.0 + BAND), "broker {broker} holds {bytes} of {share:.0} bytes");
            let serves = !new.contains(&broker) || bytes >= share * SERVES;
            ensure!(serves, "new broker {broker} holds {bytes} of {share:.0} bytes");
        }
        Ok(())
    }
}

/// Within one of a share, or five percent.
fn within(count: usize, share: f64) -> bool {
    (count as f64 - share).abs() <= (share * BAND).max(1.0) + 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve partitions of three replicas on `lists`, in turn.
    fn shares(racks: &[&str], lists: &[[i32; 3]]) -> Shares {
        let placed = |index: usize| {
            let replicas = lists[index % lists.len()].to_vec();
            Placed { topic: "t".to_owned(), leader: replicas[0], replicas }
        };
        let partitions: Vec<Placed> = (0..12).map(placed).collect();
        let ids = || (0..).zip(racks);
        let held = |id: i32| partitions.iter().filter(|each| each.replicas.contains(&id)).count() as u64;
        let bytes = ids().map(|(id, _)| (id, 1000 * held(id))).collect();
        let racks = ids().map(|(id, rack)| (id, (*rack).to_owned())).collect();
        Shares { racks, bytes, partitions }
    }

    #[test]
    fn even_topics_pass_and_new_brokers_that_serve_nobody_do_not() {
        let uneven = ["a", "b", "c", "a", "b"];
        let even = [[0, 1, 2], [3, 4, 2], [2, 1, 3], [4, 2, 0], [1, 3, 2]];
        let good = shares(&["", "", "", ""], &[[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]]);
        good.check(&[3]).expect("it is even");
        let idle = shares(&["", "", "", ""], &[[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        let said = idle.check(&[3]).expect_err("broker 3 serves nobody").to_string();
        assert!(said.contains("holds"), "{said}");
        assert_eq!(
            shares(&uneven, &even).share(36.0, 3).values().collect::<Vec<_>>(),
            [&6.0, &6.0, &12.0, &6.0, &6.0]
        );
        let crowded = shares(&uneven, &[[0, 3, 2]]);
        assert!(crowded.check(&[]).expect_err("a rack is crowded").to_string().contains("crowds a rack"));
    }
}
