//! How far the streams are filled, and what memory they take.
//!
//! Owns: the looks, all in one MULTI, and the usage. Does not own: what follows from a look.

use redis::{Pipeline, Value};

use super::{COMMAND_LIMIT, RedisStreams, meta, reply};
use crate::error::{Error, Result};
use crate::model::stream::{Meta, Position, RawEntry};
use crate::ports::{ForeignLook, Look, Usage};

/// Nodes of a stream's tree that Redis weighs for its estimate.
const USAGE_SAMPLES: usize = 5;

pub(super) async fn look(store: &RedisStreams, streams: &[String]) -> Result<Look> {
    let what = "looking at the streams";
    let mut commands = redis::pipe();
    commands.cmd("TIME").cmd("HGETALL").arg(&store.meta);
    ask_streams(&mut commands, streams);
    let mut replies = store.at_once(what, COMMAND_LIMIT, &commands).await?.into_iter();
    let now_ms = time(store, what, replies.next())?;
    let meta = record(store, what, replies.next())?;
    let streams = streams.iter().map(|key| position(store, what, key, replies.next())).collect::<Result<_>>()?;
    Ok(Look { now_ms, meta, streams })
}

pub(super) async fn look_foreign(store: &RedisStreams, streams: &[String], offsets: &str) -> Result<ForeignLook> {
    let what = "looking at the streams";
    let mut commands = redis::pipe();
    commands.cmd("TIME").cmd("HGETALL").arg(offsets);
    ask_streams(&mut commands, streams);
    for key in streams {
        commands.cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1);
    }
    let mut replies = store.at_once(what, COMMAND_LIMIT, &commands).await?.into_iter();
    let now_ms = time(store, what, replies.next())?;
    let offsets = reply::known(what, reply::fields(plain(store, what, offsets, replies.next())?))?;
    let positions = streams.iter().map(|key| position(store, what, key, replies.next())).collect::<Result<_>>()?;
    let last = streams.iter().map(|key| last(store, what, key, replies.next())).collect::<Result<_>>()?;
    Ok(ForeignLook { now_ms, streams: positions, last, offsets })
}

pub(super) async fn usage(store: &RedisStreams, streams: &[String]) -> Result<Usage> {
    let what = "asking for the streams' size";
    let mut commands = redis::pipe();
    commands.cmd("INFO").arg("memory");
    for key in streams {
        commands.cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(USAGE_SAMPLES);
    }
    let mut connection = store.take().await?;
    let replies = connection.all(what, &commands).await?;
    connection.give_back();
    let mut replies = store.failures.checked(what, None, replies)?.into_iter();
    let info = reply::known(what, replies.next().and_then(reply::text))?;
    let figure = |name: &str| reply::known(what, info_field(&info, name).and_then(|text| text.parse().ok()));
    let (used_bytes, max_bytes) = (figure("used_memory")?, figure("maxmemory")?);
    let sizes = replies.map(|size| if size == Value::Nil { Some(0) } else { reply::number(size) });
    let stream_bytes = reply::known(what, sizes.sum::<Option<u64>>())?;
    Ok(Usage { stream_bytes, used_bytes, max_bytes })
}

/// A line of INFO.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

pub(super) fn ask_streams(commands: &mut Pipeline, streams: &[String]) {
    for key in streams {
        commands.cmd("XINFO").arg("STREAM").arg(key);
    }
}

fn time(store: &RedisStreams, what: &str, reply: Option<Value>) -> Result<u64> {
    reply::known(what, reply::time_ms(plain(store, what, "", reply)?))
}

/// A reply that is no error. `key` is what it is about.
fn plain(store: &RedisStreams, what: &str, key: &str, reply: Option<Value>) -> Result<Value> {
    match reply {
        Some(Value::ServerError(error)) => Err(store.failures.of_server(what, Some(key), &error)),
        reply => reply::known(what, reply),
    }
}

fn record(store: &RedisStreams, what: &str, reply: Option<Value>) -> Result<Option<Meta>> {
    let fields = reply::known(what, reply::fields(plain(store, what, &store.meta, reply)?))?;
    if fields.is_empty() {
        return Ok(None);
    }
    let wrong = |field| {
        Error::config(format!(
            "{what}: the field {field} of {} at {} cannot be read; the hash is not rowfold's record, or a later version's",
            store.meta,
            store.failures.place()
        ))
    };
    meta::parse(fields).map(Some).map_err(wrong)
}

/// XINFO STREAM: the last generated ID and how many entries were ever added.
pub(super) fn position(store: &RedisStreams, what: &str, key: &str, reply: Option<Value>) -> Result<Option<Position>> {
    let reply = match reply {
        Some(Value::ServerError(error)) if is_missing(&error) => return Ok(None),
        reply => plain(store, what, key, reply)?,
    };
    let (mut id, mut count) = (None, None);
    for (name, value) in reply::known(what, reply::pairs(reply))? {
        match reply::text(name).as_deref() {
            Some("last-generated-id") => id = reply::id_of(value),
            Some("entries-added") => count = reply::number(value),
            _ => {}
        }
    }
    if count.is_none() {
        let place = store.failures.place();
        return Err(Error::config(format!("{what}: Redis at {place} does not count entries; 7.0 or later does")));
    }
    reply::known(what, id.zip(count).map(|(id, count)| Some(Position { id, count })))
}

fn last(store: &RedisStreams, what: &str, key: &str, reply: Option<Value>) -> Result<Option<RawEntry>> {
    let entries = reply::known(what, reply::entries(plain(store, what, key, reply)?))?;
    Ok(entries.into_iter().next())
}

/// What commands about a stream say when there is none. (Their other complaint with ERR is of arguments.)
pub(super) fn is_missing(error: &redis::ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    error.code() == "ERR" && (details.contains("no such key") || details.contains("requires the key to exist"))
}
