//! Row events, turned into the images that routing needs.
//!
//! Owns: [`TableDecoder`]: one table's TABLE_MAP event matched with the plan, and reading rows by it. Does not own:
//! single values (`decode_value`), transactions (`transaction`).
//! Format: MySQL source, `libs/mysql/binlog/event/rows_event.h`, class `Rows_event`.

use super::charset::{Charset, Charsets};
use super::cursor::{Cursor, Truncated, bit};
use super::decode_value::{BadValue, extent, fits, value};
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
}

/// One column of the table as the event has it.
#[derive(Debug)]
struct ColumnPlan {
    wire: WireType,
    /// `None` if nobody uses it.
    used: Option<Used>,
}

#[derive(Debug)]
struct Used {
    /// Position in [`TableUse::columns`].
    cell: usize,
    name: String,
    kind: ColumnKind,
    form: Form,
    charset: Option<Charset>,
}

/// What becomes of a used column's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Only equality matters.
    Raw,
    /// The value, or an error.
    Exact,
    /// The value if there is one, of every type.
    Whole,
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
        if names.len() != map.types.len() {
            if whole {
                names.clear();
            } else {
                return Err(BadRows::Count(map.types.len(), names.len()));
            }
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
            let wire = map.types[position];
            if (column.routes || map.names.is_none()) && !fits(&column.kind, wire.code) {
                if whole {
                    continue;
                }
                return Err(BadRows::Column(column.name.clone(), "has another type than the build was made with"));
            }
            let by_number = || map.collations.get(&position).and_then(|number| charsets.by_number(*number));
            let by_name = || charsets.by_collation(now?.columns.get(position)?.collation.as_ref()?);
            columns[position].used = Some(Used {
                cell,
                name: column.name.clone(),
                kind: column.kind.clone(),
                form: match (whole, column.routes) {
                    (true, _) => Form::Whole,
                    (false, true) => Form::Exact,
                    (false, false) => Form::Raw,
                },
                charset: by_number().or_else(by_name),
            });
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
mod tests {
    use super::*;
    use crate::model::plan::UsedColumn;
    use crate::model::schema::TableName;

    fn map(names: Option<&[&str]>) -> TableMap {
        let wire = |code, length, extra| WireType { code, length, extra };
        TableMap {
            types: vec![wire(types::LONG, 0, 0), wire(types::VARCHAR, 40, 0), wire(types::JSON, 0, 4)],
            names: names.map(|names| names.iter().map(|name| name.to_string()).collect()),
            collations: [(1, 255)].into(),
        }
    }

    fn used() -> TableUse {
        let column = |name: &str, kind, routes| UsedColumn {
            name: name.into(),
            kind,
            declared: String::new(),
            collation: None,
            routes,
        };
        TableUse {
            name: TableName::new("d", "t"),
            columns: vec![
                column("doc", ColumnKind::Json, false),
                column("id", ColumnKind::Int { bits: 32, unsigned: false }, true),
            ],
        }
    }

    fn decode(form: u8, event: &[u8]) -> Result<Vec<RowChange>, BadRows> {
        let decoder =
            TableDecoder::new(&map(Some(&["ID", "name", "doc"])), 3, &used(), None, &Charsets::default(), false)?;
        let mut rows = Vec::new();
        decoder.rows(RowsForm::of(form).expect("a row event"), Cursor(event), |row| rows.push(row))?;
        Ok(rows)
    }

    fn image(doc: Cell, id: i64) -> Option<Image> {
        Some(Image(vec![doc, Cell::Value(Value::Int(id))]))
    }

    #[test]
    fn rows_of_every_form() {
        let header = [1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3];
        let row = [&[0b000][..], &[7, 0, 0, 0, 1, b'x', 2, 0, 0, 0, 9, 9]].concat();
        let null = [&[0b110][..], &[8, 0, 0, 0]].concat();
        let event = [&header[..], &[0b111], &row, &null].concat();
        let first = image(Cell::Raw(vec![9, 9]), 7);
        let second = image(Cell::Value(Value::Null), 8);
        let rows = decode(30, &event).expect("rows");
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[0].before, &rows[0].after, rows[0].table), (&None, &first, 3));
        assert_eq!(rows[1].after, second);
        for cut in 12..event.len() {
            // A cut row is an error and never a panic; a cut between rows cannot be told from an end.
            let _ = decode(30, &event[..cut]);
        }
        // Minimal images: the key before, the document after.
        let update = [&header[..], &[0b001, 0b100], &[0, 7, 0, 0, 0], &[0, 1, 0, 0, 0, 5]].concat();
        let rows = decode(31, &update).expect("rows");
        assert_eq!(rows[0].before, image(Cell::Absent, 7));
        assert_eq!(rows[0].after, Some(Image(vec![Cell::Raw(vec![5]), Cell::Absent])));
        // Differences of a document.
        let partial =
            [&header[..], &[0b101, 0b101], &[0b10, 7, 0, 0, 0], &[1, 1, 0], &[7, 0, 0, 0, 1, 0, 0, 0, 5]].concat();
        let rows = decode(39, &partial).expect("rows");
        assert_eq!(rows[0].before, image(Cell::Value(Value::Null), 7));
        assert_eq!(rows[0].after, image(Cell::Absent, 7));
    }

    #[test]
    fn whole_rows_lack_what_does_not_match() {
        let present = |map: &TableMap| {
            let decoder = TableDecoder::new(map, 0, &used(), None, &Charsets::default(), true).expect("a decoder");
            let event = [&[1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0b111][..], &[0, 7, 0, 0, 0, 1, b'x', 3, 0, 0, 0, 5, 9, 0]];
            let mut cells = Vec::new();
            let form = RowsForm::of(30).expect("a row event");
            decoder.rows(form, Cursor(&event.concat()), |row| cells = row.after.expect("an insert").0).expect("a row");
            cells
        };
        let (doc, id) = (Cell::Value(Value::Text("9".into())), Cell::Value(Value::Int(7)));
        assert_eq!(present(&map(Some(&["id", "name", "doc"]))), [doc.clone(), id.clone()]);
        assert_eq!(present(&map(Some(&["no", "name", "doc"]))), [doc, Cell::Absent]);
        // The name of a text is now the document's.
        assert_eq!(present(&map(Some(&["id", "doc", "name"]))), [Cell::Absent, id]);
        // Nobody knows which column is which.
        assert_eq!(present(&map(None)), [Cell::Absent, Cell::Absent]);
    }

    #[test]
    fn what_does_not_match_the_plan_is_refused() {
        let new = |map: &TableMap| TableDecoder::new(map, 0, &used(), None, &Charsets::default(), false).map(|_| ());
        assert_eq!(new(&map(None)), Err(BadRows::Count(3, 0)));
        let gone = new(&map(Some(&["no", "name", "doc"])));
        assert_eq!(gone, Err(BadRows::Column("id".into(), "is not in the binlog's rows")));
        let mut retyped = map(Some(&["id", "name", "doc"]));
        retyped.types[0].code = types::LONGLONG;
        assert!(matches!(new(&retyped), Err(BadRows::Column(..))));
    }
}
