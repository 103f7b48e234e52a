//! Which phase of a build follows which, and what has to be done in each.
//!
//! Owns: [`next`] (what to do now) and [`after`] (the record once it is done). Does not own: doing it or storing the
//! record (`engine::builds`). Every phase is stored before it is acted on, so a crash anywhere repeats one step.
//!
//! Names fence the copy (invariant I5): documents are copied by plain inserts, which carry no deadline, into a
//! collection whose name holds the owner's epoch. A new owner, and the end of the copy, rename it. An insert that a
//! dead owner sent and that lands later reaches the old name only: a stray collection, dropped at the next start.

use crate::model::build::{BuildRecord, Phase};
use crate::model::position::GtidSet;

/// What a build needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Create the copy's collection and read P0.
    Start,
    /// Move the documents: store the intent with [`move_to`], rename, then store [`moved`].
    Rename {
        /// The name now.
        from: String,
        /// The name then.
        to: String,
    },
    /// Copy the chunks that are not done.
    Copy,
    /// Nothing to do but to store the next phase: [`after`] with [`Done::Renamed`].
    Advance,
    /// Build the indexes.
    BuildIndexes,
    /// Apply changes; until the checkpoint contains `until` if given, else for as long as the engine runs.
    Follow {
        /// [`BuildRecord::caught_up_at`] during catch-up.
        until: Option<GtidSet>,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// P0 was read, on this server.
    Started {
        /// P0.
        start: GtidSet,
        /// The server.
        server_uuid: String,
    },
    /// Every chunk is done; the position was read after the last one.
    Copied {
        /// The position to reach before the collection gets its name.
        caught_up_at: GtidSet,
    },
    /// The rename of this phase is complete.
    Renamed,
    /// All indexes are there.
    Indexed,
    /// The checkpoint contains [`BuildRecord::caught_up_at`].
    CaughtUp,
}

/// What to do now, for the owner with this epoch.
pub fn next(build: &BuildRecord, owner_epoch: i64) -> Command {
    if let Some(from) = &build.renaming {
        return Command::Rename { from: from.clone(), to: build.stored_in.clone() };
    }
    let home = |name: String, then: Command| {
        if build.stored_in == name { then } else { Command::Rename { from: build.stored_in.clone(), to: name } }
    };
    match build.phase {
        Phase::Init => Command::Start,
        Phase::Copy => home(build.copy_collection(owner_epoch), Command::Copy),
        Phase::Seal => home(build.build_collection(), Command::Advance),
        Phase::Index => Command::BuildIndexes,
        Phase::Catchup => Command::Follow { until: Some(build.caught_up_at.clone()) },
        Phase::Publish => home(build.collection.clone(), Command::Advance),
        Phase::Live => Command::Follow { until: None },
    }
}

/// The record that announces a rename. To be stored before the rename.
pub fn move_to(mut build: BuildRecord, to: &str) -> BuildRecord {
    let from = std::mem::replace(&mut build.stored_in, to.to_string());
    if !build.strays.contains(&from) {
        build.strays.push(from.clone());
    }
    build.renaming = Some(from);
    build
}

/// The record after the rename.
pub fn moved(mut build: BuildRecord) -> BuildRecord {
    build.renaming = None;
    build
}

/// The record with the next phase, once the work of this one is done.
///
/// # Panics
/// If `done` does not belong to the build's phase: the engine has lost track.
pub fn after(mut build: BuildRecord, done: Done) -> BuildRecord {
    build.phase = match (build.phase, done) {
        (Phase::Init, Done::Started { start, server_uuid }) => {
            build.start = start;
            build.server_uuid = server_uuid;
            Phase::Copy
        }
        (Phase::Copy, Done::Copied { caught_up_at }) => {
            build.caught_up_at = caught_up_at;
            Phase::Seal
        }
        (Phase::Seal, Done::Renamed) => Phase::Index,
        (Phase::Index, Done::Indexed) => Phase::Catchup,
        (Phase::Catchup, Done::CaughtUp) => Phase::Publish,
        (Phase::Publish, Done::Renamed) => Phase::Live,
        (phase, done) => panic!("{done:?} does not end the phase {}", phase.name()),
    };
    build
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::build::FORMAT_VERSION;
    use proptest::prelude::*;

    fn fresh() -> BuildRecord {
        let mut build = BuildRecord {
            format: FORMAT_VERSION,
            job: "shop".into(),
            collection: "orders".into(),
            number: 1,
            phase: Phase::Init,
            stored_in: String::new(),
            renaming: None,
            strays: Vec::new(),
            owner_epoch: 1,
            start: GtidSet::default(),
            caught_up_at: GtidSet::default(),
            server_uuid: String::new(),
            version_epoch: 0,
            mapping: String::new(),
            documents: 0,
            rows: 0,
            halted: None,
        };
        build.stored_in = build.copy_collection(1);
        build
    }

    /// Where the documents really are, in a world in which an owner may stop after any durable step.
    fn run(steps: &[bool]) -> (BuildRecord, Vec<Phase>, String) {
        let mut build = fresh();
        let (mut epoch, mut real) = (1, build.stored_in.clone());
        let mut seen = vec![build.phase];
        let mut crashes = steps.iter().copied().chain(std::iter::repeat(false));
        for _ in 0..200 {
            let mut crash = || crashes.next() == Some(true);
            match next(&build, epoch) {
                Command::Follow { until: None } => break,
                Command::Rename { from, to } => {
                    if build.renaming.is_none() {
                        build = move_to(build, &to);
                    }
                    if crash() {
                        epoch += 1;
                        continue;
                    }
                    assert!(real == from || real == to, "documents are in {real}, renamed {from} to {to}");
                    real = to;
                    if crash() {
                        epoch += 1;
                        continue;
                    }
                    build = moved(build);
                }
                command => {
                    if crash() {
                        epoch += 1;
                        continue;
                    }
                    let done = match command {
                        Command::Start => Done::Started { start: GtidSet::default(), server_uuid: String::new() },
                        Command::Copy => {
                            assert_eq!(real, build.copy_collection(epoch), "copies only under its own name");
                            Done::Copied { caught_up_at: GtidSet::default() }
                        }
                        Command::BuildIndexes => Done::Indexed,
                        Command::Follow { .. } => Done::CaughtUp,
                        _ => Done::Renamed,
                    };
                    build = after(build, done);
                    seen.push(build.phase);
                }
            }
        }
        (build, seen, real)
    }

    proptest! {
        #[test]
        fn every_crash_ends_live_under_the_right_name(crashes in proptest::collection::vec(any::<bool>(), 0..30)) {
            let (build, seen, real) = run(&crashes);
            prop_assert_eq!(real, "orders");
            prop_assert_eq!(&build.stored_in, "orders");
            prop_assert!(build.renaming.is_none());
            prop_assert!(!build.strays.contains(&build.stored_in));
            prop_assert_eq!(seen, [Phase::Init, Phase::Copy, Phase::Seal, Phase::Index, Phase::Catchup, Phase::Publish, Phase::Live]);
        }
    }
}
