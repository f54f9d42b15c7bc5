//! Phase 4: evens out preferred leaders, and the traffic that leaders send, by choosing which replica comes first in
//! each list. Moves no data. No I/O.

use super::facts::{Facts, SCALE, scaled};
use super::handover::hand_over;
use super::leader_flow::mend_leaders;
use super::options::Options;
use super::order::lead;
use super::score::Placement;
use super::target::share;
use super::topic_leaders::{Care, TopicLeaders, is_small, spread_topics};
use super::topics::root;

/// Where nothing else moves, a broker may lead so much more or less than its share before leaderships do, in per mille;
/// in large clusters always.
const BAND_PERMILLE: f64 = 20.0;
/// Replicas above which a few leaderships more or less are nothing that anyone feels.
const REPLICAS_LARGE: usize = 40_000;
/// Sums of fractions are a little off.
const EPSILON: f64 = 1e-6;
/// Leaderships looked at for each one that is handed over directly.
const PARTITIONS_SAMPLED: usize = 64;
/// A handover must be worth this part of a broker's share.
const ENOUGH_PART: i64 = 2000;
/// Shares below this part of [`SCALE`] weigh as if they were this large.
const PER_SHARE_LEAST: i64 = 1 << 10;
/// Rounds over the brokers that send too much.
const OUT_ROUNDS_MAX: usize = 8;

/// Who leads what, while leaderships are handed around.
pub(super) struct Leaders<'a> {
    pub(super) facts: &'a Facts,
    lists: &'a mut [u32],
    /// Partitions that each broker leads.
    pub(super) led: Vec<Vec<u32>>,
    /// Where a partition stands in its leader's list.
    pos: Vec<u32>,
    /// Scaled bytes per second that the leader of each partition sends.
    sent: Vec<u32>,
    /// The same of each broker.
    out: Vec<i64>,
    /// [`SCALE`] over each broker's share of that, to multiply with where a division would take its time.
    per_share: Vec<i64>,
    pub(super) share: Shares,
    pub(super) topics: TopicLeaders,
    care: Care,
}

/// The band of leaderships per broker, which is within one of its share, and the limit of what it sends.
#[derive(Clone)]
pub(super) struct Shares {
    /// The share itself.
    pub(super) even: Vec<f64>,
    /// The same rounded up.
    pub(super) exact: Vec<i64>,
    pub(super) low: Vec<i64>,
    pub(super) high: Vec<i64>,
    /// Scaled share of the traffic sent; 0 where none is known.
    pub(super) out: Vec<i64>,
}

/// Reorders `lists` until every broker leads its share within the band, or no chain of handovers is left. Returns
/// the scaled traffic above the band that could not be moved.
pub(super) fn balance_leaders(facts: &Facts, lists: &mut [u32], options: &Options, quiet: bool) -> i64 {
    let share = shares(facts, Placement { start: &facts.start, list: lists });
    let mut leaders = Leaders::new(facts, lists, share);
    spread_topics(&mut leaders, quiet);
    if !quiet || !leaders.are_even_enough() {
        leaders.even_out();
    }
    mend_leaders(&mut leaders, |topic| is_small(facts) || facts.topics.is_heavy(topic));
    leaders.care = Care::Band;
    leaders.balance_out(options, quiet);
    let high = |b: usize| leaders.share.out[b] / 1000 * (1000 + options.load_permille_max);
    (0..facts.brokers())
        .filter(|b| leaders.share.out[*b] > 0)
        .map(|b| (leaders.out[b] - high(b)).max(0))
        .sum()
}

