//! Row events, turned into the images that routing needs.
//!
//! Owns: [`TableDecoder`]: one table's TABLE_MAP event matched with the plan, and reading rows by it. Does not own: whether a
//! column is what the plan says (`column`), single values (`decode_value`), transactions (`transaction`).
//! Format: MySQL source, `libs/mysql/binlog/event/rows_event.h`, class `Rows_event`.

use super::charset::Charsets;
use super::column::{Evidence, Form, Mismatch, Used};
use super::cursor::{Cursor, Truncated, bit};
use super::decode_value::{BadValue, extent, value};
use super::json;
use super::table_map::{TableMap, WireType, types};
use crate::model::change::{Cell, Image, RowChange, Spot};
use crate::model::plan::TableUse;
use crate::model::schema::{ColumnKind, Table};
use crate::model::value::Value;

/// Which images the rows of an event have, and how its header looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowsForm {
    before: bool,
    after: bool,
    /// Version 2 events have extra data in their header.
    extra: bool,
    /// Each after image says which of its JSON columns are differences only.
    partial: bool,
}

impl RowsForm {
    /// By the event's type code; `None` if it holds no rows.
    pub(super) fn of(event_type: u8) -> Option<Self> {
        let form = |before, after, extra, partial| Some(Self { before, after, extra, partial });
        match event_type {
            23 => form(false, true, false, false),
            24 => form(true, true, false, false),
            25 => form(true, false, false, false),
            30 => form(false, true, true, false),
            31 => form(true, true, true, false),
            32 => form(true, false, true, false),
            39 => form(true, true, true, true),
            _ => None,
        }
    }
}

