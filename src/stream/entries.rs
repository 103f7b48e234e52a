//! From stream entries to events.
//!
//! Owns: what becomes of each kind of entry: changes are queued, what is no entry is parked, what shows that history was
//! lost ends the line. Does not own: what an entry says (`logic::envelope`), where it lies (`reader`).

use std::sync::Arc;

use super::{Context, Followed, queue, unlogged};
use crate::error::{Error, Result};
use crate::logic::envelope::decode::{Decoded, Producer, SnapshotPart, decode};
use crate::logic::envelope::foreign::{SchemaChange, schema_change};
use crate::logic::routing::is_relevant;
use crate::model::build::ParkedRecord;
use crate::model::change::{LogEvent, Origin, RowChange, Unlogged};
use crate::model::position::{Gtid, GtidSet, Version};
use crate::model::schema::TableName;
use crate::model::stream::RawEntry;
use crate::model::value::Key;
use crate::ops::progress::Progress;
use crate::ports::{Clock, DocumentStore, RecordStore, Source};

/// Whether the other end of the queue still listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Open,
    Closed,
}

/// Takes entries in.
pub(super) struct Sink<S, D, R, C> {
    context: Arc<Context<S, D, R, C>>,
    producer: Producer,
    followed: Vec<Option<Followed>>,
    applied: Vec<Option<GtidSet>>,
    origin: Arc<Origin>,
    committed_unix_ms: u64,
}

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock> Sink<S, D, R, C> {
    pub(super) fn new(context: Arc<Context<S, D, R, C>>, producer: Producer, followed: &[Option<Followed>]) -> Self {
        let applied = followed.iter().map(|one| Some(one.as_ref()?.checkpoint.applied.clone())).collect();
        Self { context, producer, followed: followed.to_vec(), applied, origin: Arc::default(), committed_unix_ms: 0 }
    }

    /// Commit time of the newest change that was taken, milliseconds since 1970; 0 if none was.
    pub(super) fn committed_unix_ms(&self) -> u64 {
        self.committed_unix_ms
    }

    /// Takes entries of one stream, in order. The stream after those of the plan's tables tells of definitions.
    pub(super) async fn take(
        &mut self,
        at: usize,
        stream: &str,
        entries: &[RawEntry],
        queue: &queue::Sender,
    ) -> Result<Read> {
        let plan = self.context.plan.clone();
        let Some(used) = plan.tables.get(at) else {
            for entry in entries {
                self.schema(stream, entry).await?;
            }
            return Ok(Read::Open);
        };
        let mut waiting: Option<(Gtid, Vec<RowChange>)> = None;
        for entry in entries {
            match decode(entry, at, used, self.producer) {
                Decoded::Changes { gtid, mut changes, origin, .. } => {
                    self.committed_unix_ms = self.committed_unix_ms.max(origin.committed_unix_us / 1000);
                    changes.retain(is_relevant);
                    match &mut waiting {
                        Some((of, all)) if *of == gtid => all.append(&mut changes),
                        _ => {
                            if let Read::Closed = self.send(waiting.replace((gtid, changes)), queue).await {
                                return Ok(Read::Closed);
                            }
                        }
                    }
                }
                Decoded::Tombstone | Decoded::Ignored | Decoded::Snapshot(SnapshotPart::Incremental) => {}
                Decoded::Unlogged { gtid, what, .. } => self.unlogged(&gtid, &used.name, what).await?,
                Decoded::Snapshot(_) => return Err(new_snapshot(stream)),
                Decoded::NoGtid => return Err(no_gtid(stream)),
                Decoded::Unusable { column, reason } => return Err(unusable(stream, &column, reason)),
                Decoded::Poison(reason) => self.park(&used.name, stream, entry, &reason).await?,
            }
        }
        Ok(self.send(waiting, queue).await)
    }

    async fn send(&self, changes: Option<(Gtid, Vec<RowChange>)>, queue: &queue::Sender) -> Read {
        match changes {
            Some((gtid, changes)) if !changes.is_empty() => {
                let part = LogEvent::Part { gtid, changes, origin: self.origin.clone() };
                if queue.send(part).await { Read::Open } else { Read::Closed }
            }
            _ => Read::Open,
        }
    }

    async fn unlogged(&self, gtid: &Gtid, table: &TableName, what: Unlogged) -> Result<()> {
        if unlogged::concerns_somebody(&self.context, &self.applied, gtid, table) {
            return unlogged::react(&self.context, gtid, table, what).await;
        }
        Ok(())
    }

    /// An entry of the stream in which a Debezium Server tells of definitions.
    async fn schema(&self, stream: &str, entry: &RawEntry) -> Result<()> {
        match schema_change(entry, &self.context.plan.tables) {
            SchemaChange::Effects { gtid, effects, .. } => {
                for (table, what) in effects {
                    self.unlogged(&gtid, &table, what).await?;
                }
                Ok(())
            }
            SchemaChange::Ignored => Ok(()),
            SchemaChange::NoGtid => Err(no_gtid(stream)),
            SchemaChange::Poison(reason) => {
                tracing::warn!(stream, id = %entry.id, reason, "a schema change cannot be read; the tables' definitions are compared instead");
                self.context.source.verify_definitions().await
            }
        }
    }

    /// Keeps the reason beside the documents, before the entry's position is passed: nobody knows which rows it was about.
    async fn park(&self, table: &TableName, stream: &str, entry: &RawEntry, reason: &str) -> Result<()> {
        tracing::warn!(stream, id = %entry.id, reason, "an entry cannot be read: parked; the stream goes on");
        let plan = &self.context.plan;
        for (projection, followed) in plan.projections.iter().zip(&self.followed) {
            let Some(followed) = followed.as_ref().filter(|_| projection.reads(table)) else { continue };
            let parked = ParkedRecord {
                key: Key(Vec::new()),
                entry: Some(format!("{stream} {}", entry.id)),
                reason: reason.to_string(),
                version: Version(0),
            };
            self.context.records.park(&followed.build, std::slice::from_ref(&parked)).await?;
            Progress::add(&self.context.progress.parked, 1);
        }
        Ok(())
    }
}

fn new_snapshot(stream: &str) -> Error {
    Error::halt(format!(
        "E-STREAM-LOST: {stream} holds rows of a new snapshot by its Debezium Server: what was committed between its last \
         change and that snapshot is not in the streams; run with --start-over once the snapshot is complete"
    ))
}

fn no_gtid(stream: &str) -> Error {
    Error::halt(format!(
        "E-NO-FENCE: a change in {stream} has no GTID, so no read can be proved to contain it: set gtid_mode=ON and \
         enforce_gtid_consistency=ON on the source, then run with --start-over"
    ))
}

fn unusable(stream: &str, column: &str, reason: &str) -> Error {
    Error::halt(format!("E-STREAM-VALUE: {stream}: column {column} {reason}"))
}
