//! Numbers and hashes that are the same on every machine. No I/O.

/// A stream of numbers (SplitMix64) that its seed determines.
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// A stream of its own for each purpose, so that one more draw in one place changes nothing in another.
    pub(crate) fn new(seed: u64, purpose: u64) -> SplitMix64 {
        SplitMix64(mix(seed ^ purpose.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of a sequence of words; not for adversaries, only to tell plans apart.
#[derive(Clone, Copy)]
pub(crate) struct Hasher(u64);

impl Hasher {
    pub(crate) fn new(seed: u64) -> Hasher {
        Hasher(mix(seed ^ 0x6f74_746c_6100_0001))
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.0 = mix(self.0.rotate_left(29) ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    pub(crate) fn finish(self) -> u64 {
        mix(self.0)
    }
}
