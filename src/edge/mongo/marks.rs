//! Marks of a build that is being copied. `_rowfold.marks`, `_id` = `{b: build, k: digest}`.
//!
//! Owns: keeping each mark once, and removing it. Does not own: what a read must contain to discharge them
//! (`CheckpointRecord::marked`), when they are drained (`stream`).

use bson::{Bson, Document, doc};

use super::MongoTarget;
use super::failure::long;
use super::records::{self, MARKS, count_from, damaged, fence, fenced};
use crate::error::Result;
use crate::model::build::{BuildRecord, MarkRecord};

/// See [`crate::ports::RecordStore::add_marks`].
pub(super) async fn add(target: &MongoTarget, build: &BuildRecord, marks: &[MarkRecord]) -> Result<()> {
    let what = format!("keeping marks of build {}", build.id());
    let (_, until_ms) = target.create_bounds(target.record_deadline(&build.job));
    let statement = |mark: &MarkRecord| {
        let record = doc! {"node": i64::try_from(mark.node).unwrap_or(i64::MAX), "linked": mark.linked, "key": records::key_to_bson(&mark.key)};
        Ok(records::put(&id(build, mark)?, build.owner_epoch, record, until_ms))
    };
    let puts = marks.iter().map(statement).collect::<Result<Vec<_>>>()?;
    if target.put_all(&what, MARKS, puts).await?.is_empty() { Ok(()) } else { Err(fenced(&what)) }
}

/// See [`crate::ports::RecordStore::marks`].
pub(super) async fn some(target: &MongoTarget, build: &BuildRecord, limit: usize) -> Result<Vec<MarkRecord>> {
    let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
    let command = doc! {"find": MARKS, "filter": records::digest_range(build), "sort": {"_id": 1}, "limit": limit};
    target.read("reading the marks of a build", command).await?.iter().map(from_record).collect()
}

/// See [`crate::ports::RecordStore::remove_marks`].
pub(super) async fn remove(target: &MongoTarget, build: &BuildRecord, marks: &[MarkRecord]) -> Result<()> {
    let what = format!("removing marks of build {}", build.id());
    let ids = marks.iter().map(|mark| id(build, mark)).collect::<Result<Vec<_>>>()?;
    for part in ids.chunks(records::RECORDS_AT_ONCE) {
        let query = doc! {"_id": {"$in": part}, "owner_epoch": fence(build.owner_epoch)};
        target.delete_all(&what, MARKS, vec![doc! {"q": query, "limit": 0}]).await?;
    }
    Ok(())
}

/// See [`crate::ports::RecordStore::marks_count`].
pub(super) async fn count(target: &MongoTarget, build: &BuildRecord) -> Result<u64> {
    let pipeline =
        vec![doc! {"$match": records::digest_range(build)}, doc! {"$group": {"_id": null, "count": {"$sum": 1}}}];
    let command = doc! {"aggregate": MARKS, "pipeline": pipeline, "cursor": {}};
    let found = target.read("counting the marks of a build", command).await?;
    Ok(found.first().map_or(0, |group| count_from(group, "count")))
}

fn id(build: &BuildRecord, mark: &MarkRecord) -> Result<Bson> {
    let node = i64::try_from(mark.node).unwrap_or(i64::MAX);
    records::digest_id(build, &doc! {"n": node, "l": mark.linked, "k": records::key_to_bson(&mark.key)})
}

fn from_record(record: &Document) -> Result<MarkRecord> {
    let broken = || damaged("a mark");
    Ok(MarkRecord {
        node: long(record, "node").and_then(|node| usize::try_from(node).ok()).ok_or_else(broken)?,
        linked: record.get_bool("linked").map_err(|_| broken())?,
        key: records::key_from_bson(record.get("key").ok_or_else(broken)?)?,
    })
}
