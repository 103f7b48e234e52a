//! Connections to one MySQL server: opening them with every session setting that reads depend on, lending them, and
//! never using one again whose last statement did not end in an orderly way.
//!
//! Owns: [`MySqlServer`], [`Session`]. Does not own: what is asked (`schema`, `snapshot`, `binlog`), which error means
//! what (`failure`).

use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row};
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;

use super::failure::{Doing, Failures};
use super::flavor::Flavor;
use crate::config::SourceSettings;
use crate::error::{Error, Result};

/// How long opening a connection may take, login included.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How long a statement of rowfold's own housekeeping may take.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(60);
/// How long the next packet of a read may take to arrive; the server itself ends such a SELECT after as long.
pub(super) const READ_LIMIT: Duration = Duration::from_secs(300);
/// How long an unused connection is kept. Short, so that one that a firewall forgot is rarely met.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// How many unused connections are kept.
const IDLE_MAX: usize = 32;
/// An UPDATE's event carries both images of a row, so it can be larger than what the server lets a client send.
const PACKET_MAX: usize = 1 << 30;

/// The statement that makes a session's results depend on the data only, not on the server's defaults. MariaDB passes over
/// `/*!80000 */`, MySQL over `/*M!100000 */`.
///
/// - `ALLOW_INVALID_DATES`: without it a comparison with a stored 2024-02-30 silently matches nothing;
/// - `sql_select_limit`: a global limit would cut results silently;
/// - `range_optimizer_max_mem_size=0`: else a long list of keys falls back to a scan of the table; in MariaDB
///   `optimizer_max_sel_arg_weight=0`, and `in_predicate_conversion_threshold=0`, or it makes a table of the list;
/// - `lock_wait_timeout`: a SELECT behind an ALTER would wait for a year;
/// - `derived_merge`: reads through a link table need the index of the table inside a derived one;
/// - `sort_buffer_size`: with the usual 256 KiB a sort of rows with long JSON or TEXT fails (error 1038); taken as needed;
/// - `information_schema_stats_expiry=0`: row estimates are else a day old;
/// - [`IDENTITY`]: which server this connection leads to. MariaDB's older releases have no `server_uid`; there it is the host
///   and the port.
const SESSION: &str = "SET NAMES utf8mb4, sql_mode='ALLOW_INVALID_DATES', time_zone='+00:00', \
     sql_select_limit=18446744073709551615, sql_big_selects=1, lock_wait_timeout=60, net_write_timeout=600, \
     group_concat_max_len=4294967295, optimizer_switch='derived_merge=on', sort_buffer_size=33554432 \
     /*!80000 , transaction_isolation='REPEATABLE-READ', range_optimizer_max_mem_size=0, max_execution_time=300000, \
     information_schema_stats_expiry=0, @rowfold_server=@@server_uuid */ \
     /*M!100000 , tx_isolation='REPEATABLE-READ', max_statement_time=300, optimizer_max_sel_arg_weight=0, \
     in_predicate_conversion_threshold=0, @rowfold_server=(SELECT CONCAT(COALESCE(MAX(VARIABLE_VALUE), \
     CONCAT(@@hostname, ':', @@port)), '/', @@server_id) FROM information_schema.GLOBAL_VARIABLES \
     WHERE VARIABLE_NAME='SERVER_UID') */";

/// In SQL, what tells a connection's server from every other: MySQL's `server_uuid`, or what is closest to it in MariaDB.
pub(super) const IDENTITY: &str = "@rowfold_server";

/// A MySQL server, with the connections to it that wait for use. Cheap to clone.
#[derive(Clone)]
pub struct MySqlServer {
    inner: Arc<Inner>,
}

struct Inner {
    opts: Opts,
    failures: Failures,
    server_id: u32,
    idle: Mutex<Vec<(Conn, Instant)>>,
    flavor: OnceCell<Flavor>,
}

impl MySqlServer {
    /// Reads the settings; connects to nothing yet.
    pub fn new(settings: &SourceSettings) -> Result<Self> {
        let opts = Opts::from_url(settings.url.expose_secret())
            .map_err(|error| Error::config("the source's url cannot be read").because(error))?;
        let failures = Failures::at(format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port()));
        let builder = OptsBuilder::from_opts(opts)
            // Else a connection to 127.0.0.1 silently moves to the unix socket, past every proxy.
            .prefer_socket(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            // Texts hardly ever repeat: their literals differ.
            .stmt_cache_size(0)
            .max_allowed_packet(Some(PACKET_MAX))
            .setup(vec![SESSION]);
        Ok(Self {
            inner: Arc::new(Inner {
                opts: builder.into(),
                failures,
                server_id: settings.server_id,
                idle: Mutex::new(Vec::new()),
                flavor: OnceCell::new(),
            }),
        })
    }

