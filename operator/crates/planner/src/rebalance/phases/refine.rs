//! Phase 3: brings bytes and traffic of brokers that end outside their band into it, as cheaply as it can: first by
//! exchanging replicas that move anyway, then by moving others. Numbers of replicas stay within their band. No I/O.

use super::shortlist::{Candidate, Densest, End, Lightest, Travellers, all};
use crate::rebalance::bounds::Band;
use crate::rebalance::bounds::Floors;
use crate::rebalance::facts::Targets;
use crate::rebalance::facts::{DIMENSIONS, SCALE};
use crate::rebalance::options::Options;
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::state::State;

/// How much is looked at for a step.
#[derive(Clone, Copy)]
struct Effort {
    /// Partners.
    partners: usize,
    /// Replicas of each broker, of those that move anyway and again of all.
    replicas: usize,
    /// Replicas chosen for what they bring, not by chance: the lightest of each partner, and the densest to send.
    aimed: usize,
}

/// Most steps are found with little effort; a broker for which it finds none is worth more.
const EFFORTS: [Effort; 2] =
    [Effort { partners: 6, replicas: 4, aimed: 4 }, Effort { partners: 16, replicas: 8, aimed: 12 }];
/// Small clusters are searched more thoroughly: every broker counts there, and time does not.
const EFFORTS_SMALL: [Effort; 2] =
    [Effort { partners: 12, replicas: 12, aimed: 8 }, Effort { partners: 32, replicas: 16, aimed: 16 }];
/// Where no replica has to move, those that do are chosen for what they bring.
const EFFORTS_QUIET: [Effort; 2] =
    [Effort { partners: 16, replicas: 2, aimed: 6 }, Effort { partners: 32, replicas: 4, aimed: 12 }];
const EFFORTS_QUIET_SMALL: [Effort; 2] =
    [Effort { partners: 16, replicas: 2, aimed: 8 }, Effort { partners: 32, replicas: 12, aimed: 24 }];
/// Replicas up to which a cluster is small.
const REPLICAS_SMALL: usize = 20_000;
/// Replicas that left the broker are looked at so many times as often: exchanging them adds no copy.
const DEPARTED_PER_REPLICA: usize = 4;
/// What a copy costs whatever its size, in mean replicas: fewer reassignments are worth a few more bytes.
const COPY_COST: i64 = 24;
/// The same in a cluster of few brokers, where bytes are harder to even out.
const COPY_COST_FEW: i64 = 4;
/// Brokers below which a cluster has few.
const BROKERS_FEW: usize = 80;
/// The same where no replica has to move: there bytes are what counts.
const COPY_COST_QUIET: i64 = 1;
/// Replicas that move anyway are listed anew after one step for so many copies.
const TRAVELLERS_PART: i64 = 16;
/// Pairs of replicas up to which a pair of brokers is searched in full.
const PAIRS_MAX: usize = 4096;
/// Steps for one broker before the next has its turn.
const STEPS_PER_TURN: usize = 24;
/// Rounds over all brokers above the band.
const ROUNDS_MAX: usize = 48;
/// A step must bring at least this part of the broker's excess, else it is not worth a reassignment.
const GAIN_PART_MIN: i64 = 100;
/// The part that is enough for brokers that nothing else brings nearer to their band.
const GAIN_PART_LEAST: i64 = 1000;
/// Steps that bring this part come first, so that few steps are needed.
const GAIN_PART_GOOD: i64 = 8;
/// Bytes that may be copied for each byte by which brokers come nearer to the band.
const PRICE_MAX: i64 = 8;

/// One change: a slot goes to a broker, and perhaps another comes back for it.
#[derive(Clone, Copy)]
struct Step {
    slot: u32,
    to: u32,
    back: Option<u32>,
}

