//! Appending entries, C with them, and capture's sign of life.
//!
//! Owns: the one MULTI of an append, and what became of it. Does not own: IDs and their order (`logic::capturing`).

use redis::{Pipeline, Value};

use super::connection::{Connection, Guarded};
use super::session::until_ms;
use super::{BULK_LIMIT, RedisStreams, meta, reply};
use crate::error::Result;
use crate::model::stream::RawEntry;
use crate::ports::{Append, Appended};

const WHAT: &str = "appending to the streams";

pub(super) async fn append(store: &RedisStreams, append: &Append) -> Result<Appended> {
    let mut connection = store.take_for(BULK_LIMIT).await?;
    let session = (append.generation.as_str(), append.epoch);
    let done = connection.guarded(WHAT, &store.meta, session, |now_ms| commands(&store.meta, append, now_ms)).await?;
    let appended = match done {
        Guarded::Done(replies) => checked(store, append, &mut connection, replies).await?,
        Guarded::Full => Appended::Full,
        Guarded::Other(generation, epoch) if generation == append.generation && epoch > append.epoch => {
            Appended::Superseded
        }
        Guarded::Other(generation, epoch) => Appended::Lost(lost(store, append, &generation, epoch)),
    };
    connection.give_back();
    Ok(appended)
}

fn lost(store: &RedisStreams, append: &Append, generation: &str, epoch: u64) -> String {
    let key = &store.meta;
    if generation.is_empty() {
        format!("{key} is gone")
    } else if generation == append.generation {
        format!("{key} went back from epoch {} to {epoch}", append.epoch)
    } else {
        format!("{key} is of another generation")
    }
}

/// First what C was, then the entries, then what C is.
fn commands(key: &str, append: &Append, now_ms: u64) -> Pipeline {
    let (captured, open) = (meta::captured(append.epoch), meta::open(append.epoch));
    let mut commands = Pipeline::with_capacity(append.entries.len() + 3);
    commands.cmd("HMGET").arg(key).arg(&captured).arg(&open);
    for (stream, entry) in &append.entries {
        add(&mut commands, stream, entry);
    }
    let set = commands.cmd("HSET").arg(key).arg(&captured).arg(append.captured.to_string());
    set.arg(meta::BEAT_MS).arg(now_ms).arg(meta::UNTIL_MS).arg(until_ms(now_ms, append.lease));
    match &append.open {
        Some(gtid) => set.arg(&open).arg(gtid.to_string()),
        None => commands.cmd("HDEL").arg(key).arg(&open),
    };
    commands
}

/// One entry, with its own ID.
pub(super) fn add(commands: &mut Pipeline, stream: &str, entry: &RawEntry) {
    let add = commands.cmd("XADD").arg(stream).arg(entry.id.to_string());
    for (field, value) in &entry.fields {
        add.arg(field.as_slice()).arg(value.as_slice());
    }
}

/// What XADD says of an ID that is not above the stream's last.
pub(super) fn is_not_above(error: &redis::ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    details.contains("equal or smaller") || details.contains("exhausted the last possible ID")
}

async fn checked(
    store: &RedisStreams,
    append: &Append,
    connection: &mut Connection<'_>,
    replies: Vec<Value>,
) -> Result<Appended> {
    let mut replies = replies.into_iter();
    let before = replies.next();
    let wrong = append.entries.iter().zip(&mut replies).find_map(|((stream, _), said)| match said {
        Value::ServerError(error) => Some((stream, error)),
        _ => None,
    });
    let Some((stream, error)) = wrong else {
        store.failures.checked(WHAT, Some(&store.meta), replies.collect())?;
        return Ok(Appended::Done);
    };
    // A MULTI does not take back what went before the command that failed. C must not say that an entry is there that is not.
    put_back(store, append, connection, before).await?;
    if is_not_above(&error) {
        return Ok(Appended::Refused(stream.clone()));
    }
    Err(store.failures.of_server(WHAT, Some(stream), &error))
}

async fn put_back(
    store: &RedisStreams,
    append: &Append,
    connection: &mut Connection<'_>,
    before: Option<Value>,
) -> Result<()> {
    let before: Option<[Value; 2]> = before.and_then(reply::list).and_then(|list| list.try_into().ok());
    let values = reply::known(WHAT, before)?.map(reply::bytes);
    let names = [meta::captured(append.epoch), meta::open(append.epoch)];
    let restore = |_| {
        let mut commands = redis::pipe();
        for (name, value) in names.iter().zip(&values) {
            match value {
                Some(value) => commands.cmd("HSET").arg(&store.meta).arg(name).arg(value.as_slice()),
                None => commands.cmd("HDEL").arg(&store.meta).arg(name),
            };
        }
        commands
    };
    let session = (append.generation.as_str(), append.epoch);
    match connection.guarded(WHAT, &store.meta, session, restore).await? {
        // Without memory nothing can be set; then rather no C at all, which is read as `from`.
        Guarded::Full => {
            let forget = |_| {
                let mut commands = redis::pipe();
                commands.cmd("HDEL").arg(&store.meta).arg(&names);
                commands
            };
            connection.guarded(WHAT, &store.meta, session, forget).await?;
        }
        Guarded::Done(_) | Guarded::Other(..) => {}
    }
    Ok(())
}
