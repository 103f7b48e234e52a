//! Binlog events before they mean anything: their types, and the fixed parts of the few that are read here.
//!
//! Owns: [`Incoming`], the numbers in [`kind`], the heads of QUERY and XA_PREPARE. Does not own: TABLE_MAP (`table_map`),
//! rows (`decode`), what follows from an event (`transaction`).

use super::cursor::{Cursor, Truncated};
use super::statement::Xid;
use crate::model::position::{Gtid, GtidSet};

/// Event types (MySQL source, `Log_event_type`, unless another is named).
pub(super) mod kind {
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const APPEND_BLOCK: u8 = 9;
    pub const DELETE_FILE: u8 = 11;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    // MariaDB's own (its source, `sql/log_event.h`).
    pub const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const MARIADB_START_ENCRYPTION: u8 = 164;
    pub const MARIADB_QUERY_COMPRESSED: u8 = 165;
    /// The first and the last of the compressed row events.
    pub const MARIADB_ROWS_COMPRESSED: [u8; 2] = [166, 171];
}

/// One event without its common header and checksum.
pub(super) struct Incoming<'a> {
    pub(super) kind: u8,
    pub(super) flags: u16,
    /// Its size in the file, the position behind it (the last 32 bits, or 0), and the server that made it, by its header.
    pub(super) size: u32,
    pub(super) log_pos: u32,
    pub(super) server_id: u32,
    pub(super) data: &'a [u8],
    /// What a GTID event says.
    pub(super) begun: Option<Begun>,
}

/// A GTID event.
pub(super) struct Begun {
    pub(super) gtid: Gtid,
    /// Numbers before it that the log left out for good.
    pub(super) skipped: GtidSet,
    /// How much the event itself tells of the transaction; MySQL says that later.
    pub(super) shape: Shape,
    /// When the transaction was committed, in microseconds since 1970.
    pub(super) committed_unix_us: u64,
}

/// What kind of transaction a GTID event begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// One statement, or what a BEGIN or XA START begins.
    #[default]
    Unsaid,
    /// Several events, up to a commit.
    Begun,
    /// A branch of an XA transaction, up to its XA PREPARE.
    Xa,
}

/// A QUERY event.
pub(super) struct Query {
    /// The connection that executed it.
    pub(super) thread: u32,
    /// Its default database.
    pub(super) database: String,
    pub(super) text: String,
}

/// Reads a QUERY event; `fixed` is the size of its fixed part.
pub(super) fn statement(data: &[u8], fixed: usize) -> Result<Query, Truncated> {
    let mut cursor = Cursor(data);
    let mut head = Cursor(cursor.take(fixed)?);
    let thread = head.little(4)? as u32;
    head.take(4)?;
    let database = head.byte()?;
    head.take(2)?;
    let variables = head.little(2)?;
    cursor.take(variables as usize)?;
    let database = cursor.take(usize::from(database))?;
    cursor.take(1)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Query { thread, database: text(database), text: text(cursor.0) })
}

/// Whether an XA_PREPARE event commits in one phase, and its branch.
pub(super) fn xa_prepare(data: &[u8]) -> Result<(bool, Xid), Truncated> {
    let mut cursor = Cursor(data);
    let one_phase = cursor.byte()? != 0;
    let format = i64::from(cursor.little(4)? as u32 as i32);
    let (global, branch) = (cursor.little(4)? as usize, cursor.little(4)? as usize);
    let (global, branch) = (cursor.take(global)?.to_vec(), cursor.take(branch)?.to_vec());
    Ok((one_phase, Xid { format, global, branch }))
}
