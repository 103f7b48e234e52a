//! Capture's sessions in the record: beginning one, and giving the lease back.
//!
//! Owns: these writes, each only while the record is the one that was seen. Does not own: who may begin
//! (`logic::capturing`).

use redis::{Pipeline, Value};

use super::append::{add, is_not_above};
use super::connection::Guarded;
use super::{RedisStreams, meta};
use crate::error::{Error, Result};
use crate::ports::Begin;

pub(super) async fn begin(store: &RedisStreams, begin: &Begin) -> Result<bool> {
    let what = "beginning to capture";
    let record = meta::epoch_record(&begin.record).ok_or_else(|| Error::halt("an epoch cannot be written"))?;
    // A record that only builds have written to counts as none.
    let seen = begin.seen.as_ref().map_or(("", 0), |(generation, epoch)| (generation.as_str(), *epoch));
    let mut connection = store.take().await?;
    let done =
        connection.guarded(what, &store.meta, seen, |now_ms| commands(&store.meta, begin, &record, now_ms)).await?;
    let begun = match done {
        Guarded::Done(mut replies) => {
            let started = replies.split_off(replies.len().saturating_sub(begin.starters.len()));
            store.failures.checked(what, Some(&store.meta), replies)?;
            for ((stream, _), said) in begin.starters.iter().zip(started) {
                match said {
                    // Somebody else has begun the stream meanwhile: readers will see that their counts differ.
                    Value::ServerError(error) if is_not_above(&error) => {}
                    Value::ServerError(error) => return Err(store.failures.of_server(what, Some(stream), &error)),
                    _ => {}
                }
            }
            true
        }
        Guarded::Other(..) => false,
        Guarded::Full => return Err(full(store, what)),
    };
    connection.give_back();
    Ok(begun)
}

fn commands(key: &str, begin: &Begin, record: &str, now_ms: u64) -> Pipeline {
    let mut commands = redis::pipe();
    let old = begin.forget.iter().flat_map(|epoch| [meta::epoch(*epoch), meta::captured(*epoch), meta::open(*epoch)]);
    let served = begin.served.iter().flat_map(|id| [meta::request(id), meta::refused(id)]);
    let refused = begin.refused.iter().map(|(id, _)| meta::request(id));
    // `open` of this epoch: one of an earlier life of the record could be there.
    let gone: Vec<String> = old.chain(served).chain(refused).chain([meta::open(begin.epoch)]).collect();
    commands.cmd("HDEL").arg(key).arg(gone);
    let set = commands.cmd("HSET").arg(key);
    set.arg(meta::GENERATION).arg(&begin.generation).arg(meta::EPOCH).arg(begin.epoch);
    set.arg(meta::SOURCE).arg(&begin.source).arg(meta::OWNER).arg(&begin.owner);
    set.arg(meta::BEAT_MS).arg(now_ms).arg(meta::UNTIL_MS).arg(until_ms(now_ms, begin.lease));
    set.arg(meta::IMPORTED).arg(u8::from(begin.imported));
    set.arg(meta::epoch(begin.epoch)).arg(record);
    set.arg(meta::captured(begin.epoch)).arg(begin.record.captured.to_string());
    for (id, reason) in &begin.refused {
        set.arg(meta::refused(id)).arg(reason);
    }
    begin.starters.iter().for_each(|(stream, entry)| add(&mut commands, stream, entry));
    commands
}

/// Takes `until_ms` away instead of setting it, for that works while Redis is full.
pub(super) async fn release(store: &RedisStreams, generation: &str, epoch: u64) -> Result<()> {
    let what = "ending capture's lease";
    let mut connection = store.take().await?;
    let end = |_| {
        let mut commands = redis::pipe();
        commands.cmd("HDEL").arg(&store.meta).arg(meta::UNTIL_MS);
        commands
    };
    if let Guarded::Done(replies) = connection.guarded(what, &store.meta, (generation, epoch), end).await? {
        store.failures.checked(what, Some(&store.meta), replies)?;
    }
    connection.give_back();
    Ok(())
}

pub(super) fn until_ms(now_ms: u64, lease: std::time::Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX))
}

fn full(store: &RedisStreams, what: &str) -> Error {
    let place = store.failures.place();
    Error::retry(format!("{what}: Redis at {place} is full (maxmemory); it needs more memory, or readers that go on"))
}
