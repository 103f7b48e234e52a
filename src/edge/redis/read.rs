//! Reading entries, waiting for the first one.
//!
//! Owns: XREAD. Does not own: whether an entry is missing (`logic::following`).
//!
//! A waiting read has a connection of its own: it would hold up every other command on it. Dropped half way, that connection
//! closes with it.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{COMMAND_LIMIT, RedisStreams, reply};
use crate::error::Result;
use crate::model::stream::{EntryId, RawEntry};

/// Entries of some streams, by index.
type Found = Vec<(usize, Vec<RawEntry>)>;

pub(super) async fn read(
    store: &RedisStreams,
    from: &[(String, EntryId)],
    count: usize,
    wait: Duration,
) -> Result<Found> {
    if from.is_empty() {
        return Ok(Vec::new());
    }
    // COUNT is per stream. Each gets its share first, so that a full one does not starve the others ...
    let share = (count / from.len()).max(1);
    let mut connection = store.take_for(wait + COMMAND_LIMIT).await?;
    let all: Vec<(usize, &str, EntryId)> =
        from.iter().enumerate().map(|(at, (key, id))| (at, key.as_str(), *id)).collect();
    let mut found = entries(store, connection.one(WHAT, &command(&all, share, wait)).await?, &all)?;
    // ... and what the others left goes to those that have more.
    let had: usize = found.iter().map(|(_, entries)| entries.len()).sum();
    let more: Vec<(usize, &str, EntryId)> = found
        .iter()
        .filter(|(_, entries)| entries.len() == share)
        .filter_map(|(at, entries)| Some((*at, from[*at].0.as_str(), entries.last()?.id)))
        .collect();
    let rest = count.saturating_sub(had).checked_div(more.len()).unwrap_or_default();
    if rest > 0 {
        let more_found = entries(store, connection.one(WHAT, &command(&more, rest, Duration::ZERO)).await?, &more)?;
        for (at, entries) in more_found {
            if let Some((_, known)) = found.iter_mut().find(|(known, _)| *known == at) {
                known.extend(entries);
            }
        }
    }
    connection.give_back();
    Ok(found)
}

const WHAT: &str = "reading the streams";

fn command(from: &[(usize, &str, EntryId)], count: usize, wait: Duration) -> Cmd {
    let mut command = redis::cmd("XREAD");
    command.arg("COUNT").arg(count);
    // BLOCK 0 would wait for ever.
    if !wait.is_zero() {
        command.arg("BLOCK").arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
    }
    command.arg("STREAMS");
    for (_, key, _) in from {
        command.arg(*key);
    }
    for (_, _, id) in from {
        command.arg(id.to_string());
    }
    command
}

fn entries(store: &RedisStreams, said: Value, asked: &[(usize, &str, EntryId)]) -> Result<Found> {
    let key = if let [(_, key, _)] = asked { Some(*key) } else { None };
    if let Value::ServerError(error) = &said {
        return Err(store.failures.of_server(WHAT, key, error));
    }
    let walk = || {
        let mut found = Vec::new();
        for stream in reply::list(said)? {
            let [key, list]: [Value; 2] = reply::list(stream)?.try_into().ok()?;
            let key = reply::bytes(key)?;
            let (at, ..) = asked.iter().find(|(_, asked, _)| asked.as_bytes() == key)?;
            found.push((*at, reply::entries(list)?));
        }
        Some(found)
    };
    reply::known(WHAT, walk())
}
