//! `rowfold position set` and `position skip`: another applied position, by hand.
//!
//! Owns: what is refused, what it says beforehand, and that no engine runs meanwhile. Does not own: what an engine makes
//! of the position.

use std::path::Path;

use super::not_without_yes;
use crate::cli::{DONE, commands, connect, show, status};
use crate::config::{Capture, StreamSettings};
use crate::edge::clock::SystemClock;
use crate::edge::mongo::MongoTarget;
use crate::error::{Error, Result};
use crate::model::build::{BuildRecord, CheckpointRecord, LeaseReply, Phase};
use crate::model::change::SourceState;
use crate::model::position::{Gtid, GtidSet};
use crate::ports::RecordStore;

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Exactly these transactions are applied.
    Set(GtidSet),
    /// This one too.
    Skip(Gtid),
}

/// A build's new checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Moved {
    build: BuildRecord,
    checkpoint: CheckpointRecord,
    /// Transactions that the documents lack and that will not be applied.
    skipped: GtidSet,
    /// Transactions that will be applied again.
    again: GtidSet,
}

/// Says what would change, and with `yes` changes it.
pub(super) async fn run(job: &Path, change: &Change, yes: bool) -> Result<u8> {
    let loaded = connect::load(job)?;
    let settings = loaded.settings;
    let stream = settings.stream.as_ref();
    let state = connect::source_state(&settings.source).await?;
    let target = connect::target(&settings.target).await?;
    let moved = decide(stored(&target, &settings.name).await?, change, &state, stream)?;
    if !yes {
        said(&moved);
        return Err(not_without_yes(job));
    }
    let owner = commands::owner(&SystemClock::default());
    let limits = &settings.target;
    let lease = match target.acquire_lease(&settings.name, &owner, limits.lease, limits.write_deadline).await? {
        // Whoever writes documents waits for the deadline of the last owner's writes; records have an owner's epoch.
        LeaseReply::Taken { lease, .. } => lease,
        LeaseReply::Held { holder, .. } => {
            return Err(Error::config(format!(
                "E-LEASE: job {} is being run by {holder}; stop that engine first, nothing was written",
                settings.name
            )));
        }
    };
    // What an engine applied since we looked is not to be undone.
    let moved = decide(stored(&target, &settings.name).await?, change, &state, stream);
    let written = match &moved {
        Ok(moved) => write(&target, moved, lease.epoch).await,
        Err(_) => Ok(()),
    };
    target.release_lease(&lease).await?;
    written?;
    said(&moved?);
    Ok(DONE)
}

async fn stored(target: &MongoTarget, job: &str) -> Result<Vec<(BuildRecord, Option<CheckpointRecord>)>> {
    let mut stored = Vec::new();
    for build in status::newest(target.builds(Some(job)).await?) {
        let checkpoint = target.checkpoint(&build).await?;
        stored.push((build, checkpoint));
    }
    Ok(stored)
}

async fn write(target: &MongoTarget, moved: &[Moved], epoch: i64) -> Result<()> {
    for Moved { build, checkpoint, .. } in moved {
        // First of all: this also takes the build's other records away from earlier owners.
        let build = BuildRecord { owner_epoch: epoch, ..build.clone() };
        target.save_build(&build).await?;
        target.save_checkpoint(&build, checkpoint).await?;
    }
    Ok(())
}

