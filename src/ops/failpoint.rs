//! Named places at which a test stops the process to kill it there.
//!
//! Owns: [`hit`]. Does nothing unless the crate is built with the feature `failpoints`, which no release has. With it,
//! `ROWFOLD_FAILPOINT=name` (or `name:3` for the third time) makes the task that gets there say
//! `failpoint <name> reached` on stderr and then wait for ever; all other tasks go on. `ROWFOLD_PLANT=no_fence` switches
//! off the fence, to prove that tests notice.

/// Stops here for good if the environment asks for this name.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub async fn hit(_name: &'static str) {}

/// Whether a rule was switched off on purpose.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn planted(_bug: &str) -> bool {
    false
}

/// Stops here for good if the environment asks for this name.
#[cfg(feature = "failpoints")]
pub async fn hit(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static ASKED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let asked = ASKED.get_or_init(|| {
        let text = std::env::var("ROWFOLD_FAILPOINT").ok()?;
        let (name, nth) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_string(), nth.parse().ok()?))
    });
    if let Some((wanted, nth)) = asked
        && wanted == name
        && SEEN.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "failpoint {name} reached");
        std::future::pending::<()>().await;
    }
}

/// Whether a rule was switched off on purpose.
#[cfg(feature = "failpoints")]
pub fn planted(bug: &str) -> bool {
    std::env::var("ROWFOLD_PLANT").is_ok_and(|planted| planted == bug)
}
