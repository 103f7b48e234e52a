//! What a Debezium Server leaves in Redis besides the streams of tables: its offsets, its schema changes, its heartbeat.
//!
//! Owns: reading them. Does not own: entries of tables (`decode`), what statements do (`ddl`). None of it is ever written
//! by rowfold.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ddl::Statement;
use super::decode::{Decoded, SnapshotPart};
use super::entry::{NoChange, envelope};
use crate::model::change::{Origin, Spot, Unlogged};
use crate::model::plan::TableUse;
use crate::model::position::{Gtid, GtidSet};
use crate::model::schema::TableName;
use crate::model::stream::{EntryId, RawEntry};

/// The Redis hash in which a Debezium Server keeps its offsets, unless its settings say otherwise.
pub const OFFSETS_KEY: &str = "metadata:debezium:offsets";

/// The stream to which a Debezium Server writes its heartbeats.
pub fn heartbeat_stream(prefix: &str) -> String {
    format!("__debezium-heartbeat.{prefix}")
}

/// The stream of schema changes.
pub fn schema_stream(prefix: &str) -> String {
    prefix.to_string()
}

/// How far a Debezium Server has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Transactions that it has written whole. One that it is in the middle of is not among them.
    pub gtids: GtidSet,
    /// Whether its first snapshot is not complete: then `gtids` says nothing about the streams yet.
    pub snapshot_running: bool,
}

/// Why there is no offset to go by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OffsetError {
    /// The hash is empty or not there.
    #[error(
        "the Debezium Server has stored no offset yet: start it, with offsets in this Redis (debezium.source.offset.storage = \
         the Redis offset backing store) and a short offset.flush.interval.ms"
    )]
    Missing,
    /// Several connectors, none with the prefix.
    #[error("the offsets are of the connectors {}, and none is called {prefix}: set stream.prefix to the topic.prefix of the one that captures", names.join(", "))]
    Several {
        /// What was looked for.
        prefix: String,
        /// What is there.
        names: Vec<String>,
    },
    /// The source has no GTIDs, or the connector does not use them.
    #[error(
        "the offset of the Debezium Server holds no GTID set: set gtid_mode=ON on the source, then let it start again"
    )]
    NoGtids,
    /// Something else than expected.
    #[error("the offset of the Debezium Server cannot be read: {0}")]
    Unreadable(&'static str),
}

#[derive(Deserialize)]
struct RawOffset<'a> {
    gtids: Option<String>,
    #[serde(borrow)]
    snapshot: Option<&'a RawValue>,
    snapshot_completed: Option<bool>,
}

/// The offset of the connector with this prefix, or of the only one, in the fields and values of the hash.
///
/// # Errors
/// See [`OffsetError`].
pub fn offset(prefix: &str, fields: &[(Vec<u8>, Vec<u8>)]) -> Result<Offset, OffsetError> {
    let server = |key: &[u8]| {
        let key: serde_json::Value = serde_json::from_slice(key).ok()?;
        let parts = key.as_array()?.iter();
        parts.filter_map(|part| part.get("server")?.as_str()).next().map(str::to_string)
    };
    let known: Vec<(String, &[u8])> =
        fields.iter().filter_map(|(key, value)| Some((server(key)?, value.as_slice()))).collect();
    let value = match (known.iter().find(|(name, _)| name == prefix), &known[..]) {
        (Some((_, value)), _) | (None, [(_, value)]) => *value,
        (None, []) if fields.is_empty() => return Err(OffsetError::Missing),
        (None, []) => return Err(OffsetError::Unreadable("no field of the hash names a server")),
        (None, several) => {
            let mut names: Vec<String> = several.iter().map(|(name, _)| name.clone()).collect();
            names.sort();
            return Err(OffsetError::Several { prefix: prefix.into(), names });
        }
    };
    if matches!(value.trim_ascii(), b"" | b"null") {
        return Err(OffsetError::Missing);
    }
    let raw: RawOffset<'_> = serde_json::from_slice(value)
        .map_err(|_| OffsetError::Unreadable("its value is no JSON of a MySQL connector"))?;
    let text = raw.gtids.filter(|text| !text.is_empty()).ok_or(OffsetError::NoGtids)?;
    let gtids = text.parse().map_err(|_| OffsetError::Unreadable("its gtids are no GTID set of MySQL"))?;
    let begun = raw.snapshot.is_some_and(|snapshot| !matches!(snapshot.get(), "false" | "null" | "\"false\""));
    Ok(Offset { gtids, snapshot_running: begun && raw.snapshot_completed != Some(true) })
}

