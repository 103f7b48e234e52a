//! Runs one SELECT and fills Arrow columns with its rows.
//!
//! Owns: what each value of the binary protocol becomes. Does not own: the statement (`queries`), the connection
//! (`server`), which Arrow type a column has (`model::row`).
//!
//! The binary protocol, because by the text protocol a FLOAT comes rounded to six digits, unlike in the binlog.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, Decimal128Builder, Float32Builder, Float64Builder, Int64Builder, StringBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Statement, Value as Wire};

use super::failure::Doing;
use super::server::{MySqlServer, READ_LIMIT, STATEMENT_LIMIT, Session};
use crate::error::{Error, Kind, Result};
use crate::model::address::uuid_bytes;
use crate::model::row::{DECIMAL128_DIGITS_MAX, arrow_type};
use crate::model::schema::ColumnKind;
use crate::model::time::Civil;
use crate::ports::Selected;

/// Arrow's text and binary columns count their bytes in 31 bits.
const BYTES_MAX: usize = 1 << 30;
/// A read that became too large is drained up to so many times its bound; beyond that the server is told to stop.
const DRAIN_FACTOR: usize = 8;

/// An empty batch of columns of these kinds.
pub(super) fn empty(kinds: &[ColumnKind]) -> Result<RecordBatch> {
    Filler::new(kinds).finish()
}

impl MySqlServer {
    /// Every row of a statement, outside of any snapshot.
    pub async fn rows(&self, what: &str, sql: &str, kinds: &[ColumnKind]) -> Result<RecordBatch> {
        let mut session = self.session().await?;
        let selected = select(&mut session, what, sql, kinds, BYTES_MAX).await?;
        session.give_back();
        match selected {
            Selected::Rows(batch) => Ok(batch),
            Selected::TooLarge => Err(Error::halt(format!("{what}: the rows take more than {BYTES_MAX} bytes"))),
        }
    }
}

/// Runs `sql` and reads all of its rows, unless they exceed `bytes_max`. `what` is `reading rows of shop.order`. The
/// session stays usable after a result that was too large and after rows that cannot be read (`Park`).
pub(super) async fn select(
    session: &mut Session,
    what: &str,
    sql: &str,
    kinds: &[ColumnKind],
    bytes_max: usize,
) -> Result<Selected> {
    let mut conn = session.take()?;
    match read(session, &mut conn, what, sql, kinds, bytes_max.min(BYTES_MAX)).await {
        Ok(selected) => {
            session.put(conn);
            Ok(selected)
        }
        Err(error) => {
            // MySQL said that it cannot compute a row: the conversation itself is in order.
            if error.kind() == Kind::Park {
                session.put(conn);
            }
            Err(error)
        }
    }
}

async fn read(
    session: &Session,
    conn: &mut Conn,
    what: &str,
    sql: &str,
    kinds: &[ColumnKind],
    bytes_max: usize,
) -> Result<Selected> {
    let statement = session.wait(Doing::Read, what, STATEMENT_LIMIT, conn.prep(sql)).await?;
    let fetched = if statement.num_params() > 0 || usize::from(statement.num_columns()) != kinds.len() {
        Err(Error::halt(format!("{what}: the statement has other columns than the plan")))
    } else {
        fetch(session, conn, what, &statement, kinds, bytes_max).await
    };
    if fetched.as_ref().err().is_none_or(|error| error.kind() == Kind::Park) {
        session.wait(Doing::Read, what, STATEMENT_LIMIT, conn.close(statement)).await?;
    }
    fetched
}

async fn fetch(
    session: &Session,
    conn: &mut Conn,
    what: &str,
    statement: &Statement,
    kinds: &[ColumnKind],
    bytes_max: usize,
) -> Result<Selected> {
    let connection = conn.id();
    let mut filler = Filler::new(kinds);
    let name = |at: usize| statement.columns().get(at).map(|column| column.name_str().into_owned()).unwrap_or_default();
    let mut bytes = 0;
    let mut bad: Option<Error> = None;
    let mut stopped = false;
    let mut result = session.wait(Doing::Read, what, READ_LIMIT, conn.exec_iter(statement, ())).await?;
    loop {
        let row = match session.wait(Doing::Read, what, READ_LIMIT, result.next()).await {
            // We asked for it.
            Err(_) if stopped => None,
            row => row?,
        };
        let Some(row) = row else {
            break;
        };
        let values = row.unwrap_raw();
        bytes += values.iter().map(wire_bytes).sum::<usize>();
        if bad.is_none() && bytes <= bytes_max {
            bad = filler.push(values, what, &name).err();
        } else if bytes > bytes_max.saturating_mul(DRAIN_FACTOR) && !stopped {
            stopped = true;
            let kill = format!("KILL QUERY {connection}");
            session.server().query(Doing::Read, "ending a read that is too large", &kill, STATEMENT_LIMIT).await?;
        }
    }
    drop(result);
    if stopped {
        // If the read ended before the KILL came, the KILL meets this statement instead of the next read.
        let _ = tokio::time::timeout(STATEMENT_LIMIT, conn.query_drop("DO 1")).await;
    }
    match bad {
        Some(error) => Err(error),
        None if bytes > bytes_max => Ok(Selected::TooLarge),
        None => Ok(Selected::Rows(filler.finish()?)),
    }
}

