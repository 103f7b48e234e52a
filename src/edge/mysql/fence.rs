//! What a consistent snapshot contains: E, a set of GTIDs of which every one is proved to be inside.
//!
//! Owns: opening a snapshot with its E, and waiting for GTIDs, on MySQL and on MariaDB. Does not own: reading in the snapshot
//! (`snapshot`), which marks a read discharges (`stream`).
//!
//! - MySQL: a GTID enters `gtid_executed` after the engine's commit. So E is read first, then the snapshot is opened.
//! - MariaDB: its GTID variables run ahead of what a SELECT sees, by the time from writing the binlog to the engine's commit.
//!   But a consistent snapshot says where in the binlog it lies (`binlog_snapshot_file`, `binlog_snapshot_position`), and that
//!   is exact (MariaDB manual, "Enhancements for START TRANSACTION WITH CONSISTENT SNAPSHOT"). So the GTIDs are read first,
//!   then the end of the binlog, which is behind all of them, because SHOW MASTER STATUS waits for the group that is being
//!   written; then snapshots are opened until one lies there or behind.

use std::time::Duration;

use super::failure::Doing;
use super::flavor::Flavor;
use super::server::{IDENTITY, STATEMENT_LIMIT, Session, number, text};
use crate::error::{Error, Result};
use crate::model::position::GtidSet;

/// Opens a snapshot. The engine's commits follow one another, so that a group written to the binlog is seen soon.
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
/// How long what is written to the binlog may stay invisible, as behind a replica that does not acknowledge it.
const VISIBLE_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at whether it is visible, at first and at most.
const LOOK_FIRST: Duration = Duration::from_micros(200);
const LOOK_LONGEST: Duration = Duration::from_millis(20);

/// A place in the binlog, as a number that rises: files are numbered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    file: u64,
    position: u64,
}

/// An open snapshot.
pub(super) struct Opened {
    /// E.
    pub(super) executed: GtidSet,
    /// Which server it is of.
    pub(super) server: String,
}

/// Opens a consistent snapshot in a session.
pub(super) async fn open(session: &mut Session, flavor: Flavor) -> Result<Opened> {
    let what = "opening a snapshot";
    match flavor {
        Flavor::MySql => {
            let opened = executed(session, what, "@@GLOBAL.gtid_executed").await?;
            // Only now, so that everything in E is inside.
            session.query(Doing::Read, what, BEGIN, STATEMENT_LIMIT).await?;
            Ok(opened)
        }
        Flavor::MariaDb => {
            let opened = executed(session, what, "@@GLOBAL.gtid_binlog_state").await?;
            let written = end(session, what).await?;
            let mut pause = LOOK_FIRST;
            let mut waited = Duration::ZERO;
            loop {
                session.query(Doing::Read, what, BEGIN, STATEMENT_LIMIT).await?;
                if snapshot_end(session, what).await? >= written {
                    return Ok(opened);
                }
                session.query(Doing::Read, what, "COMMIT", STATEMENT_LIMIT).await?;
                if waited >= VISIBLE_LIMIT {
                    let place = session.server().place();
                    return Err(Error::retry(format!(
                        "{place} shows no change of the last {VISIBLE_LIMIT:?}: its commits wait, for a replica's acknowledgement or a lock"
                    )));
                }
                waited += pause;
                self::pause(session, pause).await?;
                pause = (pause * 2).min(LOOK_LONGEST);
            }
        }
    }
}

/// What a snapshot contains now.
pub(super) async fn look(session: &mut Session, flavor: Flavor) -> Result<Opened> {
    if flavor == Flavor::MySql {
        return executed(session, "reading the executed GTIDs", "@@GLOBAL.gtid_executed").await;
    }
    let opened = open(session, flavor).await?;
    session.query(Doing::Read, "ending a snapshot", "COMMIT", STATEMENT_LIMIT).await?;
    Ok(opened)
}

/// Waits until a new snapshot of a MariaDB contains these GTIDs, at most `timeout`. False if the time ran out.
pub(super) async fn wait_for_visible(session: &mut Session, gtids: &GtidSet, timeout: Duration) -> Result<bool> {
    let mut waited = Duration::ZERO;
    let mut pause = LOOK_FIRST;
    loop {
        let opened = look(session, Flavor::MariaDb).await?;
        if gtids.is_subset(&opened.executed) {
            return Ok(true);
        }
        if waited >= timeout {
            return Ok(false);
        }
        waited += pause;
        self::pause(session, pause).await?;
        pause = (pause * 2).min(LOOK_LONGEST);
    }
}

async fn executed(session: &mut Session, what: &str, variable: &str) -> Result<Opened> {
    let ask = format!("SELECT {variable}, {IDENTITY}");
    let found = session.query(Doing::Read, what, &ask, STATEMENT_LIMIT).await?;
    let row = found.first().ok_or_else(|| Error::retry(format!("{what}: no answer")))?;
    Ok(Opened { executed: gtid_set(&text(row, 0))?, server: text(row, 1) })
}

/// Waits on the server.
async fn pause(session: &mut Session, pause: Duration) -> Result<()> {
    let sleep = format!("DO SLEEP({:.6})", pause.as_secs_f64());
    session.query(Doing::Read, "waiting", &sleep, STATEMENT_LIMIT).await.map(|_| ())
}

/// The end of the binlog.
async fn end(session: &mut Session, what: &str) -> Result<End> {
    let found = session.query(Doing::Read, what, "SHOW MASTER STATUS", STATEMENT_LIMIT).await?;
    let row = found.first().ok_or_else(|| Error::halt(format!("{} writes no binlog", session.server().place())))?;
    End::of(&text(row, 0), number(row, 1)).ok_or_else(|| unnumbered(session))
}

/// Where in the binlog the open snapshot lies.
async fn snapshot_end(session: &mut Session, what: &str) -> Result<End> {
    let ask = "SHOW STATUS WHERE Variable_name IN ('binlog_snapshot_file', 'binlog_snapshot_position')";
    let found = session.query(Doing::Read, what, ask, STATEMENT_LIMIT).await?;
    let value = |name: &str| {
        let mut rows = found.iter().filter(|row| text(row, 0).eq_ignore_ascii_case(name));
        rows.next().map(|row| text(row, 1)).unwrap_or_default()
    };
    let position = value("binlog_snapshot_position").parse().unwrap_or(0);
    End::of(&value("binlog_snapshot_file"), position).ok_or_else(|| unnumbered(session))
}

fn unnumbered(session: &Session) -> Error {
    Error::halt(format!("{} does not tell where in the binlog a snapshot lies", session.server().place()))
}

impl End {
    /// The place behind the number in `log.000123`.
    fn of(file: &str, position: u64) -> Option<Self> {
        Some(Self { file: file.rsplit_once('.')?.1.parse().ok()?, position })
    }
}

/// A GTID set as the server prints it.
pub(super) fn gtid_set(text: &str) -> Result<GtidSet> {
    text.parse().map_err(|error| Error::halt("the server's GTID set cannot be read").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_binlog_are_ordered_by_the_number_of_their_file() {
        let end = |file, position| End::of(file, position).expect("a place");
        assert!(end("log.999999", 900) < end("log.1000000", 4));
        assert!(end("a.b.000002", 4) < end("a.b.000002", 5));
        assert_eq!(End::of("log", 4), None);
        assert_eq!(End::of("", 0), None);
    }
}
