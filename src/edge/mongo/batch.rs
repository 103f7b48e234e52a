//! Write commands as BSON bytes, cut so that the server takes them.
//!
//! Owns: the form of `insert`, `update` and `delete` commands, the guard, the create with a deadline. Does not own: what
//! the answers mean (`writer`), sending (`command`).
//!
//! The guard is `{_id, "_rf.v": {$not: {$gt: v}}}`: it also matches a document without `_rf`. A create is an upsert by
//! pipeline whose other branch fails while it is run; that branch reads `$_id`, because a server may evaluate a constant
//! one in advance and then fail always.

use std::ops::Range;

use bson::RawDocumentBuf;
use bson::raw::RawDocument;

use crate::error::{Error, Result};
use crate::model::document::{BsonWriter, array_index};

/// The largest document that a server stores.
pub(super) const DOCUMENT_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a command that holds more than one statement. One statement alone may exceed it by the server's own margin
/// of 16 KiB.
const COMMAND_MAX: usize = DOCUMENT_MAX - 64 * 1024;

/// Statements of a command (`maxWriteBatchSize`).
const STATEMENTS_MAX: usize = 100_000;

/// Stands in the error of a create that came too late.
pub(super) const DEADLINE_TEXT: &str = "rowfold: the write deadline has passed, and the _id is of type ";

const NAME: &[u8] = b"_id\0";

/// An `_id` as it lies in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct IdBytes<'a> {
    tag: u8,
    value: &'a [u8],
}

impl<'a> IdBytes<'a> {
    /// The first element of a document, which has to be its `_id`.
    pub(super) fn of(document: &'a [u8]) -> Result<Self> {
        let broken = || Error::halt("a document that was to be written does not begin with `_id`");
        let raw = RawDocument::from_bytes(document).map_err(|_| broken())?;
        let first = raw.iter_elements().next().and_then(Result::ok).ok_or_else(broken)?;
        let start = 4 + 1 + NAME.len();
        let value = document.get(start..start + first.size()).ok_or_else(broken)?;
        if document.get(5..start) != Some(NAME) {
            return Err(broken());
        }
        Ok(Self { tag: document[4], value })
    }

    /// Writes it under a name.
    pub(super) fn write(&self, writer: &mut BsonWriter, name: &str) {
        writer.raw_element(self.tag, name, self.value);
    }

    /// The elements that follow it in the document it was taken from.
    fn rest_of<'d>(&self, document: &'d [u8]) -> &'d [u8] {
        &document[4 + 1 + NAME.len() + self.value.len()..document.len() - 1]
    }

    fn len(&self) -> usize {
        self.value.len()
    }
}

/// One statement of a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statement<'a> {
    /// Insert a document.
    Insert { document: &'a [u8] },
    /// Replace what is there, under the guard.
    Replace { id: IdBytes<'a>, document: &'a [u8] },
    /// Replace or create, under the guard and before the deadline.
    Create { id: IdBytes<'a>, document: &'a [u8] },
    /// Delete, under the guard.
    Delete { id: IdBytes<'a> },
}

impl Statement<'_> {
    /// Bytes in a command, rounded up.
    fn bytes(&self) -> usize {
        match self {
            Self::Insert { document } => document.len() + 16,
            Self::Replace { id, document } => document.len() + id.len() + 128,
            Self::Create { id, document } => document.len() + id.len() + 384,
            Self::Delete { id } => id.len() + 128,
        }
    }
}

/// The parts into which statements have to be cut.
pub(super) fn cut(statements: &[Statement<'_>]) -> Vec<Range<usize>> {
    let mut parts = Vec::with_capacity(1);
    let (mut start, mut bytes) = (0, 0);
    for (at, statement) in statements.iter().enumerate() {
        let more = statement.bytes();
        if at > start && (bytes + more > COMMAND_MAX || at - start == STATEMENTS_MAX) {
            parts.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += more;
    }
    if start < statements.len() {
        parts.push(start..statements.len());
    }
    parts
}

/// What all statements of a command share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) collection: &'a str,
    /// The version of the guard.
    pub(super) version: i64,
    /// Creates fail when the server's clock has reached this; milliseconds since 1970.
    pub(super) create_until_ms: i64,
    /// After so long the server gives up.
    pub(super) limit_ms: i64,
}

/// One command of statements that are all of the same kind.
pub(super) fn command(frame: &Frame<'_>, statements: &[Statement<'_>]) -> Result<RawDocumentBuf> {
    let bytes: usize = statements.iter().map(Statement::bytes).sum();
    let mut writer = BsonWriter::with_capacity(bytes + frame.collection.len() + 256);
    let (verb, list) = match statements.first() {
        Some(Statement::Insert { .. }) => ("insert", "documents"),
        Some(Statement::Delete { .. }) => ("delete", "deletes"),
        _ => ("update", "updates"),
    };
    writer.string(verb, frame.collection);
    writer.begin_array(list);
    let mut scratch = String::new();
    for (at, statement) in statements.iter().enumerate() {
        write_statement(&mut writer, frame, statement, array_index(at, &mut scratch));
    }
    writer.end();
    writer.boolean("ordered", false);
    writer.int64("maxTimeMS", frame.limit_ms);
    writer.begin_document("writeConcern");
    writer.string("w", "majority");
    writer.boolean("j", true);
    writer.end();
    RawDocumentBuf::from_bytes(writer.finish()).map_err(|_| Error::halt("a write command is not BSON"))
}