fn wire_bytes(value: &Option<Wire>) -> usize {
    match value {
        Some(Wire::Bytes(bytes)) => bytes.len() + 4,
        _ => 8,
    }
}

/// One column under construction.
enum Column {
    Int(Int64Builder),
    UInt(UInt64Builder),
    Bit(UInt64Builder),
    Decimal(Decimal128Builder, u8),
    Float(Float32Builder),
    Double(Float64Builder),
    Civil(Int64Builder),
    Time(Int64Builder),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Uuid(BinaryBuilder),
}

struct Filler {
    columns: Vec<Column>,
    kinds: Vec<ColumnKind>,
    rows: usize,
}

/// Why a cell cannot be taken over.
enum Refusal {
    /// The value itself.
    Value(&'static str),
    /// The statement returns another type than the plan says.
    Type,
}

impl Filler {
    fn new(kinds: &[ColumnKind]) -> Self {
        Self { columns: kinds.iter().map(Column::new).collect(), kinds: kinds.to_vec(), rows: 0 }
    }

    /// `name` tells what the statement calls a column: a table's column by its name, an expression by its text.
    fn push(&mut self, values: Vec<Option<Wire>>, what: &str, name: &dyn Fn(usize) -> String) -> Result<()> {
        for (at, (column, value)) in self.columns.iter_mut().zip(values).enumerate() {
            column.push(value.unwrap_or(Wire::NULL)).map_err(|refusal| match refusal {
                Refusal::Value(reason) => Error::park(format!("{what}: column `{}` holds {reason}", name(at))),
                Refusal::Type => {
                    let kind = &self.kinds[at];
                    Error::halt(format!("{what}: column `{}` is not {kind:?} any more; run check", name(at)))
                }
            })?;
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self) -> Result<RecordBatch> {
        let fields: Vec<Field> = self
            .kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| Field::new(format!("c{at}"), arrow_type(kind), true))
            .collect();
        let arrays: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|error| Error::halt("a batch of rows is inconsistent").because(error))
    }
}