/// Takes load off brokers above the band until none is left, or nothing is worth its price. With `quiet`, nothing
/// starts unless some broker is above the trigger.
pub(crate) fn refine(
    state: &mut State<'_>,
    targets: &Targets,
    floors: &Floors,
    options: &Options,
    quiet: bool,
) {
    let permille = if quiet { options.load_permille_trigger } else { options.load_permille_max };
    let start = Band::new(state, targets, floors, permille);
    if start.hot(state).is_empty() {
        return;
    }
    let band = Band::new(state, targets, floors, options.load_permille_max);
    let members = members(state, targets);
    let mut rng = SplitMix64::new(options.seed, 1 << 32);
    let small = state.cur.len() <= REPLICAS_SMALL;
    let efforts = efforts(quiet, small);
    let mut travellers = Travellers::new(state);
    let mut steps = 0;
    let mut gain_part = GAIN_PART_MIN;
    let mut has_improved = false;
    let mut strict = true;
    let mut lightest = Lightest(vec![Vec::new(); state.facts.brokers()]);
    for _ in 0..ROUNDS_MAX {
        if steps > 0 && steps * TRAVELLERS_PART >= state.copies {
            travellers = Travellers::new(state);
            steps = 0;
        }
        let mut improved = false;
        let mut hot = band.hot(state);
        hot.retain(|b| gain_part == GAIN_PART_MIN || band.is_far(*b as usize, state.load[*b as usize]));
        for broker in hot {
            let mut densest = Densest::default();
            for _ in 0..STEPS_PER_TURN {
                let group = targets.count.group[broker as usize].map_or(0, |g| g as usize);
                let mut choice =
                    Choice::new(state, targets, &band, options, broker, Demands { quiet, gain_part, strict });
                densest.renew((state, &band), broker, choice.copy_cost, &mut rng);
                let mut known = Known {
                    members: &members[group],
                    travellers: &travellers,
                    densest: &densest,
                    lightest: &mut lightest,
                };
                for effort in efforts {
                    if choice.best.is_none_or(|((good, _), _)| !good) {
                        choice.look(effort, &mut known, &mut rng);
                    }
                }
                let Some((_, step)) = choice.best else { break };
                carry_out(state, step);
                improved = true;
                steps += 1;
            }
        }
        has_improved |= improved;
        if !improved {
            // What is far off still is worth more, smaller steps: once larger ones were made, so that there is an end to
            // plans after plans.
            gain_part *= 10;
            if gain_part > GAIN_PART_LEAST || !has_improved {
                if !strict {
                    break;
                }
                // Even bytes come before even topics.
                (strict, gain_part) = (false, GAIN_PART_MIN);
            }
        }
    }
}

/// How much is looked at, first and then.
fn efforts(quiet: bool, small: bool) -> [Effort; 2] {
    match (quiet, small) {
        (true, true) => EFFORTS_QUIET_SMALL,
        (true, false) => EFFORTS_QUIET,
        (false, true) => EFFORTS_SMALL,
        (false, false) => EFFORTS,
    }
}

/// Scaled cost of a copy whatever its size.
fn copy_cost(state: &State<'_>, quiet: bool) -> i64 {
    let few = state.facts.brokers() < BROKERS_FEW;
    let replicas = match (quiet, few) {
        (true, _) => COPY_COST_QUIET,
        (false, true) => COPY_COST_FEW,
        (false, false) => COPY_COST,
    };
    replicas * SCALE / (state.cur.len() as i64).max(1) + 1
}

/// How far brokers are above the band, and what the copies cost, in scaled loads.
pub(crate) fn rate(
    state: &State<'_>,
    targets: &Targets,
    floors: &Floors,
    options: &Options,
    quiet: bool,
) -> (i64, i64) {
    let band = Band::new(state, targets, floors, options.load_permille_max);
    let excess =
        (0..state.facts.brokers()).filter(|b| state.facts.stays[*b]).map(|b| band.excess(b, state.load[b]));
    let bytes = (i128::from(state.bytes_copied) * i128::from(SCALE) / state.facts.disk_total) as i64;
    (excess.sum(), bytes + state.copies * copy_cost(state, quiet))
}

fn carry_out(state: &mut State<'_>, step: Step) {
    match step.back {
        Some(back) => state.swap(step.slot, back),
        None => state.put(step.slot, step.to),
    }
}

/// Brokers by group.
fn members(state: &State<'_>, targets: &Targets) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); targets.count.group_total.len().max(1)];
    for broker in 0..state.facts.brokers() {
        if let Some(group) = targets.count.group[broker] {
            members[group as usize].push(broker as u32);
        }
    }
    members
}

/// What is known beyond the state when a step is looked for.
struct Known<'k> {
    /// Brokers that the step may involve.
    members: &'k [u32],
    travellers: &'k Travellers,
    densest: &'k Densest,
    lightest: &'k mut Lightest,
}

/// What a step must be worth.
#[derive(Clone, Copy)]
struct Demands {
    /// Whether nothing moves otherwise, so that copies are dearer.
    quiet: bool,
    /// The least gain, as this part of the broker's penalty.
    gain_part: i64,
    /// Whether no topic may get less even.
    strict: bool,
}

