//! Binlog events, put together to transactions. No I/O: events go in, [`LogEvent`]s come out.
//!
//! Owns: [`Assembler`]: where a transaction begins and ends, what XA holds back, what is cut into parts, which statements
//! changed a used table. Does not own: the connection and its checksums (`binlog`), rows (`decode`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::charset::Charsets;
use super::cursor::Cursor;
use super::decode::{BadRows, RowsForm, TableDecoder};
use super::event::{self, Incoming, kind};
use super::statement::{self, Effect, Statement, Xid};
use super::table_map::{self, TableMap};
use crate::error::{Error, Result};
use crate::model::change::{Cell, Image, LogEvent, RowChange, Spot, Transaction, Unlogged};
use crate::model::plan::JobPlan;
use crate::model::position::Gtid;
use crate::model::schema::Table;

/// Changes of one transaction that are held before a part of it is handed on.
pub(super) const PART_BYTES: usize = 4 << 20;
/// Changes of prepared XA transactions that are held in all: they can be handed on with their XA COMMIT only.
const HELD_BYTES_MAX: usize = 512 << 20;

/// The header flag of events that a reader may skip if it does not know them.
const IGNORABLE_FLAG: u16 = 0x80;

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    Taken,
    /// Today's definition of this table (index into the plan's) is needed first: its rows do not name their columns.
    /// Define it, and feed the same event again.
    Needs(usize),
}

struct Open {
    gtid: Gtid,
    committed_unix_ms: u64,
    /// A BEGIN or XA START was seen: the transaction ends with an event of its own.
    begun: bool,
    xa: bool,
    changes: Vec<RowChange>,
    bytes: usize,
    /// How many changes lost their raw cells to save memory.
    lean: usize,
}

struct Prepared {
    gtid: Gtid,
    changes: Vec<RowChange>,
    bytes: usize,
}

/// A table of the stream that is used, and how its rows are read.
struct Known {
    /// The TABLE_MAP event: as long as it is the same, so is the decoder.
    body: Vec<u8>,
    table: usize,
    decoder: Result<Arc<TableDecoder>, BadRows>,
}

/// See the module's description.
pub(super) struct Assembler {
    plan: Arc<JobPlan>,
    place: String,
    fold: bool,
    charsets: Charsets,
    /// Database, then table, as they stand in events, to the index in the plan.
    used: HashMap<Vec<u8>, HashMap<Vec<u8>, usize>>,
    /// By the number that TABLE_MAP gives to a table; `None` if it is not used.
    known: HashMap<u64, Option<Known>>,
    definitions: HashMap<usize, Table>,
    open: Option<Open>,
    /// Whether what arrives came out of a compressed transaction.
    payload: bool,
    prepared: HashMap<Xid, Prepared>,
    ready: VecDeque<LogEvent>,
}

