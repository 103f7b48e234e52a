//! `_id`: distinct keys give distinct ones, also keys that only an event could bring.
//!
//! Owns: the form of each kind of key, and of a key of several columns. Does not own: which columns make the key
//! (`config::resolve`). No option reaches in here but the zone of a DATETIME.

use super::numbers::{parse_decimal, write_u64};
use super::times::civil_text;
use crate::model::document::BsonWriter;
use crate::model::plan::{IdColumn, ProjectionPlan};
use crate::model::row::DECIMAL128_DIGITS_MAX;
use crate::model::schema::ColumnKind;
use crate::model::time::{Civil, time_text};
use crate::model::value::{Key, Value};
use crate::model::zone::{Zone, ZoneRules};

/// Writes `_id`: a scalar for a key of one column, else a sub-document with the columns in key order.
pub fn write_id(writer: &mut BsonWriter, plan: &ProjectionPlan, key: &Key) {
    let kind = |at: usize| &plan.root().columns[plan.id[at].position].kind;
    if let [only] = &key.0[..] {
        write_id_value(writer, "_id", only, kind(0), &plan.id[0]);
        return;
    }
    writer.begin_document("_id");
    for (at, value) in key.0.iter().enumerate() {
        write_id_value(writer, &plan.id[at].field, value, kind(at), &plan.id[at]);
    }
    writer.end();
}

/// A BSON document that holds the `_id` alone.
pub fn id_document(plan: &ProjectionPlan, key: &Key) -> Vec<u8> {
    let mut writer = BsonWriter::with_capacity(32);
    write_id(&mut writer, plan, key);
    writer.finish()
}

fn write_id_value(writer: &mut BsonWriter, name: &str, value: &Value, kind: &ColumnKind, id: &IdColumn) {
    match value {
        Value::Null => writer.null(name),
        Value::Int(number) => match kind {
            ColumnKind::Bit { length: 1 } if matches!(number, 0 | 1) => writer.boolean(name, *number == 1),
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
                if *precision <= DECIMAL128_DIGITS_MAX && digits.unsigned_abs() < 10u128.pow(34) =>
            {
                writer.decimal128(name, digits, scale);
            }
            _ => writer.string(name, text),
        },
        Value::Text(text) => writer.string(name, text),
        Value::Bytes(bytes) => match kind {
            ColumnKind::Uuid if bytes.len() == 16 => writer.uuid(name, bytes),
            _ => writer.binary(name, bytes),
        },
        Value::Civil(packed) => write_id_date(writer, name, Civil::unpack(*packed), kind, &id.zone),
        Value::Time(micros) => {
            let fsp = if let ColumnKind::Time { fsp } = kind { *fsp } else { 6 };
            let finer = micros % 10i64.pow(6 - u32::from(fsp.min(6))) != 0;
            writer.string(name, &time_text(*micros, if finer { 6 } else { fsp }));
        }
    }
}

/// A date is a date only where no other can become the same: not if it is finer than milliseconds, no date of the calendar,
/// or read in a zone in which two local times can be one instant.
fn write_id_date(writer: &mut BsonWriter, name: &str, civil: Civil, kind: &ColumnKind, zone: &Zone) {
    let fine = matches!(kind, ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp } if *fsp > 3);
    let minutes = match (kind, zone) {
        (ColumnKind::DateTime { .. }, Zone::Named(_)) => None,
        (ColumnKind::DateTime { .. }, Zone::Offset(minutes)) => Some(*minutes),
        _ => Some(0),
    };
    let instant = minutes.filter(|_| !fine && civil.micros.is_multiple_of(1000));
    match instant.and_then(|minutes| ZoneRules::Minutes(minutes).unix_ms(civil)) {
        Some(unix_ms) => writer.date(name, unix_ms),
        None => {
            let fsp = match kind {
                ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp } => *fsp,
                _ => 0,
            };
            let finer = !civil.micros.is_multiple_of(10u32.pow(6 - u32::from(fsp.min(6))));
            let clock = *kind == ColumnKind::Date && civil.hour + civil.minute + civil.second > 0;
            let text = if finer || clock { civil.datetime_text(6) } else { civil_text(civil, kind) };
            writer.string(name, &text);
        }
    }
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
