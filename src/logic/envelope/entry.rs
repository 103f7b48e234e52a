//! The envelope of an entry: its form, and the members that are read.
//!
//! Owns: [`envelope`] and [`Source`]. Does not own: what a change is made of (`decode`), what a schema change means
//! (`foreign`).
//! Forms: Debezium Server's Redis sink (`compact`: one field, its name the key; `extended`: fields `key`, `value` and headers),
//! each with or without `schemas.enable`.

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::decode::{Decoded, SnapshotPart};
use crate::model::change::{Origin, Spot};
use crate::model::position::Gtid;
use crate::model::stream::RawEntry;

/// Why no change comes out of an entry. See the variants of [`Decoded`].
#[derive(Debug)]
pub(super) enum NoChange {
    Tombstone,
    NoGtid,
    Unusable { column: String, reason: &'static str },
    Poison(String),
}

impl From<NoChange> for Decoded {
    fn from(found: NoChange) -> Self {
        match found {
            NoChange::Tombstone => Self::Tombstone,
            NoChange::NoGtid => Self::NoGtid,
            NoChange::Unusable { column, reason } => Self::Unusable { column, reason },
            NoChange::Poison(reason) => Self::Poison(reason),
        }
    }
}

/// The members that are read of any entry; others are skipped.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) op: Option<&'a str>,
    #[serde(borrow)]
    pub(super) before: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) after: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) source: Option<Source<'a>>,
    pub(super) message: Option<Message>,
    /// With `schemas.enable` all of the above stands in here.
    #[serde(default, borrow, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    /// Of an entry about a table's definition.
    pub(super) ddl: Option<String>,
    #[serde(rename = "databaseName")]
    pub(super) database: Option<String>,
    #[serde(rename = "tableChanges", borrow)]
    pub(super) table_changes: Option<&'a RawValue>,
}

/// Where a change comes from.
#[derive(Deserialize)]
pub(super) struct Source<'a> {
    #[serde(borrow)]
    snapshot: Option<&'a RawValue>,
    gtid: Option<&'a str>,
    file: Option<String>,
    pos: Option<u64>,
    row: Option<u32>,
    server_id: Option<u32>,
    thread: Option<i64>,
    ts_ms: Option<u64>,
    ts_us: Option<u64>,
}

/// A message that an application, or rowfold, put among the changes.
#[derive(Deserialize)]
pub(super) struct Message {
    pub(super) prefix: Option<String>,
    pub(super) content: Option<String>,
}

/// Also null, which is not the same as absent here.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Source<'_> {
    /// The marker of a snapshot's row; `None` for a change.
    pub(super) fn snapshot(&self) -> Option<SnapshotPart> {
        match self.snapshot?.get().trim_matches('"') {
            "false" | "null" => None,
            "first" => Some(SnapshotPart::First),
            "last" | "last_in_data_collection" => Some(SnapshotPart::Last),
            "incremental" => Some(SnapshotPart::Incremental),
            _ => Some(SnapshotPart::Within),
        }
    }

    pub(super) fn gtid(&self) -> Result<Gtid, NoChange> {
        let text = self.gtid.filter(|text| !text.is_empty()).ok_or(NoChange::NoGtid)?;
        text.parse().map_err(|_| poison("source.gtid is no GTID"))
    }

    pub(super) fn origin(&mut self) -> Origin {
        Origin {
            file: self.file.take().unwrap_or_default(),
            server_id: self.server_id.unwrap_or_default(),
            thread: self.thread.and_then(|thread| u32::try_from(thread).ok()),
            committed_unix_us: self.ts_us.or(self.ts_ms.map(|ms| ms.saturating_mul(1000))).unwrap_or_default(),
        }
    }

    pub(super) fn spot(&self) -> Spot {
        Spot { pos: self.pos.unwrap_or_default(), row: self.row.unwrap_or_default() }
    }
}

/// An entry that cannot be read.
pub(super) fn poison(reason: impl Into<String>) -> NoChange {
    NoChange::Poison(reason.into())
}

/// What is wrong with JSON. The library's own words would quote it.
pub(super) fn not_read(error: &serde_json::Error) -> NoChange {
    let at = error.column();
    poison(match error.classify() {
        Category::Eof => format!("its JSON ends too early, after byte {at}"),
        Category::Syntax | Category::Io => {
            format!("its value is no JSON (byte {at}): set debezium.format.value=json")
        }
        Category::Data => {
            format!("its JSON is no change event of Debezium (byte {at}): is a transformation configured?")
        }
    })
}

/// The envelope in an entry.
pub(super) fn envelope(entry: &RawEntry) -> Result<Envelope<'_>, NoChange> {
    let extended = entry.fields.iter().find(|(name, _)| name == b"value");
    let value = match (extended, &entry.fields[..]) {
        (Some((_, value)), _) | (None, [(_, value)]) => value.as_slice(),
        _ => {
            return Err(poison(
                "it is in neither of the forms `compact` and `extended` of debezium.sink.redis.message.format",
            ));
        }
    };
    // What the sink writes instead of nothing (debezium.sink.redis.null.value).
    if matches!(value.trim_ascii(), b"" | b"default" | b"null") {
        return Err(NoChange::Tombstone);
    }
    let outer: Envelope<'_> = serde_json::from_slice(value).map_err(|error| not_read(&error))?;
    match outer.payload {
        Some(payload) if outer.op.is_none() => match payload.get() {
            "null" => Err(NoChange::Tombstone),
            payload => serde_json::from_str(payload).map_err(|error| not_read(&error)),
        },
        _ => Ok(outer),
    }
}
