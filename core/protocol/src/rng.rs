//! Randomness as an argument: seeded once by the shell, so that a simulated history replays.

/// A small deterministic generator (xoshiro256++ by Blackman and Vigna, seeded with SplitMix64).
///
/// It serves load balancing, jitter and WebSocket masks. A mask only has to be unpredictable to
/// whoever chooses the payload (RFC 6455 10.3), and that party never sees an output.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator for one seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut mixer = seed;
        let mut next = || {
            mixer = mixer.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = mixer;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ (word >> 31)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    /// The next 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(product >> 64).expect("128 bits less 64 are 64")
    }

    /// A place in a list of that length; 0 when it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// Four bytes to mask one WebSocket frame with.
    pub fn mask(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.bits().to_be_bytes();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests;
