//! What comes out of the binlog: transactions of row changes, and the marks they become.
//!
//! Owns: [`LogEvent`], [`Transaction`], [`RowChange`], [`Image`]. Does not own: decoding (`edge::mysql::binlog`),
//! routing (`logic::routing`).

use std::sync::Arc;

use super::position::{Gtid, GtidSet};
use super::schema::TableName;
use super::stream::StreamCheckpoint;
use super::value::Value;

/// Where in the binlog a transaction stands, and what its events tell of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// The binlog file, `binlog.000123`.
    pub file: String,
    /// `server_id` of the server that executed it first.
    pub server_id: u32,
    /// The connection that executed it, where the log says so.
    pub thread: Option<u32>,
    /// When it was committed, in microseconds since 1970; 0 if unknown.
    pub committed_unix_us: u64,
}

/// Where in its binlog file a change stands. Rises within a file, and is the same whenever the log is read again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Spot {
    /// The position of the event. For the rows of a compressed transaction that of the event they are packed in, for those of
    /// an XA transaction that of its XA COMMIT.
    pub pos: u64,
    /// Its number, from 0, among the rows with this position.
    pub row: u32,
}

/// One column of an event's image.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Cell {
    /// Its exact value (columns that route).
    Value(Value),
    /// The column's raw bytes, only good for equality (columns that do not route).
    Raw(Vec<u8>),
    /// Not in the image, or written in a lossy form: counts as changed.
    Absent,
}

/// The used columns of one row, in the order of [`super::plan::TableUse::columns`].
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Image(pub Vec<Cell>);

/// One row change of a used table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowChange {
    /// Index into [`super::plan::JobPlan::tables`].
    pub table: usize,
    /// The row before; absent for an insert.
    pub before: Option<Image>,
    /// The row after; absent for a delete.
    pub after: Option<Image>,
    /// Where the log has it.
    pub spot: Spot,
}

/// One committed transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Its GTID. For rows of an XA transaction, that of its XA COMMIT.
    pub gtid: Gtid,
    /// GTIDs that are settled together with it: that of the XA PREPARE whose rows these are, and numbers that the log left out
    /// before it.
    pub also: GtidSet,
    /// Changes of used tables only; often empty.
    pub changes: Vec<RowChange>,
    /// When the source committed it, in milliseconds since 1970, for the lag figure only; 0 if unknown.
    pub committed_unix_ms: u64,
    /// Where the log has it.
    pub origin: Arc<Origin>,
}

/// A point in the streams behind which nothing is missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Every change of these transactions was delivered before.
    pub captured: GtidSet,
    /// Everything up to here was delivered before.
    pub streams: StreamCheckpoint,
    /// Commit time of the newest delivered transaction, milliseconds since 1970; 0 if unknown.
    pub committed_unix_ms: u64,
}

/// What a change log delivers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogEvent {
    /// A part of a transaction that is too large to be held whole. Its `gtid` may be passed only with the last part.
    Part {
        /// The changes; `gtid` as in the last part.
        gtid: Gtid,
        /// A part of the changes.
        changes: Vec<RowChange>,
        /// Where the log has it.
        origin: Arc<Origin>,
    },
    /// A whole transaction, or the last part of one.
    Commit(Transaction),
    /// A statement that changed a used table without row events. `what` names the statement's kind, never its text.
    Unlogged {
        /// Its GTID.
        gtid: Gtid,
        /// The used table it names.
        table: TableName,
        /// What it was.
        what: Unlogged,
        /// Where the log has it.
        origin: Arc<Origin>,
        /// See `origin`.
        spot: Spot,
    },
    /// From streams only: transactions are settled by it and not by [`LogEvent::Commit`].
    Passed(Box<Passed>),
    /// The log is alive and has nothing new.
    Heartbeat,
}

/// Kinds of change without row events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unlogged {
    /// ALTER, CREATE: the table's definition must be read and compared again.
    Definition,
    /// TRUNCATE, DROP, RENAME, partition DDL: rows went away, or others came, without a trace.
    Rows,
    /// ALTER that adds, drops, renames or changes a used column: values in existing rows changed without a trace.
    UsedColumns,
    /// DML that was logged as a statement.
    Statement,
}

impl RowChange {
    /// Roughly the bytes it holds in memory; for the bounds of queues.
    pub fn bytes(&self) -> usize {
        let image = |image: &Option<Image>| {
            image.as_ref().map_or(0, |image| {
                image
                    .0
                    .iter()
                    .map(|cell| match cell {
                        Cell::Value(value) => value.bytes(),
                        Cell::Raw(bytes) => size_of::<Cell>() + bytes.len(),
                        Cell::Absent => size_of::<Cell>(),
                    })
                    .sum()
            })
        };
        size_of::<Self>() + image(&self.before) + image(&self.after)
    }
}

/// What the source said about itself when a connection was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceState {
    /// `@@server_uuid`.
    pub server_uuid: String,
    /// `@@GLOBAL.gtid_executed`.
    pub executed: GtidSet,
    /// `@@GLOBAL.gtid_purged`.
    pub purged: GtidSet,
}