/// What each broker should lead: all the same for their weight, but none more than it holds, or less than nobody else can
/// lead.
pub(super) fn shares(facts: &Facts, placement: Placement<'_>) -> Shares {
    let mut held = vec![0.0; facts.brokers()];
    let mut forced = vec![0.0; facts.brokers()];
    for partition in 0..facts.partitions() as u32 {
        match placement.of(partition as usize) {
            [] => {}
            [first, rest @ ..] if rest.is_empty() || facts.entry[partition as usize].pinned => {
                held[*first as usize] += 1.0;
                forced[*first as usize] += 1.0;
            }
            list => list.iter().for_each(|b| held[*b as usize] += 1.0),
        }
    }
    let leads = |level: f64, b: usize| (level * f64::from(facts.weight[b])).clamp(forced[b], held[b]);
    let level = root(|level| (0..facts.brokers()).map(|b| leads(level, b)).sum(), facts.partitions() as f64);
    let even: Vec<f64> = (0..facts.brokers()).map(|b| leads(level, b)).collect();
    let exact = |b: usize| (even[b] - EPSILON).ceil() as i64;
    // One less where the share is a whole number, so that topics have some choice.
    let low = |b: usize| (exact(b) - 1).max(0);
    let out = share(facts, |p| i128::from(scaled_out(facts, p)), None);
    let replicas = |p: u32| facts.slots(p).len() as i64;
    let total: i64 = (0..facts.partitions() as u32).map(|p| scaled_out(facts, p)).sum();
    let weighted: i64 = (0..facts.partitions() as u32).map(|p| scaled_out(facts, p) * replicas(p)).sum();
    let part_of =
        |b: usize| (i128::from(out.high[b]) * i128::from(total) / i128::from(weighted.max(1))) as i64;
    let mut shares = Shares {
        exact: (0..facts.brokers()).map(exact).collect(),
        low: (0..facts.brokers()).map(low).collect(),
        high: (0..facts.brokers()).map(exact).collect(),
        out: (0..facts.brokers()).map(part_of).collect(),
        even,
    };
    if facts.part.len() > REPLICAS_LARGE {
        shares.loosen();
    }
    shares
}

impl Shares {
    /// Widens the band to what is not worth a handover for itself.
    fn loosen(&mut self) {
        let band = BAND_PERMILLE / 1000.0;
        for (broker, even) in self.even.iter().enumerate() {
            self.low[broker] = self.low[broker].min((even * (1.0 - band) - EPSILON).ceil() as i64);
            self.high[broker] = self.high[broker].max((even * (1.0 + band) + EPSILON).floor() as i64);
        }
    }
}

/// What the leader of a partition sends, so scaled that all leaders together send at most [`SCALE`].
fn scaled_out(facts: &Facts, partition: u32) -> i64 {
    scaled(facts.out_rate[partition as usize], facts.out_total)
}

