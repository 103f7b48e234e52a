//! MySQL values to BSON: the one place where a type's fate is decided.
//!
//! Owns: the table below, for cells of Arrow columns and for the columns of `_id`. Does not own: reading cells
//! (`edge::mysql`), the order of fields (`logic::assembly`), which option a column has (`config::resolve`). Copy and stream
//! both end here, so a value cannot differ between them.
//!
//! | MySQL and MariaDB | BSON | with options |
//! |---|---|---|
//! | TINYINT to INT, MEDIUMINT | Int32; INT UNSIGNED Int64 | bool, double, string |
//! | BIGINT | Int64; UNSIGNED above 2^63-1 Decimal128 | bool, double, string |
//! | YEAR | Int32 | string |
//! | DECIMAL | Decimal128 with its scale; over 34 digits String | double, string |
//! | FLOAT, DOUBLE | Double | string |
//! | BIT(1), BIT(n) | Boolean, as BIGINT UNSIGNED | bool, string |
//! | CHAR, VARCHAR, TEXT | String | JSON |
//! | ENUM | String | |
//! | SET | array of String | string |
//! | BINARY, VARBINARY, BLOB | Binary | BINARY(16): UUID |
//! | DATE, DATETIME, TIMESTAMP | Date, cut to milliseconds; zero and impossible dates null, counted | string, zone, zero dates |
//! | TIME | String `[-]HH:MM:SS[.ffffff]` | |
//! | JSON | document, array or scalar (`json`) | string |
//! | GEOMETRY and its subtypes | GeoJSON, else `{srid, wkb}` (`geometry`) | wkb |
//! | VECTOR | array of Double | |
//! | UUID | Binary, subtype 4 | string |
//! | INET4, INET6 | String | |
//! | NULL | null | |
//!
//! In `_id` (`ids`) distinct keys stay distinct: dates finer than milliseconds, zero dates, DATETIMEs in a named zone and SET
//! are strings there, and no option counts but the zone.

mod geometry;
mod ids;
mod json;
mod numbers;
mod times;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray, StringArray};
use arrow_schema::DataType;

use self::geometry::Held;
use self::times::Dates;
use crate::error::{Error, Result};
use crate::model::address::uuid_text;
use crate::model::document::{BsonWriter, array_index};
use crate::model::plan::{NodeColumn, WriteAs};
use crate::model::row::decimal_text;
use crate::model::schema::ColumnKind;
use crate::model::time::{Civil, time_text};

pub use self::ids::{id_document, write_id};

/// One column of a batch, ready to be written cell by cell: the type is looked at once, not for every cell.
pub struct CellWriter<'a> {
    cells: Cells<'a>,
    column: &'a NodeColumn,
}

