//! A job whose changes come through streams: following goes on while builds are copied.
//!
//! Owns: where a new build begins in the streams (INIT), and running capture, copies and following side by side. Does not
//! own: phases (`logic::lifecycle`), reading (`stream::reader`), capturing (`stream::publisher`).
//!
//! INIT, in this order: capture has acknowledged the build's tables; the streams' ends are noted as its start, with C of
//! the same moment; the source has executed all of C, and what has been appended in part; then P0 is read. So a change that
//! is not in P0 lies behind the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Mode, Outcome, to_wait_for};
use crate::config::Capture;
use crate::error::{Error, Result};
use crate::logic::envelope::decode::{Decoded, Producer, decode};
use crate::logic::envelope::foreign::snapshot_running;
use crate::model::build::{BuildRecord, CheckpointRecord, Phase};
use crate::model::change::SourceState;
use crate::model::position::GtidSet;
use crate::model::schema::TableName;
use crate::model::stream::{DEBEZIUM, EntryId, Meta, Position, RawEntry, StreamCheckpoint};
use crate::ops::ownership::Ownership;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, Look, RecordStore, Source, StreamStore};
use crate::stream::{Follower, Paused, Streams, member_id};

/// How often it is looked whether capture has taken a build's tables up.
const ACKNOWLEDGED_EVERY: Duration = Duration::from_millis(100);
/// How often somebody who waits is told for what.
const TELL_EVERY_MS: u64 = 10_000;
/// How long one wait for the source to show what was captured lasts.
const FENCE_WAIT: Duration = Duration::from_secs(10);
/// Waits after which the session starts again.
const FENCE_WAITS_MAX: u32 = 30;

/// Brings all builds forward and follows those that have begun, side by side, until the mode's end.
pub(super) async fn drive<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    streams: &Arc<Streams<T>>,
    mode: Mode,
    builds: Vec<BuildRecord>,
    ownership: &Arc<Ownership>,
    shutdown: &Shutdown,
) -> Result<Outcome> {
    let Some(capturing) = &engine.capturing else {
        return advance(engine, streams, mode, builds, ownership, shutdown).await;
    };
    let stop = Shutdown::default();
    let capture = capturing(stop.clone());
    tokio::pin!(capture);
    let outcome = tokio::select! {
        outcome = advance(engine, streams, mode, builds, ownership, shutdown) => outcome,
        ended = &mut capture => return Err(ended.err().unwrap_or_else(|| Error::retry("capture ended"))),
    };
    // In order: what was read from the source is appended, and the lease given back.
    stop.request();
    let ended = capture.await;
    outcome.and_then(|outcome| ended.map(|()| outcome))
}

