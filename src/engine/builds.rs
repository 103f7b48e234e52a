//! A job's builds at the start of a session, and their renames.
//!
//! Owns: finding or making the build of each projection, refusing what cannot be gone on with, dropping strays, and
//! renaming in a way that a crash can be resumed from. Does not own: phases (`logic::lifecycle`).

use std::time::Duration;

use super::Engine;
use crate::error::{Error, Result};
use crate::logic::lifecycle::{move_to, moved};
use crate::model::build::{BuildRecord, FORMAT_VERSION, Phase};
use crate::model::change::SourceState;
use crate::model::plan::ProjectionPlan;
use crate::model::position::GtidSet;
use crate::ops::ownership::Ownership;
use crate::ports::{Clock, CollectionState, DocumentStore, RecordStore, Source, StreamStore};
use crate::stream::member_id;

/// How long a transaction may stand in the binlog before a SELECT sees it. Semi-synchronous replication holds it back
/// for up to 10 s by default.
const VISIBLE_WITHIN: Duration = Duration::from_secs(12);

/// The build of every projection, in the plan's order, all saved under this owner. Refuses before it writes.
pub(super) async fn prepare<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    ownership: &Ownership,
    state: &SourceState,
    start_over: bool,
) -> Result<Vec<BuildRecord>> {
    let epoch = ownership.lease().epoch;
    let stored = engine.records.builds(None).await?;
    let mut builds = Vec::new();
    for projection in &engine.plan.projections {
        let of_collection = || stored.iter().filter(|build| build.collection == projection.collection);
        let newest = of_collection().max_by_key(|build| build.number);
        if let Some(foreign) = newest.filter(|build| build.job != engine.plan.name) {
            return Err(Error::config(format!(
                "E-TARGET-BUSY: collection {} belongs to job {}; choose another collection or database",
                projection.collection, foreign.job
            )));
        }
        let number = newest.map_or(1, |build| build.number + 1);
        builds.push(match newest {
            Some(build) if !start_over => resume(engine, projection, build.clone(), epoch, state).await?,
            _ => {
                let ours = newest.is_some_and(|build| build.stored_in == projection.collection);
                if !ours && engine.documents.collection_state(&projection.collection).await? == CollectionState::Filled
                {
                    return Err(target_busy(&projection.collection));
                }
                // A late write of the build before, if there is one, must not look newer than the new build's.
                let version_epoch = newest.map_or(Some(0), |build| build.version_epoch.checked_add(1));
                let version_epoch =
                    version_epoch.ok_or_else(|| Error::config("this collection was begun anew too often"))?;
                BuildRecord { version_epoch, ..fresh(engine, projection, number, epoch) }
            }
        });
    }
    // From here on it writes.
    if start_over {
        for build in stored.iter().filter(|build| build.job == engine.plan.name) {
            discard(engine, build, ownership).await?;
        }
    }
    for build in &builds {
        // First of all: this also takes the build's other records away from earlier owners.
        engine.records.save_build(build).await?;
        drop_strays(engine, build, ownership).await?;
    }
    Ok(builds)
}

/// Collections are dropped and renamed only while the lease lasts: no deadline on the server stops us later.
fn still_ours<S, D, R, C: Clock, T>(engine: &Engine<S, D, R, C, T>, ownership: &Ownership) -> Result<()> {
    ownership.create_until_ms(engine.clock.monotonic_ms()).map(|_| ())
}

fn target_busy(collection: &str) -> Error {
    Error::config(format!(
        "E-TARGET-BUSY: collection {collection} holds documents that rowfold did not write; drop or rename it, or choose \
         another collection"
    ))
}

fn fresh<S, D, R, C, T>(
    engine: &Engine<S, D, R, C, T>,
    projection: &ProjectionPlan,
    number: i32,
    epoch: i64,
) -> BuildRecord {
    let mut build = BuildRecord {
        format: FORMAT_VERSION,
        job: engine.plan.name.clone(),
        collection: projection.collection.clone(),
        number,
        phase: Phase::Init,
        stored_in: String::new(),
        renaming: None,
        strays: Vec::new(),
        owner_epoch: epoch,
        start: GtidSet::default(),
        caught_up_at: GtidSet::default(),
        server_uuid: String::new(),
        version_epoch: 0,
        mapping: projection.mapping.clone(),
        documents: 0,
        rows: 0,
        halted: None,
    };
    build.stored_in = build.copy_collection(epoch);
    build
}

