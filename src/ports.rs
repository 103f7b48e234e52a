//! All that the engine asks of the world: a source, its change log, a document store, a record store, a clock.
//!
//! Owns: the traits and what success of each call means. Does not own: implementations (`edge`, and in tests the
//! simulation). No default bodies: who forgets a method must not lose data silently.

mod streams;

use std::future::Future;
use std::time::Duration;

use arrow_array::RecordBatch;

use crate::error::Result;
use crate::model::build::{
    BuildRecord, CheckpointRecord, ChunkRecord, EngineStatus, Lease, LeaseReply, MarkRecord, ParkedRecord,
};
use crate::model::change::{LogEvent, SourceState};
use crate::model::document::Document;
use crate::model::plan::IndexPlan;
use crate::model::position::{GtidSet, Version};
use crate::model::value::Key;

pub use self::streams::{
    Append, Appended, Begin, CaptureSource, ForeignLook, Groups, Look, StreamStore, Usage, group_name,
};

/// Which rows of a node to read.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// Rows whose root key (for the root), or whose join key (for a node whose join follows the root key), lies in
    /// `after < key <= up_to`, as MySQL orders keys.
    Range {
        /// Excluded lower bound.
        after: Option<&'a Key>,
        /// Included upper bound.
        up_to: Option<&'a Key>,
    },
    /// Every row of the node's table (that its filter lets through), for a lookup that is held in memory during a copy.
    All,
    /// Rows whose root key or join key equals one of these, as MySQL compares. Keys with a NULL match nothing.
    Keys(&'a [Key]),
}

/// What a bounded read gave.
#[derive(Debug)]
pub enum Selected {
    /// All of the rows: the columns of `ProjectionPlan::layout`, in document order (for the root: in key order).
    Rows(RecordBatch),
    /// More than the allowed bytes; nothing is returned. Ask for less.
    TooLarge,
}

/// The source database.
pub trait Source: Send + Sync + 'static {
    /// A consistent snapshot.
    type Snapshot: Snapshot;
    /// A change log.
    type Log: ChangeLog;

    /// Who answers, and what it has executed.
    fn state(&self) -> impl Future<Output = Result<SourceState>> + Send;

    /// Waits until the source has executed all of `gtids` (visible to new snapshots), at most `timeout`. False if the
    /// time ran out.
    fn wait_for(&self, gtids: &GtidSet, timeout: Duration) -> impl Future<Output = Result<bool>> + Send;

    /// Reads E, *then* opens a snapshot: everything in E is inside it.
    fn snapshot(&self) -> impl Future<Output = Result<Self::Snapshot>> + Send;

    /// The key that ends a chunk of `rows` root rows after `after`: the `rows`-th key in MySQL's order, or `None` if
    /// fewer remain. Ignores the root's filter.
    fn boundary(
        &self,
        projection: usize,
        after: Option<&Key>,
        rows: u64,
    ) -> impl Future<Output = Result<Option<Key>>> + Send;

    /// Root rows (estimate) and bytes of source rows that one document takes (estimate, nested rows included).
    fn size_estimate(&self, projection: usize) -> impl Future<Output = Result<(u64, u64)>> + Send;

    /// Bytes of a node's whole table, by the optimizer's estimate.
    fn table_bytes_estimate(&self, projection: usize, node: usize) -> impl Future<Output = Result<u64>> + Send;

    /// Opens the change log after `from`: everything executed that is not in it. Fails with `Halt` if the log no longer
    /// reaches back.
    fn log(&self, from: &GtidSet) -> impl Future<Output = Result<Self::Log>> + Send;

    /// Compares the used tables' definitions with the plan. `Halt` if a used column is gone or changed its type.
    fn verify_definitions(&self) -> impl Future<Output = Result<()>> + Send;
}

