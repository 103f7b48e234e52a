//! A small generator of chance, so that a run can be repeated: xorshift64*.
//!
//! Owns: [`Random`], and the seed of a run.

/// See the module's description.
pub struct Random(u64);

impl Random {
    /// From `ROWFOLD_SEED`, else from a fixed seed; printed, for repeating a run.
    pub fn of_run() -> (u64, Self) {
        let given = std::env::var("ROWFOLD_SEED").ok();
        let seed = given.map_or(0x0005_eed0_f0dd, |seed| seed.parse().expect("ROWFOLD_SEED is a number"));
        println!("ROWFOLD_SEED={seed}");
        (seed, Self::seeded(seed))
    }

    pub fn seeded(seed: u64) -> Self {
        // Never 0, which would stay 0.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }

    pub fn digits(&mut self, count: u64) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}
