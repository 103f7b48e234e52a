//! The job file as its author writes it.
//!
//! Owns: [`JobFile`] and its parts, their documentation (which is the JSON Schema's) and defaults. Does not own: reading
//! it (`config::parse`), proving it against the live schema (`config::resolve`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::SecretString;

use super::Capture;
use super::problem::{At, Report, Spot};
use super::values::{AsKind, ValuesFile};

/// Names with what they stand for, in the order of the file.
pub type Entries<T> = Vec<(At<String>, T)>;

/// A rowfold job: a source, a target, and the collections to keep.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct JobFile {
    /// The job's name. Leases and builds belong to it, so keep it.
    pub name: At<String>,
    /// The MySQL server to read.
    pub source: SourceFile,
    /// The Redis server through which changes pass. Without it they wait in a bounded queue inside the program.
    pub stream: Option<StreamFile>,
    /// The MongoDB server to write.
    pub target: TargetFile,
    /// How values are written, for the whole job.
    #[schemars(default)]
    pub values: ValuesFile,
    /// One for each target collection.
    pub projections: Vec<ProjectionFile>,
    /// Bounds of the copy.
    #[schemars(default)]
    pub backfill: BackfillFile,
    /// Bounds of applying changes.
    #[schemars(default)]
    pub stream_apply: ApplyFile,
    /// The file itself, for messages.
    #[schemars(skip)]
    pub report: Report,
}

/// The MySQL server to read.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SourceFile {
    /// `mysql://user:password@host:port`
    #[schemars(with = "String")]
    pub url: At<SecretString>,
    /// A number by which the source knows this reader of its binlog; no replica may have the same.
    #[schemars(range(min = 1, max = 4294967295_u64))]
    pub server_id: At<u64>,
    /// Go on although a crash of the source could lose committed transactions.
    #[schemars(default)]
    pub allow_unsafe_source: bool,
    /// Go on although foreign keys change rows without a trace in the binlog; such changes do not reach the target.
    #[schemars(default)]
    pub allow_unlogged_cascades: bool,
}

/// The Redis server through which changes pass, in one stream per table: `<prefix>.<database>.<table>`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StreamFile {
    /// `redis://user:password@host:port/database`, or `rediss://...` for TLS
    #[schemars(with = "String")]
    pub url: At<SecretString>,
    /// What the names of the streams begin with.
    #[schemars(length(min = 1, max = 128))]
    pub prefix: At<String>,
    /// Who writes the streams.
    #[schemars(default, extend("default" = "rowfold"))]
    pub capture: Capture,
    /// Bytes that the streams may take; above it capture waits, and the binlog keeps what is new. Needed when the server
    /// has no `maxmemory`. Only for streams that rowfold writes.
    #[schemars(with = "Option<Size>")]
    pub max_bytes: Option<u64>,
    /// How long capture's lease lasts without a sign of life.
    #[schemars(default, with = "String", extend("default" = "10s"))]
    pub lease: Duration,
    /// For how long a Debezium Server may write nothing before that is reported; longer than its `heartbeat.interval.ms`.
    #[schemars(with = "Option<String>")]
    pub silence_max: Option<Duration>,
    /// The hash in which a Debezium Server keeps its offsets (`debezium.source.offset.storage.redis.key`).
    #[schemars(default, extend("default" = OFFSETS_KEY))]
    pub offsets_key: String,
}

/// Where a Debezium Server keeps its offsets unless it is told otherwise.
pub const OFFSETS_KEY: &str = "metadata:debezium:offsets";

/// The MongoDB server to write.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TargetFile {
    /// `mongodb://host:port`
    #[schemars(with = "String")]
    pub url: At<SecretString>,
    /// The database of the collections.
    pub database: At<String>,
    /// How long the job's lease lasts without renewal.
    #[schemars(default, with = "String", extend("default" = "10s"))]
    pub lease: Duration,
    /// How long after its lease a write may still take effect; a new owner waits for it.
    #[schemars(default, with = "String", extend("default" = "5s"))]
    pub write_deadline: Duration,
    /// Write to a server that is not a replica set, which can lose writes it has acknowledged.
    #[schemars(default)]
    pub unsafe_standalone: bool,
}

/// One target collection: a root table and what is nested in its documents.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ProjectionFile {
    /// The collection.
    pub collection: At<String>,
    /// `<database>.<table>`; each of its rows is one document. A name with a `.` in it stands in backticks, as in SQL:
    /// `` `my.db`.`my table` ``.
    pub root: At<String>,
    /// The columns that make `_id`: one gives a scalar, several a sub-document. Default: the primary key.
    pub id: Option<Vec<At<String>>>,
    /// Indexes to build after the copy.
    #[schemars(default)]
    pub indexes: Vec<IndexFile>,
    /// What the documents show.
    #[schemars(flatten)]
    pub shows: Shows,
    /// The key that leads here, for messages.
    #[schemars(skip)]
    pub path: String,
}

