//! `rowfold position import debezium`: rowfold's capture goes on where a Debezium Server stopped.
//!
//! Owns: that the other producer is quiet, and the first session of capture as a record. Does not own: what its offsets
//! say (`logic::envelope`), capturing (the engine).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::cli::{DONE, commands, connect, show};
use crate::config::{Capture, StreamSettings};
use crate::edge::clock::SystemClock;
use crate::error::{Error, Result};
use crate::logic::envelope::foreign;
use crate::model::change::SourceState;
use crate::model::position::GtidSet;
use crate::model::schema::TableName;
use crate::model::stream::{Epoch, foreign_stream_key, stream_key};
use crate::ports::{Begin, ForeignLook, Look, StreamStore};

/// Nothing may arrive for this long: a Debezium Server that runs writes its offsets and heartbeats meanwhile, or nothing
/// changes in the source, and then nothing is lost.
const QUIET: Duration = Duration::from_secs(5);
/// The lease of the session that this command begins, should it end before it gives it back.
const LEASE: Duration = Duration::from_secs(5);

/// Takes over.
pub(super) async fn run(job: &Path) -> Result<u8> {
    let loaded = connect::load(job)?;
    let theirs = loaded.settings.stream.as_ref().filter(|stream| stream.capture == Capture::Debezium);
    let stream = theirs.ok_or_else(|| {
        Error::config(
            "this takes a job as it followed the Debezium Server, with `capture: debezium` in its `stream` section",
        )
    })?;
    let state = connect::source_state(&loaded.settings.source).await?;
    let store = connect::streams(stream).await?;
    let tables = loaded.tables();
    let keys: Vec<String> = tables.iter().map(|table| stream_key(&stream.prefix, table)).collect();
    let other = |table: &&TableName| foreign_stream_key(&stream.prefix, table) != stream_key(&stream.prefix, table);
    if let Some(table) = tables.iter().find(other) {
        return Err(Error::config(format!(
            "the Debezium Server spells the stream of {table} in another way, so it cannot be gone on with: remove \
             `capture: debezium` from the job and run it with --start-over"
        )));
    }
    let before = store.look_foreign(&keys, &stream.offsets_key).await?;
    eprintln!("rowfold: waiting {} s for entries that still arrive", QUIET.as_secs());
    connect::pause(QUIET).await;
    let after = store.look_foreign(&keys, &stream.offsets_key).await?;
    still(&before, &after, &keys)?;
    let captured = captured(&after, stream)?;
    let owner = commands::owner(&SystemClock::default());
    let look = store.look(&keys).await?;
    let begin = begin(&look, &after, (&tables, &keys), captured, (&state, owner))?;
    if !store.begin(&begin).await? {
        return Err(Error::config(format!(
            "somebody else has just begun to capture as {}; nothing was written",
            stream.prefix
        )));
    }
    store.release(&begin.generation, begin.epoch).await?;
    show(format_args!(
        "{}: rowfold's capture goes on after {}\n\
         Next: remove `capture: debezium` (with `silence_max` and `offsets_key`) from {}, start `rowfold run` with it, and \
         do not start the Debezium Server again.\n",
        stream.prefix,
        begin.record.captured,
        job.display()
    ));
    Ok(DONE)
}

/// Refuses while the other producer writes.
fn still(before: &ForeignLook, after: &ForeignLook, keys: &[String]) -> Result<()> {
    let moved = keys.iter().zip(before.streams.iter().zip(&after.streams)).find(|(_, (then, now))| then != now);
    let what = match moved {
        Some((key, _)) => format!("entries still arrive in {key}"),
        None if before.offsets != after.offsets => "the Debezium Server still stores its offsets".to_string(),
        None => return Ok(()),
    };
    Err(Error::config(format!("{what}: stop the Debezium Server first; nothing was written")))
}

/// What the other producer has written, by its own offsets.
fn captured(look: &ForeignLook, stream: &StreamSettings) -> Result<GtidSet> {
    if look.offsets.is_empty() {
        return Err(Error::config(format!(
            "there are no offsets of a Debezium Server in the hash {} on {}: set `offsets_key` to what its \
             `debezium.source.offset.storage.redis.key` is; nothing was written",
            stream.offsets_key,
            stream.place()
        )));
    }
    let offset = foreign::offset(&stream.prefix, &look.offsets);
    let offset = offset.map_err(|error| Error::config("nothing was written").because(error))?;
    if offset.snapshot_running {
        return Err(Error::config(
            "the Debezium Server stopped within its first snapshot, so its streams are not complete: remove `capture: debezium` \
             and copy again with `rowfold run --start-over`; nothing was written",
        ));
    }
    Ok(offset.gtids)
}

/// The session with which rowfold's capture begins.
fn begin(
    look: &Look,
    foreign: &ForeignLook,
    (tables, keys): (&[TableName], &[String]),
    captured: GtidSet,
    (state, owner): (&SourceState, String),
) -> Result<Begin> {
    let meta = look.meta.as_ref();
    if meta.is_some_and(|meta| !meta.generation.is_empty()) {
        return Err(Error::config(
            "rowfold's own capture has begun with this prefix already: remove `capture: debezium` from the job; nothing was \
             written",
        ));
    }
    if !captured.is_subset(&state.executed) {
        let unknown = captured.minus(&state.executed);
        return Err(Error::config(format!(
            "the Debezium Server has captured {unknown}, which the source of this job has not executed: it is another \
             server; nothing was written"
        )));
    }
    if !state.purged.is_subset(&captured) {
        let purged = state.purged.minus(&captured);
        return Err(Error::config(format!(
            "the source's binlog no longer holds {purged}, which the Debezium Server has not captured: remove `capture: \
             debezium` and copy again with `rowfold run --start-over`; nothing was written"
        )));
    }
    let filled = keys.iter().zip(&foreign.streams);
    let base: BTreeMap<_, _> = filled.filter_map(|(key, at)| Some((key.clone(), (*at)?))).collect();
    let tables = tables.iter().cloned().collect();
    // The owner names this process, Redis' clock the moment.
    let generation = format!("{owner}.{}", look.now_ms);
    Ok(Begin {
        seen: meta.map(|meta| (meta.generation.clone(), meta.epoch)),
        generation,
        epoch: meta.map_or(0, |meta| meta.epoch) + 1,
        record: Epoch { from: captured.clone(), tables, base, captured, open: None },
        source: state.server_uuid.clone(),
        owner,
        lease: LEASE,
        imported: true,
        ..Begin::default()
    })
}
