//! Hashing that is the same on every machine. No I/O.

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of a sequence of words; not for adversaries, only to tell plans apart.
#[derive(Clone, Copy)]
pub(super) struct Hasher(u64);

impl Hasher {
    pub(super) fn new(seed: u64) -> Hasher {
        Hasher(mix(seed ^ 0x6f74_746c_6100_0001))
    }

    pub(super) fn word(&mut self, word: u64) {
        self.0 = mix(self.0.rotate_left(29) ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    pub(super) fn text(&mut self, text: &str) {
        self.word(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(bytes));
        }
    }

    pub(super) fn finish(self) -> u64 {
        mix(self.0)
    }
}
