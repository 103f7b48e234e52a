//! How long to wait before doing the same again.
//!
//! Owns: the delay as a pure function of attempt and jitter. Does not own: waiting, or giving up.

use std::time::Duration;

/// The first delay.
const FIRST_MS: u64 = 100;
/// No delay is longer.
const LAST_MS: u64 = 10_000;

/// The delay before attempt `attempt` (1 is the first repetition): doubling from 100 ms to 10 s, of which the upper half
/// is spread by `jitter` (any number; its low bits count), so that many clients do not come back at once.
pub fn delay(attempt: u32, jitter: u64) -> Duration {
    let full = FIRST_MS.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(LAST_MS);
    Duration::from_millis(full / 2 + jitter % (full / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_stays_bounded() {
        for jitter in [0, 7, u64::MAX] {
            assert!(delay(1, jitter) <= Duration::from_millis(100));
            assert!(delay(4, jitter) >= Duration::from_millis(400));
            for attempt in [8, 20, u32::MAX] {
                assert!((5_000..=10_000).contains(&(delay(attempt, jitter).as_millis() as u64)));
            }
        }
    }
}
