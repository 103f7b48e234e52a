//! What a stream entry of a table says.
//!
//! Owns: [`decode`], and the rows in an entry as images. Does not own: the forms of an entry and its envelope (`entry`),
//! single values (`decode_value`), streams that are no table's (`foreign`).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decode_value::readings;
use super::entry::{Message, NoChange, envelope, not_read, poison};
use crate::model::change::{Cell, Image, Origin, RowChange, Spot, Unlogged};
use crate::model::plan::{TableUse, UsedColumn};
use crate::model::position::Gtid;
use crate::model::stream::RawEntry;
use crate::model::value::Value;

/// Who wrote an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producer {
    /// rowfold: each value has one form.
    Rowfold,
    /// A Debezium Server with settings that we do not know.
    Debezium,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A row was inserted, updated or deleted.
    Changes {
        /// The transaction's.
        gtid: Gtid,
        /// What to mark. Of an entry that a Debezium Server wrote: one change for each image and each way to read it, those
        /// of an update and a deletion as images before. See [`decode`].
        changes: Vec<RowChange>,
        /// Where the log has it, and when it was committed.
        origin: Origin,
        /// See `origin`.
        spot: Spot,
    },
    /// A table changed without row events.
    Unlogged {
        /// The transaction's.
        gtid: Gtid,
        /// What happened.
        what: Unlogged,
        /// Where the log has it, and when it was committed.
        origin: Origin,
        /// See `origin`.
        spot: Spot,
    },
    /// The deletion of a key, said once more for logs that are compacted.
    Tombstone,
    /// A row as a Debezium Server read it for a snapshot, not a change.
    Snapshot(SnapshotPart),
    /// Nothing that concerns a table, such as a message that an application wrote to the log.
    Ignored,
    /// A change without a GTID: it cannot be told whether a read contains it.
    NoGtid,
    /// A change of which it cannot be told which documents it concerns.
    Unusable {
        /// The routing column.
        column: String,
        /// Why, and the fix. A sentence that the column begins.
        reason: &'static str,
    },
    /// No entry in a form that we know. The reason is without row values.
    Poison(String),
}

/// Which row of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPart {
    /// The first of the first table; also if it is the only one of that table.
    First,
    /// Neither the first of all nor the last of its table.
    Within,
    /// The last of its table.
    Last,
    /// Of an incremental snapshot, which runs beside the changes and does not mark its last row.
    Incremental,
}

/// Ways to read one image; more are too many to mark them all.
const READINGS_MAX: usize = 8;
/// What stands for a column that the log does not have.
const UNAVAILABLE: &str = "\"__debezium_unavailable_value\"";

/// Reads an entry. `table` is the index of `used` in the plan.
///
/// Of rowfold's own entries an update is one change with both images. What a Debezium Server writes is not good for
/// equality: the same token may stand for NULL and for the column's default (`replace.null.with.default` is on by default),
/// for NULL and a zero date, for the years 24 and 2024. So each of its updates counts, and its images hold the columns that
/// route only.
pub fn decode(entry: &RawEntry, table: usize, used: &TableUse, producer: Producer) -> Decoded {
    read(entry, table, used, producer).unwrap_or_else(Decoded::from)
}

fn read(entry: &RawEntry, table: usize, used: &TableUse, producer: Producer) -> Result<Decoded, NoChange> {
    let envelope = envelope(entry)?;
    let op = envelope.op.ok_or_else(|| {
        poison("it has no `op`: entries must be whole change events, without the ExtractNewRecordState transformation")
    })?;
    if op == "m" && producer == Producer::Debezium {
        return Ok(Decoded::Ignored);
    }
    let mut source = envelope.source.ok_or_else(|| poison("it has no `source`"))?;
    if op == "r" {
        return Ok(Decoded::Snapshot(source.snapshot().unwrap_or(SnapshotPart::Incremental)));
    }
    let what = match op {
        "t" => Some(Unlogged::Rows),
        "m" => match envelope.message {
            Some(Message { prefix: Some(prefix), content: Some(content) }) if prefix == "rowfold" => {
                Some(unlogged(&content).ok_or_else(|| poison("it tells of something unknown: use the newer rowfold"))?)
            }
            _ => return Ok(Decoded::Ignored),
        },
        "c" | "u" | "d" => None,
        _ => return Err(poison("its `op` is unknown")),
    };
    let gtid = source.gtid()?;
    let spot = source.spot();
    if let Some(what) = what {
        return Ok(Decoded::Unlogged { gtid, what, origin: source.origin(), spot });
    }
    let rows = |row: Option<&RawValue>, needed: bool| match row {
        Some(row) if needed => images(used, row, producer),
        None if needed => Err(poison("it lacks an image of the row")),
        _ => Ok(Vec::new()),
    };
    let before = rows(envelope.before, op != "c")?;
    let after = rows(envelope.after, op != "d")?;
    let change = |before, after| RowChange { table, before, after, spot };
    let changes = match (op, producer) {
        ("c", _) => after.into_iter().map(|image| change(None, Some(image))).collect(),
        ("u", Producer::Rowfold) => before.into_iter().zip(after).map(|(b, a)| change(Some(b), Some(a))).collect(),
        _ => {
            // An update by a Debezium Server: its images cannot be shown to be equal, so they are not compared.
            let mut images = before;
            for image in after {
                if !images.contains(&image) {
                    images.push(image);
                }
            }
            images.into_iter().map(|image| change(Some(image), None)).collect()
        }
    };
    Ok(Decoded::Changes { gtid, changes, origin: source.origin(), spot })
}

