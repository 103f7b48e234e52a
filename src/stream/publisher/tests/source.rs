//! The source of a [`World`]: its definitions and its change log.
//!
//! Owns: what [`CaptureSource`] promises. Does not own: which transactions there are (`super::World`).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::super::Encoded;
use super::world::{Logged, World, gtid, up_to};
use crate::error::{Error, Result};
use crate::model::change::{LogEvent, Origin, RowChange, SourceState, Spot, Transaction, Unlogged};
use crate::model::position::{Gtid, GtidSet};
use crate::model::schema::{Table, TableName};
use crate::ports::{CaptureSource, ChangeLog};

/// Transactions in one binlog file.
const PER_FILE: usize = 7;

/// An opened log.
pub struct Log {
    world: World,
    from: GtidSet,
    tables: Vec<TableName>,
    at: usize,
    ready: VecDeque<LogEvent>,
}

impl CaptureSource for World {
    type Log = Log;

    async fn state(&self) -> Result<SourceState> {
        let state = |state: &mut super::world::State| SourceState {
            server_uuid: "source".into(),
            executed: state.executed(),
            purged: up_to(state.purged),
        };
        self.call(state).await
    }

    async fn tables(&self, names: &[TableName]) -> Result<Vec<Table>> {
        let define = |name: &TableName| Table {
            name: name.clone(),
            columns: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            engine: "InnoDB".into(),
            rows_estimate: 0,
            row_bytes_estimate: 0,
        };
        self.call(|state| {
            state.definitions_read += 1;
            names.iter().filter(|name| !state.missing.contains(*name)).map(define).collect()
        })
        .await
    }

    async fn row_log(&self, from: &GtidSet, tables: &[Table]) -> Result<Log> {
        let purged = self.call(|state| up_to(state.purged)).await?;
        if !purged.is_subset(from) {
            return Err(Error::halt("the log no longer reaches back"));
        }
        let tables = tables.iter().map(|table| table.name.clone()).collect();
        Ok(Log { world: self.clone(), from: from.clone(), tables, at: 0, ready: VecDeque::new() })
    }
}

impl ChangeLog for Log {
    async fn next(&mut self) -> Result<LogEvent> {
        if self.world.fails() {
            return Err(Error::retry("the log broke off"));
        }
        poll_fn(|_| {
            while self.ready.is_empty() {
                let Some(one) = self.world.state().log.get(self.at).cloned() else { return Poll::Pending };
                self.at += 1;
                if !self.from.contains(&gtid(one.number)) {
                    self.read(&one);
                }
            }
            self.ready.pop_front().map_or(Poll::Pending, |event| Poll::Ready(Ok(event)))
        })
        .await
    }
}

impl Log {
    fn read(&mut self, one: &Logged) {
        let origin = Arc::new(Origin { file: format!("binlog.{:06}", self.at / PER_FILE + 1), ..Origin::default() });
        let pos = (self.at % PER_FILE) as u64 * 1_000 + 4;
        if let Some((table, what)) = one.unlogged.clone().filter(|(table, _)| self.tables.contains(table)) {
            let (gtid, origin) = (gtid(one.number), origin.clone());
            self.ready.push_back(LogEvent::Unlogged { gtid, table, what, origin, spot: Spot { pos, row: 0 } });
        }
        let rows = one.rows.iter().enumerate().filter_map(|(row, name)| {
            let table = self.tables.iter().position(|table| table == name)?;
            // Four rows in one event.
            let spot = Spot { pos: pos + 10 + row as u64 / 4, row: row as u32 };
            Some(RowChange { table, before: None, after: None, spot })
        });
        let rows: Vec<RowChange> = rows.collect();
        let (first, last) = rows.split_at(rows.len() - rows.len() % one.part);
        for part in first.chunks(one.part) {
            let (gtid, changes, origin) = (gtid(one.number), part.to_vec(), origin.clone());
            self.ready.push_back(LogEvent::Part { gtid, changes, origin });
        }
        self.ready.push_back(LogEvent::Commit(Transaction {
            gtid: gtid(one.number),
            also: one.also.map(gtid).into_iter().collect(),
            changes: last.to_vec(),
            committed_unix_ms: 0,
            origin,
        }));
    }
}

/// Two entries per change, as when a key changes.
pub fn encode(_: &str, _: &Table, gtid: &Gtid, _: &Origin, change: &RowChange, _: u64) -> Encoded {
    [0, 1].map(|half| (b"k".to_vec(), format!("{}/{}/{half}", gtid.number, change.spot.row).into_bytes())).to_vec()
}

pub fn encode_unlogged(
    _: &str,
    _: &TableName,
    gtid: &Gtid,
    _: &Origin,
    _: Spot,
    what: Unlogged,
    _: u64,
) -> (Vec<u8>, Vec<u8>) {
    (b"k".to_vec(), format!("{}/{what:?}", gtid.number).into_bytes())
}