/// The search for the best step that helps one broker.
struct Choice<'c, 'f> {
    state: &'c State<'f>,
    targets: &'c Targets,
    band: &'c Band,
    options: &'c Options,
    broker: u32,
    /// What the broker is outside of its band, and the penalty for it.
    own: (i64, i64),
    /// The same of the broker that it was last paired with.
    partner: (u32, i64, i64),
    /// Scaled cost of a copy whatever its size: the mean load of a replica.
    copy_cost: i64,
    gain_min: i64,
    gain_good: i64,
    is_small: bool,
    /// Whether no topic may get less even.
    strict: bool,
    /// Whether the step brings a good part of what is asked for, how cheaply it does so, and the step.
    best: Option<((bool, i64), Step)>,
}

impl<'c, 'f> Choice<'c, 'f> {
    fn new(
        state: &'c State<'f>,
        targets: &'c Targets,
        band: &'c Band,
        options: &'c Options,
        broker: u32,
        demands: Demands,
    ) -> Choice<'c, 'f> {
        let load = state.load[broker as usize];
        let own = (band.excess(broker as usize, load), band.penalty(broker as usize, load));
        let Demands { quiet, gain_part, strict } = demands;
        let gain_min = own.1 / gain_part + 1;
        let gain_good = own.1 / GAIN_PART_GOOD + 1;
        let copy_cost = copy_cost(state, quiet);
        let partner = (broker, own.0, own.1);
        Choice {
            state,
            targets,
            band,
            options,
            broker,
            own,
            partner,
            copy_cost,
            gain_min,
            gain_good,
            is_small: state.cur.len() <= REPLICAS_SMALL,
            strict,
            best: None,
        }
    }

    fn look(&mut self, effort: Effort, known: &mut Known<'_>, rng: &mut SplitMix64) {
        let (state, members) = (self.state, known.members);
        let departed = &known.travellers.departed[self.broker as usize];
        if self.own.0 == 0 {
            return;
        }
        let mut mine = known.travellers.sample(state, self.broker, (effort.replicas, End::Heavy), rng);
        mine.extend(known.densest.of(state, self.broker, effort.aimed));
        for _ in 0..departed.len().min(DEPARTED_PER_REPLICA * effort.replicas) {
            let back = Candidate::new(state, departed[rng.below(departed.len())]);
            if state.is_original(back.slot, self.broker) {
                mine.iter().for_each(|out| self.consider_swap(*out, back, true));
            }
            let there = state.cur[back.slot as usize] as usize;
            if self.is_small {
                for &out in &known.travellers.departed[there] {
                    if state.cur[out as usize] == self.broker {
                        self.consider_swap(Candidate::new(state, out), back, true);
                    }
                }
            }
        }
        for at in 0..members.len().min(effort.partners) {
            let sampled = members.len() > effort.partners;
            let partner = members[if sampled { rng.below(members.len()) } else { at }];
            if partner == self.broker {
                continue;
            }
            if state.on[self.broker as usize].len() * state.on[partner as usize].len() <= PAIRS_MAX {
                self.look_at_pairs(&all(state, self.broker), &all(state, partner), partner);
            } else {
                let mut theirs = known.travellers.sample(state, partner, (effort.replicas, End::Light), rng);
                let light = if effort.aimed > 0 { known.lightest.of(state, partner) } else { &[] };
                theirs.extend(light.iter().take(effort.aimed).map(|slot| Candidate::new(state, *slot)));
                self.look_at_pairs(&mine, &theirs, partner);
            }
        }
        for out in mine.into_iter().filter(|out| out.is_paid) {
            for &home in state.facts.original(state.facts.part[out.slot as usize]) {
                self.consider_single(out, home);
            }
        }
    }

    fn look_at_pairs(&mut self, mine: &[Candidate], theirs: &[Candidate], partner: u32) {
        for out in mine {
            self.consider_single(*out, partner);
            theirs.iter().for_each(|back| self.consider_swap(*out, *back, false));
        }
        theirs.iter().for_each(|back| self.consider_arrival(*back, partner));
    }

    /// Sends a replica away, where both numbers of replicas allow it.
    fn consider_single(&mut self, out: Candidate, to: u32) {
        if self.may_shift(self.broker, to) {
            let step = Step { slot: out.slot, to, back: None };
            self.consider(step, (self.broker, to), out, None, false);
        }
    }

    /// Takes a replica in, where both numbers of replicas allow it.
    fn consider_arrival(&mut self, back: Candidate, partner: u32) {
        if self.may_shift(partner, self.broker) {
            let step = Step { slot: back.slot, to: self.broker, back: None };
            self.consider(step, (partner, self.broker), back, None, false);
        }
    }

