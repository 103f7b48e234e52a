//! Consumer groups, which are the builds' bookmarks, and what they allow to be trimmed.
//!
//! Owns: XGROUP, XINFO GROUPS, XTRIM. Does not own: how far a build has come, below which ID trimming is safe
//! (`logic::capturing`).

use redis::Value;

use super::look::is_missing;
use super::{BULK_LIMIT, COMMAND_LIMIT, RedisStreams, reply};
use crate::error::Result;
use crate::model::stream::{EntryId, Position};
use crate::ports::{Groups, group_name};

pub(super) async fn bookmark(store: &RedisStreams, id: &str, passed: &[(String, Position)]) -> Result<()> {
    let what = "moving the bookmarks";
    let group = group_name(id);
    if passed.is_empty() {
        return Ok(());
    }
    let mut commands = redis::pipe();
    for (key, Position { id, count }) in passed {
        let command = commands.cmd("XGROUP").arg("SETID").arg(key).arg(&group);
        command.arg(id.to_string()).arg("ENTRIESREAD").arg(*count);
    }
    let mut connection = store.take().await?;
    let replies = connection.all(what, &commands).await?;
    let mut missing = Vec::new();
    for ((key, position), said) in passed.iter().zip(replies) {
        match said {
            Value::ServerError(error) if error.code() == "NOGROUP" => missing.push((key, position)),
            // A stream that is gone is for the next look to tell of.
            Value::ServerError(error) if is_missing(&error) => {}
            Value::ServerError(error) => return Err(store.failures.of_server(what, Some(key), &error)),
            _ => {}
        }
    }
    for (key, Position { id, count }) in missing {
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(key).arg(&group).arg(id.to_string()).arg("ENTRIESREAD").arg(*count);
        // While Redis is full it cannot be made; the next time is early enough.
        match connection.one(what, &create).await? {
            Value::ServerError(error) if !is_made(&error) && error.code() != "OOM" => {
                return Err(store.failures.of_server(what, Some(key), &error));
            }
            _ => {}
        }
    }
    connection.give_back();
    Ok(())
}

/// Whether XGROUP CREATE left things as they should be: the group is there, or there is no stream for it.
pub(super) fn is_made(error: &redis::ServerError) -> bool {
    error.code() == "BUSYGROUP" || is_missing(error)
}

pub(super) async fn groups(store: &RedisStreams, streams: &[String]) -> Result<Vec<Groups>> {
    let what = "reading the bookmarks";
    let mut commands = redis::pipe();
    for key in streams {
        commands.cmd("XINFO").arg("GROUPS").arg(key);
        commands.cmd("XRANGE").arg(key).arg("-").arg("+").arg("COUNT").arg(1);
    }
    let mut replies = store.at_once(what, COMMAND_LIMIT, &commands).await?.into_iter();
    let mut found = Vec::with_capacity(streams.len());
    for key in streams {
        let (groups, first) = (replies.next(), replies.next());
        let groups = match groups {
            Some(Value::ServerError(error)) if is_missing(&error) => {
                found.push(Groups::default());
                continue;
            }
            Some(Value::ServerError(error)) => return Err(store.failures.of_server(what, Some(key), &error)),
            groups => groups,
        };
        let delivered = reply::known(what, groups.and_then(reply::list))?.into_iter().map(group).collect::<Option<_>>();
        let first = reply::known(what, first.and_then(reply::entries))?.first().map(|entry| entry.id);
        found.push(Groups { delivered: reply::known(what, delivered)?, first });
    }
    Ok(found)
}

fn group(said: Value) -> Option<(String, EntryId)> {
    let (mut name, mut delivered) = (None, None);
    for (field, value) in reply::pairs(said)? {
        match reply::text(field).as_deref() {
            // Somebody else's group may have any bytes for a name.
            Some("name") => name = reply::bytes(value).map(|name| String::from_utf8_lossy(&name).into_owned()),
            Some("last-delivered-id") => delivered = reply::id_of(value),
            _ => {}
        }
    }
    name.zip(delivered)
}

pub(super) async fn trim(store: &RedisStreams, below: &[(String, EntryId)]) -> Result<()> {
    let what = "trimming the streams";
    let mut commands = redis::pipe();
    for (key, id) in below {
        commands.cmd("XTRIM").arg(key).arg("MINID").arg("=").arg(id.to_string());
    }
    let mut connection = store.take_for(BULK_LIMIT).await?;
    let replies = connection.all(what, &commands).await?;
    connection.give_back();
    for ((key, _), said) in below.iter().zip(replies) {
        store.failures.checked(what, Some(key), vec![said])?;
    }
    Ok(())
}
