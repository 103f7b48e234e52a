//! Rows in bulk: Arrow record batches, one per table and read.
//!
//! Owns: which Arrow type a column has, and reading single cells back. Does not own: filling batches
//! (`edge::mysql::rows`), documents (`logic::assembly`).
//!
//! Arrow types: integers are Int64 or UInt64; BIT is UInt64; DECIMAL up to 34 digits is Decimal128 (34 digits are what
//! BSON's Decimal128 holds), longer ones Utf8; dates and times are Int64 (`model::time`), TIME in microseconds; text,
//! ENUM, SET, JSON and internet addresses are Utf8; binary, geometries, vectors and UUIDs are Binary.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::plan::{Extra, ProjectionPlan};
use super::schema::ColumnKind;
use super::value::Value;

/// The most digits a DECIMAL may have to become a BSON Decimal128 (IEEE 754-2008 decimal128).
pub const DECIMAL128_DIGITS_MAX: u8 = 34;

/// The Arrow type in which a column travels.
pub fn arrow_type(kind: &ColumnKind) -> DataType {
    match kind {
        ColumnKind::Int { bits: 64, unsigned: true } | ColumnKind::Bit { .. } => DataType::UInt64,
        ColumnKind::Int { .. } | ColumnKind::Year => DataType::Int64,
        ColumnKind::Decimal { precision, scale } if *precision <= DECIMAL128_DIGITS_MAX => {
            // MySQL's scale is at most 30.
            DataType::Decimal128(DECIMAL128_DIGITS_MAX, *scale as i8)
        }
        ColumnKind::Float => DataType::Float32,
        ColumnKind::Double => DataType::Float64,
        ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } | ColumnKind::Time { .. } => {
            DataType::Int64
        }
        ColumnKind::FixedBinary { .. }
        | ColumnKind::Binary
        | ColumnKind::Geometry
        | ColumnKind::Vector
        | ColumnKind::Uuid => DataType::Binary,
        ColumnKind::Decimal { .. }
        | ColumnKind::Text
        | ColumnKind::Enum(_)
        | ColumnKind::Set(_)
        | ColumnKind::Json
        | ColumnKind::Inet4
        | ColumnKind::Inet6
        | ColumnKind::Other(_) => DataType::Utf8,
    }
}

/// The Arrow schema of a read of one node: the columns of [`ProjectionPlan::layout`], all nullable, named `c0`, `c1`, ...
/// (names have no meaning).
pub fn node_schema(projection: &ProjectionPlan, node: usize) -> SchemaRef {
    let plan = &projection.nodes[node];
    let mut types: Vec<DataType> = plan.columns.iter().map(|column| arrow_type(&column.kind)).collect();
    for extra in projection.layout(node).extras {
        types.push(match (extra, &plan.join) {
            (Extra::Link { pair }, Some(join)) => {
                let through = join.through.as_ref().and_then(|through| through.kinds.get(pair));
                arrow_type(through.unwrap_or(&join.pairs[pair].kind))
            }
            _ => DataType::Binary,
        });
    }
    let fields: Vec<Field> =
        types.into_iter().enumerate().map(|(at, kind)| Field::new(format!("c{at}"), kind, true)).collect();
    Arc::new(Schema::new(fields))
}

/// One cell as an exact value. `kind` must be the column's own.
pub fn value_at(column: &ArrayRef, kind: &ColumnKind, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => {
            let number = column.as_primitive::<Int64Type>().value(row);
            match kind {
                ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => Value::Civil(number),
                ColumnKind::Time { .. } => Value::Time(number),
                _ => Value::Int(number),
            }
        }
        DataType::UInt64 => Value::from_u64(column.as_primitive::<UInt64Type>().value(row)),
        DataType::Float32 => Value::Double(f64::from(column.as_primitive::<Float32Type>().value(row)).to_bits()),
        DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Decimal128(_, scale) => {
            Value::Decimal(decimal_text(column.as_primitive::<Decimal128Type>().value(row), *scale as u8))
        }
        DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::Utf8 => {
            let text = column.as_string::<i32>().value(row).to_string();
            if matches!(kind, ColumnKind::Decimal { .. }) { Value::Decimal(text) } else { Value::Text(text) }
        }
        other => unreachable!("no column travels as {other}"),
    }
}

/// A DECIMAL as MySQL prints it: `digits` is the unscaled number.
pub fn decimal_text(digits: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let size = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = size.split_at(size.len() - scale);
    let sign = if digits < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_print_with_their_scale() {
        assert_eq!(decimal_text(-5, 2), "-0.05");
        assert_eq!(decimal_text(1250, 2), "12.50");
        assert_eq!(decimal_text(0, 0), "0");
        assert_eq!(decimal_text(-7, 0), "-7");
    }
}