/// One consistent snapshot on a connection of its own. Dropping it without `close` gives the connection up.
pub trait Snapshot: Send + 'static {
    /// E: every transaction in it is inside the snapshot.
    fn executed(&self) -> &GtidSet;

    /// `@@server_uuid` of the server that is read.
    fn server_uuid(&self) -> &str;

    /// Reads rows of one node.
    fn select(
        &mut self,
        projection: usize,
        node: usize,
        selection: Selection<'_>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Selected>> + Send;

    /// Distinct root keys, in MySQL's order and beyond `after`, at most `limit`, that reach a row of `node` whose join
    /// key (child side; with a link table the link's side) is one of `keys`. For a link table's `to` side use
    /// [`Snapshot::roots_of_linked`].
    fn roots(
        &mut self,
        projection: usize,
        node: usize,
        keys: &[Key],
        after: Option<&Key>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// As [`Snapshot::roots`], for rows of a node behind a link table, found by the node's own `to` columns.
    fn roots_of_linked(
        &mut self,
        projection: usize,
        node: usize,
        keys: &[Key],
        after: Option<&Key>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// Which of these root keys are there, as the source spells them (`A` where `a` was asked for and both are equal to it).
    /// Ignores the root's filter.
    fn present(&mut self, projection: usize, keys: &[Key]) -> impl Future<Output = Result<Vec<Key>>> + Send;

    /// The same key range cut in two by MySQL: the key that ends its first half, or `None` if it holds at most one root.
    fn middle(
        &mut self,
        projection: usize,
        after: Option<&Key>,
        up_to: Option<&Key>,
    ) -> impl Future<Output = Result<Option<Key>>> + Send;

    /// The first root key of the range `after < key <= up_to`, or `None` if it is empty. Ignores the root's filter.
    fn first_key(
        &mut self,
        projection: usize,
        after: Option<&Key>,
        up_to: Option<&Key>,
    ) -> impl Future<Output = Result<Option<Key>>> + Send;

    /// Ends the snapshot and gives the connection back.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The source's change log from some position on.
pub trait ChangeLog: Send + 'static {
    /// The next event. Cancel-safe. An error ends the log: open a new one from what was applied.
    fn next(&mut self) -> impl Future<Output = Result<LogEvent>> + Send;
}

/// A moment that never comes (the last of the year 9999), for creates that need no deadline.
pub const NO_DEADLINE_MS: i64 = 253_402_300_799_000;

/// One guarded write of a root's document.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Replace or create. `likely_new` is a hint about which of the two to try first.
    Put {
        /// The document; its `_rf.v` is the version of the batch.
        document: Document,
        /// A hint for speed only.
        likely_new: bool,
    },
    /// The root is absent in the read: remove its document.
    Delete {
        /// A BSON document with the `_id` alone.
        id: Vec<u8>,
    },
}

/// What became of the writes that were not applied. Everything else is durable (majority).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// Indices where a newer or equal read was already there; the mark is discharged.
    pub newer: Vec<usize>,
    /// Indices that the server refused for the document's own sake (too large, unique index), with the reason.
    pub refused: Vec<(usize, String)>,
}

/// The target database's collections of documents.
pub trait DocumentStore: Send + Sync + 'static {
    /// Inserts documents. Returned with majority durability. In the report, `newer` holds indices whose `_id` was
    /// already there.
    fn insert(&self, collection: &str, documents: &[Document]) -> impl Future<Output = Result<WriteReport>> + Send;

    /// Writes under the guard "the stored version is not greater than `version`". What has to be created is created
    /// only if that ends, by the server's clock, before `create_until_ms`; else the call fails as `Fenced`.
    fn write(
        &self,
        collection: &str,
        version: Version,
        create_until_ms: i64,
        writes: &[Write],
    ) -> impl Future<Output = Result<WriteReport>> + Send;

    /// Whether a collection exists, and whether it holds a document.
    fn collection_state(&self, collection: &str) -> impl Future<Output = Result<CollectionState>> + Send;

    /// Creates an empty collection; fine if it exists.
    fn create(&self, collection: &str) -> impl Future<Output = Result<()>> + Send;

    /// Renames a collection, with its indexes. Fails if `to` exists.
    fn rename(&self, from: &str, to: &str) -> impl Future<Output = Result<()>> + Send;

    /// Drops a collection; fine if it does not exist.
    fn drop_collection(&self, collection: &str) -> impl Future<Output = Result<()>> + Send;

    /// Builds indexes; those that exist already are fine. `Halt` if a document violates a unique one.
    fn create_indexes(&self, collection: &str, indexes: &[IndexPlan]) -> impl Future<Output = Result<()>> + Send;
}

/// See [`DocumentStore::collection_state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionState {
    /// No such collection.
    Missing,
    /// It exists and holds nothing.
    Empty,
    /// It holds documents.
    Filled,
}

