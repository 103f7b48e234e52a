//! The streams of one prefix, as capture and the builds that read them see them.
//!
//! Owns: [`StreamStore`] and [`CaptureSource`]. Does not own: Redis (`edge::redis`), what entries say (`logic::envelope`), when history counts
//! as lost (`logic::following`), when to trim (`logic::capturing`).
//!
//! Every call is one round trip that has happened or not; after a `Retry` error of a call that writes, it is unknown which.

use std::future::Future;
use std::time::Duration;

use super::ChangeLog;
use crate::error::Result;
use crate::model::change::SourceState;
use crate::model::position::{Gtid, GtidSet};
use crate::model::schema::{Table, TableName};
use crate::model::stream::{EntryId, Epoch, Member, Meta, Position, RawEntry};

/// A source whose change log holds whole rows of any tables: what capture reads.
pub trait CaptureSource: Send + Sync + 'static {
    /// A change log.
    type Log: ChangeLog;

    /// Who answers, and what it has executed.
    fn state(&self) -> impl Future<Output = Result<SourceState>> + Send;

    /// The definitions of those of these tables that exist and may be read.
    fn tables(&self, names: &[TableName]) -> impl Future<Output = Result<Vec<Table>>> + Send;

    /// Opens the change log after `from`. [`crate::model::change::RowChange::table`] is an index into `tables`, and images
    /// hold one cell for each column of the table, in its order: its value (JSON as text), or `Absent` if the event does not
    /// hold it or holds another type than the definition says. Fails with `Halt` if the log no longer reaches back.
    fn row_log(&self, from: &GtidSet, tables: &[Table]) -> impl Future<Output = Result<Self::Log>> + Send;
}

/// What one look saw, all in the same moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The server's clock, milliseconds since 1970.
    pub now_ms: u64,
    /// The record beside the streams; `None` if there is none.
    pub meta: Option<Meta>,
    /// How far each of the asked streams is filled, in their order: its last generated ID, and how many entries were ever
    /// added. `None` if the stream does not exist.
    pub streams: Vec<Option<Position>>,
}

/// What one look at another producer's streams saw, all in the same moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignLook {
    /// The server's clock, milliseconds since 1970.
    pub now_ms: u64,
    /// As in [`Look`].
    pub streams: Vec<Option<Position>>,
    /// The last entry of each, if it is still there.
    pub last: Vec<Option<RawEntry>>,
    /// The fields and values of the hash in which a Debezium Server keeps its offsets; empty without one.
    pub offsets: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One stream for the reader of [`StreamStore::groups`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// The last ID delivered to each consumer group of the stream, by the group's name. A build's bookmark is the group
    /// with the name [`group_name`] of its ID.
    pub delivered: Vec<(String, EntryId)>,
    /// The ID of the oldest entry that is still there.
    pub first: Option<EntryId>,
}

/// The group that is the bookmark of a build.
pub fn group_name(member: &str) -> String {
    format!("rowfold:{member}")
}

/// What is appended in one MULTI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Append {
    /// The generation and the session that this capture began.
    pub generation: String,
    /// See `generation`.
    pub epoch: u64,
    /// Stream keys and entries, with rising IDs per stream.
    pub entries: Vec<(String, RawEntry)>,
    /// C with these entries.
    pub captured: GtidSet,
    /// The transaction of which only a part has been appended with these entries.
    pub open: Option<Gtid>,
    /// How long the owner's lease lasts from now on.
    pub lease: Duration,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All of it is there.
    Done,
    /// Redis is full: nothing was written.
    Full,
    /// The record beside the streams is another one, or gone: what was written counts for nothing. With the reason.
    Lost(String),
    /// A later session of capture has begun.
    Superseded,
    /// Redis took an entry's ID for one that is not above the stream's last: somebody else writes there. With the stream.
    Refused(String),
}

