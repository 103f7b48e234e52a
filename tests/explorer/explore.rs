//! Runs schedules by the million: a case names one schedule, a search runs many of them, and what fails is printed as
//! the command that replays it. Judges nothing: that is the oracle's.

use std::fmt;
use std::str::FromStr;
use std::thread;
use std::time::Instant;

use crate::oracle::Broken;
use crate::profiles::{PROFILES, Profile};
use crate::rng::splitmix;
use crate::rules::Rules;
use crate::world::{Mode, Outcome, World};

pub const MODES: [Mode; 2] = [Mode::Streams, Mode::Queue];
const THREADS: u64 = 2;

/// One schedule.
#[derive(Clone, Copy)]
pub struct Case {
    pub rules: Rules,
    pub profile: &'static Profile,
    pub mode: Mode,
    pub seed: u64,
}

impl Case {
    pub fn run(&self, traced: bool) -> Outcome {
        World::new(self.rules, self.profile, self.mode, self.seed, traced).run()
    }

    /// The command that replays this schedule and prints its trace.
    pub fn command(&self) -> String {
        format!("ROWFOLD_EXPLORER_REPLAY={self} cargo test --test explorer -- --exact replay --nocapture")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}/{:?}/{:#x}", self.rules, self.profile.name, self.mode, self.seed)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text}: no such {what}; a case is RULES/PROFILE/MODE/SEED");
        let parts: Vec<&str> = text.split('/').collect();
        let [rules, profile, mode, seed] = parts[..] else {
            return Err(wrong("case"));
        };
        Ok(Case {
            rules: rules.parse().map_err(|()| wrong("rule"))?,
            profile: PROFILES.into_iter().find(|p| p.name == profile).ok_or_else(|| wrong("profile"))?,
            mode: MODES.into_iter().find(|m| format!("{m:?}") == mode).ok_or_else(|| wrong("mode"))?,
            seed: number(seed).ok_or_else(|| wrong("seed"))?,
        })
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A number from the environment; a mistyped one must not pass for the default.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => number(&text).unwrap_or_else(|| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// What a run of the clean protocol found.
#[derive(Default)]
pub struct Report {
    pub schedules: u64,
    pub reached: u64,
    pub failed: Vec<(Case, String)>,
    pub seconds: f64,
}

/// Runs `total` schedules with every rule obeyed, in turn under every profile and in both modes.
#[allow(clippy::disallowed_methods, reason = "only to say how many schedules a second")]
pub fn explore(total: u64, seed: u64) -> Report {
    let began = Instant::now();
    let part = |first: u64| {
        let mut report = Report::default();
        for i in (first..total).step_by(THREADS as usize) {
            let profile = PROFILES[(i / 2 % PROFILES.len() as u64) as usize];
            let mode = MODES[(i / 2 / PROFILES.len() as u64 % 2) as usize];
            let case = Case { rules: Rules::CLEAN, profile, mode, seed: splitmix(seed ^ splitmix(i)) };
            let outcome = case.run(false);
            report.schedules += 1;
            report.reached += u64::from(outcome.reached);
            if let Some(what) = outcome.fault() {
                report.failed.push((case, what));
                if report.failed.len() == 3 {
                    break;
                }
            }
        }
        report
    };
    let mut whole = Report::default();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || part(first))).collect();
        for handle in parts {
            let report = handle.join().expect("a part of the exploration ends");
            whole.schedules += report.schedules;
            whole.reached += report.reached;
            whole.failed.extend(report.failed);
        }
    });
    whole.seconds = began.elapsed().as_secs_f64();
    whole
}

/// The first schedule under these rules that diverges.
pub struct Catch {
    pub schedules: u64,
    pub case: Case,
    pub broken: Broken,
}

/// Only a divergence at rest counts: an invariant broken on the way may be broken without harm.
pub fn search(rules: Rules, profile: &'static Profile, mode: Mode, seed: u64, bound: u64) -> Option<Catch> {
    (0..bound).find_map(|i| {
        let case = Case { rules, profile, mode, seed: splitmix(seed ^ splitmix(i)) };
        let outcome = case.run(false);
        (outcome.differing != 0).then_some(Catch { schedules: i + 1, case, broken: outcome.broken })
    })
}