/// The new checkpoints, or why there cannot be any.
fn decide(
    stored: Vec<(BuildRecord, Option<CheckpointRecord>)>,
    change: &Change,
    state: &SourceState,
    stream: Option<&StreamSettings>,
) -> Result<Vec<Moved>> {
    let wanted = match change {
        Change::Set(gtids) => gtids.clone(),
        Change::Skip(gtid) => {
            let mut one = GtidSet::default();
            one.insert(gtid);
            one
        }
    };
    if !wanted.is_subset(&state.executed) {
        let unknown = wanted.minus(&state.executed);
        return Err(Error::config(format!("the source has not executed {unknown}; nothing was written")));
    }
    if matches!(change, Change::Set(_)) && !state.purged.is_subset(&wanted) {
        let purged = state.purged.minus(&wanted);
        return Err(Error::config(format!(
            "the source's binlog no longer holds {purged}, so they cannot be applied again: add them to the set, or copy \
             again with `rowfold run --start-over`; nothing was written"
        )));
    }
    // A build that has not begun takes its position from the source when it does.
    let begun = stored.into_iter().filter(|(build, _)| build.phase != Phase::Init);
    let moved: Vec<Moved> = begun.map(|(build, checkpoint)| moved(build, checkpoint, change, wanted.clone())).collect();
    if moved.is_empty() {
        return Err(Error::config("the job has not begun: it has no position yet"));
    }
    let again = moved.iter().find(|moved| !moved.again.is_empty());
    let theirs = stream.is_some_and(|stream| stream.capture == Capture::Debezium);
    if let Some(again) = again.filter(|_| theirs) {
        return Err(Error::config(format!(
            "{} contains {}, which a Debezium Server does not write again on request; copy again with `rowfold run \
             --start-over`; nothing was written",
            again.build.collection, again.again
        )));
    }
    Ok(moved)
}

fn moved(build: BuildRecord, checkpoint: Option<CheckpointRecord>, change: &Change, wanted: GtidSet) -> Moved {
    let fresh = || CheckpointRecord { applied: build.start.clone(), ..CheckpointRecord::default() };
    let mut checkpoint = checkpoint.unwrap_or_else(fresh);
    let before = std::mem::take(&mut checkpoint.applied);
    let after = match change {
        Change::Set(_) => wanted,
        Change::Skip(_) => {
            let mut both = before.clone();
            both.extend(&wanted);
            both
        }
    };
    let (skipped, again) = (after.minus(&before), before.minus(&after));
    checkpoint.applied = after;
    if !again.is_empty() {
        // The streams have been read beyond it: without a place in them, the engine asks capture for all that is missing.
        checkpoint.streams = None;
    }
    Moved { build, checkpoint, skipped, again }
}

fn said(moved: &[Moved]) {
    for one in moved {
        show(format_args!("{}", text(one)));
    }
}

