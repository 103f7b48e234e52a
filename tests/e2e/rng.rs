//! The seeded generator of choices behind every random thing in these tests.
//! Owns: reproducibility from one number. Does not own: what is chosen.

/// SplitMix64: tiny, and the same on every machine and in every version of every crate.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed ^ 0x5DEE_CE66_D1CE_4E5B)
    }

    /// An independent stream for one purpose, so that a change in one place does not shift every other choice.
    pub fn fork(&self, label: u64) -> Self {
        let mut rng = Rng(self.0 ^ label.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to `n - 1`.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing to choose from");
        self.next() % n
    }

    /// `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Small numbers far more often than large ones: real keys are not hit evenly.
    pub fn skewed(&mut self, n: u64) -> u64 {
        if self.percent(50) {
            self.below(n)
        } else {
            let bound = 1 + self.below(n);
            self.below(bound)
        }
    }
}
