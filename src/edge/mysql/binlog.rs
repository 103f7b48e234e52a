//! The binlog as a stream of events from one server, from a set of GTIDs on.
//!
//! Owns: [`MySqlLog`]: its watchdog and checksums, GTIDs as they come. Does not own: asking for it (`dump`), what events
//! amount to (`transaction`), where to begin (`engine`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use mysql_async::binlog::events::{Event, GtidEvent};
use mysql_async::{BinlogStream, Error as DriverError};
use mysql_common::binlog::consts::BinlogChecksumAlg;

use super::charset::Charsets;
use super::dump;
use super::event::{Begun, Incoming, Shape, kind};
use super::failure::Doing;
use super::flavor::Flavor;
use super::mariadb::{self, Numbers};
use super::needs::Need;
use super::server::{MySqlServer, STATEMENT_LIMIT, text};
use super::tables::Tables;
use super::transaction::{Assembler, Fed};
use crate::error::{Error, Result};
use crate::model::change::{LogEvent, Transaction};
use crate::model::plan::JobPlan;
use crate::model::position::{Gtid, GtidSet, GtidSource};
use crate::model::schema::Table;
use crate::ports::ChangeLog;

/// How often the server shows that it is alive when there is nothing to send.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After so long without any event the connection counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The slowest line on which a huge event (a compressed transaction is one) may arrive. No heartbeat comes meanwhile.
const BYTES_PER_SECOND_MIN: u64 = 1 << 20;

/// What a log's images hold.
pub(super) enum Rows<'a> {
    /// The used columns of a job's tables. What does not fit the plan is an error.
    Used(Arc<JobPlan>),
    /// All columns of these tables, as far as the log has them.
    Whole(&'a [Table]),
}

/// An open change log.
pub struct MySqlLog {
    server: MySqlServer,
    stream: BinlogStream,
    /// MariaDB's numbers so far.
    numbers: Option<Numbers>,
    /// Whether a FORMAT_DESCRIPTION came.
    described: bool,
    assembler: Assembler,
    /// An event that waits for something that the server has to be asked for.
    waiting: Option<(Event, Need)>,
    /// How long the next event may take: [`SILENCE_MAX`], and more inside a large transaction.
    patience: Duration,
}

impl MySqlLog {
    pub(super) async fn open(server: &MySqlServer, rows: Rows<'_>, from: &GtidSet) -> Result<Self> {
        let charsets = Charsets::read(server).await?;
        let ask = "SELECT @@lower_case_table_names";
        let found = server.query(Doing::Read, "reading a variable", ask, STATEMENT_LIMIT).await?;
        let fold = found.first().is_some_and(|row| text(row, 0) != "0");
        let flavor = server.flavor().await?;
        let stream = dump::open(server, flavor, from, HEARTBEAT).await?;
        let tables = match rows {
            Rows::Used(plan) => Tables::used(plan, charsets, fold),
            Rows::Whole(tables) => Tables::whole(tables, charsets, fold),
        };
        let numbers = (flavor == Flavor::MariaDb).then(|| Numbers::after(from));
        Ok(Self {
            server: server.clone(),
            stream,
            numbers,
            described: false,
            assembler: Assembler::new(tables, server.place()),
            waiting: None,
            patience: SILENCE_MAX,
        })
    }

    /// Whether the reader has this already: MariaDB sends everything behind the first hole of a position.
    fn is_known(&self, event: &LogEvent) -> bool {
        let gtid = match event {
            LogEvent::Part { gtid, .. } | LogEvent::Unlogged { gtid, .. } => gtid,
            LogEvent::Commit(Transaction { gtid, .. }) => gtid,
            LogEvent::Passed(_) | LogEvent::Heartbeat => return false,
        };
        self.numbers.as_ref().is_some_and(|numbers| numbers.has(gtid))
    }

    /// Asks for what the waiting event needs, then feeds it. Cancelled before the answer came, it begins anew.
    async fn ask(&mut self) -> Result<()> {
        if let Some((_, need)) = &self.waiting {
            need.meet(&self.server, &mut self.assembler).await?;
        }
        match self.waiting.take() {
            Some((event, _)) => self.feed(event),
            None => Ok(()),
        }
    }

