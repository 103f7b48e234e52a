//! Figures of a running job, counted where the work is done and read by whoever shows them.
//!
//! Owns: [`Progress`]. Does not own: showing (`cli::report`), storing (`engine::status`).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one run. All in whole units; nothing here is needed for correctness.
#[derive(Debug, Default)]
pub struct Progress {
    /// What the engine is doing, for people: `copy orders`.
    activity: Mutex<String>,
    /// Chunks of the collection being copied.
    pub chunks_planned: AtomicU64,
    /// Of those, done.
    pub chunks_done: AtomicU64,
    /// Root rows of the table being copied, by the optimizer's estimate.
    pub roots_estimate: AtomicU64,
    /// Documents written by the copy.
    pub documents: AtomicU64,
    /// Source rows read by the copy.
    pub rows: AtomicU64,
    /// Zero and impossible dates that became null.
    pub zero_dates: AtomicU64,
    /// Row changes applied.
    pub changes: AtomicU64,
    /// Transactions applied, empty ones included.
    pub transactions: AtomicU64,
    /// Documents written or deleted by applying changes.
    pub reread: AtomicU64,
    /// Milliseconds since the newest applied change was committed; 0 when nothing waits.
    pub lag_ms: AtomicU64,
    /// Bytes of changes that wait in the queue, or in the streams.
    pub queued_bytes: AtomicU64,
    /// Entries that capture appended to streams.
    pub appended: AtomicU64,
    /// Documents that could not be written in this run.
    pub parked: AtomicU64,
}

impl Progress {
    /// Says what is being done now.
    pub fn set_activity(&self, activity: impl Into<String>) {
        if let Ok(mut held) = self.activity.lock() {
            *held = activity.into();
        }
    }

    /// What is being done now.
    pub fn activity(&self) -> String {
        self.activity.lock().map(|held| held.clone()).unwrap_or_default()
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// Sets a gauge.
    pub fn set(gauge: &AtomicU64, value: u64) {
        gauge.store(value, Ordering::Relaxed);
    }

    /// Reads a counter or gauge.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
