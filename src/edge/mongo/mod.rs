//! The target: a MongoDB server, or one that speaks its protocol, 5.0 or later.
//!
//! Owns: the connection, what is known of the server, and the two ports (`DocumentStore`, `RecordStore`). Does not own:
//! what a document holds (`logic::assembly`), when to write or to try again (`backfill`, `stream`, `engine`).
//!
//! Every command is built here and sent by `run_raw_command`, which the driver neither retries nor inspects: all writes
//! carry `{w: majority, j: true}`, all answers are read for `writeErrors` and `writeConcernError`, and who calls repeats
//! what failed as `Retry`. All of it may be repeated: the guard makes a second time harmless.

mod batch;
mod checkpoints;
mod chunks;
mod collections;
mod command;
mod failure;
mod leases;
mod marks;
mod records;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use secrecy::ExposeSecret;

use crate::config::TargetSettings;
use crate::error::{Error, Result};
use crate::model::document::Document as RootDocument;
use crate::model::plan::IndexPlan;
use crate::model::position::Version;
use crate::ports::{CollectionState, DocumentStore, Write, WriteReport};

/// How long to look for a server that takes writes.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at most, if the URL does not say; opened when needed.
const POOL_MAX: u32 = 64;

/// The longest time that the server may work on a command of documents or records.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// The target database, connected.
#[derive(Debug)]
pub struct MongoTarget {
    client: Client,
    database: Database,
    name: String,
    /// How long a command that creates documents may take: the server fixes its `$$NOW` when a command begins, so the
    /// last of its documents comes so much later.
    create_limit: Duration,
    /// For each job the moment up to which this process may create, by its lease.
    create_until_ms: Mutex<HashMap<String, i64>>,
    /// The builds whose records this process has claimed, with the epoch.
    claimed: Mutex<HashSet<(String, i64)>>,
    /// Set when the stored format version is known to be ours.
    format: tokio::sync::OnceCell<()>,
}

/// How the target's servers stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// One server; a majority is that one.
    Standalone,
    /// A replica set.
    ReplicaSet,
    /// Routers in front of shards.
    Sharded,
}

/// What `check` needs to know of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// As the server names it, with the product if it is not MongoDB itself: `7.0.77 (FerretDB v2.7.0)`.
    pub version: String,
    /// The newest wire protocol that it speaks; MongoDB 5.0 is 13.
    pub wire_version: i32,
    /// How its servers stand together.
    pub deployment: Deployment,
    /// Bytes of a document at most.
    pub bson_bytes_max: u64,
    /// Whether a create with a deadline works: it needs `$$NOW` in updates by pipeline.
    pub deadline_works: bool,
}