    fn feed(&mut self, event: Event) -> Result<()> {
        let header = event.header();
        let code = header.event_type_raw();
        if !self.assembler.in_payload() {
            verify(&self.server, &event)?;
        }
        let begun = match code {
            kind::GTID | kind::GTID_TAGGED => {
                let read: GtidEvent =
                    event.read_event().map_err(|error| unreadable(&self.server, "a GTID event").because(error))?;
                self.patience = SILENCE_MAX + Duration::from_secs(read.tx_length() / BYTES_PER_SECOND_MIN);
                Some(begun(&read, header.timestamp()))
            }
            kind::MARIADB_GTID => {
                let Some(numbers) = &mut self.numbers else { return Err(unreadable(&self.server, "a GTID event")) };
                let begun = numbers.begun(event.data(), header.server_id(), header.timestamp());
                Some(begun.map_err(|error| unreadable(&self.server, "a GTID event").because(error))?)
            }
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                self.patience = SILENCE_MAX;
                None
            }
            _ => None,
        };
        let inflated = match mariadb::inflate(code, event.data()) {
            Ok(inflated) => inflated,
            Err(error) => return Err(unreadable(&self.server, "a compressed event").because(error)),
        };
        let (code, data) = inflated.as_ref().map_or((code, event.data()), |(code, data)| (*code, &data[..]));
        let data = if self.numbers.is_some() && code == kind::ROTATE && !self.described {
            // The checksum of what comes before the first FORMAT_DESCRIPTION is still on it.
            data.split_last_chunk::<4>().map_or(data, |(name, _)| name)
        } else {
            data
        };
        self.described |= code == kind::FORMAT_DESCRIPTION;
        let incoming = Incoming {
            kind: code,
            flags: header.flags_raw(),
            size: header.event_size(),
            log_pos: header.log_pos(),
            server_id: header.server_id(),
            data,
            begun,
        };
        if let Fed::Needs(need) = self.assembler.feed(incoming)? {
            self.waiting = Some((event, need));
        }
        Ok(())
    }
}

impl ChangeLog for MySqlLog {
    async fn next(&mut self) -> Result<LogEvent> {
        loop {
            if let Some(event) = self.assembler.pop() {
                if self.is_known(&event) {
                    continue;
                }
                return Ok(event);
            }
            if self.waiting.is_some() {
                self.ask().await?;
                continue;
            }
            // The driver panics on an event that is shorter than its header says.
            let next = AssertUnwindSafe(self.stream.next()).catch_unwind();
            let event = match tokio::time::timeout(self.patience, next).await {
                Ok(Ok(Some(Ok(event)))) => event,
                Ok(Ok(Some(Err(DriverError::Io(error))))) if self.assembler.in_payload() => {
                    let what = format!("a compressed transaction of {} cannot be read", self.server.place());
                    return Err(Error::halt(what).because(error));
                }
                Ok(Ok(Some(Err(error)))) => return Err(dump::explain(&self.server, error)),
                Ok(Ok(None)) => {
                    return Err(Error::retry(format!("{} ended the binlog", self.server.place())));
                }
                Ok(Err(_)) => return Err(Error::retry(format!("{} sent a broken event", self.server.place()))),
                Err(_) => {
                    let what =
                        format!("{} sent nothing for {:?}, no heartbeat either", self.server.place(), self.patience);
                    return Err(Error::retry(what));
                }
            };
            self.feed(event)?;
        }
    }
}

fn unreadable(server: &MySqlServer, what: &str) -> Error {
    Error::halt(format!("{what} of {} cannot be read", server.place()))
}

fn verify(server: &MySqlServer, event: &Event) -> Result<()> {
    let algorithm = event.footer().get_checksum_alg();
    let (Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)), Some(sum)) = (algorithm, event.checksum()) else {
        return Ok(());
    };
    if event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32) == u32::from_le_bytes(sum) {
        return Ok(());
    }
    // Damage on the way passes; damage on the server's disk shows again, and the engine's patience ends.
    let (code, position) = (event.header().event_type_raw(), event.header().log_pos());
    Err(Error::retry(format!("a binlog event of {} is damaged (type {code}, before {position})", server.place())))
}

/// The GTID and when it was committed. `seconds` is the event's own time.
fn begun(read: &GtidEvent, seconds: u32) -> Begun {
    let tag = read.tag().map(|tag| tag.to_string()).unwrap_or_default();
    let source = GtidSource::Server { uuid: u128::from_be_bytes(read.sid()), tag };
    let micros = [read.immediate_commit_timestamp(), read.original_commit_timestamp()];
    let committed = micros.into_iter().find(|micros| *micros > 0);
    let committed_unix_us = committed.unwrap_or(u64::from(seconds) * 1_000_000);
    let gtid = Gtid { source, number: read.gno() };
    Begun { gtid, skipped: GtidSet::default(), shape: Shape::Unsaid, committed_unix_us }
}
