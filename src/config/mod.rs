//! Settings: where the servers are and what bounds the work; and the way from a job file to a plan.
//!
//! Owns: [`Settings`] and its parts, [`load`] and [`Loaded`]. Does not own: the job file's syntax (`config::job`,
//! `config::parse`), proving it against the live schema (`config::resolve`).

mod fields;
pub mod job;
mod loaded;
mod parse;
pub mod problem;
pub mod resolve;
mod suggest;
#[cfg(test)]
mod tests;
mod units;
pub mod values;
mod yaml;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub use job::{JobFile, json_schema};
pub use loaded::{Loaded, load};
pub use problem::{Problem, Severity, render};
pub use resolve::{Answers, Questions};

/// Everything about a job that is not a projection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The job's name.
    pub name: String,
    /// The source server.
    pub source: SourceSettings,
    /// The target server.
    pub target: TargetSettings,
    /// The Redis between capture and the builds; `None` for the in-process queue.
    pub stream: Option<StreamSettings>,
    /// Bounds of the copy.
    pub backfill: BackfillSettings,
    /// Bounds of applying changes.
    pub apply: ApplySettings,
}

/// The MySQL server to read.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// `mysql://user:password@host:port`. Never printed; see [`SourceSettings::place`].
    pub url: SecretString,
    /// The replica ID under which the binlog is read; unique among all replicas of the source.
    pub server_id: u32,
    /// Go on although a crash of the source could lose committed transactions (`sync_binlog`, `innodb_flush_log_at_trx_commit`).
    pub allow_unsafe_source: bool,
}

/// The MongoDB server to write.
#[derive(Clone, Debug)]
pub struct TargetSettings {
    /// `mongodb://...`. Never printed.
    pub url: SecretString,
    /// The database of the collections and of `_rowfold.*`.
    pub database: String,
    /// How long the job's lease lasts without renewal.
    pub lease: Duration,
    /// How long after its lease an owner's write may still take effect; a new owner waits for it.
    pub write_deadline: Duration,
    /// Go on although the server is no replica set and can lose writes that it has acknowledged.
    pub unsafe_standalone: bool,
}

/// The Redis server that buffers changes.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// `redis://...`. Never printed.
    pub url: SecretString,
    /// Streams are `<prefix>.<database>.<table>`.
    pub prefix: String,
    /// Who writes them.
    pub capture: Capture,
    /// Bytes that the streams of the prefix may take; `None`: bounded by the server's `maxmemory` alone.
    pub max_bytes: Option<u64>,
    /// How long capture's lease lasts without a sign of life.
    pub lease: Duration,
    /// For how long a Debezium Server may be silent (its `heartbeat.interval.ms`, with room) before that is reported; `None`:
    /// for ever.
    pub silence_max: Option<Duration>,
    /// The hash in which a Debezium Server keeps its offsets.
    pub offsets_key: String,
}

/// Who writes the streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Capture {
    /// rowfold, in `run` or `capture`.
    #[default]
    Rowfold,
    /// A Debezium Server. Its streams are only read, and never trimmed.
    Debezium,
}

impl StreamSettings {
    /// Host and port, for messages.
    pub fn place(&self) -> String {
        place(self.url.expose_secret(), "6379")
    }
}

impl SourceSettings {
    /// Host and port, for messages.
    pub fn place(&self) -> String {
        place(self.url.expose_secret(), "3306")
    }
}

impl TargetSettings {
    /// Hosts and ports, for messages.
    pub fn place(&self) -> String {
        place(self.url.expose_secret(), "27017")
    }
}

/// The hosts of a URL, without account, path and options.
fn place(url: &str, port: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A password may hold any of `/?@` unescaped; what follows the last `@` before the options is no secret.
    let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
    let hosts = hosts.split(['/', '?']).next().unwrap_or_default();
    let with_port = |host: &str| {
        let named = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|digit| digit.is_ascii_digit()));
        if named { host.to_string() } else { format!("{host}:{port}") }
    };
    hosts.split(',').map(with_port).collect::<Vec<_>>().join(",")
}

/// Bounds of the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillSettings {
    /// Chunks read at a time, each on a connection of its own.
    pub readers: usize,
    /// Source bytes of a chunk, by the optimizer's estimate.
    pub chunk_bytes: usize,
    /// Batches of documents being written at a time.
    pub writers: usize,
    /// Bytes of lookup tables held in memory during the copy; larger tables are read by key.
    pub lookup_bytes: usize,
}

/// Bounds of applying changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplySettings {
    /// Parts of a batch read and written at a time.
    pub workers: usize,
    /// Roots re-read in one batch by one worker, at most.
    pub batch: usize,
    /// How long changes are gathered before they are applied.
    pub window: Duration,
    /// Bytes of decoded changes that wait, at most; above it the binlog is not read further.
    pub queue_bytes: usize,
}
