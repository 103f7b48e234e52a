//! The tables of a binlog: which of them are used, and how their rows are read.
//!
//! Owns: [`Tables`]: TABLE_MAP events matched with the plan, by the numbers that row events name. Does not own: reading the
//! events themselves (`table_map`, `decode`), transactions (`transaction`).

use std::collections::HashMap;
use std::sync::Arc;

use super::charset::Charsets;
use super::cursor::{Cursor, Truncated};
use super::decode::{BadRows, TableDecoder};
use super::needs::Need;
use super::statement::{self, Effect};
use super::table_map::{self, BadTableMap, TableMap};
use super::transaction::Fed;
use crate::model::change::Unlogged;
use crate::model::plan::{JobPlan, TableUse};
use crate::model::schema::{Table, TableName};

/// The number of an empty row event that only ends a statement.
const NO_TABLE: u64 = 0xff_ffff;

/// A table of the stream that is used, and how its rows are read.
struct Known {
    /// The TABLE_MAP event: as long as it is the same, so is the decoder.
    body: Vec<u8>,
    table: usize,
    decoder: Result<Arc<TableDecoder>, BadRows>,
}

/// Why a TABLE_MAP event cannot be taken.
#[derive(Debug)]
pub(super) enum BadTable {
    /// The event ends too early.
    Event(Truncated),
    /// The layout of this used table (index into the plan's) cannot be read.
    Layout(usize, BadTableMap),
}

/// Whose rows a row event holds.
pub(super) enum RowsOf {
    /// Nobody's who matters.
    Unused,
    /// A used table's, with its index in the plan.
    Used(usize, Result<Arc<TableDecoder>, BadRows>),
    /// No TABLE_MAP told.
    Unknown,
}

/// See the module's description.
pub(super) struct Tables {
    plan: Arc<JobPlan>,
    fold: bool,
    pub(super) charsets: Charsets,
    /// Database, then table, as they stand in events, to the index in the plan.
    used: HashMap<Vec<u8>, HashMap<Vec<u8>, usize>>,
    /// By the number that TABLE_MAP gives to a table; `None` if it is not used.
    known: HashMap<u64, Option<Known>>,
    definitions: HashMap<usize, Table>,
    /// Whether images hold all columns, by definitions that were given once and for all, and as far as the log has them.
    whole: bool,
}

impl Tables {
    /// The used columns of a job's tables. `fold` says that the server ignores case in table names.
    pub(super) fn used(plan: Arc<JobPlan>, charsets: Charsets, fold: bool) -> Self {
        let mut used: HashMap<Vec<u8>, HashMap<Vec<u8>, usize>> = HashMap::new();
        for (at, table) in plan.tables.iter().enumerate() {
            let bytes = |name: &str| if fold { name.to_lowercase() } else { name.to_string() }.into_bytes();
            used.entry(bytes(&table.name.database)).or_default().insert(bytes(&table.name.table), at);
        }
        Self { plan, fold, charsets, used, known: HashMap::new(), definitions: HashMap::new(), whole: false }
    }

    /// The same for whole rows of these tables.
    pub(super) fn whole(tables: &[Table], charsets: Charsets, fold: bool) -> Self {
        let uses = tables.iter().map(TableUse::whole).collect();
        let plan = JobPlan { name: String::new(), projections: Vec::new(), tables: uses };
        let definitions = tables.iter().cloned().enumerate().collect();
        Self { whole: true, definitions, ..Self::used(Arc::new(plan), charsets, fold) }
    }

    /// The name of a table by its index.
    pub(super) fn name(&self, table: usize) -> &TableName {
        &self.plan.tables[table].name
    }

    /// Today's definition of a table; see [`Need::Table`].
    pub(super) fn define(&mut self, table: usize, definition: Table) {
        self.definitions.insert(table, definition);
    }

    /// The numbers of tables mean nothing any more.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// What a statement does to used tables (by their index), each once. Their layout is looked at anew.
    pub(super) fn touched(&mut self, effects: &[Effect]) -> Vec<(usize, Unlogged)> {
        let touched = statement::touched(effects, &self.plan.tables, self.fold);
        for (at, _) in &touched {
            if !self.whole {
                self.definitions.remove(at);
            }
            self.known.retain(|_, known| known.as_ref().is_none_or(|known| known.table != *at));
        }
        touched
    }

    /// Takes a TABLE_MAP event.
    pub(super) fn see(&mut self, data: &[u8]) -> Result<Fed, BadTable> {
        let mut cursor = Cursor(data);
        let place = table_map::place(&mut cursor).map_err(BadTable::Event)?;
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
        let map = TableMap::parse(cursor, self.charsets.of_geometry).map_err(|bad| BadTable::Layout(table, bad))?;
        let definition = self.definitions.get(&table);
        if map.names.is_none() && definition.is_none() {
            return Ok(Fed::Needs(Need::Table(table)));
        }
        let decoder = match TableDecoder::new(&map, table, used, definition, &self.charsets, self.whole) {
            Err(BadRows::Unread(set)) => return Ok(Fed::Needs(Need::Charset(set))),
            decoder => decoder.map(Arc::new),
        };
        self.known.insert(place.table_id, Some(Known { body: cursor.0.to_vec(), table, decoder }));
        Ok(Fed::Taken)
    }

    /// Whose rows an event with this table number holds.
    pub(super) fn rows_of(&self, table_id: u64) -> RowsOf {
        match self.known.get(&table_id) {
            Some(Some(known)) => RowsOf::Used(known.table, known.decoder.clone()),
            Some(None) => RowsOf::Unused,
            None if table_id == NO_TABLE => RowsOf::Unused,
            None => RowsOf::Unknown,
        }
    }
}