impl MongoTarget {
    /// Connects, and asks the server for a sign of life.
    ///
    /// # Errors
    /// `Config` if the URL or the login is wrong, `Retry` if no server answers.
    pub async fn connect(settings: &TargetSettings) -> Result<Self> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = ClientOptions::parse(settings.url.expose_secret()).await.map_err(|error| {
            if matches!(*error.kind, mongodb::error::ErrorKind::DnsResolve { .. }) {
                Error::retry("the target's host name cannot be resolved")
            } else {
                // What the driver says of a URL can quote its password.
                Error::config(
                    "target.url is not a MongoDB connection string; `:`, `/`, `@` and `%` in a user name or password \
                     have to be written as %3A, %2F, %40 and %25",
                )
            }
        })?;
        options.app_name.get_or_insert_with(|| "rowfold".to_string());
        options.max_pool_size.get_or_insert(POOL_MAX);
        options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT);
        // What may be repeated is decided by who calls; some servers refuse retryable writes.
        options.retry_writes = Some(false);
        options.retry_reads = Some(false);
        let client = Client::with_options(options)
            .map_err(|_| Error::config("the options in target.url contradict each other"))?;
        let target = Self {
            database: client.database(&settings.database),
            client,
            name: settings.database.clone(),
            create_limit: (settings.write_deadline / 2).clamp(Duration::from_millis(500), COMMAND_LIMIT),
            create_until_ms: Mutex::default(),
            claimed: Mutex::default(),
            format: tokio::sync::OnceCell::new(),
        };
        target.ping().await?;
        Ok(target)
    }

    /// Whether the server answers and the login is good.
    pub async fn ping(&self) -> Result<()> {
        // A listing needs a login; `ping` does not.
        let command = doc! {"listCollections": 1, "nameOnly": true, "authorizedCollections": true, "cursor": {}};
        self.run("reaching the target", command, COMMAND_LIMIT).await?;
        Ok(())
    }

    /// Facts for `check`. Writes two records into `_rowfold.meta` and removes them again.
    pub async fn facts(&self) -> Result<TargetFacts> {
        let what = "asking the target for its version";
        let hello = self.run(what, doc! {"hello": 1}, COMMAND_LIMIT).await?;
        let build = self.run(what, doc! {"buildInfo": 1}, COMMAND_LIMIT).await?;
        let mut version = build.get_str("version").unwrap_or("unknown").to_string();
        if let Ok(product) = build.get_document("ferretdb") {
            version = format!("{version} (FerretDB {})", product.get_str("version").unwrap_or("unknown"));
        }
        let deployment = if hello.get_str("msg").is_ok_and(|word| word == "isdbgrid") {
            Deployment::Sharded
        } else if hello.contains_key("setName") {
            Deployment::ReplicaSet
        } else {
            Deployment::Standalone
        };
        Ok(TargetFacts {
            version,
            wire_version: failure::int(&hello, "maxWireVersion").unwrap_or_default(),
            deployment,
            bson_bytes_max: failure::long(&hello, "maxBsonObjectSize").unwrap_or_default().unsigned_abs(),
            deadline_works: self.deadline_works().await?,
        })
    }

    /// The names of all collections of the target database, rowfold's own records aside.
    pub async fn collections(&self) -> Result<Vec<String>> {
        collections::list(self).await
    }

    /// Until when this process may create records of a job; without a lease there is no bound.
    fn record_deadline(&self, job: &str) -> i64 {
        locked(&self.create_until_ms).get(job).copied().unwrap_or(records::NEVER_MS)
    }

    /// The `maxTimeMS` of a command that creates, and the moment up to which it may begin: earlier by just that time,
    /// so that none of its documents is created after `create_until_ms`.
    fn create_bounds(&self, create_until_ms: i64) -> (Duration, i64) {
        let limit = self.create_limit;
        (limit, create_until_ms.saturating_sub(millis(limit)))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves these maps whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The write concern of every write.
fn majority() -> Document {
    doc! {"w": "majority", "j": true}
}

fn date(unix_ms: i64) -> Bson {
    Bson::DateTime(bson::DateTime::from_millis(unix_ms))
}

impl DocumentStore for MongoTarget {
    async fn insert(&self, collection: &str, documents: &[RootDocument]) -> Result<WriteReport> {
        writer::insert(self, collection, documents).await
    }

    /// Creates fail from half a write deadline before `create_until_ms` on: the server fixes its clock when a command
    /// begins and may take as long to run it. An owner that renews its lease is never so late.
    ///
    /// On `Retry` some of the writes may have been applied: write the same batch again, under the same version or a
    /// greater one. On `Fenced` too: what was replaced or deleted stays so.
    async fn write(
        &self,
        collection: &str,
        version: Version,
        create_until_ms: i64,
        writes: &[Write],
    ) -> Result<WriteReport> {
        writer::write(self, collection, version, create_until_ms, writes).await
    }

    async fn collection_state(&self, collection: &str) -> Result<CollectionState> {
        collections::state(self, collection).await
    }

    async fn create(&self, collection: &str) -> Result<()> {
        collections::create(self, collection).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        collections::rename(self, from, to).await
    }

    async fn drop_collection(&self, collection: &str) -> Result<()> {
        collections::drop(self, collection).await
    }

    async fn create_indexes(&self, collection: &str, indexes: &[IndexPlan]) -> Result<()> {
        collections::create_indexes(self, collection, indexes).await
    }
}
