//! Randomness from a seed: SplitMix64, split by purpose, so that one more draw for one purpose changes nothing for
//! another. No I/O, no entropy of the machine.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng { state: mix(seed ^ GOLDEN) }
    }

    /// An independent stream for `purpose`; it depends on this stream's seed, not on what was drawn from it, as long
    /// as splitting comes first.
    pub fn split(&self, purpose: &str) -> Rng {
        let named = purpose.bytes().fold(self.state, |state, byte| mix(state ^ u64::from(byte)));
        Rng { state: named }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number in `0..bound`; zero for the bound zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `permille` of 1000 draws.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// One of `items`; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_stream_and_purposes_differ() {
        let draw = |mut rng: Rng| (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>();
        assert_eq!(draw(Rng::new(7).split("net")), draw(Rng::new(7).split("net")));
        assert_ne!(draw(Rng::new(7).split("net")), draw(Rng::new(7).split("disk")));
        assert_ne!(draw(Rng::new(7)), draw(Rng::new(8)));
    }
}
