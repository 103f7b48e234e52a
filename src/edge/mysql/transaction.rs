//! Binlog events, put together to transactions. No I/O: events go in, [`LogEvent`]s come out.
//!
//! Owns: [`Assembler`]: where a transaction begins and ends, what XA holds back, what is cut into parts, which statements
//! changed a used table. Does not own: the connection and its checksums (`binlog`), rows (`decode`), positions (`place`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::cursor::Cursor;
use super::decode::{BadRows, RowsForm};
use super::event::{self, Begun, Incoming, Shape, kind};
use super::held::{self, HELD_BYTES_MAX, Held, PART_BYTES};
use super::needs::Need;
use super::place::Place;
use super::statement::{self, Effect, Statement, Xid};
use super::tables::{BadTable, RowsOf, Tables};
use crate::error::{Error, Result};
use crate::model::change::{LogEvent, Origin, RowChange, Transaction};
use crate::model::position::{Gtid, GtidSet};
use crate::model::schema::{Table, TableName};

/// The header flag of events that a reader may skip if it does not know them.
const IGNORABLE_FLAG: u16 = 0x80;

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    Taken,
    /// This is needed first. Meet it, and feed the same event again.
    Needs(Need),
}

struct Open {
    gtid: Gtid,
    /// What is settled with it.
    also: GtidSet,
    origin: Arc<Origin>,
    /// A BEGIN or XA START was seen: the transaction ends with an event of its own.
    begun: bool,
    xa: bool,
    changes: Vec<RowChange>,
    bytes: usize,
    /// How many changes lost their raw cells to save memory.
    lean: usize,
}

/// See the module's description.
pub(super) struct Assembler {
    place: String,
    pub(super) tables: Tables,
    place_in_log: Place,
    open: Option<Open>,
    /// Whether what arrives came out of a compressed transaction.
    payload: bool,
    prepared: HashMap<Xid, Held>,
    ready: VecDeque<LogEvent>,
}

