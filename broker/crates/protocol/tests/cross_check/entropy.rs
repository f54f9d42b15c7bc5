//! Random values from one seed, so that a failure is reproduced by its number.

use ottla_broker_protocol::Records;
use ottla_broker_types::Uuid;

/// Longest random string, byte field and array: enough to reach every length prefix but that of two bytes.
const LEN_MAX: u64 = 4;
/// One string in this many is longer than a one-byte compact length can say.
const LONG_ONE_IN: u64 = 40;
const LONG_LEN: usize = 150;

/// A deterministic source of values (SplitMix64).
pub(crate) struct Entropy(u64);

/// A struct of which random values can be made.
pub(crate) trait Sample {
    /// A value that `version` can carry.
    fn sample(e: &mut Entropy, version: i16) -> Self;
}

macro_rules! integers {
    ($($name:ident),+) => {$(
        pub(crate) fn $name(&mut self) -> $name {
            // Small values and edges are where encodings change.
            match self.below(6) {
                0 => $name::MAX,
                1 => $name::MIN,
                2 => 0,
                _ => self.next() as $name,
            }
        }
    )+};
}

impl Entropy {
    pub(crate) fn new(seed: u64) -> Self {
        Entropy(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    integers!(i8, i16, u16, i32, i64);

    pub(crate) fn bool(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        if self.below(4) == 0 {
            return Uuid::ZERO;
        }
        let (high, low) = (u128::from(self.next()), u128::from(self.next()));
        Uuid((high << 64 | low).to_be_bytes())
    }

    fn len(&mut self) -> usize {
        if self.below(LONG_ONE_IN) == 0 { LONG_LEN } else { self.below(LEN_MAX) as usize }
    }

    pub(crate) fn string(&mut self) -> String {
        (0..self.len()).map(|_| ['a', '7', '.', 'é', '☃'][self.below(5) as usize]).collect()
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        (0..self.len()).map(|_| self.next() as u8).collect()
    }

    /// Bytes in place of record batches: the codec does not look into them.
    pub(crate) fn records(&mut self) -> Records<'static> {
        Records::Borrowed(self.bytes().leak())
    }

    pub(crate) fn array<T>(&mut self, element: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(LEN_MAX)).map(|_| element(self)).collect()
    }

    pub(crate) fn nullable<T>(&mut self, allowed: bool, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if allowed && self.below(3) == 0 { None } else { Some(value(self)) }
    }
}
