//! Settings: where the servers are and what bounds the work. Plain data with documented defaults.
//!
//! Owns: [`Settings`] and its parts. Does not own: the job file's syntax (`config::job`), proving it against the live
//! schema (`config::resolve`).

use std::time::Duration;

use secrecy::SecretString;

/// Everything about a job that is not a projection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The job's name.
    pub name: String,
    /// The source server.
    pub source: SourceSettings,
    /// The target server.
    pub target: TargetSettings,
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