    fn may_shift(&self, from: u32, to: u32) -> bool {
        let (count, from, to) = (&self.targets.count, from as usize, to as usize);
        from != to && self.state.count(from) > count.low[from] && self.state.count(to) < count.high[to]
    }

    fn consider_swap(&mut self, out: Candidate, back: Candidate, goes_home: bool) {
        let to = self.state.cur[back.slot as usize];
        if to != self.broker {
            let step = Step { slot: out.slot, to, back: Some(back.slot) };
            self.consider(step, (self.broker, to), out, Some(back), goes_home);
        }
    }

    /// Rates a step by what it brings for what it costs. Unless it `goes_home`, a replica is taken to need a copy.
    fn consider(
        &mut self,
        step: Step,
        (from, to): (u32, u32),
        out: Candidate,
        back: Option<Candidate>,
        goes_home: bool,
    ) {
        let back_load = back.map_or([0; DIMENSIONS], |back| back.load);
        // What the broker loses, and its partner gets.
        let sign = if from == self.broker { 1 } else { -1 };
        let partner = if from == self.broker { to } else { from };
        let band = self.band;
        let (own, other) = (self.broker as usize, partner as usize);
        let (mut new_own, mut new_other) = (self.state.load[own], self.state.load[other]);
        for dimension in 0..DIMENSIONS {
            let given = sign * (out.load[dimension] - back_load[dimension]);
            new_own[dimension] -= given;
            new_other[dimension] += given;
        }
        let excess_own = band.excess(own, new_own);
        if excess_own >= self.own.0 {
            return;
        }
        if self.partner.0 != partner {
            let load = self.state.load[other];
            self.partner = (partner, band.excess(other, load), band.penalty(other, load));
        }
        let before = self.own.1 + self.partner.2;
        let penalty_own = band.penalty(own, new_own);
        if before - penalty_own < self.gain_min {
            return;
        }
        let gain = before - penalty_own - band.penalty(other, new_other);
        if gain < self.gain_min {
            return;
        }
        let added = |moved: Candidate, to: u32| match self.is_small {
            true => self.state.copies_added(moved.slot, to),
            false => 1 - i64::from(moved.is_paid),
        };
        let copies_out = added(out, to);
        let copies_back = match back {
            Some(back) if goes_home => -i64::from(back.is_paid),
            Some(back) => added(back, from),
            None => 0,
        };
        let bytes = copies_out * out.load[0] + copies_back * back_load[0];
        let relief = self.own.0 + self.partner.1 - excess_own - band.excess(other, new_other);
        if bytes > PRICE_MAX * relief {
            return;
        }
        let cost = bytes.max(0) + (copies_out + copies_back).max(0) * self.copy_cost + self.copy_cost / 256;
        let rating = ((i128::from(gain) << 20) / i128::from(cost + 1)).min(i128::from(i64::MAX)) as i64;
        let rating = (gain >= self.gain_good, rating);
        if self.best.is_none_or(|(best, _)| rating > best) && self.is_legal(step) {
            self.best = Some((rating, step));
        }
    }

    /// Whether topics stay as even as they are; when bytes cannot be evened out otherwise, whether none gets crowded.
    fn spares_topics(&self, step: Step) -> bool {
        let state = self.state;
        match (self.strict, step.back) {
            (true, Some(back)) => state.crowding_of_swap(step.slot, back) <= 0,
            (true, None) => state.crowding(step.slot, state.cur[step.slot as usize], step.to) <= 0,
            (false, _) => !state.crowds(step.slot, step.to),
        }
    }

    fn is_legal(&self, step: Step) -> bool {
        let state = self.state;
        let legal = match step.back {
            Some(back) => {
                state.facts.part[step.slot as usize] != state.facts.part[back as usize]
                    && state.placeable(step.slot, step.to)
                    && state.placeable(back, self.broker)
                    && (state.fits(step.slot, step.to) || state.relieves(step.to, back, step.slot))
                    && (state.fits(back, self.broker) || state.relieves(self.broker, step.slot, back))
            }
            None => state.may_go(step.slot, step.to),
        };
        if !legal || !self.spares_topics(step) {
            return false;
        }
        let mut copies = state.copies_added(step.slot, step.to);
        let mut bytes = copies * state.slot_bytes(step.slot);
        if let Some(back) = step.back {
            let added = state.copies_added(back, self.broker);
            copies += added;
            bytes += added * state.slot_bytes(back);
        }
        (copies <= 0 && bytes <= 0) || self.options.allows(state.copies + copies, state.bytes_copied + bytes)
    }
}
