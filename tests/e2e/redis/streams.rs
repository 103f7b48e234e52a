//! The streams of one prefix, seen from outside with Redis' own commands.
//! Owns: counting entries and bytes. Does not own: what entries mean.

use crate::harness;
use crate::harness::mortal::MortalRedis;
use redis::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// The streams of a database's tables.
pub struct Streams<'a> {
    pub redis: &'a MortalRedis,
    pub prefix: &'a str,
    pub database: &'a str,
}

/// How far a stream was filled, and what of it is still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// Entries that were ever added.
    pub added: u64,
    /// Entries that are there.
    pub length: u64,
    /// The ID of the first that is there.
    pub first: String,
    /// The last ID that was ever given.
    pub last: String,
}

impl Streams<'_> {
    pub fn key(&self, table: &str) -> String {
        format!("{}.{}.{table}", self.prefix, self.database)
    }

    pub fn meta(&self) -> String {
        format!("{}.__meta", self.prefix)
    }

    /// None if there is no such stream.
    pub async fn stream(&self, table: &str) -> Option<Stream> {
        let key = self.key(table);
        let Value::Array(words) = self.redis.try_ask::<Value>(&["XINFO", "STREAM", &key]).await.ok()? else {
            panic!("XINFO STREAM answers with something else");
        };
        let fields: BTreeMap<String, &Value> = words.chunks(2).map(|pair| (text(&pair[0]), &pair[1])).collect();
        let number = |name: &str| match fields.get(name) {
            Some(Value::Int(number)) => *number as u64,
            other => panic!("XINFO STREAM: {name} is {other:?}"),
        };
        let first = match fields.get("first-entry") {
            Some(Value::Array(entry)) => text(&entry[0]),
            _ => String::new(),
        };
        let last = fields.get("last-generated-id").map(|value| text(value)).unwrap_or_default();
        Some(Stream { added: number("entries-added"), length: number("length"), first, last })
    }

    pub async fn added(&self, table: &str) -> u64 {
        self.stream(table).await.unwrap_or_default().added
    }

    /// This many more entries are appended to each of these streams, and are still there.
    pub async fn wait_backlog(&self, tables: &[&str], more: u64) {
        for table in tables {
            let goal = self.added(table).await + more;
            harness::until("entries to be appended", LIMIT, async || {
                let now = self.stream(table).await.unwrap_or_default();
                (now.added >= goal && now.length >= more).then_some(())
            })
            .await;
        }
    }

    /// Bytes that all keys of the prefix take.
    pub async fn bytes(&self) -> u64 {
        let keys: Vec<String> = self.redis.ask(&["KEYS", &format!("{}.*", self.prefix)]).await;
        let mut sum = 0;
        for key in keys {
            sum += self.redis.ask::<Option<u64>>(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).await.unwrap_or(0);
        }
        sum
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        other => panic!("not a string: {other:?}"),
    }
}
