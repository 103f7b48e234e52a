//! Named places at which a test stops the process to kill it there.
//!
//! Owns: [`hit`]. Does nothing unless the crate is built with the feature `failpoints`, which no release has. With it,
//! `ROWFOLD_FAILPOINT=name` (or `name:3` for the third time) makes the task that gets there say
//! `failpoint <name> reached` on stderr and then wait for ever; all other tasks go on. `ROWFOLD_HOLD=name:3=path` makes
//! every task that gets there from the third time on say `hold <name> reached` and wait until a file is at the path.
//! `ROWFOLD_PLANT=no_fence` switches off the fence, to prove that tests notice.

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

/// `name:nth`; without a number the first time.
#[cfg(feature = "failpoints")]
struct Place {
    name: String,
    nth: u64,
    seen: std::sync::atomic::AtomicU64,
}

#[cfg(feature = "failpoints")]
impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
        Some(Self { name: name.to_string(), nth: nth.parse().ok()?, seen: std::sync::atomic::AtomicU64::new(0) })
    }

    /// How often this place was reached now, if it is the one.
    fn reached(&self, name: &str) -> Option<u64> {
        (self.name == name).then(|| self.seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1)
    }
}

/// Stops here for good, or until a file is there, if the environment asks for this name.
#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "waits for a condition outside of the process")]
pub async fn hit(name: &'static str) {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    static STOP: OnceLock<Option<Place>> = OnceLock::new();
    static HOLD: OnceLock<Option<(Place, PathBuf)>> = OnceLock::new();
    let hold = HOLD.get_or_init(|| {
        let text = std::env::var("ROWFOLD_HOLD").ok()?;
        let (place, path) = text.split_once('=')?;
        Some((Place::parse(place)?, path.into()))
    });
    if let Some((place, path)) = hold
        && place.reached(name).is_some_and(|time| time >= place.nth)
    {
        let mut told = false;
        while !tokio::fs::try_exists(path).await.unwrap_or(false) {
            if !std::mem::replace(&mut told, true) {
                say(&format!("hold {name} reached"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let stop = STOP.get_or_init(|| Place::parse(&std::env::var("ROWFOLD_FAILPOINT").ok()?));
    if let Some(place) = stop
        && place.reached(name).is_some_and(|time| time == place.nth)
    {
        say(&format!("failpoint {name} reached"));
        std::future::pending::<()>().await;
    }
}

#[cfg(feature = "failpoints")]
fn say(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Whether a rule was switched off on purpose.
#[cfg(feature = "failpoints")]
pub fn planted(bug: &str) -> bool {
    std::env::var("ROWFOLD_PLANT").is_ok_and(|planted| planted == bug)
}