    /// `host:port`, for messages.
    pub fn place(&self) -> &str {
        self.inner.failures.place()
    }

    /// The replica ID under which the binlog is read.
    pub(super) fn server_id(&self) -> u32 {
        self.inner.server_id
    }

    pub(super) fn known_flavor(&self) -> &OnceCell<Flavor> {
        &self.inner.flavor
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.inner.failures
    }

    /// A connection of its own, never lent to anybody else.
    pub(super) async fn connect(&self) -> Result<Conn> {
        match tokio::time::timeout(CONNECT_LIMIT, Conn::new(self.inner.opts.clone())).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(error)) => Err(self.failures().explain(Doing::Setup, "connecting", error)),
            Err(_) => Err(Error::retry(format!("{} did not answer within {CONNECT_LIMIT:?}", self.place()))),
        }
    }

    /// Borrows a connection, an unused one if there is one.
    pub(super) async fn session(&self) -> Result<Session> {
        let lent = {
            let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(_, since)| since.elapsed() < IDLE_LIMIT);
            idle.pop()
        };
        let conn = match lent {
            Some((conn, _)) => conn,
            None => self.connect().await?,
        };
        Ok(Session { conn: Some(conn), server: self.clone() })
    }

    /// Drops what waits for use: when one connection broke, the others likely did too.
    fn forget_idle(&self) {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs one statement on a borrowed connection and returns its rows, by the text protocol.
    pub(super) async fn query(&self, doing: Doing, what: &str, sql: &str, limit: Duration) -> Result<Vec<Row>> {
        let mut session = self.session().await?;
        let rows = session.query(doing, what, sql, limit).await?;
        session.give_back();
        Ok(rows)
    }
}

/// Prints the place only.
impl std::fmt::Debug for MySqlServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MySqlServer({})", self.place())
    }
}

/// A borrowed connection. While a statement runs, the connection is out of its hands: if the statement fails, is
/// cancelled or takes too long, the connection is dropped instead of coming back, because its next answer could be
/// the one to the old question.
pub(super) struct Session {
    conn: Option<Conn>,
    server: MySqlServer,
}

impl Session {
    pub(super) fn server(&self) -> &MySqlServer {
        &self.server
    }

    /// The connection, for one statement. Give it to [`Session::put`] after an orderly end, and drop it otherwise.
    pub(super) fn take(&mut self) -> Result<Conn> {
        self.conn.take().ok_or_else(|| Error::retry(format!("the connection to {} is gone", self.server.place())))
    }

    pub(super) fn put(&mut self, conn: Conn) {
        self.conn = Some(conn);
    }

    /// Waits for a driver's call, at most `limit`, and explains its error.
    pub(super) async fn wait<T>(
        &self,
        doing: Doing,
        what: &str,
        limit: Duration,
        call: impl Future<Output = mysql_async::Result<T>>,
    ) -> Result<T> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error.is_fatal() {
                    self.server.forget_idle();
                }
                Err(self.server.failures().explain(doing, what, error))
            }
            Err(_) => Err(Error::retry(format!("{what} on {}: no answer within {limit:?}", self.server.place()))),
        }
    }

    /// Runs one statement and returns its rows, by the text protocol.
    pub(super) async fn query(&mut self, doing: Doing, what: &str, sql: &str, limit: Duration) -> Result<Vec<Row>> {
        let mut conn = self.take()?;
        let rows = self.wait(doing, what, limit, conn.query::<Row, _>(sql)).await?;
        self.put(conn);
        Ok(rows)
    }

    /// Makes the connection available to others. Only when no transaction is open on it.
    pub(super) fn give_back(mut self) {
        let Some(conn) = self.conn.take() else {
            return;
        };
        let mut idle = self.server.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            #[expect(clippy::disallowed_methods, reason = "the age of an idle socket decides nothing but its reuse")]
            idle.push((conn, Instant::now()));
        }
    }
}

/// A column of a text-protocol row as text; empty for NULL.
pub(super) fn text(row: &Row, column: usize) -> String {
    nullable_text(row, column).unwrap_or_default()
}

/// A column of a text-protocol row as text.
pub(super) fn nullable_text(row: &Row, column: usize) -> Option<String> {
    use mysql_async::Value;
    match row.as_ref(column)? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A column of a text-protocol row as a number; 0 for NULL and for what is no number.
pub(super) fn number(row: &Row, column: usize) -> u64 {
    nullable_text(row, column).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Joins things with commas into SQL text.
pub(super) fn commas<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for (at, item) in items.into_iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{item}");
    }
    text
}