/// A build of an earlier session, if it can be gone on with.
async fn resume<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    projection: &ProjectionPlan,
    mut build: BuildRecord,
    epoch: i64,
    state: &SourceState,
) -> Result<BuildRecord> {
    let name = build.collection.clone();
    if build.mapping != projection.mapping {
        return Err(Error::config(format!(
            "E-NEEDS-REBUILD: the mapping of {name} is not the one that its documents were built with; undo the change \
             (a column that was added to a table: list it under exclude), or run with --start-over to drop the documents \
             and copy again"
        )));
    }
    build.owner_epoch = epoch;
    build.halted = None;
    if build.phase == Phase::Init {
        // Nothing was read yet. An earlier owner's empty collection is a stray.
        let stale = std::mem::take(&mut build.stored_in);
        build.stored_in = build.copy_collection(epoch);
        if stale != build.stored_in {
            build.strays.push(stale);
        }
        return Ok(build);
    }
    let applied = engine.records.checkpoint(&build).await?.map_or_else(|| build.start.clone(), |stored| stored.applied);
    // A transaction that marks nothing is passed without a fence, perhaps before it is visible: give it time to be.
    let lags = !applied.is_subset(&state.executed) && build.server_uuid == state.server_uuid;
    if lags && engine.source.wait_for(&applied, VISIBLE_WITHIN).await? {
        tracing::debug!(collection = %name, "waited for transactions to become visible in the source");
    } else if !applied.is_subset(&state.executed) {
        let missing = applied.minus(&state.executed);
        return Err(Error::config(format!(
            "E-SOURCE-CHANGED: the source (server_uuid {}) lacks transactions that {name} contains ({missing}): it is not \
             the server of the last run, or its history was reset; point the job at the right server, or run with \
             --start-over to copy from this one",
            state.server_uuid
        )));
    }
    // With streams the binlog need not reach back: capture has gone on, or will say that it cannot.
    if engine.streams.is_none() && !state.purged.is_subset(&applied) {
        let missing = state.purged.minus(&applied);
        return Err(Error::halt(format!(
            "E-BINLOG-LOST: the binlog no longer reaches back to where {name} stands; missing {missing}; run with \
             --start-over to copy again, and keep the binlog longer (binlog_expire_logs_seconds)"
        )));
    }
    if build.server_uuid != state.server_uuid {
        // A read may have contained transactions that the other server never got; which, nobody knows.
        return Err(Error::config(format!(
            "E-SOURCE-CHANGED: the source is now the server {}, the documents of {name} were read from {}; go back to that \
             one, or run with --start-over to copy from this one",
            state.server_uuid, build.server_uuid
        )));
    }
    let renaming = match &build.renaming {
        Some(from) => engine.documents.collection_state(from).await? != CollectionState::Missing,
        None => false,
    };
    if !renaming && engine.documents.collection_state(&build.stored_in).await? == CollectionState::Missing {
        return Err(Error::halt(format!(
            "collection {} with the documents of {name} is gone; run with --start-over to copy again",
            build.stored_in
        )));
    }
    Ok(build)
}

/// Drops what a late insert of a dead owner may have created under a name that is no longer used.
async fn drop_strays<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    build: &BuildRecord,
    ownership: &Ownership,
) -> Result<()> {
    for stray in &build.strays {
        let in_use = *stray == build.stored_in || build.renaming.as_ref() == Some(stray) || *stray == build.collection;
        if !in_use && engine.documents.collection_state(stray).await? != CollectionState::Missing {
            tracing::info!(collection = %stray, "dropping a collection that a late write left behind");
            still_ours(engine, ownership)?;
            engine.documents.drop_collection(stray).await?;
        }
    }
    Ok(())
}

/// Drops a build with its documents.
async fn discard<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    build: &BuildRecord,
    ownership: &Ownership,
) -> Result<()> {
    tracing::info!(collection = %build.collection, build = build.number, "dropping the build to start over");
    let mut build = build.clone();
    build.owner_epoch = ownership.lease().epoch;
    for name in build.strays.iter().chain([&build.stored_in]).chain(&build.renaming) {
        // The readers' name is ours only once the build was published under it.
        if *name != build.collection || build.phase >= Phase::Publish {
            still_ours(engine, ownership)?;
            engine.documents.drop_collection(name).await?;
        }
    }
    if let Some(streams) = &engine.streams {
        let id = member_id(&streams.database, &build);
        streams.store.unregister(&id, &streams.keys(&engine.plan)).await?;
    }
    engine.records.remove_build(&build).await
}

/// Renames a build's collection: the intent is durable first, so that a crash at any moment can be told apart by which
/// of the two names exists.
pub(super) async fn rename<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    mut build: BuildRecord,
    ownership: &Ownership,
    from: &str,
    to: &str,
) -> Result<BuildRecord> {
    let resuming = build.renaming.is_some();
    if !resuming {
        match engine.documents.collection_state(to).await? {
            CollectionState::Missing => {}
            CollectionState::Empty => engine.documents.drop_collection(to).await?,
            CollectionState::Filled => return Err(target_busy(to)),
        }
        build = move_to(build, to);
        engine.records.save_build(&build).await?;
    }
    let from_state = engine.documents.collection_state(from).await?;
    let to_state = engine.documents.collection_state(to).await?;
    still_ours(engine, ownership)?;
    match (from_state, to_state) {
        (CollectionState::Missing, CollectionState::Missing) => {
            return Err(Error::halt(format!("neither {from} nor {to} exists; run with --start-over to copy again")));
        }
        // It was renamed before a crash.
        (CollectionState::Missing, _) => {}
        (_, CollectionState::Missing) => engine.documents.rename(from, to).await?,
        // Renamed before a crash, and a late insert created the old name again. The readers' own name is not taken on
        // trust: somebody else may have made it.
        (_, _) if to != build.collection => engine.documents.drop_collection(from).await?,
        (_, _) => {
            return Err(Error::halt(format!(
                "both {from} and {to} exist; if {to} is not yours drop it, else drop {from}, then start again"
            )));
        }
    }
    let build = moved(build);
    engine.records.save_build(&build).await?;
    Ok(build)
}

/// Leaves the reason of a stop for `status`. Best effort: the stop itself does not depend on it.
pub(super) async fn note_halt<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    ownership: &Ownership,
    reason: &str,
) {
    let Ok(builds) = engine.records.builds(Some(&engine.plan.name)).await else { return };
    for mut build in builds {
        build.halted = Some(reason.to_string());
        build.owner_epoch = ownership.lease().epoch;
        if let Err(error) = engine.records.save_build(&build).await {
            tracing::warn!(error = %error.chain(), "the reason of the stop could not be recorded");
        }
    }
}
