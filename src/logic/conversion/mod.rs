//! MySQL values to BSON: the one place where a type's fate is decided.
//!
//! Owns: the table below, for cells of Arrow columns and for the columns of `_id`. Does not own: reading cells
//! (`edge::mysql`), the order of fields (`logic::assembly`). Copy and stream both end here, so a value cannot differ
//! between them.
//!
//! | MySQL | BSON |
//! |---|---|
//! | TINYINT to INT, MEDIUMINT, YEAR | Int32; INT UNSIGNED Int64 |
//! | BIGINT | Int64; UNSIGNED above 2^63-1 Decimal128 |
//! | DECIMAL | Decimal128 with its scale; over 34 digits String |
//! | FLOAT, DOUBLE | Double |
//! | BIT(1), BIT(n) | Boolean, as BIGINT UNSIGNED |
//! | CHAR, VARCHAR, TEXT, ENUM | String |
//! | SET | array of String |
//! | BINARY, VARBINARY, BLOB | Binary |
//! | DATE, DATETIME, TIMESTAMP | Date (UTC), cut to milliseconds; zero and impossible dates null, counted |
//! | TIME | String `[-]HH:MM:SS[.ffffff]` |
//! | JSON | document, array or scalar |
//!
//! In `_id` distinct keys stay distinct: dates finer than milliseconds, zero dates and SET are strings there.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray, StringArray};
use arrow_schema::DataType;

use crate::error::{Error, Result};
use crate::model::document::{BsonWriter, array_index};
use crate::model::plan::{NodeColumn, ProjectionPlan};
use crate::model::schema::ColumnKind;
use crate::model::time::{Civil, time_text};
use crate::model::value::{Key, Value};

/// One column of a batch, ready to be written cell by cell: the type is looked at once, not for every cell.
pub struct CellWriter<'a> {
    cells: Cells<'a>,
    kind: &'a ColumnKind,
    as_bool: bool,
}

enum Cells<'a> {
    Int(&'a PrimitiveArray<Int64Type>),
    UInt(&'a PrimitiveArray<UInt64Type>),
    Float(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, u8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
}

/// What a cell became, beyond being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// A value.
    Value,
    /// SQL NULL.
    Null,
    /// A zero or impossible date, written as null.
    ZeroDate,
}

impl<'a> CellWriter<'a> {
    /// A writer for one column. `array` must have the Arrow type of `column`'s kind (`model::row::arrow_type`).
    pub fn new(array: &'a ArrayRef, column: &'a NodeColumn) -> Result<Self> {
        let cells = match array.data_type() {
            DataType::Int64 => Cells::Int(array.as_primitive()),
            DataType::UInt64 => Cells::UInt(array.as_primitive()),
            DataType::Float32 => Cells::Float(array.as_primitive()),
            DataType::Float64 => Cells::Double(array.as_primitive()),
            DataType::Decimal128(_, scale) => Cells::Decimal(array.as_primitive(), *scale as u8),
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::Binary => Cells::Binary(array.as_binary()),
            other => return Err(Error::halt(format!("column {} travels as {other}", column.sql))),
        };
        Ok(Self { cells, kind: &column.kind, as_bool: column.as_bool })
    }

    /// Whether the cell is SQL NULL.
    pub fn is_null(&self, row: usize) -> bool {
        match &self.cells {
            Cells::Int(cells) => cells.is_null(row),
            Cells::UInt(cells) => cells.is_null(row),
            Cells::Float(cells) => cells.is_null(row),
            Cells::Double(cells) => cells.is_null(row),
            Cells::Decimal(cells, _) => cells.is_null(row),
            Cells::Text(cells) => cells.is_null(row),
            Cells::Binary(cells) => cells.is_null(row),
        }
    }

    /// Writes one cell as the element `name`.
    ///
    /// # Errors
    /// `Park` if the value has no BSON form (JSON with a NUL byte in a name, or that does not parse).
    pub fn write(&self, writer: &mut BsonWriter, name: &str, row: usize) -> Result<Written> {
        if self.is_null(row) {
            writer.null(name);
            return Ok(Written::Null);
        }
        match &self.cells {
            Cells::Int(cells) => return Ok(self.write_int(writer, name, cells.value(row))),
            Cells::UInt(cells) => self.write_uint(writer, name, cells.value(row)),
            Cells::Float(cells) => writer.double(name, f64::from(cells.value(row))),
            Cells::Double(cells) => writer.double(name, cells.value(row)),
            Cells::Decimal(cells, scale) => writer.decimal128(name, cells.value(row), *scale),
            Cells::Binary(cells) => writer.binary(name, cells.value(row)),
            Cells::Text(cells) => match self.kind {
                ColumnKind::Json => write_json(writer, name, cells.value(row))?,
                ColumnKind::Set(_) => write_set(writer, name, cells.value(row)),
                _ => writer.string(name, cells.value(row)),
            },
        }
        Ok(Written::Value)
    }

    fn write_int(&self, writer: &mut BsonWriter, name: &str, number: i64) -> Written {
        match self.kind {
            ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => {
                match Civil::unpack(number).unix_ms() {
                    Some(unix_ms) => writer.date(name, unix_ms),
                    None => {
                        writer.null(name);
                        return Written::ZeroDate;
                    }
                }
            }
            ColumnKind::Time { fsp } => writer.string(name, &time_text(number, *fsp)),
            _ if self.as_bool => writer.boolean(name, number != 0),
            ColumnKind::Int { bits: 64, .. } | ColumnKind::Int { bits: 32, unsigned: true } => {
                writer.int64(name, number)
            }
            // At most 32 bits signed or 24 unsigned.
            _ => writer.int32(name, number as i32),
        }
        Written::Value
    }

    fn write_uint(&self, writer: &mut BsonWriter, name: &str, number: u64) {
        if self.as_bool || matches!(self.kind, ColumnKind::Bit { length: 1 }) {
            writer.boolean(name, number != 0);
        } else {
            write_u64(writer, name, number);
        }
    }
}

fn write_u64(writer: &mut BsonWriter, name: &str, number: u64) {
    match i64::try_from(number) {
        Ok(number) => writer.int64(name, number),
        Err(_) => writer.decimal128(name, i128::from(number), 0),
    }
}

fn write_set(writer: &mut BsonWriter, name: &str, labels: &str) {
    writer.begin_array(name);
    let mut scratch = String::new();
    // A SET's labels cannot hold a comma; the empty set prints as the empty string.
    for (index, label) in labels.split(',').filter(|_| !labels.is_empty()).enumerate() {
        writer.string(array_index(index, &mut scratch), label);
    }
    writer.end();
}

fn write_json(writer: &mut BsonWriter, name: &str, text: &str) -> Result<()> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|_| Error::park(format!("field {name}: JSON text that does not parse")))?;
    write_json_value(writer, name, &value)
}

