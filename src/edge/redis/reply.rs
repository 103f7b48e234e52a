//! Redis' replies, walked as they come: no map is made of an entry that has an order.
//!
//! Owns: reading numbers, texts, pairs and entries out of a [`Value`] (RESP2). Does not own: what they mean.

use redis::Value;

use crate::error::{Error, Result};
use crate::model::stream::{EntryId, RawEntry};

/// A reply of a shape that Redis does not give: not Redis, or not the version it says.
pub(super) fn unforeseen(what: &str) -> Error {
    Error::retry(format!("{what}: the server's answer is not one that Redis gives"))
}

pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        // An empty list of RESP2 can be nil.
        Value::Nil => Some(Vec::new()),
        _ => None,
    }
}

pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}

pub(super) fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

pub(super) fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        value => text(value)?.parse().ok(),
    }
}

/// `[a, b, c, d]` is `(a, b), (c, d)`.
pub(super) fn pairs(value: Value) -> Option<Vec<(Value, Value)>> {
    let items = list(value)?;
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let Some(first) = items.next() {
        pairs.push((first, items.next()?));
    }
    Some(pairs)
}

/// Fields and values, as HGETALL and entries give them.
pub(super) fn fields(value: Value) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    pairs(value)?.into_iter().map(|(field, value)| Some((bytes(field)?, bytes(value)?))).collect()
}

/// Milliseconds since 1970 from TIME.
pub(super) fn time_ms(value: Value) -> Option<u64> {
    let [seconds, micros]: [Value; 2] = list(value)?.try_into().ok()?;
    Some(number(seconds)?.checked_mul(1000)? + number(micros)? / 1000)
}

/// `[id, [field, value, ...]]`.
fn entry(value: Value) -> Option<RawEntry> {
    let [id, body]: [Value; 2] = list(value)?.try_into().ok()?;
    Some(RawEntry { id: id_of(id)?, fields: fields(body)? })
}

pub(super) fn entries(value: Value) -> Option<Vec<RawEntry>> {
    list(value)?.into_iter().map(entry).collect()
}

pub(super) fn id_of(value: Value) -> Option<EntryId> {
    text(value)?.parse().ok()
}

/// `what`, if the reply is `None`: for the ends of chains above.
pub(super) fn known<T>(what: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| unforeseen(what))
}
