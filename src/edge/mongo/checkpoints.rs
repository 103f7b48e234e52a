//! Builds, checkpoints, parked documents and the word about a running engine: `_rowfold.*` beside the documents.
//!
//! Owns: `RecordStore` for MongoDB and all of its records but chunks (`chunks`) and leases (`leases`). Does not own: their
//! form (`records`), when to store them.
//!
//! Fencing. A record holds the epoch of the owner who wrote it, and a smaller one is refused. That alone would let a late
//! write of the last owner through to a record that the new one has not touched yet, so the first `save_build` of an owner
//! raises the epoch of all chunks and of the checkpoint first. It has to come after the wait of the lease; from then on an
//! earlier owner can neither change a record nor, by the deadline of its lease, create one.

use std::time::Duration;

use bson::{Bson, Document, doc};

use super::records::{
    self, BUILDS, CHECKPOINTS, CHUNKS, MARKS, META, PARKED, count_from, count_to_bson, damaged, fence, fenced,
};
use super::{COMMAND_LIMIT, MongoTarget, chunks, failure, leases, locked, marks};
use crate::error::{Error, Result};
use crate::model::build::{
    BuildRecord, CheckpointRecord, ChunkRecord, EngineStatus, FORMAT_VERSION, Lease, LeaseReply, MarkRecord,
    ParkedRecord,
};
use crate::model::position::{GtidSet, Version};
use crate::model::stream::{Position, StreamCheckpoint};
use crate::model::value::Key;
use crate::ports::RecordStore;

/// How often a record is stored again that another writer touched in the same moment.
const TRIES: usize = 4;

impl MongoTarget {
    /// Stores one record under the fence.
    async fn put_one(
        &self,
        what: &str,
        collection: &str,
        build: &BuildRecord,
        id: Bson,
        record: Document,
    ) -> Result<()> {
        let (_, until_ms) = self.create_bounds(self.record_deadline(&build.job));
        for _ in 0..TRIES {
            let put = records::put(&id, build.owner_epoch, record.clone(), until_ms);
            if self.put_all(what, collection, vec![put]).await?.is_empty() {
                return Ok(());
            }
            if self.stored_epoch(what, collection, &id).await?.is_some_and(|epoch| epoch > build.owner_epoch) {
                return Err(fenced(what));
            }
        }
        Err(Error::retry(format!("{what}: another writer keeps changing it")))
    }

    /// Shuts earlier owners out of a build's records, once.
    async fn claim(&self, build: &BuildRecord) -> Result<()> {
        let claim = (build.id(), build.owner_epoch);
        if locked(&self.claimed).contains(&claim) {
            return Ok(());
        }
        let what = format!("taking over the records of build {}", build.id());
        for (collection, mut query) in [(CHUNKS, records::chunk_range(build)), (CHECKPOINTS, doc! {"_id": build.id()})]
        {
            query.insert("owner_epoch", doc! {"$lt": build.owner_epoch});
            let raise = doc! {"q": query, "u": {"$set": {"owner_epoch": build.owner_epoch}}, "multi": true};
            let reply = self.update(&what, collection, vec![raise], COMMAND_LIMIT).await?;
            if let Some(error) = reply.errors.first() {
                return Err(Error::retry(format!("{what}: the target answered with error {}", error.code)));
            }
        }
        locked(&self.claimed).insert(claim);
        Ok(())
    }
}