impl Column {
    fn new(kind: &ColumnKind) -> Self {
        match kind {
            ColumnKind::Int { bits: 64, unsigned: true } => Self::UInt(UInt64Builder::new()),
            ColumnKind::Int { .. } | ColumnKind::Year => Self::Int(Int64Builder::new()),
            ColumnKind::Bit { .. } => Self::Bit(UInt64Builder::new()),
            ColumnKind::Decimal { precision, scale } if *precision <= DECIMAL128_DIGITS_MAX => {
                Self::Decimal(Decimal128Builder::new().with_data_type(arrow_type(kind)), *scale)
            }
            ColumnKind::Float => Self::Float(Float32Builder::new()),
            ColumnKind::Double => Self::Double(Float64Builder::new()),
            ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
                Self::Civil(Int64Builder::new())
            }
            ColumnKind::Time { .. } => Self::Time(Int64Builder::new()),
            ColumnKind::FixedBinary { .. } | ColumnKind::Binary | ColumnKind::Geometry | ColumnKind::Vector => {
                Self::Binary(BinaryBuilder::new())
            }
            ColumnKind::Uuid => Self::Uuid(BinaryBuilder::new()),
            ColumnKind::Decimal { .. }
            | ColumnKind::Text
            | ColumnKind::Enum(_)
            | ColumnKind::Set(_)
            | ColumnKind::Json
            | ColumnKind::Inet4
            | ColumnKind::Inet6
            | ColumnKind::Other(_) => Self::Text(StringBuilder::new()),
        }
    }

    fn push(&mut self, value: Wire) -> Result<(), Refusal> {
        match (self, value) {
            (column, Wire::NULL) => column.push_null(),
            (Self::Int(column), Wire::Int(number)) => column.append_value(number),
            (Self::Int(column), Wire::UInt(number)) => {
                column.append_value(i64::try_from(number).map_err(|_| Refusal::Type)?);
            }
            (Self::UInt(column), Wire::UInt(number)) => column.append_value(number),
            (Self::UInt(column), Wire::Int(number)) => {
                column.append_value(u64::try_from(number).map_err(|_| Refusal::Type)?);
            }
            (Self::Bit(column), Wire::Bytes(bytes)) => column.append_value(big_endian(&bytes).ok_or(Refusal::Type)?),
            (Self::Decimal(column, scale), Wire::Bytes(text)) => {
                let digits = decimal_digits(&text, *scale).ok_or(Refusal::Value("a decimal that does not fit"))?;
                column.append_value(digits);
            }
            (Self::Float(column), Wire::Float(number)) => column.append_value(number),
            (Self::Double(column), Wire::Double(number)) => column.append_value(number),
            (Self::Civil(column), Wire::Date(year, month, day, hour, minute, second, micros)) => {
                column.append_value(Civil { year, month, day, hour, minute, second, micros }.pack());
            }
            (Self::Time(column), Wire::Time(negative, days, hours, minutes, seconds, micros)) => {
                let hours = i64::from(days) * 24 + i64::from(hours);
                let seconds = (hours * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
                let micros = seconds * 1_000_000 + i64::from(micros);
                column.append_value(if negative { -micros } else { micros });
            }
            (Self::Text(column), Wire::Bytes(bytes)) => {
                let text = std::str::from_utf8(&bytes).map_err(|_| Refusal::Value("broken text (not UTF-8)"))?;
                column.append_value(text);
            }
            (Self::Binary(column), Wire::Bytes(bytes)) => column.append_value(bytes),
            (Self::Uuid(column), Wire::Bytes(text)) => {
                let bytes = std::str::from_utf8(&text).ok().and_then(uuid_bytes);
                column.append_value(bytes.ok_or(Refusal::Type)?);
            }
            _ => return Err(Refusal::Type),
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match self {
            Self::Int(column) | Self::Civil(column) | Self::Time(column) => column.append_null(),
            Self::UInt(column) | Self::Bit(column) => column.append_null(),
            Self::Decimal(column, _) => column.append_null(),
            Self::Float(column) => column.append_null(),
            Self::Double(column) => column.append_null(),
            Self::Text(column) => column.append_null(),
            Self::Binary(column) | Self::Uuid(column) => column.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Int(mut column) | Self::Civil(mut column) | Self::Time(mut column) => Arc::new(column.finish()),
            Self::UInt(mut column) | Self::Bit(mut column) => Arc::new(column.finish()),
            Self::Decimal(mut column, _) => Arc::new(column.finish()),
            Self::Float(mut column) => Arc::new(column.finish()),
            Self::Double(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
            Self::Binary(mut column) | Self::Uuid(mut column) => Arc::new(column.finish()),
        }
    }
}

/// The number in up to eight bytes, the most significant first.
pub(super) fn big_endian(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The unscaled digits of a decimal text, at the given scale; `None` if it has more digits than fit.
fn decimal_digits(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let mut digits: i128 = 0;
    let mut fraction: Option<u8> = None;
    for byte in text {
        match (byte, &mut fraction) {
            (b'.', fraction @ None) => *fraction = Some(0),
            // A result may carry more zeros than its declared scale.
            (b'0', Some(count)) if *count == scale => {}
            (b'0'..=b'9', fraction) => {
                if let Some(count) = fraction {
                    *count = count.checked_add(1).filter(|count| *count <= scale)?;
                }
                digits = digits.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
            }
            _ => return None,
        }
    }
    for _ in fraction.unwrap_or(0)..scale {
        digits = digits.checked_mul(10)?;
    }
    (digits < 10i128.pow(u32::from(DECIMAL128_DIGITS_MAX))).then_some(if negative { -digits } else { digits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_scale() {
        assert_eq!(decimal_digits(b"-12.30", 2), Some(-1230));
        assert_eq!(decimal_digits(b"12", 2), Some(1200));
        assert_eq!(decimal_digits(b"0.5000", 2), Some(50));
        assert_eq!(decimal_digits(b"0.501", 2), None);
        assert_eq!(decimal_digits(b"99999999999999999999999999999999999", 0), None);
        assert_eq!(decimal_digits(b"", 2), Some(0));
    }

    #[test]
    fn a_value_that_cannot_be_read_names_its_column() {
        let names = ["id", "note"];
        let mut filler = Filler::new(&[ColumnKind::Year, ColumnKind::Text]);
        let mut push = |values| {
            let error = filler.push(values, "reading rows of shop.order", &|at| names[at].into()).expect_err("refused");
            (error.kind(), error.chain())
        };
        let text = "reading rows of shop.order: column `note` holds broken text (not UTF-8)".to_string();
        assert_eq!(push(vec![Some(Wire::Int(1)), Some(Wire::Bytes(vec![0xff]))]), (Kind::Park, text));
        let retyped = "reading rows of shop.order: column `id` is not Year any more; run check".to_string();
        assert_eq!(push(vec![Some(Wire::Float(1.0)), None]), (Kind::Halt, retyped));
    }

    #[test]
    fn bits_are_big_endian() {
        assert_eq!(big_endian(&[1, 2]), Some(258));
        assert_eq!(big_endian(&[0; 9]), None);
    }
}
