//! What rowfold writes, rowfold reads: the same images, in one reading.

use proptest::prelude::*;

use super::decode::{Decoded, Producer, decode};
use super::{entries, unlogged};
use crate::model::change::{Cell, Image, Origin, RowChange, Spot, Unlogged};
use crate::model::plan::TableUse;
use crate::model::position::{Gtid, GtidSource};
use crate::model::schema::{Column, ColumnKind, Table, TableName};
use crate::model::stream::{EntryId, RawEntry};
use crate::model::time::Civil;
use crate::model::value::Value;

fn labels() -> Vec<String> {
    ["news", "sms", ""].map(str::to_string).to_vec()
}

/// Every kind that can route, but for the digits of a second.
fn kinds(fsp: u8) -> Vec<ColumnKind> {
    vec![
        ColumnKind::Int { bits: 64, unsigned: false },
        ColumnKind::Int { bits: 64, unsigned: true },
        ColumnKind::Year,
        ColumnKind::Decimal { precision: 30, scale: 9 },
        ColumnKind::Decimal { precision: 19, scale: 0 },
        ColumnKind::Float,
        ColumnKind::Double,
        ColumnKind::Bit { length: 1 },
        ColumnKind::Bit { length: 64 },
        ColumnKind::Text,
        ColumnKind::Enum(labels()),
        ColumnKind::Set(labels()),
        ColumnKind::FixedBinary { length: 8 },
        ColumnKind::Binary,
        ColumnKind::Date,
        ColumnKind::DateTime { fsp },
        ColumnKind::Timestamp { fsp },
        ColumnKind::Time { fsp },
    ]
}

/// A value of a kind, made of chance.
fn value(kind: &ColumnKind, number: u64, text: &str) -> Value {
    let signed = number as i64;
    let at = |fsp: u8, micros: i64| micros / 10i64.pow(6 - u32::from(fsp)) * 10i64.pow(6 - u32::from(fsp));
    // Months, days and dates that no calendar has, too.
    let civil = |fsp: u8| Civil {
        year: (number % 10_000) as u16,
        month: (number >> 14 & 15).min(12) as u8,
        day: (number >> 18 & 31) as u8,
        hour: (number >> 23 & 15) as u8,
        minute: (number >> 27 & 31) as u8,
        second: (number >> 32 & 31) as u8,
        micros: at(fsp, signed.rem_euclid(1_000_000)) as u32,
    };
    match kind {
        _ if number.is_multiple_of(16) => Value::Null,
        ColumnKind::Int { unsigned: false, .. } => Value::Int(signed),
        ColumnKind::Year => Value::Int(1901 + (number % 255) as i64),
        ColumnKind::Decimal { scale: 0, .. } => Value::Decimal(signed.to_string()),
        ColumnKind::Decimal { .. } => Value::Decimal(format!("{signed}.{:09}", number % 1_000_000_000)),
        ColumnKind::Float => Value::Double(f64::from(f32::from_bits(number as u32 & 0xbfff_ffff)).to_bits()),
        ColumnKind::Double => Value::Double(number & 0xbfff_ffff_ffff_ffff),
        ColumnKind::Bit { length: 1 } => Value::Int(signed & 1),
        ColumnKind::Text => Value::Text(text.into()),
        ColumnKind::Enum(labels) => Value::Text(labels[number as usize % 3].clone()),
        ColumnKind::Set(_) => Value::Text(["", "news", "news,sms"][number as usize % 3].into()),
        ColumnKind::FixedBinary { .. } => Value::Bytes(number.to_le_bytes().to_vec()),
        ColumnKind::Binary => Value::Bytes(text.as_bytes().to_vec()),
        ColumnKind::Date => Value::from_civil(Civil { hour: 0, minute: 0, second: 0, micros: 0, ..civil(6) }),
        ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp } => Value::from_civil(civil(*fsp)),
        ColumnKind::Time { fsp } => Value::Time(at(*fsp, signed % 3_020_399_000_000)),
        _ => Value::from_u64(number),
    }
}

fn table(fsp: u8) -> Table {
    let column = |(at, kind): (usize, ColumnKind)| Column {
        name: format!("c\"{at}"),
        kind,
        nullable: true,
        collation: None,
        length_max: None,
        declared: String::new(),
    };
    Table {
        name: TableName::new("shop", "t"),
        columns: kinds(fsp).into_iter().enumerate().map(column).collect(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        engine: "InnoDB".into(),
        rows_estimate: 0,
        row_bytes_estimate: 0,
    }
}

fn origin() -> Origin {
    Origin { file: "log.000003".into(), server_id: 5, thread: Some(8), committed_unix_us: 1_700_000_000_123_456 }
}

fn gtid() -> Gtid {
    Gtid { source: GtidSource::Server { uuid: 7, tag: "blue".into() }, number: 9 }
}

fn read((name, value): (Vec<u8>, Vec<u8>), used: &TableUse) -> Decoded {
    decode(&RawEntry { id: EntryId::ZERO, fields: vec![(name, value)] }, 4, used, Producer::Rowfold)
}

#[test]
fn changes_without_rows_come_back() {
    let used = TableUse::whole(&table(0));
    let spot = Spot { pos: 4, row: 1 };
    for what in [Unlogged::Definition, Unlogged::Rows, Unlogged::UsedColumns, Unlogged::Statement] {
        let made = unlogged("cdc", &used.name, &gtid(), &origin(), spot, what, 1);
        assert_eq!(read(made, &used), Decoded::Unlogged { gtid: gtid(), what, origin: origin(), spot });
    }
}

proptest! {
    #[test]
    fn changes_come_back(
        numbers in proptest::collection::vec((any::<u64>(), any::<u64>()), 18),
        text in any::<String>(),
        fsp in 0u8..=6,
        shape in 0..3,
        absent in 0usize..40,
    ) {
        let table = table(fsp);
        let row = |pick: fn(&(u64, u64)) -> u64| {
            let cells = table.columns.iter().zip(&numbers).enumerate().map(|(at, (column, pair))| {
                if at == absent { Cell::Absent } else { Cell::Value(value(&column.kind, pick(pair), &text)) }
            });
            Image(cells.collect())
        };
        let change = RowChange {
            table: 4,
            before: (shape > 0).then(|| row(|pair| pair.0)),
            after: (shape < 2).then(|| row(|pair| pair.1)),
            spot: Spot { pos: 5_000_000_000, row: 2 },
        };
        let made = entries("cdc", &table, &gtid(), &origin(), &change, 1);
        let read: Vec<Decoded> = made.into_iter().map(|entry| read(entry, &TableUse::whole(&table))).collect();
        let spot = change.spot;
        let changes = vec![change];
        assert!(read[0] == Decoded::Changes { gtid: gtid(), changes, origin: origin(), spot });
        assert!(read[1..].iter().all(|behind| *behind == Decoded::Tombstone));
    }
}
