//! What every end-to-end test stands on: servers, scratch databases, the engine as a process, waiting.
//! Owns: waiting with a deadline, and who may run beside whom. Does not own: any test.

pub mod engine;
pub mod library;
pub mod mortal;
pub mod private;
pub mod redis;
pub mod servers;
pub mod stall;
pub mod status;
pub mod world;

use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit};

const POLL: Duration = Duration::from_millis(25);

/// Asks again and again until there is an answer; a test that waits for nothing in particular cannot be written with it.
pub async fn until<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < limit, "after {limit:?} still waiting for {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// The same for what can be seen without asking a server.
pub async fn until_true(what: &str, limit: Duration, mut seen: impl FnMut() -> bool) {
    let start = Instant::now();
    while !seen() {
        assert!(start.elapsed() < limit, "after {limit:?} still waiting for {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Two engines at a time, so that a machine with two cores still says something about timing.
static SEATS: Semaphore = Semaphore::const_new(2);
/// Settings of the whole MySQL server: most tests only rely on them, one changes them.
static SETTINGS: RwLock<()> = RwLock::const_new(());

/// Held by a test that runs an engine.
pub struct Seat {
    _seat: SemaphorePermit<'static>,
    _settings: RwLockReadGuard<'static, ()>,
}

pub async fn seat() -> Seat {
    // Settings first: whoever waits for the exclusive test to end must not keep a seat from it.
    let settings = SETTINGS.read().await;
    Seat { _settings: settings, _seat: SEATS.acquire().await.expect("never closed") }
}

/// Held by the test that changes settings of the server: no other engine runs meanwhile.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    SETTINGS.write().await
}

/// A number from the environment, for seeds and sizes.
pub fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
        Err(_) => default,
    }
}

/// The seed of a run that is not given one: the same every time, so that a failure comes again.
const SEED: u64 = 254_724;

/// The seed of this run, always printed by who uses it. `ROWFOLD_E2E_SEED` gives another.
pub fn seed() -> u64 {
    number("ROWFOLD_E2E_SEED", SEED)
}
