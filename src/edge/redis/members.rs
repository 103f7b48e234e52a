//! The builds that read the streams, in the record: entering, leaving, asking for entries again.
//!
//! Owns: these writes. Does not own: whether a request can be served (`logic::capturing`).

use redis::Value;

use super::groups::is_made;
use super::look::is_missing;
use super::{COMMAND_LIMIT, RedisStreams, meta};
use crate::error::{Error, Result};
use crate::model::position::GtidSet;
use crate::model::stream::{Member, stream_key};
use crate::ports::group_name;

/// A new bookmark stands before the stream's first entry: nothing is trimmed until the build moves it.
pub(super) async fn register(store: &RedisStreams, id: &str, member: &Member) -> Result<()> {
    let what = "entering the build beside the streams";
    let record =
        serde_json::to_string(member).map_err(|error| Error::halt("a member cannot be written").because(error))?;
    let streams: Vec<String> = member.tables.iter().map(|table| stream_key(&store.prefix, table)).collect();
    let mut commands = redis::pipe();
    commands.cmd("HSET").arg(&store.meta).arg(meta::build(id)).arg(record);
    commands.cmd("HDEL").arg(&store.meta).arg(meta::refused(id));
    for key in &streams {
        commands.cmd("XGROUP").arg("CREATE").arg(key).arg(group_name(id)).arg("0-0").arg("ENTRIESREAD").arg(0);
    }
    let keys: Vec<String> = std::iter::once(store.meta.clone()).chain(streams).collect();
    run(store, what, &commands, &keys, is_made).await
}

pub(super) async fn unregister(store: &RedisStreams, id: &str, streams: &[String]) -> Result<()> {
    let what = "taking the build out from beside the streams";
    let mut commands = redis::pipe();
    commands.cmd("HDEL").arg(&store.meta).arg(&[meta::build(id), meta::request(id), meta::refused(id)]);
    for key in streams {
        commands.cmd("XGROUP").arg("DESTROY").arg(key).arg(group_name(id));
    }
    run(store, what, &commands, streams, is_missing).await
}

pub(super) async fn request(store: &RedisStreams, id: &str, applied: &GtidSet) -> Result<()> {
    let what = "asking for entries again";
    let mut commands = redis::pipe();
    commands.cmd("HSET").arg(&store.meta).arg(meta::request(id)).arg(applied.to_string());
    commands.cmd("HDEL").arg(&store.meta).arg(meta::refused(id));
    let keys = [store.meta.clone()];
    run(store, what, &commands, &keys, |_| false).await
}

/// One command about the record, then one about each of the keys, in one MULTI.
async fn run(
    store: &RedisStreams,
    what: &str,
    commands: &redis::Pipeline,
    keys: &[String],
    is_fine: impl Fn(&redis::ServerError) -> bool,
) -> Result<()> {
    let replies = store.at_once(what, COMMAND_LIMIT, commands).await?;
    for (key, said) in std::iter::once(&store.meta).chain(keys).zip(replies) {
        if let Value::ServerError(error) = said
            && !is_fine(&error)
        {
            return Err(store.failures.of_server(what, Some(key), &error));
        }
    }
    Ok(())
}
