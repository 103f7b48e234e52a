//! The binlog as a stream of events from one server, from a set of GTIDs on.
//!
//! Owns: [`MySqlLog`]: the dump connection, its watchdog, checksums, and what its errors mean. Does not own: what events
//! amount to (`transaction`), where to begin (`engine`).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use mysql_async::binlog::events::{Event, GtidEvent};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Error as DriverError};
use mysql_common::binlog::consts::BinlogChecksumAlg;
use mysql_common::packets::{GnoInterval, Sid, Tag};

use super::charset::Charsets;
use super::event::{Begun, Incoming, kind};
use super::failure::Doing;
use super::needs::Need;
use super::server::{MySqlServer, STATEMENT_LIMIT, text};
use super::transaction::{Assembler, Fed};
use crate::error::{Error, Result};
use crate::model::change::LogEvent;
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
        let mut conn = server.connect().await?;
        let period = HEARTBEAT.as_nanos();
        let set = format!("SET @master_heartbeat_period={period}, @source_heartbeat_period={period}");
        let request = BinlogStreamRequest::new(server.server_id()).with_gtid().with_gtid_set(sids(from)?);
        let opening = async {
            conn.query_drop(set).await?;
            conn.get_binlog_stream(request).await
        };
        let stream = match tokio::time::timeout(STATEMENT_LIMIT, opening).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(explain(server, error)),
            Err(_) => return Err(Error::retry(format!("{} did not open its binlog", server.place()))),
        };
        let assembler = match rows {
            Rows::Used(plan) => Assembler::new(plan, charsets, fold, server.place()),
            Rows::Whole(tables) => Assembler::whole(tables, charsets, fold, server.place()),
        };
        Ok(Self { server: server.clone(), stream, assembler, waiting: None, patience: SILENCE_MAX })
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
                let read: GtidEvent = event.read_event().map_err(|error| {
                    Error::halt(format!("a GTID event of {} cannot be read", self.server.place())).because(error)
                })?;
                self.patience = SILENCE_MAX + Duration::from_secs(read.tx_length() / BYTES_PER_SECOND_MIN);
                Some(begun(&read, header.timestamp()))
            }
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                self.patience = SILENCE_MAX;
                None
            }
            _ => None,
        };
        let incoming = Incoming {
            kind: code,
            flags: header.flags_raw(),
            size: header.event_size(),
            log_pos: header.log_pos(),
            server_id: header.server_id(),
            data: event.data(),
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
                Ok(Ok(Some(Err(error)))) => return Err(explain(&self.server, error)),
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
    let source = GtidSource { uuid: u128::from_be_bytes(read.sid()), tag };
    let micros = [read.immediate_commit_timestamp(), read.original_commit_timestamp()];
    let committed = micros.into_iter().find(|micros| *micros > 0);
    let committed_unix_us = committed.unwrap_or(u64::from(seconds) * 1_000_000);
    Begun { gtid: Gtid { source, number: read.gno() }, committed_unix_us }
}

/// The set as the protocol sends it: ends of intervals are excluded there.
fn sids(set: &GtidSet) -> Result<Vec<Sid<'static>>> {
    let mut sids: Vec<(GtidSource, Vec<GnoInterval>)> = Vec::new();
    for (source, first, last) in set.ranges() {
        if sids.last().is_none_or(|(known, _)| known != source) {
            sids.push((source.clone(), Vec::new()));
        }
        if let Some((_, intervals)) = sids.last_mut() {
            intervals.push(GnoInterval::new(first, last.saturating_add(1)));
        }
    }
    let sid = |(source, intervals): (GtidSource, Vec<GnoInterval>)| {
        let sid = Sid::new(source.uuid.to_be_bytes()).with_intervals(intervals);
        if source.tag.is_empty() {
            return Ok(sid);
        }
        let tag = Tag::new(source.tag).map_err(|error| Error::halt("a GTID's tag is not valid").because(error))?;
        Ok(sid.with_tag(tag))
    };
    sids.into_iter().map(sid).collect()
}

/// Errors of the dump. Most come as 1236, with the reason in the text.
fn explain(server: &MySqlServer, error: DriverError) -> Error {
    let place = server.place();
    let DriverError::Server(told) = &error else {
        return server.failures().explain(Doing::Read, "reading the binlog", error);
    };
    let has = |part: &str| told.message.contains(part);
    match told.code {
        1236 if has("server_uuid/server_id") || has("same server_id") || has("same server_uuid") => Error::halt(format!(
            "server_id {} is in use by another replica of {place}; give this job one of its own (source.server_id)",
            server.server_id()
        )),
        1236 if has("purged") || has("Could not find first log file") => Error::halt(format!(
            "the binlog of {place} no longer reaches back to where this job stopped; run with --start-over, and keep the binlog longer \
             (binlog_expire_logs_seconds)"
        ))
        .because(error),
        1236 if has("more GTIDs than") => Error::halt(format!(
            "{place} lacks transactions that were applied already: it is another server, or it lost them"
        ))
        .because(error),
        1227 | 1045 => Error::config(format!(
            "the account may not read the binlog of {place}: GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO it"
        ))
        .because(error),
        _ => server.failures().explain(Doing::Read, "reading the binlog", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sent_per_source_and_tag() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let set: GtidSet = format!("{uuid}:1-5:7:blue:2").parse().expect("a set");
        let sids = sids(&set).expect("sids");
        assert_eq!(sids.len(), 2);
        assert_eq!(sids[0].intervals(), [GnoInterval::new(1, 6), GnoInterval::new(7, 8)]);
        assert_eq!(sids[1].tag().map(|tag| tag.to_string()).as_deref(), Some("blue"));
        assert_eq!(sids[0].uuid(), u128::from_str_radix(&uuid.replace('-', ""), 16).expect("hex").to_be_bytes());
    }
}
