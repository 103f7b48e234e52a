//! Whether the Redis server and its keys are fit to hold the streams.
//!
//! Owns: [`StreamFacts`] and the judgement of them. Does not own: finding them out (`edge::redis`), the job file's
//! `stream` section.

use super::super::problem::{Problem, Severity};
use super::super::{Capture, StreamSettings};
use super::source_checks::major_minor;

/// What was found out about the Redis server and the keys of one prefix. What the server did not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// `redis_version`.
    pub version: Option<String>,
    /// `maxmemory_policy`.
    pub eviction: Option<String>,
    /// `maxmemory`; 0 for none.
    pub memory_max_bytes: Option<u64>,
    /// Whether it is a node of a cluster.
    pub is_cluster: bool,
    /// Whether the keys lie on another node of that cluster.
    pub keys_elsewhere: bool,
    /// Whether it is a replica.
    pub is_replica: bool,
    /// The account's name.
    pub user: String,
    /// Commands that it may not run, as `ACL SETUSER` names them: `xgroup|create`.
    pub denied_commands: Vec<String>,
    /// Patterns of keys that it may not touch.
    pub denied_keys: Vec<String>,
    /// Keys that hold something else than they should, and what.
    pub foreign_types: Vec<(String, String)>,
    /// Whether the record beside the streams is there.
    pub has_record: bool,
    /// Who captures into this prefix, and for how many milliseconds its lease still lasts.
    pub owner: Option<(String, u64)>,
    /// Streams that hold entries of another producer only.
    pub foreign_streams: Vec<String>,
}

/// What is wrong with the server, the account or the keys. `settings` are those the facts were found by.
pub fn stream_problems(settings: &StreamSettings, facts: &StreamFacts) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut error = |code, what: String, fix: String| {
        found.push(Problem { severity: Severity::Error, code, what, location: None, fix: Some(fix) });
    };
    let place = settings.place();
    if let Some(version) = facts.version.as_deref().filter(|text| major_minor(text).is_some_and(|it| it < (7, 0))) {
        let what = format!("Redis at {place} is {version}, which does not count the entries of a stream");
        error("E-REDIS-VERSION", what, "use Redis 7.0 or later".to_string());
    }
    // Whoever writes the streams: what is evicted is lost to a reader too.
    if let Some(policy) = facts.eviction.as_deref().filter(|policy| *policy != "noeviction") {
        let what =
            format!("Redis at {place} has maxmemory-policy {policy}: it may drop a stream that is still to be read");
        error("E-REDIS-EVICT", what, "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf".to_string());
    }
    if facts.memory_max_bytes == Some(0) && settings.max_bytes.is_none() && settings.capture == Capture::Rowfold {
        let what = format!("nothing bounds what waits in Redis at {place}: its maxmemory is 0");
        error("E-REDIS-MEMORY", what, "set stream.max_bytes, for example 2GiB, or maxmemory of the server".to_string());
    }
    if facts.is_replica {
        let what = format!("Redis at {place} is a replica");
        error("E-REDIS-REPLICA", what, "name its master in stream.url (INFO replication tells it)".to_string());
    }
    if facts.is_cluster && hash_tag(&settings.prefix).is_none() {
        let what =
            format!("Redis at {place} is a cluster, and the keys of `{}` fall into several slots", settings.prefix);
        error("E-REDIS-CLUSTER", what, format!("prefix: \"{{{}}}\"", settings.prefix));
    } else if facts.keys_elsewhere {
        let what =
            format!("Redis at {place} is a node of a cluster that does not hold the keys of `{}`", settings.prefix);
        let fix = format!("name in stream.url the node that CLUSTER KEYSLOT \"{}\" leads to", settings.prefix);
        error("E-REDIS-CLUSTER", what, fix);
    }
    let denied: Vec<&String> = facts.denied_commands.iter().chain(&facts.denied_keys).collect();
    if !denied.is_empty() {
        let rights = facts.denied_commands.iter().map(|command| format!("+{command}"));
        let rights: Vec<String> = facts.denied_keys.iter().map(|pattern| format!("~{pattern}")).chain(rights).collect();
        let names: Vec<&str> = denied.iter().map(|name| name.as_str()).collect();
        let what = format!("the user {} of Redis at {place} may not use: {}", facts.user, names.join(", "));
        error("E-REDIS-ACL", what, format!("ACL SETUSER {} {}", facts.user, rights.join(" ")));
    }
    for (key, kind) in &facts.foreign_types {
        let what = format!("the key {key} of Redis at {place} holds a {kind}");
        error("E-REDIS-KEY", what, "choose another stream.prefix, or rename that key".to_string());
    }
    if settings.capture == Capture::Rowfold && !facts.has_record && !facts.foreign_streams.is_empty() {
        let what = format!("another producer began these streams: {}", facts.foreign_streams.join(", "));
        let fix =
            "write `capture: debezium` if it goes on writing them; else choose another stream.prefix, or remove them";
        error("E-STREAM-FOREIGN", what, fix.to_string());
    }
    found
}

/// The part of a key in braces, by which alone a cluster chooses the slot (Redis cluster specification, "Hash tags").
fn hash_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}