/// What a message of our own says, as it is or as the base64 that Debezium uses for a message's content.
fn unlogged(content: &str) -> Option<Unlogged> {
    match content {
        "definition" | "ZGVmaW5pdGlvbg==" => Some(Unlogged::Definition),
        "used_columns" | "dXNlZF9jb2x1bW5z" => Some(Unlogged::UsedColumns),
        "statement" | "c3RhdGVtZW50" => Some(Unlogged::Statement),
        _ => None,
    }
}

/// Every image that a row can stand for.
fn images(used: &TableUse, row: &RawValue, producer: Producer) -> Result<Vec<Image>, NoChange> {
    let mut tokens: Vec<Option<&RawValue>> = vec![None; used.columns.len()];
    let read = Row { columns: &used.columns, tokens: &mut tokens };
    read.deserialize(&mut serde_json::Deserializer::from_str(row.get())).map_err(|error| not_read(&error))?;
    let mut images = vec![Image(Vec::with_capacity(tokens.len()))];
    for (column, token) in used.columns.iter().zip(tokens) {
        let token = token.map(RawValue::get).filter(|token| *token != UNAVAILABLE);
        let unusable = |reason| NoChange::Unusable { column: column.name.clone(), reason };
        let cell = match (token, producer) {
            (None, Producer::Debezium) if column.routes => {
                return Err(unusable(
                    "is missing: set binlog_row_image=FULL for every session, and leave no column out of the events",
                ));
            }
            (Some(token), _) if column.routes => {
                let mut values = readings(&column.kind, token, producer).map_err(unusable)?;
                if values.len() > 1 {
                    images = product(images, values);
                    if images.len() > READINGS_MAX {
                        return Err(unusable(
                            "can be read in too many ways: set decimal.handling.mode=string and \
                             time.precision.mode=isostring, or let rowfold capture",
                        ));
                    }
                    continue;
                }
                values.pop().map_or(Cell::Absent, Cell::Value)
            }
            (Some("null"), Producer::Rowfold) => Cell::Value(Value::Null),
            (Some(token), Producer::Rowfold) => Cell::Raw(token.as_bytes().to_vec()),
            _ => Cell::Absent,
        };
        if let [image] = &mut images[..] {
            image.0.push(cell);
        } else {
            images.iter_mut().for_each(|image| image.0.push(cell.clone()));
        }
    }
    Ok(images)
}

fn product(images: Vec<Image>, values: Vec<Value>) -> Vec<Image> {
    let with = |image: &Image, value: &Value| {
        let mut image = image.clone();
        image.0.push(Cell::Value(value.clone()));
        image
    };
    images.iter().flat_map(|image| values.iter().map(move |value| with(image, value))).collect()
}

/// Reads the used columns of a row's object into `tokens`.
struct Row<'u, 't, 'a> {
    columns: &'u [UsedColumn],
    tokens: &'t mut [Option<&'a RawValue>],
}

impl<'de> DeserializeSeed<'de> for Row<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(at) = map.next_key_seed(Name(self.columns))? {
            match at {
                Some(at) => self.tokens[at] = Some(map.next_value()?),
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// Finds a column by its name.
struct Name<'u>(&'u [UsedColumn]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
pub(super) mod tests;
