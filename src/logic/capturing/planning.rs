//! What the next capture session leaves out, which tables it has, and whom it cannot serve.
//!
//! Owns: [`plan`] and what leads to it. Does not own: beginning it (`stream::publisher`).

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::model::change::SourceState;
use crate::model::position::GtidSet;
use crate::model::schema::TableName;
use crate::model::stream::{EntryId, Epoch, Meta, Position, stream_key};

/// Sessions whose records are kept, the new one included.
const SESSIONS_KEPT: usize = 64;

/// All that a session is planned from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What the streams' keys begin with.
    pub prefix: &'a str,
    /// The tables that are captured whoever else reads.
    pub own: &'a BTreeSet<TableName>,
    /// The record beside the streams; the default if there is none.
    pub meta: &'a Meta,
    /// How far those streams are filled that exist, by table.
    pub filled: &'a BTreeMap<TableName, Position>,
    /// The tables that exist and may be read.
    pub readable: &'a BTreeSet<TableName>,
    /// The source.
    pub source: &'a SourceState,
}

/// A session that can begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub epoch: u64,
    /// Its record.
    pub record: Epoch,
    /// The streams that do not exist yet, by table, and the ID of their first entry.
    pub starters: Vec<(TableName, EntryId)>,
    /// The requests that it serves.
    pub served: Vec<String>,
    /// The members and requests that it cannot serve, with the reason.
    pub refused: Vec<(String, String)>,
    /// Old sessions to forget.
    pub forget: Vec<u64>,
}

/// The tables that somebody wants captured.
pub fn wanted(own: &BTreeSet<TableName>, meta: &Meta) -> BTreeSet<TableName> {
    own.iter().chain(meta.members.values().flat_map(|member| &member.tables)).cloned().collect()
}

/// What the streams hold already: C of the newest session. `None` if no session has begun in this life of the streams.
pub fn captured(meta: &Meta) -> Option<&GtidSet> {
    meta.epochs.last_key_value().filter(|_| !meta.generation.is_empty()).map(|(_, epoch)| &epoch.captured)
}

/// Whether the streams hold this server's changes.
///
/// # Errors
/// `Config` if they hold another's.
pub fn same_source(prefix: &str, meta: &Meta, source: &SourceState) -> Result<()> {
    if meta.source.is_empty() || meta.source == source.server_uuid {
        return Ok(());
    }
    Err(Error::config(format!(
        "E-STREAM-SOURCE: the streams of prefix {prefix} hold the changes of the server {}, the source is {}; point the job \
         at that server, or choose another stream.prefix, or delete {prefix}.__meta and run every job that reads these \
         streams with --start-over",
        meta.source, source.server_uuid
    )))
}

/// Plans the next session.
///
/// # Errors
/// `Config` if a table of its own cannot be captured, or if the source lacks transactions that were captured; `Halt` if the
/// binlog no longer reaches back to where the streams end.
pub fn plan(facts: Facts<'_>) -> Result<Session> {
    let Facts { prefix, own, meta, filled, source, .. } = facts;
    same_source(prefix, meta, source)?;
    if let Some(reason) = own.iter().find_map(|table| unfit(facts, table)) {
        return Err(Error::config(reason));
    }
    let unfit_member = |tables: &BTreeSet<TableName>| tables.iter().find_map(|table| unfit(facts, table));
    let mut refused: BTreeMap<String, String> =
        meta.members.iter().filter_map(|(id, member)| Some((id.clone(), unfit_member(&member.tables)?))).collect();
    let members = meta.members.iter().filter(|(id, _)| !refused.contains_key(*id));
    let mut tables = own.clone();
    tables.extend(members.flat_map(|(_, member)| member.tables.iter().cloned()));

    let mut from = captured(meta).unwrap_or(&source.executed).clone();
    if !from.is_subset(&source.executed) {
        let missing = from.minus(&source.executed);
        return Err(Error::config(format!(
            "E-SOURCE-CHANGED: the source (server_uuid {}) lacks transactions that the streams of prefix {prefix} hold \
             ({missing}): its history was reset or cut; point the job at the right server, or delete {prefix}.__meta and run \
             every job that reads these streams with --start-over",
            source.server_uuid
        )));
    }
    let mut served = Vec::new();
    for (id, applied) in &meta.requests {
        if refused.contains_key(id) {
            continue;
        }
        let missing = source.purged.minus(applied);
        if missing.is_empty() {
            from = from.intersection(applied);
            served.push(id.clone());
        } else {
            let reason = format!(
                "E-BINLOG-LOST: entries were lost, and the binlog no longer holds what they told; missing {missing}; run with \
                 --start-over to copy again, and keep the binlog longer (binlog_expire_logs_seconds)"
            );
            refused.insert(id.clone(), reason);
        }
    }
    let missing = source.purged.minus(&from);
    if !missing.is_empty() {
        return Err(Error::halt(format!(
            "E-BINLOG-LOST: the binlog no longer reaches back to where the streams of prefix {prefix} end; missing {missing}; \
             delete {prefix}.__meta and run every job that reads these streams with --start-over, and keep the binlog longer \
             (binlog_expire_logs_seconds)"
        )));
    }
    let epoch = newest(meta, filled) + 1;
    let first = EntryId::starter(epoch).ok_or_else(|| Error::halt("no number is left for a capture session"))?;
    let end = |table: &TableName| filled.get(table).copied().unwrap_or(Position { id: first, count: 1 });
    let base = tables.iter().map(|table| (stream_key(prefix, table), end(table))).collect();
    let starters = tables.iter().filter(|table| !filled.contains_key(*table)).map(|table| (table.clone(), first));
    Ok(Session {
        epoch,
        starters: starters.collect(),
        record: Epoch { captured: from.clone(), from, tables, base, open: None },
        served,
        refused: refused.into_iter().collect(),
        forget: meta.epochs.keys().rev().skip(SESSIONS_KEPT - 1).copied().collect(),
    })
}

/// The newest session that has left a trace: the record may be younger than the streams.
fn newest(meta: &Meta, filled: &BTreeMap<TableName, Position>) -> u64 {
    let recorded = meta.epochs.keys().copied().chain([meta.epoch]);
    recorded.chain(filled.values().map(|position| position.id.epoch())).max().unwrap_or_default()
}

/// Why a table cannot be captured.
fn unfit(facts: Facts<'_>, table: &TableName) -> Option<String> {
    if !facts.readable.contains(table) {
        return Some(format!(
            "E-MISSING: table {table} does not exist, or the source's account may not read it; create it, or GRANT SELECT ON \
             {table}"
        ));
    }
    let last = facts.filled.get(table).map_or(EntryId::ZERO, |position| position.id);
    if last != EntryId::ZERO && last.epoch() == 0 && !facts.meta.imported {
        let key = stream_key(facts.prefix, table);
        return Some(format!(
            "E-STREAM-FOREIGN: another producer writes the stream {key}; set `capture: debezium` to read what it writes, or \
             stop it and run `rowfold position import debezium`, or choose another stream.prefix"
        ));
    }
    None
}
