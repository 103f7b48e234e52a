//! A prefix of one test's own, and short ways to say what is written there.

use std::time::{Duration, Instant};

use redis::{Commands, Value};
use rowfold::config::{Capture, StreamSettings};
use rowfold::edge::redis::RedisStreams;
use rowfold::model::position::{Gtid, GtidSet, GtidSource};
use rowfold::model::schema::TableName;
use rowfold::model::stream::{EntryId, Epoch, Meta, Position, RawEntry};
use rowfold::ports::{Append, Begin, Look, StreamStore};

pub const LEASE: Duration = Duration::from_secs(30);

/// The port under test, and a plain connection to the same server.
pub struct Bench {
    pub streams: RedisStreams,
    pub settings: StreamSettings,
    plain: redis::Connection,
}

impl Bench {
    pub async fn new(test: &str) -> Self {
        let url = std::env::var("ROWFOLD_REDIS_URL").expect("set ROWFOLD_REDIS_URL to a Redis that tests may write to");
        Self::at(&url, &format!("rf_redis_{}_{test}", std::process::id())).await
    }

    pub async fn at(url: &str, prefix: &str) -> Self {
        let settings = settings(url, prefix);
        let streams = RedisStreams::connect(&settings).await.expect("a connection");
        Self { streams, plain: plain(url), settings }
    }

    /// Another process, so to speak.
    pub async fn another(&self) -> RedisStreams {
        RedisStreams::connect(&self.settings).await.expect("a connection")
    }

    /// The stream of table `t.<name>`.
    pub fn key(&self, name: &str) -> String {
        format!("{}.t.{name}", self.settings.prefix)
    }

    pub fn keys(&self, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| self.key(name)).collect()
    }

    pub fn meta_key(&self) -> String {
        format!("{}.__meta", self.settings.prefix)
    }

    /// One command, words separated by blanks; `@` stands for the prefix.
    pub fn say(&mut self, words: &str) -> Value {
        let words = words.replace('@', &self.settings.prefix);
        say(&mut self.plain, &words)
    }

    /// The values of all fields of all entries of a stream, as text.
    pub fn values(&mut self, name: &str) -> Vec<String> {
        let said = self.say(&format!("XRANGE @.t.{name} - +"));
        let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(said).expect("entries");
        entries.into_iter().flat_map(|(_, fields)| fields.into_iter().skip(1).step_by(2)).collect()
    }

    pub async fn look(&self, names: &[&str]) -> Look {
        self.streams.look(&self.keys(names)).await.expect("a look")
    }

    pub async fn meta(&self) -> Meta {
        self.look(&[]).await.meta.expect("a record")
    }

    /// Begins epoch `epoch` of generation `g` on top of what is there.
    pub async fn begin(&self, epoch: u64) {
        let seen = self.look(&[]).await.meta.map(|meta| (meta.generation, meta.epoch));
        assert!(self.streams.begin(&begin(seen, "g", epoch)).await.expect("an answer"), "another one has begun");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left for inspection: prefix {}", self.settings.prefix);
            return;
        }
        let keys: Vec<String> = self.plain.keys(format!("{}.*", self.settings.prefix)).unwrap_or_default();
        for key in keys {
            let _: redis::RedisResult<()> = self.plain.del(key);
        }
    }
}

pub fn settings(url: &str, prefix: &str) -> StreamSettings {
    StreamSettings {
        url: url.to_string().into(),
        prefix: prefix.to_string(),
        capture: Capture::Rowfold,
        max_bytes: None,
        lease: LEASE,
        silence_max: None,
        offsets_key: "metadata:debezium:offsets".to_string(),
    }
}

pub fn plain(url: &str) -> redis::Connection {
    redis::Client::open(url).expect("a url").get_connection().expect("a connection")
}

/// One command, words separated by blanks. An error of the server fails the test.
pub fn say(connection: &mut redis::Connection, words: &str) -> Value {
    let mut words_of = words.split(' ');
    let mut command = redis::cmd(words_of.next().expect("a command"));
    for word in words_of {
        command.arg(word);
    }
    command.query(connection).unwrap_or_else(|error| panic!("{words}: {error}"))
}

pub fn table(name: &str) -> TableName {
    TableName::new("t", name)
}

pub fn id(high: u64, low: u64) -> EntryId {
    EntryId { high, low }
}

pub fn at(high: u64, low: u64, count: u64) -> Option<Position> {
    Some(Position { id: id(high, low), count })
}

pub fn entry(id: EntryId, value: &str) -> RawEntry {
    RawEntry { id, fields: vec![(b"value".to_vec(), value.as_bytes().to_vec())] }
}

pub fn gtid(number: u64) -> Gtid {
    Gtid { source: GtidSource::Server { uuid: 7, tag: String::new() }, number }
}

/// Transactions 1 to `last`.
pub fn set(last: u64) -> GtidSet {
    let mut set = GtidSet::default();
    set.insert_range(&gtid(1).source, 1, last);
    set
}

pub fn begin(seen: Option<(String, u64)>, generation: &str, epoch: u64) -> Begin {
    let record = Epoch { tables: [table("a")].into(), ..Epoch::default() };
    Begin {
        seen,
        generation: generation.to_string(),
        epoch,
        record,
        source: "uuid".to_string(),
        owner: "me".to_string(),
        lease: LEASE,
        ..Begin::default()
    }
}

pub fn append(epoch: u64, entries: Vec<(String, RawEntry)>, captured: GtidSet) -> Append {
    Append { generation: "g".to_string(), epoch, entries, captured, open: None, lease: LEASE }
}

/// Polls until the condition holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
