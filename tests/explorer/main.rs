//! The protocol explorer: the protocol of the design's correctness core as a small state machine, run under millions
//! of seeded schedules with crashes, late writes and lost answers, and with planted bugs that it must catch.
//!
//! It is a model: nothing of rowfold's code runs here. It answers whether the rules suffice, and shows of each rule
//! that the model can see it broken. Not modelled: failover, DDL, loss of Redis, parked documents, the swap of builds.
//!
//! Found here and obeyed by the clean protocol: a transaction cut in several MULTIs counts for INIT from its first part
//! (`stream`), and the rename of a sealed copy needs a durable intent that the next owner completes (`seal`).
//!
//! `ROWFOLD_EXPLORER_SEED` chooses other schedules, `ROWFOLD_EXPLORER_SCHEDULES` how many of the clean protocol.

mod apply;
mod chaos;
mod chunk;
mod events;
mod explore;
mod oracle;
mod owner;
mod profiles;
mod rng;
mod rules;
mod seal;
mod source;
mod stream;
mod target;
mod world;

use explore::{Case, MODES, explore, search, setting};
use profiles::{GROWTH, LATE, PROFILES, RECORDS, RENAMES};
use rng::splitmix;
use rules::{Bug, Rules};

const SEED: u64 = 0x0F01_D5EED;
const SCHEDULES: u64 = 1_000_000;

fn seed() -> u64 {
    setting("ROWFOLD_EXPLORER_SEED", SEED)
}

#[test]
fn clean_protocol_never_diverges() {
    let total = setting("ROWFOLD_EXPLORER_SCHEDULES", SCHEDULES);
    let report = explore(total, seed());
    println!(
        "{} schedules, {} profiles, {} modes, {:.0} per second; the stream was reached before the calm in {}",
        report.schedules,
        PROFILES.len(),
        MODES.len(),
        report.schedules as f64 / report.seconds,
        report.reached,
    );
    for (case, what) in &report.failed {
        println!("{what}; to replay it:\n{}", case.command());
    }
    assert!(report.failed.is_empty(), "the clean protocol failed; see the commands above");
    assert_eq!(report.schedules, total);
    // Schedules that rest before anything can happen in the stream would prove little.
    assert!(total < 1_000 || report.reached * 4 > total, "too few schedules reach the stream");
}

#[test]
fn same_seed_same_trace() {
    let mut hashes = Vec::new();
    for (i, profile) in PROFILES.into_iter().enumerate() {
        for mode in MODES {
            for nth in 0..40 {
                let case = Case { rules: Rules::CLEAN, profile, mode, seed: splitmix(seed() ^ nth << 8 ^ i as u64) };
                let (first, second) = (case.run(false).hash, case.run(false).hash);
                assert_eq!(first, second, "{case}");
                hashes.push(first);
            }
        }
    }
    // A hash that told no schedule from another would show nothing.
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), all, "schedules with the same trace");
}
