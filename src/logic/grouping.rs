//! Which child rows belong to which parent row.
//!
//! Owns: the byte form of a join key ([`encode_key`]) and the index of rows by it ([`Groups`]). Does not own: equality
//! under a collation: text arrives here as weight strings from MySQL.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;

/// A row of a node: which of its batches, and which row there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// Index of the batch.
    pub batch: u32,
    /// Row in it.
    pub row: u32,
}

/// Appends the byte form of a row's key to `bytes`. Equal keys have equal bytes whatever their columns' widths: an INT
/// equals a BIGINT UNSIGNED or a DECIMAL of the same number. False if a column is NULL: such a row joins nothing.
pub fn encode_key(batch: &RecordBatch, positions: &[usize], row: usize, bytes: &mut Vec<u8>) -> bool {
    positions.iter().all(|position| encode_cell(batch.column(*position), row, bytes))
}

fn encode_cell(column: &ArrayRef, row: usize, bytes: &mut Vec<u8>) -> bool {
    if column.is_null(row) {
        return false;
    }
    let mut number = |number: i128| bytes.extend_from_slice(&number.to_le_bytes());
    match column.data_type() {
        DataType::Int64 => number(i128::from(column.as_primitive::<Int64Type>().value(row))),
        DataType::UInt64 => number(i128::from(column.as_primitive::<UInt64Type>().value(row))),
        DataType::Decimal128(_, scale) => {
            let (mut digits, mut scale) = (column.as_primitive::<Decimal128Type>().value(row), *scale);
            while scale > 0 && digits % 10 == 0 {
                digits /= 10;
                scale -= 1;
            }
            number(digits);
            // A whole number is encoded as an integer is; a fraction is set apart by its scale.
            if scale > 0 {
                bytes.push(scale as u8);
            }
        }
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row)), bytes),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row), bytes),
        DataType::Utf8 => framed(column.as_string::<i32>().value(row).as_bytes(), bytes),
        DataType::Binary => framed(column.as_binary::<i32>().value(row), bytes),
        other => unreachable!("no column travels as {other}"),
    }
    true
}

fn float(value: f64, bytes: &mut Vec<u8>) {
    // -0.0 = 0.0 in MySQL.
    let value = if value == 0.0 { 0.0 } else { value };
    bytes.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn framed(value: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(value);
}

/// The rows of a child node by join key, each group in the order in which the rows were read.
#[derive(Clone, Debug)]
pub struct Groups {
    first_and_last: HashMap<Vec<u8>, (RowRef, RowRef)>,
    /// Per batch and row the next row of the same group.
    next: Vec<Vec<Option<RowRef>>>,
}

impl Groups {
    /// Indexes the rows of `batches` by the cells at `positions`.
    pub fn new(batches: &[RecordBatch], positions: &[usize]) -> Self {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let mut first_and_last: HashMap<Vec<u8>, (RowRef, RowRef)> = HashMap::with_capacity(rows);
        let mut next: Vec<Vec<Option<RowRef>>> = batches.iter().map(|batch| vec![None; batch.num_rows()]).collect();
        let mut key = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            for row in 0..batch.num_rows() {
                key.clear();
                if !encode_key(batch, positions, row, &mut key) {
                    continue;
                }
                let this = RowRef { batch: at as u32, row: row as u32 };
                if let Some((_, last)) = first_and_last.get_mut(&key) {
                    next[last.batch as usize][last.row as usize] = Some(this);
                    *last = this;
                } else {
                    first_and_last.insert(key.clone(), (this, this));
                }
            }
        }
        Self { first_and_last, next }
    }

    /// The rows of one group.
    pub fn rows(&self, key: &[u8]) -> impl Iterator<Item = RowRef> {
        let first = self.first_and_last.get(key).map(|(first, _)| *first);
        std::iter::successors(first, |row| self.next[row.batch as usize][row.row as usize])
    }
}
