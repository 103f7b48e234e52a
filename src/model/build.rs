//! What is remembered of a build: its phase, its chunks, its checkpoint, its lease.
//!
//! Owns: the records of `_rowfold.*` as data. Does not own: storing them (`edge::mongo::checkpoints`), which phase
//! follows which (`logic::lifecycle`).

use serde::{Deserialize, Serialize};

use super::position::{GtidSet, Version};
use super::stream::StreamCheckpoint;
use super::value::Key;

/// The version of the stored records. A newer one is refused.
pub const FORMAT_VERSION: i32 = 1;

/// Where a build stands. Each is stored before it is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Set when the build is made, before P0 is known.
    Init,
    /// Set with P0. Chunks are copied by plain inserts into a collection that carries the owner's epoch in its name.
    Copy,
    /// Set when every chunk is done. The copy's collection is renamed, so that a late insert cannot reach it.
    Seal,
    /// Set after the rename. Indexes are built.
    Index,
    /// Set with all indexes there. Changes since P0 are replayed.
    Catchup,
    /// Set when the checkpoint has passed a position that was read after the last chunk. The collection gets its name.
    Publish,
    /// Set after the rename. Changes are followed.
    Live,
}

impl Phase {
    /// The name in `status`, logs and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Copy => "copy",
            Self::Seal => "seal",
            Self::Index => "index",
            Self::Catchup => "catchup",
            Self::Publish => "publish",
            Self::Live => "live",
        }
    }
}

/// One generation of a projection's collection. `_rowfold.builds`, `_id` = `<job>/<collection>/<number>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// See [`FORMAT_VERSION`].
    pub format: i32,
    /// The job's name.
    pub job: String,
    /// The projection's collection, as readers know it.
    pub collection: String,
    /// 1, 2, ... per collection.
    pub number: i32,
    /// Where it stands.
    pub phase: Phase,
    /// The collection that holds the documents now. Set before a rename to the new name with the old one in `renaming`.
    pub stored_in: String,
    /// The old name while a rename is under way: on a restart whichever of the two exists tells how far it came.
    pub renaming: Option<String>,
    /// Names under which earlier owners copied. A late insert can create one again: such a stray is dropped.
    pub strays: Vec<String>,
    /// The epoch of the lease under which this was last written; a smaller one is refused.
    pub owner_epoch: i64,
    /// P0: everything in it was visible to every snapshot of the copy. Set with [`Phase::Copy`].
    pub start: GtidSet,
    /// A position read after the last chunk; the build is caught up when its checkpoint contains it. Set with [`Phase::Seal`].
    pub caught_up_at: GtidSet,
    /// The server the versions count for, and their epoch: another server means the next epoch.
    pub server_uuid: String,
    /// See `server_uuid`.
    pub version_epoch: u16,
    /// The mapping it was built with ([`super::plan::ProjectionPlan::mapping`]).
    pub mapping: String,
    /// Documents and source rows that the copy wrote. Not needed for correctness.
    pub documents: u64,
    /// See `documents`.
    pub rows: u64,
    /// Why the build stays stopped, until somebody decides; `None` while all is well.
    pub halted: Option<String>,
}

impl BuildRecord {
    /// `_id` of its record, and the prefix of those of its chunks.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.job, self.collection, self.number)
    }

    /// The collection's name between copy and publication: `<collection>__b<number>`.
    pub fn build_collection(&self) -> String {
        format!("{}__b{}", self.collection, self.number)
    }

    /// The collection into which the owner of this epoch copies: `<collection>__b<number>_c<epoch>`.
    pub fn copy_collection(&self, owner_epoch: i64) -> String {
        format!("{}_c{owner_epoch}", self.build_collection())
    }
}

/// A range of root keys: `after < key <= up_to`, as MySQL orders keys. `_rowfold.chunks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// 0, 1, ... in key order.
    pub number: u32,
    /// The last key before the range; `None` for the first chunk.
    pub after: Option<Key>,
    /// The last key of the range; `None` for the open last chunk.
    pub up_to: Option<Key>,
    /// How far it came.
    pub state: ChunkState,
    /// E of its *first* attempt, durable before its first document.
    pub executed: Option<GtidSet>,
    /// How often it was started.
    pub attempts: u32,
    /// Documents and rows of the attempt that finished. Not needed for correctness.
    pub documents: u64,
    /// See `documents`.
    pub rows: u64,
}

/// How far a chunk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChunkState {
    /// Its bounds are known.
    Planned,
    /// Its E is durable; documents may be there.
    Started,
    /// All its documents are durable.
    Done,
}

/// What a lease gives its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it covers: `<job>`.
    pub name: String,
    /// Who holds it: a random word of this process.
    pub owner: String,
    /// Rises with every new owner.
    pub epoch: i64,
    /// When it ends, by the target server's clock, milliseconds since 1970.
    pub until_ms: i64,
    /// When the last document can be created under the lease, by the server's clock: `until_ms` plus the write deadline.
    /// A taker waits for it.
    pub write_until_ms: i64,
}

/// The outcome of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseReply {
    /// It is ours. `wait_ms` has to pass before the first write, because the last owner did not release it.
    Taken {
        /// The lease.
        lease: Lease,
        /// Milliseconds to wait; 0 after an orderly release.
        wait_ms: u64,
    },
    /// Somebody else holds it.
    Held {
        /// Who: host, process, as that owner wrote it.
        holder: String,
        /// How long until it can be taken.
        remaining_ms: u64,
    },
}

/// How far the events were applied. `_rowfold.checkpoints`, one per build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Every GTID whose marks are durable, P0 included.
    pub applied: GtidSet,
    /// Events applied since the build began. Not needed for correctness.
    pub events: u64,
    /// Commit time of the newest applied transaction, milliseconds since 1970 by the source's clock; for the lag figure.
    pub committed_unix_ms: u64,
    /// Where the build stands in the streams; `None` with the in-process queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<StreamCheckpoint>,
    /// Transactions whose marks are kept in `_rowfold.marks`: what a read must contain to discharge those.
    #[serde(default, skip_serializing_if = "GtidSet::is_empty")]
    pub marked: GtidSet,
}

/// A root that may have changed while its build was being copied. `_rowfold.marks`, one for each root or lookup however
/// often it was marked: the transactions are kept together in [`CheckpointRecord::marked`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MarkRecord {
    /// The node by whose key it was marked: 0 for the root itself, else the roots above have to be looked up.
    pub node: usize,
    /// Whether the key is of the far side of a link table.
    pub linked: bool,
    /// The root's key, or the nested row's join key.
    pub key: Key,
}

/// A document that could not be written, or an entry that could not be read. `_rowfold.parked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedRecord {
    /// The root's key; empty for an entry.
    pub key: Key,
    /// An entry of a stream that could not be read: `<stream> <ID>`. Nobody knows which documents it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Why, without row values.
    pub reason: String,
    /// The version of the read that failed.
    pub version: Version,
}

/// What a running engine says about itself, for `rowfold status`. Not needed for correctness. `_rowfold.meta`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Host and process.
    pub owner: String,
    /// Chunks planned so far, per collection, and whether that is all of them.
    pub chunks_planned: u64,
    /// Milliseconds since the newest applied change was committed, or 0 when nothing waits.
    pub lag_ms: u64,
}