impl Assembler {
    /// `place` is for messages.
    pub(super) fn new(tables: Tables, place: &str) -> Self {
        Self {
            place: place.to_string(),
            tables,
            place_in_log: Place::default(),
            open: None,
            payload: false,
            prepared: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// The name of a table by its index.
    pub(super) fn table(&self, table: usize) -> &TableName {
        self.tables.name(table)
    }

    /// The next finished event.
    pub(super) fn pop(&mut self) -> Option<LogEvent> {
        self.ready.pop_front()
    }

    /// Whether events arrive out of a compressed transaction now. They have no checksums.
    pub(super) fn in_payload(&self) -> bool {
        self.payload
    }

    /// See [`Need::Table`].
    pub(super) fn define(&mut self, table: usize, definition: Table) {
        self.tables.define(table, definition);
    }

    /// Takes one event.
    pub(super) fn feed(&mut self, event: Incoming<'_>) -> Result<Fed> {
        if !self.payload {
            self.place_in_log.arrive(event.kind, event.flags, event.log_pos, event.size);
        }
        match event.kind {
            kind::GTID | kind::GTID_TAGGED | kind::MARIADB_GTID => self.begin(event.begun, event.server_id)?,
            kind::QUERY => self.query(event.data, 13)?,
            kind::EXECUTE_LOAD_QUERY => self.query(event.data, 26)?,
            kind::XID => self.commit()?,
            kind::XA_PREPARE => self.prepare(event.data)?,
            kind::TABLE_MAP => {
                let fed = self.table_map(event.data)?;
                if fed != Fed::Taken && !self.payload {
                    self.place_in_log.again();
                }
                return Ok(fed);
            }
            code if RowsForm::of(code).is_some() => self.rows(code, event.data)?,
            kind::TRANSACTION_PAYLOAD => {
                self.opened()?;
                self.payload = true;
            }
            // A compressed transaction whose content could not be read simply ends; the next sign of life shows it.
            kind::HEARTBEAT | kind::HEARTBEAT_V2 if self.payload => {
                return Err(self.halt("a compressed transaction cannot be read"));
            }
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => self.ready.push_back(LogEvent::Heartbeat),
            kind::FORMAT_DESCRIPTION => self.tables.forget(),
            kind::ROTATE => {
                let rotated = self.place_in_log.rotate(event.data);
                rotated.map_err(|error| self.halt("a ROTATE event cannot be read").because(error))?;
            }
            kind::ANONYMOUS_GTID => {
                return Err(
                    self.halt("a transaction without GTID was logged; set gtid_mode=ON and run with --start-over")
                );
            }
            kind::INCIDENT => {
                return Err(self.halt("the server reports lost events (incident event); run with --start-over"));
            }
            kind::STOP
            | kind::INTVAR
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE
            | kind::RAND
            | kind::USER_VAR
            | kind::BEGIN_LOAD_QUERY
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::MARIADB_ANNOTATE_ROWS
            | kind::MARIADB_BINLOG_CHECKPOINT
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_START_ENCRYPTION => {}
            _ if event.flags & IGNORABLE_FLAG != 0 => {}
            other => return Err(self.halt(&format!("event type {other} is not supported"))),
        }
        Ok(Fed::Taken)
    }

    fn halt(&self, what: &str) -> Error {
        let gtid = self.open.as_ref().map(|open| format!(" at {}", open.gtid)).unwrap_or_default();
        Error::halt(format!("binlog of {}{gtid}: {what}", self.place))
    }

    fn opened(&mut self) -> Result<&mut Open> {
        match &mut self.open {
            Some(open) => Ok(open),
            None => Err(Error::halt(format!("binlog of {}: an event lies outside of a transaction", self.place))),
        }
    }

    fn begin(&mut self, begun: Option<Begun>, server_id: u32) -> Result<()> {
        if self.open.is_some() {
            return Err(self.halt("the transaction has no end; its commit was lost"));
        }
        let Begun { gtid, skipped, shape, committed_unix_us } =
            begun.ok_or_else(|| self.halt("a GTID event cannot be read"))?;
        let file = self.place_in_log.file().to_string();
        let origin = Arc::new(Origin { file, server_id, thread: None, committed_unix_us });
        let (changes, bytes, lean) = (Vec::new(), 0, 0);
        let (begun, xa) = (shape != Shape::Unsaid, shape == Shape::Xa);
        self.open = Some(Open { gtid, also: skipped, origin, begun, xa, changes, bytes, lean });
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.finish(None)
    }

    /// Hands the open transaction on, with what was held back for it.
    fn finish(&mut self, held: Option<Held>) -> Result<()> {
        self.opened()?;
        self.payload = false;
        let Some(Open { gtid, mut also, origin, mut changes, mut bytes, .. }) = self.open.take() else {
            return Ok(());
        };
        if let Some(mut held) = held {
            also.insert(&held.gtid);
            also.extend(&held.also);
            // They stand where they count.
            held.changes.iter_mut().for_each(|change| change.spot = self.place_in_log.spot());
            changes.append(&mut held.changes);
            bytes += held.bytes;
        }
        if bytes > PART_BYTES {
            let mut parts = held::parts(changes);
            changes = parts.pop().unwrap_or_default();
            let part = |changes| LogEvent::Part { gtid: gtid.clone(), changes, origin: origin.clone() };
            self.ready.extend(parts.into_iter().map(part));
        }
        let committed_unix_ms = origin.committed_unix_us / 1000;
        self.ready.push_back(LogEvent::Commit(Transaction { gtid, also, changes, committed_unix_ms, origin }));
        Ok(())
    }

    /// A QUERY event; `fixed` is the size of its fixed part.
    fn query(&mut self, data: &[u8], fixed: usize) -> Result<()> {
        let head =
            event::statement(data, fixed).map_err(|error| self.halt("a statement cannot be read").because(error))?;
        let open = self.opened()?;
        let begun = open.begun;
        if open.origin.thread.is_none() {
            Arc::make_mut(&mut open.origin).thread = Some(head.thread);
        }
        match statement::read(&head.text, &head.database) {
            Statement::Begin => self.opened()?.begun = true,
            Statement::XaStart => {
                let open = self.opened()?;
                open.begun = true;
                open.xa = true;
            }
            Statement::Commit | Statement::Rollback => self.commit()?,
            Statement::XaCommit(xid) => match self.prepared.remove(&xid) {
                Some(prepared) => self.finish(Some(prepared))?,
                None => {
                    let what = "commits an XA transaction prepared before the log was opened; run with --start-over when \
                                XA RECOVER is empty";
                    return Err(self.halt(what));
                }
            },
            Statement::XaRollback(xid) => {
                let undone = self.prepared.remove(&xid);
                self.finish(undone.map(|prepared| Held { changes: Vec::new(), bytes: 0, ..prepared }))?;
            }
            Statement::CreateWithRows(effects) => {
                self.unlogged(&effects)?;
                self.opened()?.begun = true;
            }
            Statement::Aside => {}
            Statement::Other(effects) => {
                self.unlogged(&effects)?;
                if !begun {
                    self.commit()?;
                }
            }
        }
        Ok(())
    }

    fn unlogged(&mut self, effects: &[Effect]) -> Result<()> {
        let open = self.opened()?;
        let (gtid, origin) = (open.gtid.clone(), open.origin.clone());
        for (at, what) in self.tables.touched(effects) {
            let (gtid, origin, spot) = (gtid.clone(), origin.clone(), self.place_in_log.spot());
            self.ready.push_back(LogEvent::Unlogged { gtid, table: self.table(at).clone(), what, origin, spot });
        }
        Ok(())
    }

    fn prepare(&mut self, data: &[u8]) -> Result<()> {
        let (one_phase, xid) =
            event::xa_prepare(data).map_err(|error| self.halt("an XA event cannot be read").because(error))?;
        if one_phase {
            return self.commit();
        }
        self.opened()?;
        self.payload = false;
        if let Some(open) = self.open.take() {
            let Open { gtid, also, changes, bytes, .. } = open;
            self.prepared.insert(xid, Held { gtid, also, changes, bytes });
        }
        Ok(())
    }

    fn table_map(&mut self, data: &[u8]) -> Result<Fed> {
        self.tables.see(data).map_err(|bad| match bad {
            BadTable::Event(error) => self.halt("a TABLE_MAP event cannot be read").because(error),
            BadTable::Layout(table, error) => {
                self.halt(&format!("the layout of {} cannot be read", self.table(table))).because(error)
            }
        })
    }

    fn rows(&mut self, code: u8, data: &[u8]) -> Result<()> {
        let (Some(form), Ok(table_id)) = (RowsForm::of(code), Cursor(data).little(6)) else {
            return Err(self.halt("a row event cannot be read"));
        };
        self.opened()?;
        let (table, decoder) = match self.tables.rows_of(table_id) {
            RowsOf::Used(table, decoder) => (table, decoder.map_err(|bad| self.bad_rows(table, &bad))?),
            RowsOf::Unused => return Ok(()),
            RowsOf::Unknown => {
                return Err(self.halt("rows arrived without their table; the log was opened inside a transaction"));
            }
        };
        let mut changes = Vec::new();
        let take = |change| changes.push(RowChange { spot: self.place_in_log.spot(), ..change });
        decoder.rows(form, Cursor(data), take).map_err(|bad| self.bad_rows(table, &bad))?;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.bytes += changes.iter().map(RowChange::bytes).sum::<usize>();
        open.changes.append(&mut changes);
        if open.bytes <= PART_BYTES {
            return Ok(());
        }
        if open.xa {
            return self.hold_lean();
        }
        let changes = std::mem::take(&mut open.changes);
        open.bytes = 0;
        self.ready.push_back(LogEvent::Part { gtid: open.gtid.clone(), changes, origin: open.origin.clone() });
        Ok(())
    }

    fn bad_rows(&self, table: usize, bad: &BadRows) -> Error {
        self.halt(&format!("rows of {} cannot be read: {bad}", self.table(table)))
    }

    /// What has to wait for an XA COMMIT gives up the bytes that serve comparison only; such a cell counts as changed.
    fn hold_lean(&mut self) -> Result<()> {
        let held: usize = self.prepared.values().map(|prepared| prepared.bytes).sum();
        let open = self.opened()?;
        open.bytes -= held::make_lean(&mut open.changes[open.lean..]);
        open.lean = open.changes.len();
        if held + open.bytes > HELD_BYTES_MAX {
            return Err(self
                .halt("prepared XA transactions are larger than can be held; commit them and run with --start-over"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
