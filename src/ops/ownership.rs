//! The right to write, as the tasks of one engine see it.
//!
//! Owns: [`Ownership`]: until when this process may start a write, and until when a document may be created. Does not
//! own: acquiring and renewing the lease (`engine::lease`).

use std::sync::Mutex;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::build::Lease;

/// A held lease, shared by all tasks that write.
#[derive(Debug)]
pub struct Ownership {
    held: Mutex<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    /// By this machine's monotonic clock, counted from *before* the request that gave the lease: never too late.
    ends_at_ms: u64,
}

impl Ownership {
    /// A lease of the given length, asked for at `asked_at_ms` of the monotonic clock.
    pub fn new(lease: Lease, asked_at_ms: u64, length: Duration) -> Self {
        Self { held: Mutex::new(Held { lease, ends_at_ms: asked_at_ms + length.as_millis() as u64 }) }
    }

    /// Notes a renewal.
    pub fn renewed(&self, lease: Lease, asked_at_ms: u64, length: Duration) {
        *self.lock() = Held { lease, ends_at_ms: asked_at_ms + length.as_millis() as u64 };
    }

    /// The lease as last renewed.
    pub fn lease(&self) -> Lease {
        self.lock().lease.clone()
    }

    /// Until when (the target server's clock) what is being created must be there: a new owner waits for as long. The
    /// target takes off what a command may last.
    ///
    /// # Errors
    /// `Fenced` when the lease has ended at `now_ms` of the monotonic clock: no write may be started any more.
    pub fn create_until_ms(&self, now_ms: u64) -> Result<i64> {
        let held = self.lock();
        if now_ms >= held.ends_at_ms {
            return Err(Error::fenced("the lease ended before it could be renewed"));
        }
        Ok(held.lease.write_until_ms)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        // A panic elsewhere cannot leave this half-written: both fields are replaced together.
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn no_write_starts_after_the_lease_ended() {
        let lease = |epoch, until_ms| Lease {
            name: "job/shop".into(),
            owner: "a".into(),
            epoch,
            until_ms,
            write_until_ms: until_ms + 5_000,
        };
        let ownership = Ownership::new(lease(1, 90_000), 1_000, Duration::from_secs(10));
        assert_eq!(ownership.create_until_ms(10_999).expect("held"), 95_000);
        assert_eq!(ownership.create_until_ms(11_000).expect_err("ended").kind(), Kind::Fenced);
        ownership.renewed(lease(1, 95_000), 6_000, Duration::from_secs(10));
        assert_eq!(ownership.create_until_ms(15_999).expect("held again"), 100_000);
    }
}
