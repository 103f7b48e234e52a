//! Chunks of a build. `_rowfold.chunks`, `_id` = `{b: build, n: number}`.
//!
//! Owns: planning, starting and finishing a chunk so that only the owner's word counts. Does not own: which chunk is next
//! (`backfill::planner`).

use bson::{Bson, Document, doc};

use super::failure::long;
use super::records::{self, CHUNKS, count_from, count_to_bson, damaged, fence, fenced};
use super::{COMMAND_LIMIT, MongoTarget};
use crate::error::{Error, Result};
use crate::model::build::{BuildRecord, ChunkRecord, ChunkState};
use crate::model::position::GtidSet;

/// See [`crate::ports::RecordStore::chunks`].
pub(super) async fn all(target: &MongoTarget, build: &BuildRecord) -> Result<Vec<ChunkRecord>> {
    let command = doc! {"find": CHUNKS, "filter": records::chunk_range(build), "sort": {"_id": 1}};
    target.read("reading the chunks of a build", command).await?.iter().map(from_record).collect()
}

/// See [`crate::ports::RecordStore::chunk_counts`].
pub(super) async fn counts(target: &MongoTarget, build: &BuildRecord) -> Result<(u64, u64)> {
    let pipeline =
        vec![doc! {"$match": records::chunk_range(build)}, doc! {"$group": {"_id": "$state", "count": {"$sum": 1}}}];
    let command = doc! {"aggregate": CHUNKS, "pipeline": pipeline, "cursor": {}};
    let (mut planned, mut done) = (0, 0);
    for group in target.read("counting the chunks of a build", command).await? {
        let count = count_from(&group, "count");
        planned += count;
        if group.get_str("_id").is_ok_and(|state| state == "done") {
            done += count;
        }
    }
    Ok((planned, done))
}

/// See [`crate::ports::RecordStore::plan_chunks`]. A chunk that was planned already with the same bounds is left as it is.
pub(super) async fn plan(target: &MongoTarget, build: &BuildRecord, chunks: &[ChunkRecord]) -> Result<()> {
    let what = format!("planning chunks of build {}", build.id());
    let (_, until_ms) = target.create_bounds(target.record_deadline(&build.job));
    let statement = |chunk: &ChunkRecord| {
        let id = records::chunk_id(build, chunk.number);
        let mut put = records::put(&id, build.owner_epoch, to_record(chunk), until_ms);
        if let Ok(query) = put.get_document_mut("q") {
            query.insert("state", doc! {"$nin": ["started", "done"]});
        }
        put
    };
    let missed = target.put_all(&what, CHUNKS, chunks.iter().map(statement).collect()).await?;
    for chunk in missed.into_iter().filter_map(|at| chunks.get(at)) {
        let id = records::chunk_id(build, chunk.number);
        match one(target, &what, &id).await? {
            Some((epoch, _)) if epoch > build.owner_epoch => return Err(fenced(&what)),
            Some((_, stored)) if stored.after == chunk.after && stored.up_to == chunk.up_to => {}
            Some(_) => {
                return Err(Error::halt(format!("{what}: chunk {} was begun with other bounds", chunk.number)));
            }
            None => return Err(Error::retry(format!("{what}: chunk {} came and went", chunk.number))),
        }
    }
    Ok(())
}

/// See [`crate::ports::RecordStore::start_chunk`].
pub(super) async fn start(
    target: &MongoTarget,
    build: &BuildRecord,
    number: u32,
    executed: &GtidSet,
) -> Result<GtidSet> {
    let what = format!("starting chunk {number} of build {}", build.id());
    let id = records::chunk_id(build, number);
    let pipeline = vec![doc! {"$set": {
        "executed": {"$ifNull": ["$executed", {"$literal": executed.to_string()}]},
        "attempts": {"$add": [{"$ifNull": ["$attempts", 0i64]}, 1i64]},
        "state": {"$literal": "started"},
        "owner_epoch": build.owner_epoch,
    }}];
    let query = doc! {"_id": id.clone(), "owner_epoch": fence(build.owner_epoch)};
    match target.modify(&what, CHUNKS, query, pipeline, false).await? {
        Some(record) => from_record(&record)?.executed.ok_or_else(|| damaged("a chunk")),
        None => Err(why_missed(target, &what, build, &id).await?),
    }
}

