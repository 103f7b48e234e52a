//! The streams of one prefix in a Redis server, 7.0 or later, or one that speaks its protocol.
//!
//! Owns: [`RedisStreams`], the port `StreamStore`. Does not own: what entries say (`logic::envelope`), when to append, to
//! trim or to read again (`logic::capturing`, `logic::following`).
//!
//! Leases are by the server's clock alone: TIME is asked for just before the MULTI that writes `until_ms`, so a lease ends at
//! most that moment too early, and never too late.

mod append;
mod connection;
mod facts;
mod failure;
mod groups;
mod look;
mod members;
mod meta;
mod read;
mod reply;
mod session;

use std::time::Duration;

use redis::{Pipeline, Value};

use crate::config::StreamSettings;
use crate::config::resolve::StreamFacts;
use crate::error::Result;
use crate::model::position::GtidSet;
use crate::model::schema::TableName;
use crate::model::stream::{EntryId, Member, Position, RawEntry};
use crate::ports::{Append, Appended, Begin, ForeignLook, Groups, Look, StreamStore, Usage};

use connection::{Connection, Connections, Outcome};
use failure::Failures;

/// How long the server may work on a short command.
const COMMAND_LIMIT: Duration = Duration::from_secs(5);

/// How long it may work on one that moves or removes many entries.
const BULK_LIMIT: Duration = Duration::from_secs(30);

/// The streams of one prefix.
pub struct RedisStreams {
    connections: Connections,
    failures: Failures,
    prefix: String,
    /// The key of the record beside the streams.
    meta: String,
}

impl RedisStreams {
    /// For the server and prefix of these settings. Opens no connection yet.
    ///
    /// # Errors
    /// `Config` if the URL is wrong.
    pub fn new(settings: &StreamSettings) -> Result<Self> {
        let (connections, user) = Connections::to(settings)?;
        let prefix = settings.prefix.clone();
        let failures = Failures::of(settings.place(), prefix.clone(), user);
        Ok(Self { connections, failures, meta: meta::key(&prefix), prefix })
    }

    /// The same, and asks the server for a sign of life.
    ///
    /// # Errors
    /// `Config` if the URL or the login is wrong, `Retry` if the server does not answer.
    pub async fn connect(settings: &StreamSettings) -> Result<Self> {
        let streams = Self::new(settings)?;
        let mut connection = streams.take().await?;
        let what = "reaching Redis";
        let said = connection.one(what, &redis::cmd("TIME")).await?;
        streams.failures.checked(what, None, vec![said])?;
        connection.give_back();
        Ok(streams)
    }

    /// What has to be known before anything is written. Writes nothing.
    pub async fn facts(&self, settings: &StreamSettings, tables: &[TableName]) -> Result<StreamFacts> {
        facts::facts(self, settings, tables).await
    }

    async fn take(&self) -> Result<Connection<'_>> {
        self.connections.take(&self.failures, COMMAND_LIMIT).await
    }

    async fn take_for(&self, limit: Duration) -> Result<Connection<'_>> {
        self.connections.take(&self.failures, limit).await
    }

    /// Runs commands in one MULTI; the replies, errors among them.
    async fn at_once(&self, what: &str, limit: Duration, commands: &Pipeline) -> Result<Vec<Value>> {
        let mut connection = self.take_for(limit).await?;
        let outcome = connection.multi(what, commands).await?;
        connection.give_back();
        match outcome {
            Outcome::Done(replies) => Ok(replies),
            Outcome::Refused(error) => Err(self.failures.of_server(what, None, &error)),
            // Nothing is watched here.
            Outcome::Changed => Err(reply::unforeseen(what)),
        }
    }
}

impl StreamStore for RedisStreams {
    fn place(&self) -> String {
        self.failures.place().to_string()
    }

    async fn look(&self, streams: &[String]) -> Result<Look> {
        look::look(self, streams).await
    }

    async fn look_foreign(&self, streams: &[String], offsets: &str) -> Result<ForeignLook> {
        look::look_foreign(self, streams, offsets).await
    }

    async fn read(
        &self,
        from: &[(String, EntryId)],
        count: usize,
        wait: Duration,
    ) -> Result<Vec<(usize, Vec<RawEntry>)>> {
        read::read(self, from, count, wait).await
    }

    async fn register(&self, id: &str, member: &Member) -> Result<()> {
        members::register(self, id, member).await
    }

    async fn unregister(&self, id: &str, streams: &[String]) -> Result<()> {
        members::unregister(self, id, streams).await
    }

    async fn bookmark(&self, id: &str, passed: &[(String, Position)]) -> Result<()> {
        groups::bookmark(self, id, passed).await
    }

    /// Takes back a refusal of an earlier request: it is for capture to say again whether it can serve this one.
    async fn request(&self, id: &str, applied: &GtidSet) -> Result<()> {
        members::request(self, id, applied).await
    }

    async fn begin(&self, begin: &Begin) -> Result<bool> {
        session::begin(self, begin).await
    }

    /// Writes nothing either if the record is another one or a later session has begun. If an entry is refused, those of other
    /// streams stay, and C is put back to what it was.
    async fn append(&self, append: &Append) -> Result<Appended> {
        append::append(self, append).await
    }

    async fn release(&self, generation: &str, epoch: u64) -> Result<()> {
        session::release(self, generation, epoch).await
    }

    async fn groups(&self, streams: &[String]) -> Result<Vec<Groups>> {
        groups::groups(self, streams).await
    }

    async fn trim(&self, below: &[(String, EntryId)]) -> Result<()> {
        groups::trim(self, below).await
    }

    async fn usage(&self, streams: &[String]) -> Result<Usage> {
        look::usage(self, streams).await
    }
}
