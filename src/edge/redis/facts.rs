//! What `check` has to know of the server, the account and the keys. Writes nothing.
//!
//! Owns: asking, and trying every command that will be needed without running it. Does not own: the judgement
//! (`config::resolve`).
//!
//! Rights are tried inside of a MULTI that ends with DISCARD: the server decides about a command's rights when it takes it into
//! the queue, and throws the queue away.

use std::collections::BTreeSet;

use redis::{Cmd, Pipeline, Value};

use super::connection::Connection;
use super::failure::{Denied, cause, denied};
use super::look::{info_field, is_missing, position};
use super::{RedisStreams, meta, reply};
use crate::config::resolve::StreamFacts;
use crate::config::{Capture, StreamSettings};
use crate::error::Result;
use crate::model::schema::TableName;
use crate::model::stream::{foreign_stream_key, stream_key};

const WHAT: &str = "asking Redis for its settings";

pub(super) async fn facts(
    store: &RedisStreams,
    settings: &StreamSettings,
    tables: &[TableName],
) -> Result<StreamFacts> {
    let mut facts = StreamFacts { user: store.failures.user().to_string(), ..StreamFacts::default() };
    let key = |table| match settings.capture {
        Capture::Rowfold => stream_key(&store.prefix, table),
        Capture::Debezium => foreign_stream_key(&store.prefix, table),
    };
    let streams: Vec<String> = tables.iter().map(key).collect();
    let mut connection = store.take().await?;
    rights(store, settings, &streams, &mut connection, &mut facts).await?;
    // A connection that may be in a MULTI is not used again.
    drop(connection);
    let mut connection = store.take().await?;
    server(store, &mut connection, &mut facts).await?;
    keys(store, settings, &streams, &mut connection, &mut facts).await?;
    connection.give_back();
    Ok(facts)
}

/// Tries each command with the keys it will have.
async fn rights(
    store: &RedisStreams,
    settings: &StreamSettings,
    streams: &[String],
    connection: &mut Connection<'_>,
    facts: &mut StreamFacts,
) -> Result<()> {
    // Outside of a MULTI an EXEC is only refused, and a WATCH is forgotten with the connection.
    let mut alone = redis::pipe();
    alone.cmd("EXEC");
    if settings.capture == Capture::Rowfold {
        alone.cmd("WATCH").arg(&store.meta);
        alone.cmd("UNWATCH");
    }
    for said in connection.all(WHAT, &alone).await? {
        note(store, &said, None, facts)?;
    }
    let multi = connection.one(WHAT, &redis::cmd("MULTI")).await?;
    note(store, &multi, None, facts)?;
    if multi != Value::Okay {
        // Without it the commands below would run.
        return Ok(());
    }
    let tried = tried(store, settings, streams);
    let mut commands = Pipeline::with_capacity(tried.len() + 1);
    for (_, command) in &tried {
        commands.add_command(command.clone());
    }
    commands.cmd("DISCARD");
    let replies = connection.all(WHAT, &commands).await?;
    for ((key, _), said) in tried.iter().zip(replies) {
        note(store, &said, key.as_deref(), facts)?;
    }
    Ok(())
}

/// The pattern of the keys of the prefix.
fn every_key(store: &RedisStreams) -> String {
    format!("{}.*", store.prefix)
}

/// Every command that is used with this way of capturing, and the pattern of the key it names.
fn tried(store: &RedisStreams, settings: &StreamSettings, streams: &[String]) -> Vec<(Option<String>, Cmd)> {
    let ours = settings.capture == Capture::Rowfold;
    let all = every_key(store);
    let mut tried = Vec::new();
    let mut add = |key: Option<&str>, words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        tried
            .push((key.map(|key| if key.starts_with(&store.prefix) { all.clone() } else { key.to_string() }), command));
    };
    add(None, &["TIME"]);
    add(None, &["INFO"]);
    let record = store.meta.as_str();
    if ours {
        add(Some(record), &["HGETALL", record]);
        add(Some(record), &["HMGET", record, meta::GENERATION]);
        add(Some(record), &["HSET", record, meta::BEAT_MS, "0"]);
        add(Some(record), &["HDEL", record, meta::BEAT_MS]);
    } else {
        add(Some(&settings.offsets_key), &["HGETALL", &settings.offsets_key]);
    }
    for key in streams {
        let key = key.as_str();
        add(Some(key), &["TYPE", key]);
        add(Some(key), &["XINFO", "STREAM", key]);
        add(Some(key), &["XREAD", "COUNT", "1", "STREAMS", key, "0-0"]);
        if ours {
            add(Some(key), &["MEMORY", "USAGE", key]);
            add(Some(key), &["XADD", key, "NOMKSTREAM", "0-1", "f", "v"]);
            add(Some(key), &["XTRIM", key, "MINID", "=", "0-0"]);
            add(Some(key), &["XRANGE", key, "-", "+", "COUNT", "1"]);
            add(Some(key), &["XINFO", "GROUPS", key]);
            add(Some(key), &["XGROUP", "CREATE", key, "rowfold:check", "0-0"]);
            add(Some(key), &["XGROUP", "SETID", key, "rowfold:check", "0-0"]);
            add(Some(key), &["XGROUP", "DESTROY", key, "rowfold:check"]);
        } else {
            add(Some(key), &["XREVRANGE", key, "+", "-", "COUNT", "1"]);
        }
    }
    tried
}

