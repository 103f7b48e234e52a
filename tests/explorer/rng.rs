//! The only source of chance: a xorshift generator seeded through splitmix.
//! Owns no choice itself; whoever draws decides what the number means.

pub struct Rng(u64);

/// Spreads a counter over 64 bits, so that neighbouring schedule numbers have unrelated schedules.
pub fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        // A xorshift must not start at zero.
        Rng(splitmix(seed) | 1)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (((self.draw() >> 32) * n as u64) >> 32) as usize
    }

    /// True in `n` of 64 cases.
    pub fn chance(&mut self, n: u8) -> bool {
        ((self.draw() >> 40) & 63) < u64::from(n)
    }

    /// The number of one set bit of `mask`, which must not be empty.
    pub fn bit_of(&mut self, mask: u64) -> usize {
        let width = 64 - mask.leading_zeros() as usize;
        let from = self.below(width);
        let above = mask >> from;
        if above != 0 { from + above.trailing_zeros() as usize } else { mask.trailing_zeros() as usize }
    }

    /// An index drawn by weight; the weights must not all be zero.
    pub fn weighted(&mut self, weights: &[u8]) -> usize {
        let total: usize = weights.iter().map(|w| usize::from(*w)).sum();
        let mut at = self.below(total);
        for (i, w) in weights.iter().enumerate() {
            if at < usize::from(*w) {
                return i;
            }
            at -= usize::from(*w);
        }
        0
    }
}
