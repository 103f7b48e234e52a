//! The Redis of a test: that of all tests, of which it uses one prefix, or a server of its own.
//! Owns: that nothing of it stays behind. Does not own: starting servers (`mortal`, `scripts/services`).

use super::mortal::{Keeps, MortalRedis};
use super::servers;
use redis::{Connection, FromRedisValue};
use std::collections::BTreeMap;

pub struct Redis {
    /// `host:port`.
    pub place: String,
    own: Option<MortalRedis>,
}

impl Redis {
    /// The one of all tests.
    pub fn shared() -> Redis {
        let url = servers::redis_url();
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        Redis { place: place.trim_end_matches('/').to_owned(), own: None }
    }

    /// The one that a case wants: one of its own if there is a line `options: ...`. None where that cannot be had.
    pub async fn of(script: &str) -> Option<Redis> {
        let Some(options) = script.lines().find_map(|line| line.strip_prefix("options: ")) else {
            return Some(Redis::shared());
        };
        let own = MortalRedis::start_with(Keeps::Nothing, &options.split_whitespace().collect::<Vec<_>>()).await?;
        Some(Redis { place: own.place(), own: Some(own) })
    }

    fn connection(&self) -> Connection {
        let url = self.own.as_ref().map_or_else(servers::redis_url, MortalRedis::url);
        let client = redis::Client::open(url).unwrap_or_else(|e| panic!("the url of Redis: {e}"));
        client.get_connection().unwrap_or_else(|e| panic!("no connection to Redis: {e}"))
    }

    /// One command, its words separated by spaces.
    pub fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split_whitespace();
        let mut ask = redis::cmd(words.next().expect("a command"));
        for word in words {
            ask.arg(word);
        }
        ask.query(&mut self.connection()).unwrap_or_else(|e| panic!("{e}\nin: {command}"))
    }

    /// The lines `do: COMMAND`.
    pub fn prepare(&self, script: &str) {
        for command in script.lines().filter_map(|line| line.strip_prefix("do: ")) {
            let _: redis::Value = self.ask(command);
        }
    }

    /// Every key that begins so, with its value as Redis would move it.
    pub fn contents(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let mut connection = self.connection();
        let keys: Vec<String> = self.ask(&format!("KEYS {prefix}*"));
        let dump = |key: String| {
            let value: Option<Vec<u8>> =
                redis::cmd("DUMP").arg(&key).query(&mut connection).expect("a key can be read");
            (key, value.unwrap_or_default())
        };
        keys.into_iter().map(dump).collect()
    }

    /// Removes what a test wrote.
    pub fn remove(&self, prefix: &str) {
        for key in self.contents(prefix).into_keys() {
            let _: u64 = redis::cmd("DEL").arg(key).query(&mut self.connection()).expect("a key can be removed");
        }
    }
}
