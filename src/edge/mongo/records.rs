//! How rowfold's own records are written as BSON, and the two ways to store one under a fence.
//!
//! Owns: names of the collections, `_id`s, the exact form of keys, the format version. Does not own: what the records mean
//! (`model::build`). Every record of a build holds `owner_epoch`; a writer with a smaller one is refused.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};

use super::failure::{self, WriteError};
use super::{MongoTarget, batch, date};
use crate::error::{Error, Result};
use crate::model::build::{BuildRecord, FORMAT_VERSION};
use crate::model::value::{Key, Value};

pub(super) const META: &str = "_rowfold.meta";
pub(super) const BUILDS: &str = "_rowfold.builds";
pub(super) const CHUNKS: &str = "_rowfold.chunks";
pub(super) const CHECKPOINTS: &str = "_rowfold.checkpoints";
pub(super) const MARKS: &str = "_rowfold.marks";
pub(super) const PARKED: &str = "_rowfold.parked";
pub(super) const LEASES: &str = "_rowfold.leases";

/// A deadline that does not pass: the end of the year 9999.
pub(super) const NEVER_MS: i64 = 253_402_300_799_000;

/// Statements of records in one command.
pub(super) const RECORDS_AT_ONCE: usize = 500;

/// `{b: build, n: number}`: small, and in the order of numbers within a build.
pub(super) fn chunk_id(build: &BuildRecord, number: u32) -> Bson {
    Bson::Document(doc! {"b": build.id(), "n": i64::from(number)})
}

/// The `_id`s of all chunks of a build.
pub(super) fn chunk_range(build: &BuildRecord) -> Document {
    doc! {"_id": {"$gte": chunk_id(build, 0), "$lte": chunk_id(build, u32::MAX)}}
}

/// `{b: build, k: digest}` of what names a record within its build: a key can be too long for an `_id`, which may be why
/// its document is parked.
pub(super) fn digest_id(build: &BuildRecord, named_by: &Document) -> Result<Bson> {
    let bytes = bson::serialize_to_vec(named_by).map_err(|_| Error::halt("the key of a record is not BSON"))?;
    Ok(digest_id_of(build, fnv128(&bytes)))
}

fn digest_id_of(build: &BuildRecord, digest: u128) -> Bson {
    let digest = Binary { subtype: BinarySubtype::Generic, bytes: digest.to_be_bytes().to_vec() };
    Bson::Document(doc! {"b": build.id(), "k": digest})
}

/// The `_id`s of all records of a build that are named by a digest.
pub(super) fn digest_range(build: &BuildRecord) -> Document {
    doc! {"_id": {"$gte": digest_id_of(build, 0), "$lte": digest_id_of(build, u128::MAX)}}
}

/// FNV-1a, 128 bits: the same for ever, which is all that is asked of it.
fn fnv128(bytes: &[u8]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let start: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    bytes.iter().fold(start, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// A key, exactly: each value is null or a document whose one field names its kind. Numbers above 2^63-1 and doubles are
/// stored as the 64-bit integer of the same bits.
pub(super) fn key_to_bson(key: &Key) -> Bson {
    Bson::Array(key.0.iter().map(value_to_bson).collect())
}

fn value_to_bson(value: &Value) -> Bson {
    let (kind, value) = match value {
        Value::Null => return Bson::Null,
        Value::Int(number) => ("i", Bson::Int64(*number)),
        Value::UInt(number) => ("u", Bson::Int64(number.cast_signed())),
        Value::Double(bits) => ("f", Bson::Int64(bits.cast_signed())),
        Value::Decimal(text) => ("d", Bson::String(text.clone())),
        Value::Text(text) => ("s", Bson::String(text.clone())),
        Value::Bytes(bytes) => ("b", Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.clone() })),
        Value::Civil(packed) => ("c", Bson::Int64(*packed)),
        Value::Time(micros) => ("t", Bson::Int64(*micros)),
    };
    let mut tagged = Document::new();
    tagged.insert(kind, value);
    Bson::Document(tagged)
}

/// The opposite of [`key_to_bson`].
pub(super) fn key_from_bson(stored: &Bson) -> Result<Key> {
    let values: Option<Vec<Value>> = stored.as_array().and_then(|list| list.iter().map(value_from_bson).collect());
    values.map(Key).ok_or_else(|| damaged("a key"))
}

fn value_from_bson(stored: &Bson) -> Option<Value> {
    if *stored == Bson::Null {
        return Some(Value::Null);
    }
    let (kind, value) = stored.as_document()?.iter().next()?;
    Some(match (kind.as_str(), value) {
        ("i", Bson::Int64(number)) => Value::Int(*number),
        ("u", Bson::Int64(number)) => Value::UInt(number.cast_unsigned()),
        ("f", Bson::Int64(bits)) => Value::Double(bits.cast_unsigned()),
        ("d", Bson::String(text)) => Value::Decimal(text.clone()),
        ("s", Bson::String(text)) => Value::Text(text.clone()),
        ("b", Bson::Binary(binary)) => Value::Bytes(binary.bytes.clone()),
        ("c", Bson::Int64(packed)) => Value::Civil(*packed),
        ("t", Bson::Int64(micros)) => Value::Time(*micros),
        _ => return None,
    })
}

/// What is read here was written here: anything else is damage.
pub(super) fn damaged(what: &str) -> Error {
    Error::halt(format!("{what} in `_rowfold.*` of the target database is damaged, or of another program"))
}