enum Cells<'a> {
    Int(&'a PrimitiveArray<Int64Type>),
    Date(&'a PrimitiveArray<Int64Type>, Dates),
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
    ///
    /// # Errors
    /// `Halt` if it has not, or if the column's zone is unknown here.
    pub fn new(array: &'a ArrayRef, column: &'a NodeColumn) -> Result<Self> {
        use ColumnKind::{Date, DateTime, Timestamp};
        let cells = match (array.data_type(), &column.kind) {
            (DataType::Int64, Date | DateTime { .. } | Timestamp { .. }) => {
                Cells::Date(array.as_primitive(), Dates::of(column)?)
            }
            (DataType::Int64, _) => Cells::Int(array.as_primitive()),
            (DataType::UInt64, _) => Cells::UInt(array.as_primitive()),
            (DataType::Float32, _) => Cells::Float(array.as_primitive()),
            (DataType::Float64, _) => Cells::Double(array.as_primitive()),
            (DataType::Decimal128(_, scale), _) => Cells::Decimal(array.as_primitive(), *scale as u8),
            (DataType::Utf8, _) => Cells::Text(array.as_string()),
            (DataType::Binary, _) => Cells::Binary(array.as_binary()),
            (other, _) => return Err(Error::halt(format!("column {} travels as {other}", column.sql))),
        };
        Ok(Self { cells, column })
    }

    /// Whether the cell is SQL NULL.
    pub fn is_null(&self, row: usize) -> bool {
        match &self.cells {
            Cells::Int(cells) | Cells::Date(cells, _) => cells.is_null(row),
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
    /// `Park` if the value has no BSON form, naming the column: JSON that is none or has a NUL in a name, a broken
    /// geometry or vector, a zero date where that is an error.
    pub fn write(&self, writer: &mut BsonWriter, name: &str, row: usize) -> Result<Written> {
        if self.is_null(row) {
            writer.null(name);
            return Ok(Written::Null);
        }
        let text = self.column.write == WriteAs::Text;
        let double = self.column.write == WriteAs::Double;
        match &self.cells {
            Cells::Int(cells) => self.write_int(writer, name, cells.value(row)),
            Cells::Date(cells, dates) => {
                let civil = Civil::unpack(cells.value(row));
                if !text {
                    return dates.write(writer, name, civil, self.column);
                }
                writer.string(name, &times::civil_text(civil, &self.column.kind));
            }
            Cells::UInt(cells) => self.write_uint(writer, name, cells.value(row)),
            Cells::Float(cells) if text => writer.string(name, &numbers::float_text(cells.value(row))),
            Cells::Float(cells) => writer.double(name, f64::from(cells.value(row))),
            Cells::Double(cells) if text => writer.string(name, &numbers::double_text(cells.value(row))),
            Cells::Double(cells) => writer.double(name, cells.value(row)),
            Cells::Decimal(cells, scale) if text => writer.string(name, &decimal_text(cells.value(row), *scale)),
            Cells::Decimal(cells, scale) if double => {
                writer.double(name, self.parsed(&decimal_text(cells.value(row), *scale))?);
            }
            Cells::Decimal(cells, scale) => writer.decimal128(name, cells.value(row), *scale),
            Cells::Text(cells) => self.write_text(writer, name, cells.value(row))?,
            Cells::Binary(cells) => self.write_binary(writer, name, cells.value(row))?,
        }
        Ok(Written::Value)
    }

    fn write_int(&self, writer: &mut BsonWriter, name: &str, number: i64) {
        match (&self.column.write, &self.column.kind) {
            (_, ColumnKind::Time { fsp }) => writer.string(name, &time_text(number, *fsp)),
            (WriteAs::Bool, _) => writer.boolean(name, number != 0),
            (WriteAs::Double, _) => writer.double(name, number as f64),
            (WriteAs::Text, ColumnKind::Year) => writer.string(name, &format!("{number:04}")),
            (WriteAs::Text, _) => writer.string(name, &number.to_string()),
            (_, ColumnKind::Int { bits: 64, .. } | ColumnKind::Int { bits: 32, unsigned: true }) => {
                writer.int64(name, number);
            }
            // At most 32 bits signed or 24 unsigned.
            _ => writer.int32(name, number as i32),
        }
    }

    fn write_uint(&self, writer: &mut BsonWriter, name: &str, number: u64) {
        match (&self.column.write, &self.column.kind) {
            (WriteAs::Text, _) => writer.string(name, &number.to_string()),
            (WriteAs::Double, _) => writer.double(name, number as f64),
            (WriteAs::Bool, _) | (_, ColumnKind::Bit { length: 1 }) => writer.boolean(name, number != 0),
            _ => numbers::write_u64(writer, name, number),
        }
    }

    fn write_text(&self, writer: &mut BsonWriter, name: &str, text: &str) -> Result<()> {
        match (&self.column.write, &self.column.kind) {
            (WriteAs::Text, _) => writer.string(name, text),
            (WriteAs::Json, _) | (_, ColumnKind::Json) => {
                json::write(writer, name, text).map_err(|fault| self.refused(fault.reason()))?;
            }
            (_, ColumnKind::Set(_)) => write_set(writer, name, text),
            // Of more digits than a Decimal128 has.
            (WriteAs::Double, ColumnKind::Decimal { .. }) => writer.double(name, self.parsed(text)?),
            _ => writer.string(name, text),
        }
        Ok(())
    }

    fn write_binary(&self, writer: &mut BsonWriter, name: &str, bytes: &[u8]) -> Result<()> {
        let sixteen = <&[u8; 16]>::try_from(bytes);
        match (&self.column.write, &self.column.kind) {
            (WriteAs::Text, ColumnKind::Uuid) => {
                let uuid = sixteen.map_err(|_| self.refused("holds a UUID of another length"))?;
                writer.string(name, &uuid_text(uuid));
            }
            (WriteAs::Uuid, _) | (_, ColumnKind::Uuid) => {
                writer.uuid(name, sixteen.map_err(|_| self.refused("holds a UUID of another length"))?);
            }
            (write, ColumnKind::Geometry) => {
                let held = match write {
                    WriteAs::Wkb => geometry::split(bytes).map(|(srid, wkb)| Held::Other(srid, wkb)),
                    _ => geometry::read(bytes),
                };
                match held.ok_or_else(|| self.refused("holds bytes that are no geometry"))? {
                    Held::Geometry(geometry) => geometry::write(writer, name, &geometry),
                    Held::Other(srid, wkb) => {
                        writer.begin_document(name);
                        writer.int64("srid", i64::from(srid));
                        writer.binary("wkb", wkb);
                        writer.end();
                    }
                }
            }
            (_, ColumnKind::Vector) => {
                let (floats, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(self.refused("holds bytes that are no vector"));
                }
                writer.begin_array(name);
                let mut scratch = String::new();
                for (at, float) in floats.iter().enumerate() {
                    writer.double(array_index(at, &mut scratch), f64::from(f32::from_le_bytes(*float)));
                }
                writer.end();
            }
            _ => writer.binary(name, bytes),
        }
        Ok(())
    }

    /// The double that is nearest to a decimal.
    fn parsed(&self, decimal: &str) -> Result<f64> {
        decimal.parse().map_err(|_| self.refused("holds a decimal that is none"))
    }

    fn refused(&self, reason: &str) -> Error {
        Error::park(format!("column {} {reason}", self.column.sql))
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

#[cfg(test)]
mod tests;
