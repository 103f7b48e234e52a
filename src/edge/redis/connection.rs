//! Connections, each used by one call at a time.
//!
//! Owns: opening and keeping them, MULTI ... EXEC, and commands that run only while the record is still the same one
//! (WATCH). Does not own: what errors mean (`failure`), what replies hold.
//!
//! A call takes a connection out and puts it back when it has all its replies. A call that failed or was dropped half way
//! does not: its connection closes, and no reply and no WATCH of it can reach the next call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisConnectionInfo, ServerError, Value,
};
use secrecy::ExposeSecret;

use super::failure::{Failures, cause};
use super::{meta, reply};
use crate::config::StreamSettings;
use crate::error::{Error, Result};

/// How long opening a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Connections that wait for the next call, at most.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// How often guarded commands are sent again because something else in the record changed meanwhile.
const GUARDED_ATTEMPTS_MAX: usize = 50;

/// Opens connections, and keeps those that wait.
pub(super) struct Connections {
    client: Client,
    login: Option<Login>,
    database: i64,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

struct Login {
    user: Option<String>,
    password: secrecy::SecretString,
}

/// What became of a MULTI.
pub(super) enum Outcome {
    /// It ran: one reply per command, errors among them.
    Done(Vec<Value>),
    /// It did not run: a watched key has changed.
    Changed,
    /// It did not run: the server took one of the commands not even into the queue.
    Refused(ServerError),
}

/// What became of commands that were to run only while the record is of a certain generation and epoch.
pub(super) enum Guarded {
    /// They ran: one reply per command, errors among them.
    Done(Vec<Value>),
    /// It is of another one; nothing was written.
    Other(String, u64),
    /// Redis has no memory for them; nothing was written.
    Full,
}

impl Connections {
    /// The connections to one server, none open yet. The user's name is returned too.
    pub(super) fn to(settings: &StreamSettings) -> Result<(Self, String)> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // What the driver says of a URL can quote its password.
        let wrong = || {
            Error::config(
                "stream.url is not the address of a Redis server: write redis://user:password@host:port/db, or rediss:// for \
                 TLS; `:`, `/`, `@` and `%` in a user name or password have to be written as %3A, %2F, %40 and %25",
            )
        };
        let info: ConnectionInfo = settings.url.expose_secret().into_connection_info().map_err(|_| wrong())?;
        let said = info.redis_settings();
        let login = said
            .password()
            .map(|password| Login { user: said.username().map(str::to_string), password: password.to_string().into() });
        let user = said.username().unwrap_or("default").to_string();
        let database = said.db();
        // The login and the database are sent here, so that the server's own words decide what a failure means.
        let bare = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true)).set_redis_settings(bare);
        let client = Client::open(info).map_err(|_| wrong())?;
        Ok((Self { client, login, database, idle: Mutex::default() }, user))
    }

    /// A connection that nobody else uses.
    pub(super) async fn take<'a>(&'a self, failures: &'a Failures, limit: Duration) -> Result<Connection<'a>> {
        let idle = self.idle().pop();
        let inner = match idle {
            Some(inner) => inner,
            None => self.open(failures).await?,
        };
        let mut connection = Connection { home: self, failures, inner };
        connection.inner.set_response_timeout(limit);
        Ok(connection)
    }

    async fn open(&self, failures: &Failures) -> Result<MultiplexedConnection> {
        let what = "connecting";
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(CONNECT_LIMIT));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| failures.of_driver(what, error))?;
        let mut hello = Vec::new();
        if let Some(Login { user, password }) = &self.login {
            let mut auth = redis::cmd("AUTH");
            if let Some(user) = user {
                auth.arg(user);
            }
            hello.push(auth.arg(password.expose_secret()).to_owned());
        }
        if self.database != 0 {
            hello.push(redis::cmd("SELECT").arg(self.database).to_owned());
        }
        for command in hello {
            let said = connection.send_packed_command(&command).await;
            if let Value::ServerError(error) = said.map_err(|error| failures.of_driver(what, error))? {
                return Err(failures.of_server(what, None, &error));
            }
        }
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<MultiplexedConnection>> {
        // A panic elsewhere leaves the list whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that one call uses.
pub(super) struct Connection<'a> {
    home: &'a Connections,
    failures: &'a Failures,
    inner: MultiplexedConnection,
}

