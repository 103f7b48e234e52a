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
mod hunts;
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
use hunts::HUNTS;
use profiles::{GROWTH, LATE, PROFILES, RECORDS, RENAMES};
use rng::splitmix;
use rules::{Bug, Rules};

const SEED: u64 = 0x0F01_D5EED;
const SCHEDULES: u64 = 1_000_000;
/// Independent searches per planted bug.
const SEARCHES: u64 = 8;

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
fn planted_bugs_are_caught() {
    println!(
        "{:38} {:9} {:8} {:>14} {:>8}  broken on the way in one of them, which is",
        "switched off", "profile", "mode", "mean schedules", "most"
    );
    let mut missed = Vec::new();
    for hunt in HUNTS {
        for mode in hunt.modes {
            let (mut sum, mut caught, mut most, mut last) = (0, 0, 0, None);
            for nth in 0..SEARCHES {
                let start = splitmix(seed() ^ nth << 32);
                let Some(catch) = search(hunt.rules, hunt.profile, *mode, start, hunt.bound) else {
                    missed.push(format!("{} ({mode:?}): not in {} schedules", hunt.name, hunt.bound));
                    continue;
                };
                sum += catch.schedules;
                caught += 1;
                most = most.max(catch.schedules);
                last = Some(catch);
            }
            let (broken, command) =
                last.map_or_else(Default::default, |catch| (catch.broken.to_string(), catch.case.to_string()));
            println!(
                "{:38} {:9} {:8} {:>14.0} {most:>8}  {broken} [{command}]",
                hunt.name,
                hunt.profile.name,
                format!("{mode:?}"),
                sum as f64 / f64::from(caught),
            );
        }
    }
    assert!(missed.is_empty(), "planted bugs that were not caught: {missed:#?}");
}

/// Rules that are belts, and so the evidence that a bug above comes from the rule it is named after: where nothing is
/// deleted, a late create alone is stopped by the guard; the guard matters only because replaces and deletes carry no
/// deadline; and where E is durable before the first insert and the lease is asked when sending, the rename at the end
/// of the copy suffices.
#[test]
fn belts_alone_do_not_show() {
    let belts = [
        (Rules::without(&[Bug::NoDeadline]), &GROWTH),
        (Rules::without(&[Bug::NoGuard, Bug::DeadlineOnAll]), &LATE),
        (Rules::without(&[Bug::NoGuard, Bug::DeadlineOnAll]), &RECORDS),
        (Rules::without(&[Bug::NotSealedAtTakeOver]), &LATE),
        (Rules::without(&[Bug::NotSealedAtTakeOver]), &RENAMES),
    ];
    for (rules, profile) in belts {
        for mode in MODES {
            let catch = search(rules, profile, mode, seed(), 20_000);
            let command = catch.map(|catch| catch.case.command());
            assert!(command.is_none(), "not a belt: {}", command.unwrap_or_default());
        }
    }
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

/// With `ROWFOLD_EXPLORER_REPLAY` this replays that one schedule and prints its trace; without, it shows on a planted
/// bug that the printed command leads back to the failing schedule.
#[test]
fn replay() {
    if let Ok(text) = std::env::var("ROWFOLD_EXPLORER_REPLAY") {
        let case: Case = text.parse().unwrap_or_else(|error| panic!("{error}"));
        let outcome = case.run(true);
        if let Some(what) = outcome.fault() {
            panic!("{case}: {what}");
        }
        return println!("{case}: every document is right");
    }
    let hunt = &HUNTS[0];
    let catch = search(hunt.rules, hunt.profile, hunt.modes[0], seed(), hunt.bound).expect("a planted bug is caught");
    let command = catch.case.command();
    let text =
        command.split_once("REPLAY=").and_then(|(_, rest)| rest.split_once(' ')).expect("the command names the case").0;
    let again: Case = text.parse().expect("a printed case is read");
    assert_eq!(again.to_string(), catch.case.to_string());
    let (told, quiet) = (again.run(true), catch.case.run(false));
    assert_ne!(told.differing, 0);
    assert_eq!((told.differing, told.hash), (quiet.differing, quiet.hash), "telling the trace must not change it");
    assert!("clean/mixed/Streams/nonsense".parse::<Case>().is_err());
}