/// What an entry of the stream of schema changes means for the tables of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaChange {
    /// Tables changed without row events.
    Effects {
        /// The statement's.
        gtid: Gtid,
        /// The tables, as the job names them.
        effects: Vec<(TableName, Unlogged)>,
        /// Where the log has it, and when it was committed.
        origin: Origin,
        /// See `origin`.
        spot: Spot,
    },
    /// It concerns none of them, or tells how a table looked when the snapshot began.
    Ignored,
    /// It concerns some, and has no GTID.
    NoGtid,
    /// No schema change in a form that we know. The reason is without row values.
    Poison(String),
}

#[derive(Deserialize)]
struct TableChange {
    #[serde(rename = "type")]
    what: String,
    id: String,
    #[serde(rename = "previousId")]
    previous: Option<String>,
}

impl TableChange {
    /// Whether it is about a table: an ID is `"database"."table"`, and servers may fold case.
    fn names(&self, table: &TableName) -> bool {
        let id = format!("\"{}\".\"{}\"", table.database, table.table).to_lowercase();
        [Some(&self.id), self.previous.as_ref()].into_iter().flatten().any(|name| name.to_lowercase() == id)
    }
}

/// Reads an entry of the stream [`schema_stream`].
pub fn schema_change(entry: &RawEntry, tables: &[TableUse]) -> SchemaChange {
    let mut envelope = match envelope(entry) {
        Ok(envelope) => envelope,
        Err(NoChange::Tombstone) => return SchemaChange::Ignored,
        Err(NoChange::Poison(reason)) => return SchemaChange::Poison(reason),
        Err(_) => return SchemaChange::Poison("it is no schema change".into()),
    };
    let Some(ddl) = &envelope.ddl else {
        return SchemaChange::Poison("it has no `ddl`: is a transformation configured?".into());
    };
    let changes: Vec<TableChange> = match envelope.table_changes.map(|raw| serde_json::from_str(raw.get())) {
        Some(Ok(changes)) => changes,
        Some(Err(_)) => return SchemaChange::Poison("its `tableChanges` cannot be read".into()),
        None => Vec::new(),
    };
    let statement = Statement::read(ddl);
    let database = envelope.database.as_deref().unwrap_or_default();
    let effect = |table: &TableUse| {
        let listed = changes.iter().find(|change| change.names(&table.name)).map(|change| match change.what.as_str() {
            "DROP" => Unlogged::Rows,
            _ if change.previous.as_ref().is_some_and(|previous| *previous != change.id) => Unlogged::Rows,
            _ => statement.altered(table),
        });
        // What takes rows away counts more than what the list says.
        let named = statement.effect_on(table, database);
        let effect = if named == Some(Unlogged::Rows) { named } else { listed.or(named) };
        effect.map(|what| (table.name.clone(), what))
    };
    let effects: Vec<(TableName, Unlogged)> = tables.iter().filter_map(effect).collect();
    let Some(source) = envelope.source.as_mut().filter(|source| source.snapshot().is_none() && !effects.is_empty())
    else {
        return SchemaChange::Ignored;
    };
    match source.gtid() {
        Ok(gtid) => SchemaChange::Effects { gtid, effects, spot: source.spot(), origin: source.origin() },
        Err(NoChange::Poison(reason)) => SchemaChange::Poison(reason),
        Err(_) => SchemaChange::NoGtid,
    }
}

/// Whether a snapshot is being written, by the last entry of each stream: its rows are no changes, and until it is complete
/// the offset does not say what the streams hold.
pub fn snapshot_running(last: &[(EntryId, Decoded)]) -> bool {
    let newest = last.iter().map(|(id, _)| *id).max().unwrap_or_default();
    last.iter().any(|(id, decoded)| match decoded {
        Decoded::Snapshot(SnapshotPart::Within) => true,
        // The only row of its table, if another table came after it.
        Decoded::Snapshot(SnapshotPart::First) => *id == newest,
        _ => false,
    })
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;