fn write_statement(writer: &mut BsonWriter, frame: &Frame<'_>, statement: &Statement<'_>, name: &str) {
    match statement {
        Statement::Insert { document } => return writer.raw_document(name, document),
        Statement::Replace { id, document } => {
            writer.begin_document(name);
            write_guard(writer, id, frame.version);
            writer.raw_document("u", document);
            writer.boolean("upsert", false);
        }
        Statement::Create { id, document } => {
            writer.begin_document(name);
            write_guard(writer, id, frame.version);
            writer.begin_array("u");
            writer.begin_document("0");
            write_create(writer, id.rest_of(document), frame.create_until_ms);
            writer.end();
            writer.end();
            writer.boolean("upsert", true);
        }
        Statement::Delete { id } => {
            writer.begin_document(name);
            write_guard(writer, id, frame.version);
            writer.int32("limit", 1);
        }
    }
    writer.end();
}

fn write_guard(writer: &mut BsonWriter, id: &IdBytes<'_>, version: i64) {
    writer.begin_document("q");
    id.write(writer, "_id");
    writer.begin_document("_rf.v");
    writer.begin_document("$not");
    writer.int64("$gt", version);
    writer.end();
    writer.end();
    writer.end();
}

/// `{$replaceWith: {$cond: [{$lt: ["$$NOW", until]}, {$literal: document}, {$toInt: {$concat: [TEXT, {$type: "$_id"}]}}]}}`,
/// the document without its `_id`: the server takes that from the guard and puts it first. Given it twice, some servers
/// store it twice (FerretDB 2.7 on DocumentDB).
fn write_create(writer: &mut BsonWriter, fields: &[u8], until_ms: i64) {
    writer.begin_document("$replaceWith");
    writer.begin_array("$cond");
    writer.begin_document("0");
    writer.begin_array("$lt");
    writer.string("0", "$$NOW");
    writer.date("1", until_ms);
    writer.end();
    writer.end();
    writer.begin_document("1");
    writer.begin_document("$literal");
    writer.raw_elements(fields);
    writer.end();
    writer.end();
    writer.begin_document("2");
    writer.begin_document("$toInt");
    writer.begin_array("$concat");
    writer.string("0", DEADLINE_TEXT);
    writer.begin_document("1");
    writer.string("$type", "$_id");
    writer.end();
    writer.end();
    writer.end();
    writer.end();
    writer.end();
    writer.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{Bson, doc};

    fn frame() -> Frame<'static> {
        Frame { collection: "orders", version: 7, create_until_ms: 1_000, limit_ms: 500 }
    }

    #[test]
    fn a_create_is_what_it_should_be() {
        let document = bson::serialize_to_vec(&doc! {"_id": {"r": 1, "n": "x"}, "a": 1}).expect("BSON");
        let id = IdBytes::of(&document).expect("an _id");
        let built = command(&frame(), &[Statement::Create { id, document: &document }]).expect("a command");
        let read = bson::Document::try_from(&built).expect("valid BSON");
        let fails = doc! {"$toInt": {"$concat": [DEADLINE_TEXT, {"$type": "$_id"}]}};
        let whole = doc! {"$literal": {"a": 1}};
        let until = Bson::DateTime(bson::DateTime::from_millis(1_000));
        let expected = doc! {
            "update": "orders",
            "updates": [{
                "q": {"_id": {"r": 1, "n": "x"}, "_rf.v": {"$not": {"$gt": 7i64}}},
                "u": [{"$replaceWith": {"$cond": [{"$lt": ["$$NOW", until]}, whole, fails]}}],
                "upsert": true,
            }],
            "ordered": false,
            "maxTimeMS": 500i64,
            "writeConcern": {"w": "majority", "j": true},
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn what_has_no_id_first_is_refused() {
        for bad in [doc! {}, doc! {"a": 1, "_id": 2}, doc! {"_ie": 1}] {
            assert!(IdBytes::of(&bson::serialize_to_vec(&bad).expect("BSON")).is_err(), "{bad}");
        }
        assert!(IdBytes::of(&[0; 3]).is_err());
    }

    #[test]
    fn parts_respect_both_bounds() {
        let small = vec![0u8; 10];
        let big = vec![0u8; DOCUMENT_MAX];
        let half = vec![0u8; DOCUMENT_MAX / 2];
        let of = |document| Statement::Insert { document };
        assert!(cut(&[]).is_empty());
        assert_eq!(cut(&[of(&big)]), vec![0..1]);
        assert_eq!(cut(&[of(&small), of(&big), of(&small), of(&half), of(&half)]), vec![0..1, 1..2, 2..4, 4..5]);
        let many = vec![of(small.as_slice()); STATEMENTS_MAX + 1];
        assert_eq!(cut(&many), vec![0..STATEMENTS_MAX, STATEMENTS_MAX..STATEMENTS_MAX + 1]);
    }
}