/// rowfold's own records, beside the documents, in `_rowfold.*`. Every write is majority-durable when it returns, and
/// fails as `Fenced` if a later owner has written.
pub trait RecordStore: Send + Sync + 'static {
    /// Asks for the job's lease.
    fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        lease: Duration,
        write_deadline: Duration,
    ) -> impl Future<Output = Result<LeaseReply>> + Send;

    /// Extends a held lease; `Fenced` if it was lost.
    fn renew_lease(
        &self,
        held: &Lease,
        lease: Duration,
        write_deadline: Duration,
    ) -> impl Future<Output = Result<Lease>> + Send;

    /// Gives a lease back, so that the next owner need not wait. Only when no write is under way.
    fn release_lease(&self, held: &Lease) -> impl Future<Output = Result<()>> + Send;

    /// All builds of a job (of all jobs with `None`).
    fn builds(&self, job: Option<&str>) -> impl Future<Output = Result<Vec<BuildRecord>>> + Send;

    /// Stores a build whole. `Fenced` if the stored `owner_epoch` is greater.
    fn save_build(&self, build: &BuildRecord) -> impl Future<Output = Result<()>> + Send;

    /// Forgets a build with its chunks, checkpoint and parked records.
    fn remove_build(&self, build: &BuildRecord) -> impl Future<Output = Result<()>> + Send;

    /// All chunks of a build, in order.
    fn chunks(&self, build: &BuildRecord) -> impl Future<Output = Result<Vec<ChunkRecord>>> + Send;

    /// Counts of a build's chunks: planned (all), done.
    fn chunk_counts(&self, build: &BuildRecord) -> impl Future<Output = Result<(u64, u64)>> + Send;

    /// Stores newly planned chunks.
    fn plan_chunks(&self, build: &BuildRecord, chunks: &[ChunkRecord]) -> impl Future<Output = Result<()>> + Send;

    /// Notes that a chunk was started with this E. The first value wins; the stored one is returned.
    fn start_chunk(
        &self,
        build: &BuildRecord,
        number: u32,
        executed: &GtidSet,
    ) -> impl Future<Output = Result<GtidSet>> + Send;

    /// Notes that all documents of a chunk are durable.
    fn finish_chunk(
        &self,
        build: &BuildRecord,
        number: u32,
        documents: u64,
        rows: u64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// The checkpoint of a build.
    fn checkpoint(&self, build: &BuildRecord) -> impl Future<Output = Result<Option<CheckpointRecord>>> + Send;

    /// Stores the checkpoint. Only after all that it covers is durable.
    fn save_checkpoint(
        &self,
        build: &BuildRecord,
        checkpoint: &CheckpointRecord,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Keeps marks of a build that is still being copied, to be drained after it. Fine if they are there already.
    fn add_marks(&self, build: &BuildRecord, marks: &[MarkRecord]) -> impl Future<Output = Result<()>> + Send;

    /// Kept marks, at most `limit`, in some order; the same ones again until they are removed.
    fn marks(&self, build: &BuildRecord, limit: usize) -> impl Future<Output = Result<Vec<MarkRecord>>> + Send;

    /// Removes marks that are discharged. Only those: none may have been added since they were read, except by this call's
    /// owner before its read was fenced.
    fn remove_marks(&self, build: &BuildRecord, marks: &[MarkRecord]) -> impl Future<Output = Result<()>> + Send;

    /// How many marks are kept.
    fn marks_count(&self, build: &BuildRecord) -> impl Future<Output = Result<u64>> + Send;

    /// Records documents that could not be written.
    fn park(&self, build: &BuildRecord, parked: &[ParkedRecord]) -> impl Future<Output = Result<()>> + Send;

    /// Removes the records of documents that were written, or are gone, after all.
    fn unpark(&self, build: &BuildRecord, keys: &[Key]) -> impl Future<Output = Result<()>> + Send;

    /// The parked documents, at most `limit`.
    fn parked(&self, build: &BuildRecord, limit: usize) -> impl Future<Output = Result<Vec<ParkedRecord>>> + Send;

    /// How many documents are parked.
    fn parked_count(&self, build: &BuildRecord) -> impl Future<Output = Result<u64>> + Send;

    /// Leaves word about a running engine.
    fn save_status(&self, job: &str, status: &EngineStatus) -> impl Future<Output = Result<()>> + Send;

    /// The last word about a running engine, and its age.
    fn status(&self, job: &str) -> impl Future<Output = Result<Option<(EngineStatus, Duration)>>> + Send;
}

/// Time, so that a simulation can own it.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since some fixed moment; never goes back.
    fn monotonic_ms(&self) -> u64;

    /// Milliseconds since 1970 by this machine's clock; for figures only.
    fn unix_ms(&self) -> u64;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