fn write_json_value(writer: &mut BsonWriter, name: &str, value: &serde_json::Value) -> Result<()> {
    use serde_json::Value as Json;
    if name.contains('\0') {
        return Err(Error::park("a JSON object has a key with a NUL byte, which BSON cannot hold"));
    }
    match value {
        Json::Null => writer.null(name),
        Json::Bool(flag) => writer.boolean(name, *flag),
        Json::String(text) => writer.string(name, text),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => match i32::try_from(signed) {
                Ok(small) => writer.int32(name, small),
                Err(_) => writer.int64(name, signed),
            },
            (None, Some(unsigned)) => write_u64(writer, name, unsigned),
            (None, None) => writer.double(name, number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Array(items) => {
            writer.begin_array(name);
            let mut scratch = String::new();
            for (index, item) in items.iter().enumerate() {
                write_json_value(writer, array_index(index, &mut scratch), item)?;
            }
            writer.end();
        }
        Json::Object(fields) => {
            writer.begin_document(name);
            for (field, item) in fields {
                write_json_value(writer, field, item)?;
            }
            writer.end();
        }
    }
    Ok(())
}

/// Writes `_id`: a scalar for a key of one column, else a sub-document with the columns in key order.
pub fn write_id(writer: &mut BsonWriter, plan: &ProjectionPlan, key: &Key) {
    let kind = |at: usize| &plan.root().columns[plan.id[at].position].kind;
    if let [only] = &key.0[..] {
        write_id_value(writer, "_id", only, kind(0));
        return;
    }
    writer.begin_document("_id");
    for (at, value) in key.0.iter().enumerate() {
        write_id_value(writer, &plan.id[at].field, value, kind(at));
    }
    writer.end();
}

/// A BSON document that holds the `_id` alone.
pub fn id_document(plan: &ProjectionPlan, key: &Key) -> Vec<u8> {
    let mut writer = BsonWriter::with_capacity(32);
    write_id(&mut writer, plan, key);
    writer.finish()
}

fn write_id_value(writer: &mut BsonWriter, name: &str, value: &Value, kind: &ColumnKind) {
    match value {
        Value::Null => writer.null(name),
        Value::Int(number) => match kind {
            ColumnKind::Bit { length: 1 } => writer.boolean(name, *number != 0),
            ColumnKind::Int { bits: 64, .. }
            | ColumnKind::Int { bits: 32, unsigned: true }
            | ColumnKind::Bit { .. } => {
                writer.int64(name, *number);
            }
            // A key from an event can be wider than the column: it must not become the `_id` of another root.
            _ => match i32::try_from(*number) {
                Ok(small) => writer.int32(name, small),
                Err(_) => writer.int64(name, *number),
            },
        },
        Value::UInt(number) => write_u64(writer, name, *number),
        Value::Double(bits) => writer.double(name, f64::from_bits(*bits)),
        Value::Decimal(text) => match (kind, parse_decimal(text)) {
            (ColumnKind::Decimal { precision, .. }, Some((digits, scale)))
                if *precision <= crate::model::row::DECIMAL128_DIGITS_MAX =>
            {
                writer.decimal128(name, digits, scale);
            }
            _ => writer.string(name, text),
        },
        Value::Text(text) => writer.string(name, text),
        Value::Bytes(bytes) => writer.binary(name, bytes),
        Value::Civil(packed) => {
            let civil = Civil::unpack(*packed);
            match (kind, civil.unix_ms()) {
                (ColumnKind::Date, None) => writer.string(name, &civil.date_text()),
                (ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp }, unix_ms)
                    if *fsp > 3 || unix_ms.is_none() =>
                {
                    writer.string(name, &civil.datetime_text(*fsp));
                }
                (_, Some(unix_ms)) if civil.micros.is_multiple_of(1000) => writer.date(name, unix_ms),
                _ => writer.string(name, &civil.datetime_text(6)),
            }
        }
        Value::Time(micros) => {
            let fsp = if let ColumnKind::Time { fsp } = kind { *fsp } else { 6 };
            let finer = micros % 10i64.pow(6 - u32::from(fsp.min(6))) != 0;
            writer.string(name, &time_text(*micros, if finer { 6 } else { fsp }));
        }
    }
}

/// The unscaled digits and the scale of a decimal as MySQL prints it.
pub fn parse_decimal(text: &str) -> Option<(i128, u8)> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut number: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    Some((sign * number, u8::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests;