impl RecordStore for MongoTarget {
    async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        lease: Duration,
        write_deadline: Duration,
    ) -> Result<LeaseReply> {
        leases::acquire(self, name, owner, lease, write_deadline).await
    }

    async fn renew_lease(&self, held: &Lease, lease: Duration, write_deadline: Duration) -> Result<Lease> {
        leases::renew(self, held, lease, write_deadline).await
    }

    async fn release_lease(&self, held: &Lease) -> Result<()> {
        leases::release(self, held).await
    }

    async fn builds(&self, job: Option<&str>) -> Result<Vec<BuildRecord>> {
        self.check_format(false).await?;
        let filter = job.map_or_else(Document::new, |job| doc! {"job": job});
        let command = doc! {"find": BUILDS, "filter": filter};
        let found = self.read("reading the builds", command).await?;
        let mut builds = found.into_iter().map(build_from).collect::<Result<Vec<_>>>()?;
        builds.sort_by(|a, b| (&a.job, &a.collection, a.number).cmp(&(&b.job, &b.collection, b.number)));
        Ok(builds)
    }

    async fn save_build(&self, build: &BuildRecord) -> Result<()> {
        self.check_format(true).await?;
        let what = format!("storing build {}", build.id());
        let record =
            bson::serialize_to_document(build).map_err(|_| Error::halt(format!("{what}: the record is not BSON")))?;
        self.claim(build).await?;
        self.put_one(&what, BUILDS, build, build.id().into(), record).await
    }

    async fn remove_build(&self, build: &BuildRecord) -> Result<()> {
        let what = format!("forgetting build {}", build.id());
        let id = Bson::from(build.id());
        if self.stored_epoch(&what, BUILDS, &id).await?.is_some_and(|epoch| epoch > build.owner_epoch) {
            return Err(fenced(&what));
        }
        // The build itself last: what a crash leaves behind can still be found.
        for (collection, mut query) in [
            (CHUNKS, records::chunk_range(build)),
            (CHECKPOINTS, doc! {"_id": build.id()}),
            (PARKED, records::digest_range(build)),
            (MARKS, records::digest_range(build)),
            (BUILDS, doc! {"_id": build.id()}),
        ] {
            query.insert("owner_epoch", fence(build.owner_epoch));
            self.delete_all(&what, collection, vec![doc! {"q": query, "limit": 0}]).await?;
        }
        Ok(())
    }

    async fn chunks(&self, build: &BuildRecord) -> Result<Vec<ChunkRecord>> {
        chunks::all(self, build).await
    }

    async fn chunk_counts(&self, build: &BuildRecord) -> Result<(u64, u64)> {
        chunks::counts(self, build).await
    }

    async fn plan_chunks(&self, build: &BuildRecord, chunks: &[ChunkRecord]) -> Result<()> {
        chunks::plan(self, build, chunks).await
    }

    async fn start_chunk(&self, build: &BuildRecord, number: u32, executed: &GtidSet) -> Result<GtidSet> {
        chunks::start(self, build, number, executed).await
    }

    async fn finish_chunk(&self, build: &BuildRecord, number: u32, documents: u64, rows: u64) -> Result<()> {
        chunks::finish(self, build, number, documents, rows).await
    }

    async fn checkpoint(&self, build: &BuildRecord) -> Result<Option<CheckpointRecord>> {
        let command = doc! {"find": CHECKPOINTS, "filter": {"_id": build.id()}};
        let found = self.read("reading a checkpoint", command).await?;
        found.first().map(checkpoint_from).transpose()
    }

    async fn save_checkpoint(&self, build: &BuildRecord, checkpoint: &CheckpointRecord) -> Result<()> {
        let what = format!("storing the checkpoint of build {}", build.id());
        let mut record = doc! {
            "applied": checkpoint.applied.to_string(), "events": count_to_bson(checkpoint.events),
            "committed_unix_ms": count_to_bson(checkpoint.committed_unix_ms),
        };
        if let Some(streams) = &checkpoint.streams {
            record.insert("streams", streams_to_bson(streams));
        }
        if !checkpoint.marked.is_empty() {
            record.insert("marked", checkpoint.marked.to_string());
        }
        self.put_one(&what, CHECKPOINTS, build, build.id().into(), record).await
    }

    async fn add_marks(&self, build: &BuildRecord, marks: &[MarkRecord]) -> Result<()> {
        marks::add(self, build, marks).await
    }

    async fn marks(&self, build: &BuildRecord, limit: usize) -> Result<Vec<MarkRecord>> {
        marks::some(self, build, limit).await
    }

    async fn remove_marks(&self, build: &BuildRecord, marks: &[MarkRecord]) -> Result<()> {
        marks::remove(self, build, marks).await
    }

    async fn marks_count(&self, build: &BuildRecord) -> Result<u64> {
        marks::count(self, build).await
    }

    async fn park(&self, build: &BuildRecord, parked: &[ParkedRecord]) -> Result<()> {
        let what = format!("parking documents of build {}", build.id());
        let (_, until_ms) = self.create_bounds(self.record_deadline(&build.job));
        let statement = |parked: &ParkedRecord| {
            let named_by = match &parked.entry {
                Some(entry) => doc! {"e": entry},
                None => doc! {"k": records::key_to_bson(&parked.key)},
            };
            let id = records::digest_id(build, &named_by)?;
            let mut record = doc! {
                "key": records::key_to_bson(&parked.key), "reason": &parked.reason, "version": parked.version.0,
            };
            if let Some(entry) = &parked.entry {
                record.insert("entry", entry);
            }
            Ok(records::put(&id, build.owner_epoch, record, until_ms))
        };
        let puts = parked.iter().map(statement).collect::<Result<Vec<_>>>()?;
        if self.put_all(&what, PARKED, puts).await?.is_empty() { Ok(()) } else { Err(fenced(&what)) }
    }

    async fn unpark(&self, build: &BuildRecord, keys: &[Key]) -> Result<()> {
        let what = format!("removing parked records of build {}", build.id());
        let ids = keys
            .iter()
            .map(|key| records::digest_id(build, &doc! {"k": records::key_to_bson(key)}))
            .collect::<Result<Vec<_>>>()?;
        let delete = |part: &[Bson]| {
            doc! {"q": {"_id": {"$in": part}, "owner_epoch": fence(build.owner_epoch)}, "limit": 0}
        };
        for part in ids.chunks(records::RECORDS_AT_ONCE) {
            self.delete_all(&what, PARKED, vec![delete(part)]).await?;
        }
        Ok(())
    }

    async fn parked(&self, build: &BuildRecord, limit: usize) -> Result<Vec<ParkedRecord>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let command = doc! {"find": PARKED, "filter": records::digest_range(build), "sort": {"_id": 1}, "limit": limit};
        let found = self.read("reading the parked records", command).await?;
        found.iter().map(parked_from).collect()
    }

    async fn parked_count(&self, build: &BuildRecord) -> Result<u64> {
        let pipeline =
            vec![doc! {"$match": records::digest_range(build)}, doc! {"$group": {"_id": null, "count": {"$sum": 1}}}];
        let command = doc! {"aggregate": PARKED, "pipeline": pipeline, "cursor": {}};
        let found = self.read("counting the parked records", command).await?;
        Ok(found.first().map_or(0, |group| count_from(group, "count")))
    }

    async fn save_status(&self, job: &str, status: &EngineStatus) -> Result<()> {
        let what = format!("storing the status of job `{job}`");
        let record =
            bson::serialize_to_document(status).map_err(|_| Error::halt(format!("{what}: the record is not BSON")))?;
        let pipeline =
            vec![doc! {"$replaceWith": {"$mergeObjects": ["$$ROOT", {"$literal": record}, {"at": "$$NOW"}]}}];
        let statement = doc! {"q": {"_id": format!("status/{job}")}, "u": pipeline, "upsert": true};
        let reply = self.update(&what, META, vec![statement], COMMAND_LIMIT).await?;
        match reply.errors.first() {
            None => Ok(()),
            Some(error) => Err(Error::retry(format!("{what}: the target answered with error {}", error.code))),
        }
    }

    async fn status(&self, job: &str) -> Result<Option<(EngineStatus, Duration)>> {
        self.check_format(false).await?;
        let pipeline = vec![
            doc! {"$match": {"_id": format!("status/{job}")}},
            doc! {"$set": {"age": {"$subtract": ["$$NOW", "$at"]}}},
        ];
        let command = doc! {"aggregate": META, "pipeline": pipeline, "cursor": {}};
        let mut found = self.read("reading the status of a job", command).await?;
        let Some(record) = found.pop() else {
            return Ok(None);
        };
        let age = Duration::from_millis(count_from(&record, "age"));
        let status = bson::deserialize_from_document(record).map_err(|_| damaged("a status"))?;
        Ok(Some((status, age)))
    }
}