/// See [`crate::ports::RecordStore::finish_chunk`].
pub(super) async fn finish(
    target: &MongoTarget,
    build: &BuildRecord,
    number: u32,
    documents: u64,
    rows: u64,
) -> Result<()> {
    let what = format!("finishing chunk {number} of build {}", build.id());
    let id = records::chunk_id(build, number);
    let fields = doc! {
        "state": "done", "documents": count_to_bson(documents), "rows": count_to_bson(rows),
        "owner_epoch": build.owner_epoch,
    };
    let query = doc! {"_id": id.clone(), "owner_epoch": fence(build.owner_epoch)};
    let reply = target.update(&what, CHUNKS, vec![doc! {"q": query, "u": {"$set": fields}}], COMMAND_LIMIT).await?;
    match reply.errors.first() {
        None if reply.count == 1 => Ok(()),
        None => Err(why_missed(target, &what, build, &id).await?),
        Some(error) => Err(Error::retry(format!("{what}: the target answered with error {}", error.code))),
    }
}

async fn why_missed(target: &MongoTarget, what: &str, build: &BuildRecord, id: &Bson) -> Result<Error> {
    Ok(match target.stored_epoch(what, CHUNKS, id).await? {
        Some(epoch) if epoch > build.owner_epoch => fenced(what),
        Some(_) => Error::retry(format!("{what}: it changed in the same moment")),
        None => Error::halt(format!("{what}: it was never planned, or somebody removed its record")),
    })
}

async fn one(target: &MongoTarget, what: &str, id: &Bson) -> Result<Option<(i64, ChunkRecord)>> {
    let found = target.read(what, doc! {"find": CHUNKS, "filter": {"_id": id.clone()}}).await?;
    found.first().map(|record| Ok((long(record, "owner_epoch").unwrap_or(0), from_record(record)?))).transpose()
}

fn to_record(chunk: &ChunkRecord) -> Document {
    let bound = |key: &Option<_>| key.as_ref().map_or(Bson::Null, records::key_to_bson);
    let state = match chunk.state {
        ChunkState::Planned => "planned",
        ChunkState::Started => "started",
        ChunkState::Done => "done",
    };
    doc! {
        "after": bound(&chunk.after), "up_to": bound(&chunk.up_to), "state": state,
        "executed": chunk.executed.as_ref().map(GtidSet::to_string), "attempts": i64::from(chunk.attempts),
        "documents": count_to_bson(chunk.documents), "rows": count_to_bson(chunk.rows),
    }
}

fn from_record(record: &Document) -> Result<ChunkRecord> {
    let broken = || damaged("a chunk");
    let id = record.get_document("_id").map_err(|_| broken())?;
    let bound = |field: &str| match record.get(field) {
        None | Some(Bson::Null) => Ok(None),
        Some(key) => records::key_from_bson(key).map(Some),
    };
    let executed = match record.get("executed") {
        None | Some(Bson::Null) => None,
        Some(Bson::String(text)) => Some(text.parse().map_err(|_| broken())?),
        Some(_) => return Err(broken()),
    };
    let state = match record.get_str("state") {
        Ok("planned") => ChunkState::Planned,
        Ok("started") => ChunkState::Started,
        Ok("done") => ChunkState::Done,
        _ => return Err(broken()),
    };
    Ok(ChunkRecord {
        number: long(id, "n").and_then(|number| u32::try_from(number).ok()).ok_or_else(broken)?,
        after: bound("after")?,
        up_to: bound("up_to")?,
        state,
        executed,
        attempts: u32::try_from(count_from(record, "attempts")).map_err(|_| broken())?,
        documents: count_from(record, "documents"),
        rows: count_from(record, "rows"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::{Key, Value};

    #[test]
    fn a_chunk_comes_back_as_it_was() {
        let executed = Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".parse().expect("a GTID set"));
        for (state, executed) in
            [(ChunkState::Planned, None), (ChunkState::Started, executed.clone()), (ChunkState::Done, executed)]
        {
            let up_to = Some(Key(vec![Value::from_u64(u64::MAX), Value::Text("k".into())]));
            let chunk =
                ChunkRecord { number: 7, after: None, up_to, state, executed, attempts: 2, documents: 10, rows: 30 };
            let mut record = doc! {"_id": {"b": "shop/orders/1", "n": 7i64}, "owner_epoch": 3i64};
            record.extend(to_record(&chunk));
            assert_eq!(from_record(&record).expect("a chunk"), chunk);
        }
    }
}