/// One round: the first build that is not there yet takes a step, while those that have begun are followed.
async fn advance<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    streams: &Arc<Streams<T>>,
    mode: Mode,
    mut builds: Vec<BuildRecord>,
    ownership: &Arc<Ownership>,
    shutdown: &Shutdown,
) -> Result<Outcome> {
    engine.bring_up_to_now(mode, &mut builds).await?;
    loop {
        let coming = builds.iter().position(|build| build.phase < Phase::Catchup);
        let mut waiting = to_wait_for(mode, &builds);
        let followed = engine.followed(&builds).await?;
        let pause = Shutdown::default();
        let first = coming.map(|at| builds[at].clone());
        let step = async {
            let step = match coming.zip(first) {
                Some((at, build)) => engine.bring_forward(at, build, ownership, shutdown).await,
                None => std::future::pending().await,
            };
            // Whoever follows has to begin anew, with what has changed.
            pause.request();
            step
        };
        tokio::pin!(step);
        if followed.iter().all(Option::is_none) {
            match step.await? {
                Some(forward) => replace(&mut builds, forward),
                None => return Ok(Outcome::Interrupted { live: false }),
            }
            continue;
        }
        let mut follower = Follower::start(engine.context(ownership), followed, Some(streams.clone()))?;
        let mut stepped = None;
        let mut published = Vec::new();
        while stepped.is_none() {
            if coming.is_none() {
                engine.progress.set_activity(if waiting.is_empty() { "live" } else { "catchup" });
            }
            let paused = {
                let follow = follower.run(&waiting, shutdown, &pause);
                tokio::pin!(follow);
                tokio::select! {
                    paused = &mut follow => paused?,
                    step = &mut step => {
                        stepped = Some(step?);
                        // Nothing is being written when it has paused.
                        follow.await?
                    }
                }
            };
            match paused {
                Paused::Asked if shutdown.is_requested() => {
                    follower.stop().await;
                    if stepped.is_none() && coming.is_some() {
                        step.await?;
                    }
                    return Ok(Outcome::Interrupted { live: coming.is_none() && waiting.is_empty() });
                }
                Paused::Asked => {
                    if stepped.is_none() {
                        stepped = Some((&mut step).await?);
                    }
                }
                Paused::CaughtUp(projections) => {
                    for projection in projections {
                        waiting.retain(|at| *at != projection);
                        let build = builds[projection].clone();
                        let build = engine.publish(projection, build, ownership).await?;
                        follower.replace_build(projection, build.clone());
                        published.push(build);
                    }
                    if mode == Mode::Snapshot && waiting.is_empty() && coming.is_none() {
                        follower.stop().await;
                        published.into_iter().for_each(|build| replace(&mut builds, build));
                        leave(engine, streams, &builds).await?;
                        return Ok(Outcome::Done(engine.summaries(&builds).await?));
                    }
                }
            }
        }
        follower.stop().await;
        published.into_iter().for_each(|build| replace(&mut builds, build));
        match stepped {
            Some(Some(forward)) => replace(&mut builds, forward),
            _ => return Ok(Outcome::Interrupted { live: false }),
        }
    }
}

/// A snapshot that is done reads no more: nothing has to be kept for it. If it is followed later, capture brings what came
/// since.
async fn leave<S, D, R, C, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    streams: &Streams<T>,
    builds: &[BuildRecord],
) -> Result<()> {
    for build in builds {
        streams.store.unregister(&member_id(&streams.database, build), &streams.keys(&engine.plan)).await?;
    }
    Ok(())
}

fn replace(builds: &mut [BuildRecord], by: BuildRecord) {
    if let Some(build) = builds.iter_mut().find(|build| build.collection == by.collection) {
        *build = by;
    }
}

/// INIT: gives a build its start in the streams, durably, and returns the source's state that is P0. `None` if asked to
/// stop.
pub(super) async fn join<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    streams: &Streams<T>,
    projection: usize,
    build: &BuildRecord,
    shutdown: &Shutdown,
) -> Result<Option<SourceState>> {
    let id = member_id(&streams.database, build);
    let member = streams.member(&engine.plan, projection);
    if streams.capture == Capture::Rowfold {
        streams.store.register(&id, &member).await?;
    }
    let began_ms = engine.clock.monotonic_ms();
    let mut told = 0;
    let (start, must_see) = loop {
        let place = match streams.capture {
            Capture::Rowfold => {
                let keys = streams.keys(&engine.plan);
                let look = streams.store.look(&keys).await?;
                if let Some(reason) = look.meta.as_ref().and_then(|meta| meta.refused.get(&id)) {
                    return Err(Error::config(reason.clone()));
                }
                acknowledged(&look, &keys, &member.tables)
            }
            Capture::Debezium => foreign_place(engine, streams).await?,
        };
        if let Some(place) = place {
            break place;
        }
        let waited_ms = engine.clock.monotonic_ms().saturating_sub(began_ms);
        if waited_ms / TELL_EVERY_MS >= told {
            told = waited_ms / TELL_EVERY_MS + 1;
            if waited_ms >= TELL_EVERY_MS {
                tracing::warn!(prefix = %streams.prefix, collection = %build.collection, "waiting for whoever writes the streams to take up the build's tables; start `rowfold run` or `rowfold capture` if nobody captures");
            }
        }
        tokio::select! {
            () = engine.clock.sleep(ACKNOWLEDGED_EVERY) => {}
            () = shutdown.requested() => return Ok(None),
        }
    };
    for _ in 0..FENCE_WAITS_MAX {
        let state = engine.source.state().await?;
        if must_see.is_subset(&state.executed) {
            let checkpoint = CheckpointRecord {
                applied: state.executed.clone(),
                streams: Some(start),
                ..CheckpointRecord::default()
            };
            engine.records.save_checkpoint(build, &checkpoint).await?;
            return Ok(Some(state));
        }
        if shutdown.is_requested() {
            return Ok(None);
        }
        engine.source.wait_for(&must_see, FENCE_WAIT).await?;
    }
    Err(Error::retry("the source does not show transactions that were captured from it"))
}