impl Connection<'_> {
    /// Keeps the connection for the next call. Only when nothing is owed on it: no reply, no WATCH.
    pub(super) fn give_back(self) {
        let mut idle = self.home.idle();
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(self.inner);
        }
    }

    /// The reply to one command; an error of the server may be the reply.
    pub(super) async fn one(&mut self, what: &str, command: &Cmd) -> Result<Value> {
        let said = self.inner.send_packed_command(command).await;
        said.map_err(|error| self.broken(what, error))
    }

    /// The replies to commands sent at once, errors among them.
    pub(super) async fn all(&mut self, what: &str, commands: &Pipeline) -> Result<Vec<Value>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let said = self.inner.send_packed_commands(commands, 0, commands.len()).await;
        said.map_err(|error| self.broken(what, error))
    }

    /// Runs commands in one MULTI. It is sent whole, so that no connection is left inside of one.
    pub(super) async fn multi(&mut self, what: &str, commands: &Pipeline) -> Result<Outcome> {
        let mut whole = Pipeline::with_capacity(commands.len() + 2);
        whole.cmd("MULTI");
        for command in commands.cmd_iter() {
            whole.add_command(command.clone());
        }
        whole.cmd("EXEC");
        let mut replies = self.all(what, &whole).await?;
        match replies.pop() {
            Some(Value::Array(done)) if done.len() == commands.len() => Ok(Outcome::Done(done)),
            Some(Value::Nil) => Ok(Outcome::Changed),
            Some(Value::ServerError(last)) => {
                let first = replies.into_iter().find_map(|reply| match reply {
                    Value::ServerError(error) => Some(error),
                    _ => None,
                });
                Ok(Outcome::Refused(first.unwrap_or(last)))
            }
            _ => Err(reply::unforeseen(what)),
        }
    }

    /// Runs the commands that `build` makes, given the server's time, in one MULTI if the record `key` is of this
    /// generation and epoch, and else not at all: WATCH makes the server itself see to that. So what a late or paused
    /// owner sends cannot fall into another generation's record, whose epochs may have the same numbers.
    pub(super) async fn guarded(
        &mut self,
        what: &str,
        key: &str,
        (generation, epoch): (&str, u64),
        build: impl Fn(u64) -> Pipeline + Send + Sync,
    ) -> Result<Guarded> {
        for _ in 0..GUARDED_ATTEMPTS_MAX {
            let mut look = redis::pipe();
            look.cmd("WATCH").arg(key);
            look.cmd("HMGET").arg(key).arg(&[meta::GENERATION, meta::EPOCH]);
            look.cmd("TIME");
            let replies = self.failures.checked(what, Some(key), self.all(what, &look).await?)?;
            let (stored, now_ms) = reply::known(what, standing(replies))?;
            if stored != (generation.to_string(), epoch) {
                self.one(what, &redis::cmd("UNWATCH")).await?;
                return Ok(Guarded::Other(stored.0, stored.1));
            }
            match self.multi(what, &build(now_ms)).await? {
                Outcome::Done(replies) => return Ok(Guarded::Done(replies)),
                Outcome::Changed => {}
                Outcome::Refused(error) if cause(&error).0 == "OOM" => return Ok(Guarded::Full),
                Outcome::Refused(error) => return Err(self.failures.of_server(what, None, &error)),
            }
        }
        Err(Error::retry(format!("{what}: {key} changes all the time")))
    }

    fn broken(&self, what: &str, error: redis::RedisError) -> Error {
        // The others were opened to the same server, which has gone or does not answer.
        self.home.idle().clear();
        self.failures.of_driver(what, error)
    }
}

/// The generation and epoch of the record, and the server's time. Without a record: no generation, epoch 0.
fn standing(replies: Vec<Value>) -> Option<((String, u64), u64)> {
    let [_, stored, time]: [Value; 3] = replies.try_into().ok()?;
    let [generation, epoch]: [Value; 2] = reply::list(stored)?.try_into().ok()?;
    let generation = if generation == Value::Nil { String::new() } else { reply::text(generation)? };
    let epoch = if epoch == Value::Nil { 0 } else { reply::number(epoch)? };
    Some(((generation, epoch), reply::time_ms(time)?))
}