impl Assembler {
    /// `fold` says that the server ignores case in table names; `place` is for messages.
    pub(super) fn new(plan: Arc<JobPlan>, charsets: Charsets, fold: bool, place: &str) -> Self {
        let mut used: HashMap<Vec<u8>, HashMap<Vec<u8>, usize>> = HashMap::new();
        for (at, table) in plan.tables.iter().enumerate() {
            let bytes = |name: &str| if fold { name.to_lowercase() } else { name.to_string() }.into_bytes();
            used.entry(bytes(&table.name.database)).or_default().insert(bytes(&table.name.table), at);
        }
        Self {
            plan,
            place: place.to_string(),
            fold,
            charsets,
            used,
            known: HashMap::new(),
            definitions: HashMap::new(),
            open: None,
            payload: false,
            prepared: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next finished event.
    pub(super) fn pop(&mut self) -> Option<LogEvent> {
        self.ready.pop_front()
    }

    /// Whether events arrive out of a compressed transaction now. They have no checksums.
    pub(super) fn in_payload(&self) -> bool {
        self.payload
    }

    /// See [`Fed::Needs`].
    pub(super) fn define(&mut self, table: usize, definition: Table) {
        self.definitions.insert(table, definition);
    }

    /// Takes one event.
    pub(super) fn feed(&mut self, event: Incoming<'_>) -> Result<Fed> {
        match event.kind {
            kind::GTID | kind::GTID_TAGGED => self.begin(event.gtid)?,
            kind::QUERY => self.query(event.data, 13)?,
            kind::EXECUTE_LOAD_QUERY => self.query(event.data, 26)?,
            kind::XID => self.commit()?,
            kind::XA_PREPARE => self.prepare(event.data)?,
            kind::TABLE_MAP => return self.table_map(event.data),
            code if RowsForm::of(code).is_some() => self.rows(code, event.data)?,
            kind::TRANSACTION_PAYLOAD => {
                self.opened()?;
                self.payload = true;
            }
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                self.refuse_lost_commit()?;
                self.ready.push_back(LogEvent::Heartbeat);
            }
            kind::FORMAT_DESCRIPTION => self.known.clear(),
            kind::ANONYMOUS_GTID => {
                return Err(
                    self.halt("a transaction without GTID was logged; set gtid_mode=ON and run with --start-over")
                );
            }
            kind::INCIDENT => {
                return Err(self.halt("the server reports lost events (incident event); run with --start-over"));
            }
            kind::STOP
            | kind::ROTATE
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
            | kind::VIEW_CHANGE => {}
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

    fn begin(&mut self, gtid: Option<(Gtid, u64)>) -> Result<()> {
        if self.open.is_some() {
            return Err(self.halt("the transaction has no end; its commit was lost"));
        }
        let (gtid, committed_unix_ms) = gtid.ok_or_else(|| self.halt("a GTID event cannot be read"))?;
        let (changes, bytes, lean) = (Vec::new(), 0, 0);
        self.open = Some(Open { gtid, committed_unix_ms, begun: false, xa: false, changes, bytes, lean });
        Ok(())
    }

    /// A compressed transaction whose content could not be read simply ends; the next sign of life shows it.
    fn refuse_lost_commit(&self) -> Result<()> {
        if self.payload {
            return Err(self.halt("a compressed transaction cannot be read"));
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.finish(Vec::new(), None)
    }

    /// Hands the open transaction on, with the GTIDs that it settles too and what was held back for it.
    fn finish(&mut self, also: Vec<Gtid>, held: Option<Prepared>) -> Result<()> {
        self.opened()?;
        self.payload = false;
        let Some(Open { gtid, committed_unix_ms, mut changes, mut bytes, .. }) = self.open.take() else {
            return Ok(());
        };
        if let Some(mut held) = held {
            changes.append(&mut held.changes);
            bytes += held.bytes;
        }
        if bytes > PART_BYTES {
            changes = self.cut(&gtid, changes);
        }
        self.ready.push_back(LogEvent::Commit(Transaction {
            gtid,
            also,
            changes,
            committed_unix_ms,
            origin: Arc::default(),
        }));
        Ok(())
    }

    /// Hands on all but the last part of changes that were held back.
    fn cut(&mut self, gtid: &Gtid, changes: Vec<RowChange>) -> Vec<RowChange> {
        let mut part = Vec::new();
        let mut bytes = 0;
        for change in changes {
            if bytes > PART_BYTES {
                let changes = std::mem::take(&mut part);
                self.ready.push_back(LogEvent::Part { gtid: gtid.clone(), changes, origin: Arc::default() });
                bytes = 0;
            }
            bytes += change.bytes();
            part.push(change);
        }
        part
    }

    /// A QUERY event; `fixed` is the size of its fixed part.
    fn query(&mut self, data: &[u8], fixed: usize) -> Result<()> {
        let (database, text) =
            event::statement(data, fixed).map_err(|error| self.halt("a statement cannot be read").because(error))?;
        let begun = self.opened()?.begun;
        let statement = statement::read(&text, &database);
        match statement {
            Statement::Begin => self.opened()?.begun = true,
            Statement::XaStart => {
                let open = self.opened()?;
                open.begun = true;
                open.xa = true;
            }
            Statement::Commit | Statement::Rollback => self.commit()?,
            Statement::XaCommit(xid) => match self.prepared.remove(&xid) {
                Some(prepared) => self.finish(vec![prepared.gtid.clone()], Some(prepared))?,
                None => {
                    let what = "commits an XA transaction prepared before the log was opened; run with --start-over when \
                                XA RECOVER is empty";
                    return Err(self.halt(what));
                }
            },
            Statement::XaRollback(xid) => {
                let also = self.prepared.remove(&xid).map(|prepared| prepared.gtid);
                self.finish(also.into_iter().collect(), None)?;
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
        let gtid = self.opened()?.gtid.clone();
        let mut said: Vec<(usize, Unlogged)> = Vec::new();
        for effect in effects {
            for (at, table) in self.plan.tables.iter().enumerate() {
                if !effect.on.is(&table.name, self.fold) {
                    continue;
                }
                let touched = effect.what == Unlogged::Definition && effect.altered.touches(table);
                let what = if touched { Unlogged::UsedColumns } else { effect.what };
                if !said.contains(&(at, what)) {
                    said.push((at, what));
                }
            }
        }
        for (at, what) in said {
            self.definitions.remove(&at);
            self.known.retain(|_, known| known.as_ref().is_none_or(|known| known.table != at));
            let table = self.plan.tables[at].name.clone();
            self.ready.push_back(LogEvent::Unlogged {
                gtid: gtid.clone(),
                table,
                what,
                origin: Arc::default(),
                spot: Spot::default(),
            });
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
            self.prepared.insert(xid, Prepared { gtid: open.gtid, changes: open.changes, bytes: open.bytes });
        }
        Ok(())
    }

    fn table_map(&mut self, data: &[u8]) -> Result<Fed> {
        let mut cursor = Cursor(data);
        let place = table_map::place(&mut cursor)
            .map_err(|error| self.halt("a TABLE_MAP event cannot be read").because(error))?;
        let found = if self.fold {
            let lower = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase().into_bytes();
            self.used.get(&lower(place.database)).and_then(|tables| tables.get(&lower(place.table)))
        } else {
            self.used.get(place.database).and_then(|tables| tables.get(place.table))
        };
        let Some(&table) = found else {
            self.known.insert(place.table_id, None);
            return Ok(Fed::Taken);
        };
        if let Some(Some(known)) = self.known.get(&place.table_id)
            && known.table == table
            && known.body == cursor.0
        {
            return Ok(Fed::Taken);
        }
        let used = &self.plan.tables[table];
        let map = TableMap::parse(cursor)
            .map_err(|error| self.halt(&format!("the layout of {} cannot be read", used.name)).because(error))?;
        let definition = self.definitions.get(&table);
        if map.names.is_none() && definition.is_none() {
            return Ok(Fed::Needs(table));
        }
        let decoder = TableDecoder::new(&map, table, used, definition, &self.charsets).map(Arc::new);
        self.known.insert(place.table_id, Some(Known { body: cursor.0.to_vec(), table, decoder }));
        Ok(Fed::Taken)
    }

    fn rows(&mut self, code: u8, data: &[u8]) -> Result<()> {
        let (Some(form), Ok(table_id)) = (RowsForm::of(code), Cursor(data).little(6)) else {
            return Err(self.halt("a row event cannot be read"));
        };
        self.opened()?;
        let known = match self.known.get(&table_id) {
            Some(Some(known)) => known,
            // Not used, or the number of an empty event that only ends a statement.
            Some(None) | None if self.known.contains_key(&table_id) || table_id == 0xff_ffff => return Ok(()),
            _ => return Err(self.halt("rows arrived without their table; the log was opened inside a transaction")),
        };
        let table = &self.plan.tables[known.table].name;
        let explain = |bad: &BadRows| self.halt(&format!("rows of {table} cannot be read: {bad}"));
        let decoder = known.decoder.clone().map_err(|bad| explain(&bad))?;
        let mut changes = Vec::new();
        decoder.rows(form, Cursor(data), |change| changes.push(change)).map_err(|bad| explain(&bad))?;
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
        self.ready.push_back(LogEvent::Part { gtid: open.gtid.clone(), changes, origin: Arc::default() });
        Ok(())
    }

    /// What has to wait for an XA COMMIT gives up the bytes that serve comparison only; such a cell counts as changed.
    fn hold_lean(&mut self) -> Result<()> {
        let held: usize = self.prepared.values().map(|prepared| prepared.bytes).sum();
        let open = self.opened()?;
        for change in &mut open.changes[open.lean..] {
            let before = change.bytes();
            for Image(cells) in [&mut change.before, &mut change.after].into_iter().flatten() {
                cells.iter_mut().filter(|cell| matches!(cell, Cell::Raw(_))).for_each(|cell| *cell = Cell::Absent);
            }
            open.bytes -= before - change.bytes();
        }
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