/// A table nested in its parent's documents.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NodeFile {
    /// `<database>.<table>`, each in backticks if it has a `.` in it, as in SQL.
    pub table: At<String>,
    /// Columns of the parent and the columns of this table that equal them.
    #[schemars(default, with = "BTreeMap<String, String>")]
    pub join: Entries<At<String>>,
    /// The link table of an N:M relation, instead of `join`.
    pub through: Option<ThroughFile>,
    /// Columns by which an array is ordered, each with an optional ` desc`. Default: the primary key.
    pub order_by: Option<Vec<At<String>>>,
    /// Make an array of this column's values instead of sub-documents.
    pub value: Option<At<String>>,
    /// How deep a table may nest in itself.
    #[schemars(range(min = 1, max = 32))]
    pub max_depth: Option<At<u64>>,
    /// Join without an index.
    #[schemars(default)]
    pub allow_scan: bool,
    /// What the sub-documents show.
    #[schemars(flatten)]
    pub shows: Shows,
    /// The key that leads here, for messages.
    #[schemars(skip)]
    pub path: String,
    /// Where the node begins.
    #[schemars(skip)]
    pub spot: Spot,
}

/// What a document or sub-document shows of its row, and what is nested in it.
#[derive(Clone, Debug, Default, JsonSchema)]
pub struct Shows {
    /// The columns to show. Default: all.
    pub columns: Option<Vec<At<String>>>,
    /// The columns not to show.
    pub exclude: Option<Vec<At<String>>>,
    /// Columns and the fields they become.
    #[schemars(default, with = "BTreeMap<String, String>")]
    pub rename: Entries<At<String>>,
    /// Fields computed from the row's own columns: SQL expressions, deterministic as in a generated column.
    #[schemars(default, with = "BTreeMap<String, String>")]
    pub fields: Entries<At<String>>,
    /// Which rows count: an SQL condition over the row's own columns.
    #[schemars(rename = "where")]
    pub filter: Option<At<String>>,
    /// Nested tables with at most one row for each: a sub-document or null.
    #[schemars(default, with = "BTreeMap<String, NodeFile>")]
    pub one: Entries<NodeFile>,
    /// Nested tables with any number of rows for each: an array.
    #[schemars(default, with = "BTreeMap<String, NodeFile>")]
    pub many: Entries<NodeFile>,
    /// Leave a field out when it is NULL, instead of writing null. Default: as in `values`.
    pub omit_nulls: Option<bool>,
    /// Columns, and fields that are computed, with what they are written as. Goes before `values`.
    #[schemars(default, rename = "as", with = "BTreeMap<String, AsKind>")]
    pub kinds: Entries<At<String>>,
}

/// A size: with a unit (`8MiB`), or plain bytes.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Size {
    /// With a unit of 1000 (`kB`, `MB`, `GB`) or 1024 (`KiB`, `MiB`, `GiB`).
    Text(String),
    /// Bytes.
    Bytes(u64),
}

/// The link table of an N:M relation.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ThroughFile {
    /// `<database>.<table>`, each in backticks if it has a `.` in it, as in SQL.
    pub table: At<String>,
    /// Columns of the parent and the link table's columns that equal them.
    #[schemars(with = "BTreeMap<String, String>")]
    pub join: Entries<At<String>>,
    /// The link table's columns and the nested table's columns that equal them.
    #[schemars(with = "BTreeMap<String, String>")]
    pub to: Entries<At<String>>,
    /// The key that leads here, for messages.
    #[schemars(skip)]
    pub path: String,
}

/// One index of the target collection.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct IndexFile {
    /// Field paths with their direction, 1 or -1.
    #[schemars(with = "BTreeMap<String, i32>")]
    pub keys: Entries<i32>,
    /// Whether two documents cannot agree in it.
    #[schemars(default)]
    pub unique: bool,
    /// The key that leads here, for messages.
    #[schemars(skip)]
    pub path: String,
}

/// Bounds of the copy.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BackfillFile {
    /// Chunks read at a time, each on a connection of its own.
    #[schemars(default, range(min = 1, max = 64), extend("default" = 4))]
    pub readers: u64,
    /// Batches of documents being written at a time.
    #[schemars(default, range(min = 1, max = 64), extend("default" = 2))]
    pub writers: u64,
    /// Source bytes of a chunk, by the optimizer's estimate.
    #[schemars(default, with = "Size", extend("default" = "8MiB"))]
    pub chunk_bytes: u64,
    /// Memory for lookup tables during the copy. A larger table is read by key for every chunk.
    #[schemars(default, with = "String", extend("default" = "128MiB"))]
    pub lookup_bytes: u64,
}

impl Default for BackfillFile {
    fn default() -> Self {
        Self { readers: 4, writers: 2, chunk_bytes: 8 << 20, lookup_bytes: 128 << 20 }
    }
}

/// Bounds of applying changes.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ApplyFile {
    /// Parts of a batch read and written at a time.
    #[schemars(default, range(min = 1, max = 64), extend("default" = 4))]
    pub workers: u64,
    /// Documents re-read in one batch by one worker, at most.
    #[schemars(default, range(min = 1, max = 10_000), extend("default" = 500))]
    pub batch: u64,
    /// How long changes are gathered before they are applied.
    #[schemars(default, with = "String", extend("default" = "30ms"))]
    pub window: Duration,
    /// Bytes of decoded changes that wait, at most; above it the binlog is not read further.
    #[schemars(default, with = "Size", extend("default" = "64MiB"))]
    pub queue_bytes: u64,
}

impl Default for ApplyFile {
    fn default() -> Self {
        Self { workers: 4, batch: 500, window: Duration::from_millis(30), queue_bytes: 64 << 20 }
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The JSON Schema of a job file, for editors.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(JobFile);
    serde_json::to_string_pretty(&schema).expect("a schema is JSON")
}
