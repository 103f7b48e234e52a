//! The real clock.
//!
//! Owns: [`SystemClock`], the only place that looks at this machine's time. Does not own: what is done with it.
#![allow(clippy::disallowed_methods, reason = "this is the one implementation of ports::Clock that is real")]

use std::time::{Duration, Instant, SystemTime};

use crate::ports::Clock;

/// This machine's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn monotonic_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn unix_ms(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