/// How a capture session begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// What the look showed on which this is based: the generation and epoch, or `None` without a record.
    pub seen: Option<(String, u64)>,
    /// The generation from now on: the same, or a new word if there was none.
    pub generation: String,
    /// The new session's number, above every one before.
    pub epoch: u64,
    /// Its record. `captured` is `from`; `base` counts the `starters`.
    pub record: Epoch,
    /// The first entry of each stream that does not exist yet, appended in the same MULTI. A reader has counted at least
    /// this one: so a stream that was removed and begun anew cannot pass for the same.
    pub starters: Vec<(String, RawEntry)>,
    /// `@@server_uuid` of the source.
    pub source: String,
    /// Who captures.
    pub owner: String,
    /// How long the lease lasts.
    pub lease: Duration,
    /// Requests that this session serves: removed from the record.
    pub served: Vec<String>,
    /// Requests and members that cannot be served, with the reason. Requests among them are removed.
    pub refused: Vec<(String, String)>,
    /// Old sessions to forget.
    pub forget: Vec<u64>,
    /// Whether another producer's streams are taken over.
    pub imported: bool,
}

/// See the module's description.
pub trait StreamStore: Send + Sync + 'static {
    /// Host and port, for messages.
    fn place(&self) -> String;

    /// Reads the record and how far these streams are filled, in one MULTI. `Config` if a key holds something else than a
    /// stream (or the record).
    fn look(&self, streams: &[String]) -> impl Future<Output = Result<Look>> + Send;

    /// The same for the streams of a Debezium Server that keeps its offsets in the hash `offsets`.
    fn look_foreign(&self, streams: &[String], offsets: &str) -> impl Future<Output = Result<ForeignLook>> + Send;

    /// Entries after these IDs, per stream (index into `from`), at most about `count` in all; waits for the first one no
    /// longer than `wait`. Empty when the time ran out. Cancel-safe. Readers do not disturb each other.
    fn read(
        &self,
        from: &[(String, EntryId)],
        count: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<(usize, Vec<RawEntry>)>>> + Send;

    /// Enters a build into the record, takes a refusal of it out, and makes its bookmark in each stream that exists where it
    /// has none. Creates the record's key if need be (without generation), so that capture finds the member.
    fn register(&self, id: &str, member: &Member) -> impl Future<Output = Result<()>> + Send;

    /// Takes a build out of the record, its bookmarks, request and refusal too. Fine if it is not there.
    fn unregister(&self, id: &str, streams: &[String]) -> impl Future<Output = Result<()>> + Send;

    /// Moves a build's bookmarks. Needs no memory: works while Redis is full. Makes a bookmark that is missing, if it can.
    fn bookmark(&self, id: &str, passed: &[(String, Position)]) -> impl Future<Output = Result<()>> + Send;

    /// Asks capture to append again everything that is not in `applied`.
    fn request(&self, id: &str, applied: &GtidSet) -> impl Future<Output = Result<()>> + Send;

    /// Begins a capture session. False, and nothing written, if the record is not the one that was seen.
    fn begin(&self, begin: &Begin) -> impl Future<Output = Result<bool>> + Send;

    /// Appends entries and C in one MULTI; also without entries, as a sign of life.
    fn append(&self, append: &Append) -> impl Future<Output = Result<Appended>> + Send;

    /// Ends the owner's lease now, if it is still this session's.
    fn release(&self, generation: &str, epoch: u64) -> impl Future<Output = Result<()>> + Send;

    /// The consumer groups of these streams; empty for one that does not exist.
    fn groups(&self, streams: &[String]) -> impl Future<Output = Result<Vec<Groups>>> + Send;

    /// Removes entries below these IDs.
    fn trim(&self, below: &[(String, EntryId)]) -> impl Future<Output = Result<()>> + Send;

    /// Bytes that these streams take, by Redis' estimate; and `used_memory` and `maxmemory` (0: none) of the server.
    fn usage(&self, streams: &[String]) -> impl Future<Output = Result<Usage>> + Send;
}

/// See [`StreamStore::usage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the streams.
    pub stream_bytes: u64,
    /// Of the whole server.
    pub used_bytes: u64,
    /// The server's bound; 0 if it has none.
    pub max_bytes: u64,
}