/// A count. Below 2^63 by far.
pub(super) fn count_to_bson(count: u64) -> Bson {
    Bson::Int64(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The opposite of [`count_to_bson`].
pub(super) fn count_from(record: &Document, field: &str) -> u64 {
    failure::long(record, field).and_then(|count| u64::try_from(count).ok()).unwrap_or_default()
}

pub(super) fn newer_format(stored: i64) -> Error {
    Error::config(format!(
        "the target database holds records of format {stored}, and this rowfold knows {FORMAT_VERSION} at most; use the \
         newer rowfold that wrote them"
    ))
}

/// Matches unless a later owner has written.
pub(super) fn fence(owner_epoch: i64) -> Document {
    doc! {"$not": {"$gt": owner_epoch}}
}

/// The stored record was written by a later owner.
pub(super) fn fenced(what: &str) -> Error {
    Error::fenced(format!("{what}: a later owner has written"))
}

/// One update statement that stores a record whole, under the fence and with a deadline if it is new.
pub(super) fn put(id: &Bson, owner_epoch: i64, record: Document, create_until_ms: i64) -> Document {
    let mut whole = doc! {"_id": id.clone(), "owner_epoch": owner_epoch};
    whole.extend(record);
    let late = doc! {"$toInt": {"$concat": [batch::DEADLINE_TEXT, {"$type": "$_id"}]}};
    let in_time = doc! {"$lt": ["$$NOW", date(create_until_ms)]};
    doc! {
        "q": {"_id": id.clone(), "owner_epoch": fence(owner_epoch)},
        "u": [{"$replaceWith": {"$cond": [in_time, {"$literal": whole}, late]}}],
        "upsert": true,
    }
}

impl MongoTarget {
    /// Sends statements made by [`put`]. Returns the positions of those that found a record of a later owner, or one
    /// that the statement's own condition left out.
    pub(super) async fn put_all(&self, what: &str, collection: &str, puts: Vec<Document>) -> Result<Vec<usize>> {
        let mut missed = Vec::new();
        for (round, part) in puts.chunks(RECORDS_AT_ONCE).enumerate() {
            let reply = self.update(what, collection, part.to_vec(), self.create_limit).await?;
            for error in reply.errors {
                if error.is_past_deadline() {
                    return Err(Error::fenced(format!("{what}: the lease ran out")));
                } else if is_taken(&error) {
                    missed.push(round * RECORDS_AT_ONCE + error.index);
                } else if failure::kind_of(error.code) == crate::error::Kind::Retry {
                    return Err(Error::retry(format!("{what}: the target answered with error {}", error.code)));
                } else {
                    return Err(Error::halt(format!("{what}: {}", error.reason())));
                }
            }
        }
        Ok(missed)
    }

    /// The `owner_epoch` of a record; `None` if there is none.
    pub(super) async fn stored_epoch(&self, what: &str, collection: &str, id: &Bson) -> Result<Option<i64>> {
        let command = doc! {"find": collection, "filter": {"_id": id.clone()}, "projection": {"owner_epoch": 1}};
        let found = self.read(what, command).await?;
        Ok(found.first().map(|record| failure::long(record, "owner_epoch").unwrap_or(0)))
    }

    /// Refuses records of a newer rowfold. With `write`, notes our format if none is noted.
    pub(super) async fn check_format(&self, write: bool) -> Result<()> {
        if self.format.initialized() {
            return Ok(());
        }
        let what = "reading the format of the records";
        let found = self.read(what, doc! {"find": META, "filter": {"_id": "format"}}).await?;
        match found.first().map(|record| failure::long(record, "version").ok_or_else(|| damaged("the format"))) {
            Some(stored) => {
                let stored = stored?;
                if stored > i64::from(FORMAT_VERSION) {
                    return Err(newer_format(stored));
                }
            }
            None if write => {
                let note = doc! {"$setOnInsert": {"version": FORMAT_VERSION}};
                let statement = doc! {"q": {"_id": "format"}, "u": note, "upsert": true};
                let reply =
                    self.update("noting the format of the records", META, vec![statement], self.create_limit).await?;
                if reply.errors.iter().any(|error| !is_taken(error)) {
                    return Err(Error::retry("the format of the records could not be noted"));
                }
            }
            None => return Ok(()),
        }
        let _ = self.format.set(());
        Ok(())
    }
}

/// Whether somebody else made the record in the same moment, or holds it.
fn is_taken(error: &WriteError) -> bool {
    error.is_duplicate_id() || error.is_lost_race()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            (1u64 << 63..=u64::MAX).prop_map(Value::UInt),
            any::<u64>().prop_map(Value::Double),
            "-?[0-9]{1,20}\\.[0-9]{1,4}".prop_map(Value::Decimal),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
            any::<i64>().prop_map(Value::Civil),
            any::<i64>().prop_map(Value::Time),
        ]
    }

    proptest! {
        #[test]
        fn keys_come_back_exactly(values in proptest::collection::vec(value(), 0..5)) {
            let key = Key(values);
            let bytes = bson::serialize_to_vec(&doc! {"k": key_to_bson(&key)}).expect("BSON");
            let read: Document = bson::deserialize_from_slice(&bytes).expect("BSON");
            prop_assert_eq!(key_from_bson(read.get("k").expect("a key")).expect("a key"), key);
        }
    }

    #[test]
    fn what_is_not_a_key_is_damage() {
        for bad in [Bson::Null, Bson::Array(vec![Bson::Int64(1)]), Bson::Array(vec![doc! {"x": 1i64}.into()])] {
            assert_eq!(key_from_bson(&bad).map_err(|error| error.kind()), Err(crate::error::Kind::Halt));
        }
    }

    #[test]
    fn the_digest_is_the_published_one() {
        assert_eq!(fnv128(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv128(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
