//! Asking a server for its binlog from a set of GTIDs on, and what its refusals mean.
//!
//! Owns: the request, for MySQL and for MariaDB. Does not own: what comes (`binlog`).

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Error as DriverError};
use mysql_common::packets::{GnoInterval, Sid, Tag};

use super::failure::Doing;
use super::flavor::Flavor;
use super::mariadb;
use super::server::{MySqlServer, STATEMENT_LIMIT};
use crate::error::{Error, Result};
use crate::model::position::{GtidSet, GtidSource};

/// Opens the binlog of a server behind `from`. A sign of life comes whenever it was silent for `heartbeat`.
pub(super) async fn open(
    server: &MySqlServer,
    flavor: Flavor,
    from: &GtidSet,
    heartbeat: Duration,
) -> Result<BinlogStream> {
    let conn = server.connect().await?;
    let period = heartbeat.as_nanos();
    let mut set = format!("SET @master_heartbeat_period={period}, @source_heartbeat_period={period}");
    let mut request = BinlogStreamRequest::new(server.server_id());
    match flavor {
        Flavor::MySql => request = request.with_gtid().with_gtid_set(sids(from)?),
        Flavor::MariaDb => {
            // Without capability 4 (MARIA_SLAVE_CAPABILITY_GTID) GTIDs do not come as such, and an XA PREPARE ends the log.
            let state = mariadb::connect_state(from);
            set += &format!(
                ", @mariadb_slave_capability=4, @slave_gtid_strict_mode=1, @slave_gtid_ignore_duplicates=0, \
                 @slave_connect_state='{state}'"
            );
        }
    }
    let opening = async |mut conn: Conn| {
        conn.query_drop(set).await?;
        conn.get_binlog_stream(request).await
    };
    match tokio::time::timeout(STATEMENT_LIMIT, opening(conn)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(explain(server, error)),
        Err(_) => Err(Error::retry(format!("{} did not open its binlog", server.place()))),
    }
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
        let GtidSource::Server { uuid, tag } = source else {
            return Err(Error::halt("the applied position is one of MariaDB, and the source is MySQL"));
        };
        let sid = Sid::new(uuid.to_be_bytes()).with_intervals(intervals);
        if tag.is_empty() {
            return Ok(sid);
        }
        let tag = Tag::new(tag).map_err(|error| Error::halt("a GTID's tag is not valid").because(error))?;
        Ok(sid.with_tag(tag))
    };
    sids.into_iter().map(sid).collect()
}

/// Errors of the dump. Most come as 1236, with the reason in the text.
pub(super) fn explain(server: &MySqlServer, error: DriverError) -> Error {
    let place = server.place();
    let DriverError::Server(told) = &error else {
        return server.failures().explain(Doing::Read, "reading the binlog", error);
    };
    let has = |part: &str| told.message.contains(part);
    let in_use = || {
        format!(
            "server_id {} is in use by another replica of {place}; give this job one of its own (source.server_id)",
            server.server_id()
        )
    };
    match told.code {
        4052 => Error::halt(in_use()),
        1236 if has("server_uuid/server_id") || has("same server_id") || has("same server_uuid") => Error::halt(in_use()),
        1236 if has("purged") || has("Could not find first log file") => Error::halt(format!(
            "the binlog of {place} no longer reaches back to where this job stopped; run with --start-over, and keep the binlog longer \
             (binlog_expire_logs_seconds)"
        ))
        .because(error),
        1236 if has("more GTIDs than") || has("not in the master's binlog") => Error::halt(format!(
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