/// Why rows cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRows {
    /// See [`Truncated`].
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// A used column is not what the plan says. Without its value.
    #[error("column {0} {1}")]
    Column(String, &'static str),
    /// The event has a different number of columns than the table.
    #[error("it has {0} columns in the binlog and {1} now; set binlog_row_metadata=FULL")]
    Count(usize, usize),
    /// A column is not what it is today, and only by its place in the table could it be known. Without its value.
    #[error("column {0} {1}, and the binlog does not name its columns; set binlog_row_metadata=FULL")]
    Unnamed(String, &'static str),
    /// The character set of this name has to be read from the server first: see [`Charsets::put`].
    #[error("the character set {0} was not read")]
    Unread(String),
}

/// One column of the table as the event has it.
#[derive(Debug)]
struct ColumnPlan {
    wire: WireType,
    /// `None` if nobody uses it.
    used: Option<Used>,
}

/// Reads the rows of one table.
#[derive(Debug)]
pub(super) struct TableDecoder {
    table: usize,
    cells: usize,
    columns: Vec<ColumnPlan>,
}

impl TableDecoder {
    /// Matches a TABLE_MAP with the plan, by the columns' names if it has them, else by their order in `now`, the
    /// definition of today. `table` is the index of `used` in the plan. With `whole` the values of all columns are read, and what
    /// cannot be is absent; else it is an error where a value routes.
    pub(super) fn new(
        map: &TableMap,
        table: usize,
        used: &TableUse,
        now: Option<&Table>,
        charsets: &Charsets,
        whole: bool,
    ) -> Result<Self, BadRows> {
        let mut names: Vec<String> = match (&map.names, now) {
            (Some(names), _) => names.iter().map(|name| name.to_lowercase()).collect(),
            (None, Some(now)) => now.columns.iter().map(|column| column.name.to_lowercase()).collect(),
            (None, None) => Vec::new(),
        };
        let evidence = |position: usize| {
            let collation_now = now.and_then(|now| now.columns.get(position)?.collation.as_deref());
            Evidence { map, position, collation_now, charsets }
        };
        match unnamed(map, now, names.len(), evidence) {
            Err(_) if whole => names.clear(),
            checked => checked?,
        }
        let mut columns: Vec<ColumnPlan> =
            map.types.iter().map(|wire| ColumnPlan { wire: *wire, used: None }).collect();
        for (cell, column) in used.columns.iter().enumerate() {
            let name = column.name.to_lowercase();
            let Some(position) = names.iter().position(|known| *known == name) else {
                // Its cell stays absent, which counts as changed; only routing cannot do without.
                if column.routes && !whole {
                    return Err(BadRows::Column(column.name.clone(), "is not in the binlog's rows"));
                }
                continue;
            };
            let form = match (whole, column.routes) {
                (true, _) => Form::Whole,
                (false, true) => Form::Exact,
                (false, false) => Form::Raw,
            };
            match Used::new(cell, column, form, evidence(position)) {
                Ok(used) => columns[position].used = Some(used),
                Err(Mismatch::Unread(set)) => return Err(BadRows::Unread(set)),
                Err(Mismatch::Says(_)) if whole => {}
                Err(Mismatch::Says(what)) => return Err(BadRows::Column(column.name.clone(), what)),
            }
        }
        Ok(Self { table, cells: used.columns.len(), columns })
    }

    /// Reads all rows of an event; `event` is what follows its common header. Each is handed over with its bytes in the
    /// event.
    pub(super) fn rows(
        &self,
        form: RowsForm,
        mut event: Cursor<'_>,
        mut take: impl FnMut(RowChange),
    ) -> Result<(), BadRows> {
        event.take(8)?;
        if form.extra {
            let length = event.little(2)? as usize;
            event.take(length.saturating_sub(2))?;
        }
        let count = event.packed_length()?;
        if count != self.columns.len() {
            return Err(BadRows::Count(count, self.columns.len()));
        }
        let mut present = |wanted: bool| if wanted { event.take(count.div_ceil(8)) } else { Ok(&[][..]) };
        let before = Present::new(present(form.before)?, count);
        let after = Present::new(present(form.after)?, count);
        while !event.is_empty() {
            let left = event.0.len();
            let change = RowChange {
                table: self.table,
                before: if form.before { Some(self.image(&before, &mut event, false)?) } else { None },
                after: if form.after { Some(self.image(&after, &mut event, form.partial)?) } else { None },
                spot: Spot::default(),
            };
            if event.0.len() == left {
                return Err(Truncated.into());
            }
            take(change);
        }
        Ok(())
    }

    fn image(&self, present: &Present<'_>, event: &mut Cursor<'_>, partial: bool) -> Result<Image, BadRows> {
        let mut differences = false;
        if partial && event.packed()? & 1 == 1 {
            let documents = self.columns.iter().filter(|column| column.wire.code == types::JSON).count();
            event.take(documents.div_ceil(8))?;
            differences = true;
        }
        let nulls = event.take(present.count.div_ceil(8))?;
        let mut cells = vec![Cell::Absent; self.cells];
        let mut at = 0;
        for (position, column) in self.columns.iter().enumerate() {
            if !bit(present.columns, position) {
                continue;
            }
            let null = bit(nulls, at);
            at += 1;
            let bytes = if null { None } else { Some(extent(column.wire, event)?) };
            let Some(used) = &column.used else {
                continue;
            };
            cells[used.cell] = match bytes {
                None => Cell::Value(Value::Null),
                // Not told apart per column: such a cell counts as changed.
                Some(_) if differences && column.wire.code == types::JSON => Cell::Absent,
                Some(bytes) => match used.form {
                    Form::Raw => Cell::Raw(bytes.to_vec()),
                    Form::Exact => Cell::Value(used.value(column.wire, bytes)?),
                    Form::Whole => used.whole(column.wire, bytes).map_or(Cell::Absent, Cell::Value),
                },
            };
        }
        Ok(Image(cells))
    }
}

impl Used {
    fn value(&self, wire: WireType, bytes: &[u8]) -> Result<Value, BadRows> {
        value(&self.kind, wire, self.charset.as_ref(), bytes).map_err(|bad| match bad {
            BadValue::Truncated(truncated) => BadRows::Truncated(truncated),
            BadValue::Type => BadRows::Column(self.name.clone(), "has another type than the build was made with"),
            BadValue::Label => BadRows::Column(self.name.clone(), "has other labels than the build was made with"),
            BadValue::Text => BadRows::Column(self.name.clone(), "holds text that is not valid in its character set"),
            BadValue::Compressed => BadRows::Column(self.name.clone(), "holds a compressed value that is damaged"),
        })
    }
}

impl Used {
    /// The value of a column of any type, if it has one.
    fn whole(&self, wire: WireType, bytes: &[u8]) -> Option<Value> {
        match self.kind {
            ColumnKind::Json => match wire.code {
                types::JSON => json::text(bytes).map(Value::Text),
                // MariaDB's is the text itself, in utf8mb4.
                types::TINY_BLOB..=types::BLOB => {
                    std::str::from_utf8(bytes).ok().map(|text| Value::Text(text.to_string()))
                }
                _ => None,
            },
            ColumnKind::Other(_) => Some(Value::Bytes(bytes.to_vec())),
            _ => value(&self.kind, wire, self.charset.as_ref(), bytes).ok(),
        }
    }
}

/// Whether columns can be told apart: by name, or else by their places, if each can be what stands there today. `count` is that
/// of the names, by either.
fn unnamed<'a>(
    map: &TableMap,
    now: Option<&Table>,
    count: usize,
    evidence: impl Fn(usize) -> Evidence<'a>,
) -> Result<(), BadRows> {
    if count != map.types.len() {
        return Err(BadRows::Count(map.types.len(), count));
    }
    let Some(now) = now.filter(|_| map.names.is_none()) else {
        return Ok(());
    };
    for (position, column) in now.columns.iter().enumerate() {
        if let Err(Mismatch::Says(what)) = evidence(position).must_agree(&column.kind) {
            return Err(BadRows::Unnamed(column.name.clone(), what));
        }
    }
    Ok(())
}

/// Which columns an event's images have.
struct Present<'a> {
    columns: &'a [u8],
    count: usize,
}

impl<'a> Present<'a> {
    fn new(columns: &'a [u8], of: usize) -> Self {
        Self { columns, count: (0..of).filter(|position| bit(columns, *position)).count() }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