impl MongoTarget {
    pub(super) async fn delete_all(&self, what: &str, collection: &str, deletes: Vec<Document>) -> Result<()> {
        let reply = self.delete(what, collection, deletes).await?;
        match reply.errors.first() {
            None => Ok(()),
            Some(error) => Err(Error::retry(format!("{what}: the target answered with error {}", error.code))),
        }
    }
}

fn build_from(record: Document) -> Result<BuildRecord> {
    let format = failure::long(&record, "format").ok_or_else(|| damaged("a build"))?;
    if format > i64::from(FORMAT_VERSION) {
        return Err(records::newer_format(format));
    }
    bson::deserialize_from_document(record).map_err(|_| damaged("a build"))
}

fn checkpoint_from(record: &Document) -> Result<CheckpointRecord> {
    let applied = record.get_str("applied").ok().and_then(|text| text.parse().ok());
    Ok(CheckpointRecord {
        applied: applied.ok_or_else(|| damaged("a checkpoint"))?,
        events: count_from(record, "events"),
        committed_unix_ms: count_from(record, "committed_unix_ms"),
        streams: record.get_document("streams").ok().map(streams_from).transpose()?,
        marked: record
            .get_str("marked")
            .map_or(Ok(GtidSet::default()), |text| text.parse())
            .map_err(|_| damaged("a checkpoint"))?,
    })
}

/// Positions as a list: a stream's name has dots.
fn streams_to_bson(streams: &StreamCheckpoint) -> Document {
    let position = |(stream, position): (&String, &Position)| {
        Bson::from(doc! {"stream": stream, "id": position.id.to_string(), "count": count_to_bson(position.count)})
    };
    let positions: Vec<Bson> = streams.positions.iter().map(position).collect();
    doc! {"generation": &streams.generation, "epoch": count_to_bson(streams.epoch), "positions": positions}
}

fn streams_from(record: &Document) -> Result<StreamCheckpoint> {
    let broken = || damaged("a checkpoint");
    let position = |stored: &Bson| {
        let stored = stored.as_document()?;
        let id = stored.get_str("id").ok()?.parse().ok()?;
        Some((stored.get_str("stream").ok()?.to_string(), Position { id, count: count_from(stored, "count") }))
    };
    let positions = record.get_array("positions").map_err(|_| broken())?;
    Ok(StreamCheckpoint {
        generation: record.get_str("generation").map_err(|_| broken())?.to_string(),
        epoch: count_from(record, "epoch"),
        positions: positions.iter().map(position).collect::<Option<_>>().ok_or_else(broken)?,
    })
}

fn parked_from(record: &Document) -> Result<ParkedRecord> {
    let broken = || damaged("a parked record");
    Ok(ParkedRecord {
        key: records::key_from_bson(record.get("key").ok_or_else(broken)?)?,
        entry: record.get_str("entry").ok().map(str::to_string),
        reason: record.get_str("reason").map_err(|_| broken())?.to_string(),
        version: Version(failure::long(record, "version").ok_or_else(broken)?),
    })
}
