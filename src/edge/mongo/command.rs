//! Sending commands and reading what comes back.
//!
//! Owns: time limits, cursors, the difference between no answer and a refusal. Does not own: the commands themselves.

use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;

use super::failure::{self, Failure, WriteError};
use super::{COMMAND_LIMIT, MongoTarget, batch, majority, millis};
use crate::error::{Error, Result};

/// How much longer than the server we wait for its answer.
const GRACE: Duration = Duration::from_secs(5);

/// Indexes of a large collection take hours.
pub(super) const UNLIMITED: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a write command's answer says.
#[derive(Debug)]
pub(super) struct Reply {
    /// Documents inserted, matched, created or deleted.
    pub(super) count: usize,
    /// Statements that failed, each for itself.
    pub(super) errors: Vec<WriteError>,
}

impl MongoTarget {
    /// Runs a command on the target database, for at most `limit` (the server is told by `maxTimeMS` in the command).
    pub(super) async fn run(&self, what: &str, command: Document, limit: Duration) -> Result<Document, Failure> {
        let raw = RawDocumentBuf::try_from(&command)
            .map_err(|_| Failure::new(Error::halt(format!("{what}: the command is not BSON"))))?;
        self.run_raw(what, raw, limit).await
    }

    /// As [`Self::run`], with the command as bytes.
    pub(super) async fn run_raw(
        &self,
        what: &str,
        command: RawDocumentBuf,
        limit: Duration,
    ) -> Result<Document, Failure> {
        // A run_command goes to the primary, whatever read preference the URL names. When it is given up, the driver
        // closes its connection.
        match tokio::time::timeout(limit + GRACE, self.database.run_raw_command(command)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Failure::of_driver(what, &error)),
            Err(_) => Err(unanswered(what, limit)),
        }
    }

    /// Runs a command on the `admin` database.
    pub(super) async fn run_admin(&self, what: &str, command: Document, limit: Duration) -> Result<Document, Failure> {
        match tokio::time::timeout(limit + GRACE, self.client.database("admin").run_command(command)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Failure::of_driver(what, &error)),
            Err(_) => Err(unanswered(what, limit)),
        }
    }

    /// Runs a write command that carries its own write concern. A refusal of the whole command is a [`Failure`]; what is
    /// not known to be durable is one too, of kind `Retry`.
    pub(super) async fn write_command(
        &self,
        what: &str,
        command: RawDocumentBuf,
        limit: Duration,
    ) -> Result<Reply, Failure> {
        let reply = self.run_raw(what, command, limit).await?;
        if let Some(error) = failure::of_write_concern(what, &reply) {
            return Err(Failure::new(error));
        }
        let count = failure::long(&reply, "n").and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or_else(|| Failure::new(Error::retry(format!("{what}: the answer lacks its count"))))?;
        Ok(Reply { count, errors: WriteError::all(&reply) })
    }

    /// `update` with the statements given, majority-durable. For what may create, `limit` is [`Self::create_bounds`]'s.
    pub(super) async fn update(
        &self,
        what: &str,
        collection: &str,
        updates: Vec<Document>,
        limit: Duration,
    ) -> Result<Reply, Failure> {
        self.records_command(what, doc! {"update": collection, "updates": updates}, limit).await
    }

    /// `delete` with the statements given, majority-durable.
    pub(super) async fn delete(&self, what: &str, collection: &str, deletes: Vec<Document>) -> Result<Reply, Failure> {
        self.records_command(what, doc! {"delete": collection, "deletes": deletes}, COMMAND_LIMIT).await
    }

    async fn records_command(&self, what: &str, mut command: Document, limit: Duration) -> Result<Reply, Failure> {
        command.extend(doc! {"ordered": false, "maxTimeMS": millis(limit), "writeConcern": majority()});
        let raw = RawDocumentBuf::try_from(&command)
            .map_err(|_| Failure::new(Error::halt(format!("{what}: the command is not BSON"))))?;
        self.write_command(what, raw, limit).await
    }

    /// The document that one `findAndModify` by pipeline leaves behind, or `None` if nothing matched.
    pub(super) async fn modify(
        &self,
        what: &str,
        collection: &str,
        query: Document,
        pipeline: Vec<Document>,
        upsert: bool,
    ) -> Result<Option<Document>, Failure> {
        let command = doc! {
            "findAndModify": collection, "query": query, "update": pipeline, "upsert": upsert, "new": true,
            "maxTimeMS": millis(self.create_limit), "writeConcern": majority(),
        };
        let mut reply = self.run(what, command, self.create_limit).await?;
        if let Some(error) = failure::of_write_concern(what, &reply) {
            return Err(Failure::new(error));
        }
        match reply.remove("value") {
            Some(Bson::Document(document)) => Ok(Some(document)),
            _ => Ok(None),
        }
    }

    /// All that a `find` or `aggregate` returns, of what a majority holds.
    pub(super) async fn read(&self, what: &str, mut command: Document) -> Result<Vec<Document>, Failure> {
        command.extend(doc! {"readConcern": {"level": "majority"}, "maxTimeMS": millis(COMMAND_LIMIT)});
        let all = async {
            let cursor = self.database.run_cursor_command(command).await?;
            cursor.try_collect().await
        };
        match tokio::time::timeout(COMMAND_LIMIT + GRACE, all).await {
            Ok(Ok(documents)) => Ok(documents),
            Ok(Err(error)) => Err(Failure::of_driver(what, &error)),
            Err(_) => Err(unanswered(what, COMMAND_LIMIT)),
        }
    }

    /// Tries a create before and after its deadline.
    pub(super) async fn deadline_works(&self) -> Result<bool> {
        let what = "trying a create with a deadline";
        let word = format!("probe/{}/{}", std::process::id(), rand_word());
        let mut ids = Vec::new();
        let mut good = true;
        for (suffix, until_ms) in [("before", super::records::NEVER_MS), ("after", 0)] {
            let document = bson::serialize_to_vec(&doc! {"_id": format!("{word}/{suffix}")})
                .map_err(|_| Error::halt(format!("{what}: the probe is not BSON")))?;
            let id = batch::IdBytes::of(&document)?;
            let limit_ms = millis(self.create_limit);
            let frame =
                batch::Frame { collection: super::records::META, version: 0, create_until_ms: until_ms, limit_ms };
            let command = batch::command(&frame, &[batch::Statement::Create { id, document: &document }])?;
            ids.push(format!("{word}/{suffix}"));
            good &= match self.write_command(what, command, self.create_limit).await {
                Ok(reply) if suffix == "before" => reply.count == 1 && reply.errors.is_empty(),
                Ok(reply) => reply.count == 0 && reply.errors.iter().all(WriteError::is_past_deadline),
                Err(failure) if failure.code.is_none() => return Err(failure.into()),
                Err(failure) if failure.code == Some(failure::UNAUTHORIZED) => return Err(failure.into()),
                Err(_) => false,
            };
        }
        self.delete(what, super::records::META, vec![doc! {"q": {"_id": {"$in": ids}}, "limit": 0}]).await?;
        Ok(good)
    }
}

fn unanswered(what: &str, limit: Duration) -> Failure {
    Failure::new(Error::retry(format!("{what}: no answer within {} s", (limit + GRACE).as_secs())))
}

/// A word that hardly anybody else uses at the same time.
fn rand_word() -> String {
    bson::oid::ObjectId::new().to_hex()
}