/// A start in the streams of our own capture, and what P0 has to contain; `None` until capture holds the tables.
fn acknowledged(look: &Look, keys: &[String], tables: &BTreeSet<TableName>) -> Option<(StreamCheckpoint, GtidSet)> {
    let meta = look.meta.as_ref().filter(|meta: &&Meta| !meta.generation.is_empty())?;
    let epoch = meta.epochs.get(&meta.epoch).filter(|epoch| epoch.tables.is_superset(tables))?;
    let mut must_see = epoch.captured.clone();
    must_see.extend(&epoch.from);
    // A part of it may lie before the start.
    epoch.open.iter().for_each(|open| must_see.insert(open));
    let place = StreamCheckpoint {
        generation: meta.generation.clone(),
        epoch: meta.epoch,
        positions: ends(keys, &look.streams),
    };
    Some((place, must_see))
}

/// The same for the streams of a Debezium Server; `None` while it takes a snapshot.
async fn foreign_place<S: Source, D, R, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    streams: &Streams<T>,
) -> Result<Option<(StreamCheckpoint, GtidSet)>> {
    let mut keys = streams.keys(&engine.plan);
    keys.push(streams.prefix.clone());
    let seen = streams.store.look_foreign(&keys, &streams.offsets_key).await?;
    let tables = engine.plan.tables.len();
    let read =
        |(at, entry): (usize, &RawEntry)| (entry.id, decode(entry, at, &engine.plan.tables[at], Producer::Debezium));
    let last = seen.last[..tables].iter().enumerate().filter_map(|(at, entry)| Some((at, entry.as_ref()?)));
    let last: Vec<(EntryId, Decoded)> = last.map(read).collect();
    if snapshot_running(&last) {
        return Ok(None);
    }
    for (table, stream) in engine.plan.tables.iter().zip(&seen.streams) {
        if stream.is_none() {
            tracing::warn!(table = %table.name, "no stream for this table yet; make sure that the Debezium Server captures it (table.include.list)");
        }
    }
    let mut must_see = streams.offset(&seen)?;
    for (_, entry) in &last {
        match entry {
            Decoded::Changes { gtid, .. } | Decoded::Unlogged { gtid, .. } => must_see.insert(gtid),
            _ => {}
        }
    }
    let positions = ends(&keys, &seen.streams);
    Ok(Some((StreamCheckpoint { generation: DEBEZIUM.to_string(), epoch: 0, positions }, must_see)))
}

fn ends(keys: &[String], streams: &[Option<Position>]) -> BTreeMap<String, Position> {
    keys.iter().cloned().zip(streams.iter().map(|end| end.unwrap_or_default())).collect()
}

/// What a build has to contain before its collection gets its name, as of now: all that the source has executed; behind a
/// Debezium Server all that its offsets say it has delivered, since nobody else can tell what is still to come.
pub(super) async fn to_reach<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    streams: &Streams<T>,
) -> Result<GtidSet> {
    match streams.capture {
        Capture::Rowfold => Ok(engine.source.state().await?.executed),
        Capture::Debezium => {
            let seen = streams.store.look_foreign(&streams.keys(&engine.plan), &streams.offsets_key).await?;
            streams.offset(&seen)
        }
    }
}