/// What a reply tells of rights and of the cluster. Another error than of rights is not of interest here, unless nothing
/// works at all.
fn note(store: &RedisStreams, said: &Value, key: Option<&str>, facts: &mut StreamFacts) -> Result<()> {
    let Value::ServerError(error) = said else { return Ok(()) };
    let (code, details) = cause(error);
    match code {
        "NOPERM" => {
            let (list, name) = match denied(details) {
                Denied::Command(name) => (&mut facts.denied_commands, name),
                Denied::Key => (&mut facts.denied_keys, key.map_or_else(|| every_key(store), str::to_string)),
            };
            if !list.contains(&name) {
                list.push(name);
            }
        }
        "MOVED" | "CROSSSLOT" => facts.keys_elsewhere = true,
        "NOAUTH" | "WRONGPASS" | "LOADING" => return Err(store.failures.of_server(WHAT, None, error)),
        _ => {}
    }
    Ok(())
}

async fn server(store: &RedisStreams, connection: &mut Connection<'_>, facts: &mut StreamFacts) -> Result<()> {
    let info = connection.one(WHAT, &redis::cmd("INFO")).await?;
    note(store, &info, None, facts)?;
    let Some(info) = reply::text(info) else { return Ok(()) };
    let field = |name| info_field(&info, name).map(str::to_string);
    facts.version = field("redis_version");
    facts.eviction = field("maxmemory_policy");
    facts.memory_max_bytes = field("maxmemory").and_then(|text| text.parse().ok());
    facts.is_cluster = field("cluster_enabled").as_deref() == Some("1");
    facts.is_replica = field("role").as_deref() == Some("slave");
    Ok(())
}

/// What the keys hold. A key that the account may not see counts as missing: that is told of already.
async fn keys(
    store: &RedisStreams,
    settings: &StreamSettings,
    streams: &[String],
    connection: &mut Connection<'_>,
    facts: &mut StreamFacts,
) -> Result<()> {
    let mut commands = redis::pipe();
    commands.cmd("TIME");
    commands.cmd("TYPE").arg(&store.meta);
    for key in streams {
        commands.cmd("TYPE").arg(key);
    }
    let mut replies = connection.all(WHAT, &commands).await?.into_iter();
    let now_ms = replies.next().and_then(reply::time_ms).unwrap_or_default();
    let kinds: Vec<Option<String>> = replies.map(reply::text).collect();
    let wanted = std::iter::once((&store.meta, "hash")).chain(streams.iter().map(|key| (key, "stream")));
    let mut fine = BTreeSet::new();
    for ((key, wanted), kind) in wanted.zip(kinds) {
        match kind {
            Some(kind) if kind == wanted => {
                fine.insert(key.clone());
            }
            Some(kind) if kind != "none" => facts.foreign_types.push((key.clone(), kind)),
            _ => {}
        }
    }
    facts.has_record = fine.contains(&store.meta);
    if facts.has_record {
        let mut read = redis::cmd("HMGET");
        let said = connection.one(WHAT, read.arg(&store.meta).arg(&[meta::OWNER, meta::UNTIL_MS])).await?;
        if let Some([owner, until]) = reply::list(said).and_then(|list| <[Value; 2]>::try_from(list).ok()) {
            let left_ms = reply::number(until).unwrap_or_default().saturating_sub(now_ms);
            facts.owner = reply::text(owner).filter(|_| left_ms > 0).map(|owner| (owner, left_ms));
        }
    }
    if settings.capture == Capture::Rowfold {
        for key in streams.iter().filter(|key| fine.contains(*key)) {
            let said = connection.one(WHAT, redis::cmd("XINFO").arg("STREAM").arg(key)).await?;
            let hidden = matches!(&said, Value::ServerError(error) if error.code() == "NOPERM" || is_missing(error));
            // A server that does not count entries is told of by its version.
            let at = if hidden { None } else { position(store, WHAT, key, Some(said)).ok().flatten() };
            if at.is_some_and(|at| at.count > 0 && at.id.epoch() == 0) {
                facts.foreign_streams.push(key.clone());
            }
        }
    }
    Ok(())
}