impl<'a> Leaders<'a> {
    fn new(facts: &'a Facts, lists: &'a mut [u32], share: Shares) -> Leaders<'a> {
        let mut led = vec![Vec::new(); facts.brokers()];
        let sent: Vec<u32> = (0..facts.partitions() as u32).map(|p| scaled_out(facts, p) as u32).collect();
        let mut out = vec![0; facts.brokers()];
        let mut pos = vec![0; facts.partitions()];
        for partition in 0..facts.partitions() as u32 {
            let leader = lists[facts.start[partition as usize] as usize] as usize;
            pos[partition as usize] = led[leader].len() as u32;
            led[leader].push(partition);
            out[leader] += i64::from(sent[partition as usize]);
        }
        let per_share = share.out.iter().map(|share| SCALE / share.max(&PER_SHARE_LEAST)).collect();
        let topics = TopicLeaders::new(facts, Placement { start: &facts.start, list: lists });
        Leaders { facts, lists, led, pos, sent, out, per_share, share, topics, care: Care::Even }
    }

    /// Whether no broker leads so much more or less than its share that this alone is worth handovers.
    fn are_even_enough(&self) -> bool {
        let mut share = self.share.clone();
        share.loosen();
        (0..self.facts.brokers()).all(|b| (share.low[b]..=share.high[b]).contains(&self.count(b)))
    }

    /// Brings every broker to its share, with as little harm to topics as that takes.
    fn even_out(&mut self) {
        for broker in 0..self.facts.brokers() {
            while self.count(broker) > self.share.high[broker] && self.hand_over_directly(broker) {}
        }
        for care in [Care::Even, Care::Band, Care::None] {
            self.care = care;
            hand_over(self, |l, b| l.count(b) - l.share.high[b], |l, b| l.share.high[b] - l.count(b));
            hand_over(self, |l, b| l.count(b) - l.share.low[b], |l, b| l.share.low[b] - l.count(b));
        }
    }

    /// How far above its share a broker leads.
    pub(super) fn above(&self, broker: usize) -> i64 {
        self.count(broker) - self.share.exact[broker]
    }

    /// Whether both brokers stay as near to their shares when `to` leads one more and `from` one less.
    pub(super) fn keeps_even(&self, from: usize, to: usize) -> bool {
        let outside =
            |b: usize, count: i64| (count - self.share.high[b]).max(self.share.low[b] - count).max(0);
        let (at_from, at_to) = (self.count(from), self.count(to));
        outside(from, at_from - 1) + outside(to, at_to + 1) <= outside(from, at_from) + outside(to, at_to)
    }

    /// Whether the partition's topic stays as evenly led as it is when `to` leads instead of `from`.
    pub(super) fn spares_topic(&self, partition: u32, from: usize, to: usize) -> bool {
        let topic = self.facts.entry[partition as usize].topic;
        self.topics.allows(self.facts, topic, (from, to), self.care)
    }

    pub(super) fn count(&self, broker: usize) -> i64 {
        self.led[broker].len() as i64
    }

    pub(super) fn list(&self, partition: u32) -> &[u32] {
        &self.lists[self.facts.slots(partition)]
    }

    pub(super) fn set(&mut self, partition: u32, to: usize) {
        let from = self.list(partition)[0] as usize;
        let hole = self.pos[partition as usize] as usize;
        self.led[from].swap_remove(hole);
        if let Some(moved) = self.led[from].get(hole) {
            self.pos[*moved as usize] = hole as u32;
        }
        self.pos[partition as usize] = self.led[to].len() as u32;
        self.led[to].push(partition);
        self.topics.hand_over(self.facts.entry[partition as usize].topic, from, to);
        let sent = i64::from(self.sent[partition as usize]);
        self.out[from] -= sent;
        self.out[to] += sent;
        lead(self.facts, self.lists, partition, to as u32);
    }

    /// Hands one leadership to a broker that is below its share, choosing the one that also evens out the traffic.
    fn hand_over_directly(&mut self, from: usize) -> bool {
        let mut best: Option<(i64, u32, usize)> = None;
        for &partition in self.led[from].iter().take(PARTITIONS_SAMPLED) {
            if self.facts.entry[partition as usize].pinned {
                continue;
            }
            for &to in &self.list(partition)[1..] {
                let at = to as usize;
                let has_room = self.count(at) < self.share.high[at] && self.facts.stays[at];
                if has_room && self.spares_topic(partition, from, at) {
                    let rating = self.relief(partition, from, at);
                    if best.is_none_or(|(most, ..)| rating > most) {
                        best = Some((rating, partition, at));
                    }
                }
            }
        }
        best.is_some_and(|(_, partition, to)| {
            self.set(partition, to);
            true
        })
    }

    /// How much a handover lowers the squares of the relative traffic of both brokers.
    fn relief(&self, partition: u32, from: usize, to: usize) -> i64 {
        let sent = i64::from(self.sent[partition as usize]);
        // Both products stay below 2^62, and below 2^41 once shifted; `per_share` is at most 2^20.
        let falls = ((sent * (2 * self.out[from] - sent)) >> 21) * self.per_share[from];
        let rises = ((sent * (2 * self.out[to] + sent)) >> 21) * self.per_share[to];
        (falls - rises) >> 9
    }

    /// Takes traffic off brokers that send too much, within the band of leaderships.
    fn balance_out(&mut self, options: &Options, quiet: bool) {
        let limit = |l: &Leaders<'_>, b: usize, permille: i64| l.share.out[b] / 1000 * (1000 + permille);
        let hot = |l: &Leaders<'_>, permille: i64| {
            (0..l.facts.brokers())
                .filter(|b| l.share.out[*b] > 0 && l.out[*b] > limit(l, *b, permille))
                .collect()
        };
        let start: Vec<usize> =
            hot(self, if quiet { options.load_permille_trigger } else { options.load_permille_max });
        if start.is_empty() {
            return;
        }
        for _ in 0..OUT_ROUNDS_MAX {
            let mut improved = false;
            let brokers: Vec<usize> = hot(self, options.load_permille_max);
            let held = self.held(&brokers);
            for (broker, follows) in brokers.into_iter().zip(held) {
                let high = limit(self, broker, options.load_permille_max);
                while self.out[broker] > high && self.relieve(broker, &follows) {
                    improved = true;
                }
            }
            if !improved {
                break;
            }
        }
    }

    /// The best handover that lowers what `from` sends; where it leaves the band of leaderships, cheap ones are handed
    /// around to make up for it.
    fn relieve(&mut self, from: usize, follows: &[u32]) -> bool {
        let mut best: Option<(i64, u32, usize)> = None;
        let enough = self.share.out[from] / ENOUGH_PART + 1;
        for &partition in self.led[from].iter().filter(|p| !self.facts.entry[**p as usize].pinned) {
            for &to in &self.list(partition)[1..] {
                let to = to as usize;
                let relief = self.relief(partition, from, to);
                let is_best = relief > enough && best.is_none_or(|(most, ..)| relief > most);
                if is_best && self.facts.stays[to] && self.spares_topic(partition, from, to) {
                    best = Some((relief, partition, to));
                }
            }
        }
        let Some((relief, partition, to)) = best else { return false };
        self.set(partition, to);
        let budget = relief / 2;
        let pushed = (self.count(to) > self.share.high[to]).then(|| self.push(to, budget));
        let pulled = (self.count(from) < self.share.low[from]).then(|| self.pull(from, follows, budget));
        if pushed == Some(None) || pulled == Some(None) {
            if let Some(Some((back, home))) = pulled {
                self.set(back, home);
            }
            if let Some(Some((back, home))) = pushed {
                self.set(back, home);
            }
            self.set(partition, from);
            return false;
        }
        true
    }

    /// Hands one leadership of `from` to a broker that may lead more, at the least cost in balance.
    fn push(&mut self, from: usize, budget: i64) -> Option<(u32, usize)> {
        let mut best: Option<(i64, u32, usize)> = None;
        for &partition in self.led[from].iter().filter(|p| !self.facts.entry[**p as usize].pinned) {
            for &to in &self.list(partition)[1..] {
                let to = to as usize;
                if !self.facts.stays[to] || self.count(to) >= self.share.high[to] {
                    continue;
                }
                let relief = self.relief(partition, from, to);
                let is_best = relief > -budget && best.is_none_or(|(most, ..)| relief > most);
                if is_best && self.spares_topic(partition, from, to) {
                    best = Some((relief, partition, to));
                }
            }
        }
        best.map(|(_, partition, to)| {
            self.set(partition, to);
            (partition, from)
        })
    }

    /// Takes one leadership for `to`, which follows the partitions `follows`, from a broker that can give.
    fn pull(&mut self, to: usize, follows: &[u32], budget: i64) -> Option<(u32, usize)> {
        let mut best: Option<(i64, u32, usize)> = None;
        for &partition in follows.iter().filter(|p| !self.facts.entry[**p as usize].pinned) {
            let from = self.list(partition)[0] as usize;
            if from == to || self.count(from) <= self.share.low[from] {
                continue;
            }
            let relief = self.relief(partition, from, to);
            let is_best = relief > -budget && best.is_none_or(|(most, ..)| relief > most);
            if is_best && self.spares_topic(partition, from, to) {
                best = Some((relief, partition, from));
            }
        }
        best.map(|(_, partition, from)| {
            self.set(partition, to);
            (partition, from)
        })
    }

    /// Partitions of which each of `brokers` holds a replica.
    fn held(&self, brokers: &[usize]) -> Vec<Vec<u32>> {
        let mut place = vec![usize::MAX; self.facts.brokers()];
        brokers.iter().enumerate().for_each(|(at, broker)| place[*broker] = at);
        let mut held = vec![Vec::new(); brokers.len()];
        for partition in 0..self.facts.partitions() as u32 {
            for broker in self.list(partition) {
                if let Some(list) = held.get_mut(place[*broker as usize]) {
                    list.push(partition);
                }
            }
        }
        held
    }
}