fn text(moved: &Moved) -> String {
    let name = &moved.build.collection;
    if moved.skipped.is_empty() && moved.again.is_empty() {
        return format!("{name}: nothing changes, {} is applied\n", moved.checkpoint.applied);
    }
    let mut text = format!("{name}: applied is {}\n", moved.checkpoint.applied);
    if !moved.skipped.is_empty() {
        let count = moved.skipped.count();
        text += &format!("  skipped, {count} transactions that the documents may lack for good: {}\n", moved.skipped);
    }
    if !moved.again.is_empty() {
        text += &format!("  applied again, {} transactions: {}\n", moved.again.count(), moved.again);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::StreamCheckpoint;
    use std::time::Duration;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(numbers: &str) -> GtidSet {
        if numbers.is_empty() { GtidSet::default() } else { format!("{A}:{numbers}").parse().expect("a GTID set") }
    }

    fn gtid(number: u64) -> Gtid {
        let set = set("1");
        let (source, ..) = set.ranges().next().expect("one");
        Gtid { source: source.clone(), number }
    }

    /// The source has executed 1-20 and purged 1-5.
    fn state() -> SourceState {
        SourceState { server_uuid: A.into(), executed: set("1-20"), purged: set("1-5") }
    }

    fn build(phase: Phase) -> BuildRecord {
        BuildRecord {
            format: 1,
            job: "shop".into(),
            collection: "orders".into(),
            number: 1,
            phase,
            stored_in: "orders".into(),
            renaming: None,
            strays: Vec::new(),
            owner_epoch: 1,
            start: set("1-8"),
            caught_up_at: set("1-9"),
            server_uuid: A.into(),
            version_epoch: 0,
            mapping: String::new(),
            documents: 0,
            rows: 0,
            halted: None,
        }
    }

    /// Live, with 1-10 applied.
    fn live() -> Vec<(BuildRecord, Option<CheckpointRecord>)> {
        let streams = Some(StreamCheckpoint { generation: "g".into(), ..StreamCheckpoint::default() });
        let checkpoint = CheckpointRecord { applied: set("1-10"), events: 3, streams, ..CheckpointRecord::default() };
        vec![(build(Phase::Live), Some(checkpoint))]
    }

    fn stream(capture: Capture) -> StreamSettings {
        StreamSettings {
            url: secrecy::SecretString::from("redis://h"),
            prefix: "cdc".into(),
            capture,
            max_bytes: None,
            lease: Duration::from_secs(10),
            silence_max: None,
            offsets_key: "o".into(),
        }
    }

    fn changed(change: &Change) -> Moved {
        let moved = decide(live(), change, &state(), Some(&stream(Capture::Rowfold)));
        moved.expect("a new position").pop().expect("one build")
    }

    #[test]
    fn what_is_missing_is_applied_again_and_asked_of_capture() {
        let moved = changed(&Change::Set(set("1-7")));
        assert_eq!((&moved.checkpoint.applied, &moved.again), (&set("1-7"), &set("8-10")));
        assert!(moved.skipped.is_empty() && moved.checkpoint.streams.is_none() && moved.checkpoint.events == 3);
        assert!(text(&moved).contains("applied again, 3 transactions"), "{}", text(&moved));
    }

    #[test]
    fn what_is_added_is_skipped_and_said() {
        let moved = changed(&Change::Set(set("1-12:15")));
        assert_eq!((&moved.skipped, moved.again.is_empty()), (&set("11-12:15"), true));
        assert!(moved.checkpoint.streams.is_some(), "nothing has to be read again");
        assert!(text(&moved).contains("skipped, 3 transactions"), "{}", text(&moved));
        let moved = changed(&Change::Skip(gtid(12)));
        assert_eq!((&moved.checkpoint.applied, &moved.skipped), (&set("1-10:12"), &set("12")));
        assert!(text(&changed(&Change::Skip(gtid(3)))).contains("nothing changes"));
    }

    #[test]
    fn a_build_without_a_checkpoint_stands_where_its_copy_began() {
        let stored = || vec![(build(Phase::Copy), None)];
        let moved = decide(stored(), &Change::Skip(gtid(9)), &state(), None).expect("a new position");
        assert_eq!(moved[0].checkpoint.applied, set("1-9"));
        let stored = vec![(build(Phase::Init), None)];
        let refused = decide(stored, &Change::Skip(gtid(9)), &state(), None).expect_err("no position");
        assert!(refused.chain().contains("has not begun"), "{}", refused.chain());
    }

    #[test]
    fn positions_that_cannot_be_followed_are_refused() {
        let refused = |change: Change, capture| {
            let refused = decide(live(), &change, &state(), Some(&stream(capture))).expect_err("a refusal");
            assert_eq!(refused.kind(), crate::error::Kind::Config);
            refused.chain()
        };
        let said = refused(Change::Set(set("1-21")), Capture::Rowfold);
        assert!(said.contains(&format!("has not executed {A}:21")), "{said}");
        let said = refused(Change::Skip(gtid(21)), Capture::Rowfold);
        assert!(said.contains("has not executed"), "{said}");
        let said = refused(Change::Set(set("2-10")), Capture::Rowfold);
        assert!(said.contains(&format!("no longer holds {A}:1,")), "{said}");
        let said = refused(Change::Set(set("1-9")), Capture::Debezium);
        assert!(said.contains("Debezium Server does not write again") && said.contains(":10"), "{said}");
        assert!(decide(live(), &Change::Set(set("1-11")), &state(), Some(&stream(Capture::Debezium))).is_ok());
    }
}
