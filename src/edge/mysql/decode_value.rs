//! Single values of row images: where each ends, and what it is.
//!
//! Owns: the encoding of every column type in row events. Does not own: rows (`decode`), what a type is called
//! (`table_map`). A value here must equal the one that `rows` reads for the same row.
//! Formats: MySQL source, `libs/mysql/binlog/event/binary_log_funcs.cpp` (extents), `strings/decimal.cc` (DECIMAL),
//! `sql-common/my_time.cc` (`TIME2`, `DATETIME2`, `TIMESTAMP2`).

use super::charset::Charset;
use super::compressed;
use super::cursor::{Cursor, Truncated};
use super::rows::big_endian;
use super::table_map::{WireType, types};
use crate::model::address::{inet4_text, inet6_text};
use crate::model::schema::ColumnKind;
use crate::model::time::Civil;
use crate::model::value::Value;

/// Why bytes are no value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadValue {
    /// See [`Truncated`].
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The plan says otherwise.
    #[error("holds another type than the build was made with")]
    Type,
    /// The number of a label that the plan does not have.
    #[error("has other labels than the build was made with")]
    Label,
    /// Text that is none.
    #[error("holds text that is not valid in its character set")]
    Text,
    /// See `compressed`.
    #[error("holds a compressed value that is damaged")]
    Compressed,
}

/// Digits of the longest DECIMAL.
const DECIMAL_DIGITS_MAX: usize = 65;
/// Bytes of the DECIMAL digits that are left over beside groups of nine.
const LEFT_OVER_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The bytes of one value, without the length in front of them.
#[inline]
pub(super) fn extent<'a>(wire: WireType, cursor: &mut Cursor<'a>) -> Result<&'a [u8], Truncated> {
    let fraction = wire.length.div_ceil(2) as usize;
    let length = match wire.code {
        types::TINY | types::YEAR => 1,
        types::SHORT => 2,
        types::INT24 | types::DATE | types::NEWDATE | types::TIME => 3,
        types::LONG | types::TIMESTAMP => 4,
        types::FLOAT | types::DOUBLE => wire.length as usize,
        types::LONGLONG | types::DATETIME => 8,
        types::NULL => 0,
        types::TIMESTAMP2 => 4 + fraction,
        types::DATETIME2 => 5 + fraction,
        types::TIME2 => 3 + fraction,
        types::BIT => wire.length.div_ceil(8) as usize,
        types::NEWDECIMAL => decimal_bytes(wire.length as usize, usize::from(wire.extra)),
        types::ENUM | types::SET => wire.length as usize,
        types::VARCHAR | types::VARCHAR_COMPRESSED | types::STRING | types::VAR_STRING => {
            cursor.little(if wire.length < 256 { 1 } else { 2 })? as usize
        }
        // BLOB, TEXT, JSON, GEOMETRY, VECTOR, and what is compressed of them: `table_map` lets no other code through.
        _ => usize::try_from(cursor.little(usize::from(wire.extra.min(8)))?).map_err(|_| Truncated)?,
    };
    cursor.take(length)
}

fn decimal_bytes(precision: usize, scale: usize) -> usize {
    let part = |digits: usize| digits / 9 * 4 + LEFT_OVER_BYTES[digits % 9];
    part(precision.saturating_sub(scale)) + part(scale)
}

/// Whether a column of this kind can be stored as this type.
#[inline]
pub(super) fn fits(kind: &ColumnKind, code: u8) -> bool {
    use types::*;
    match kind {
        ColumnKind::Int { bits: 8, .. } => code == TINY,
        ColumnKind::Int { bits: 16, .. } => code == SHORT,
        ColumnKind::Int { bits: 24, .. } => code == INT24,
        ColumnKind::Int { bits: 32, .. } => code == LONG,
        ColumnKind::Int { .. } => code == LONGLONG,
        ColumnKind::Year => code == YEAR,
        ColumnKind::Decimal { .. } => code == NEWDECIMAL,
        ColumnKind::Float => code == FLOAT,
        ColumnKind::Double => code == DOUBLE,
        ColumnKind::Bit { .. } => code == BIT,
        ColumnKind::Enum(_) => code == ENUM,
        ColumnKind::Set(_) => code == SET,
        ColumnKind::Text | ColumnKind::Binary | ColumnKind::FixedBinary { .. } => {
            matches!(code, VARCHAR | STRING | VAR_STRING | TINY_BLOB..=BLOB)
        }
        ColumnKind::Date => matches!(code, DATE | NEWDATE),
        ColumnKind::DateTime { .. } => matches!(code, DATETIME | DATETIME2),
        ColumnKind::Timestamp { .. } => matches!(code, TIMESTAMP | TIMESTAMP2),
        ColumnKind::Time { .. } => matches!(code, TIME | TIME2),
        // MariaDB's is a text.
        ColumnKind::Json => matches!(code, JSON | TINY_BLOB..=BLOB),
        ColumnKind::Geometry => code == GEOMETRY,
        // MariaDB stores vectors as it does binary strings.
        ColumnKind::Vector => matches!(code, VECTOR | VARCHAR),
        ColumnKind::Uuid | ColumnKind::Inet4 | ColumnKind::Inet6 => code == STRING,
        ColumnKind::Other(_) => true,
    }
}

/// The value that bytes hold. `charset` is that of a text column.
pub(super) fn value(
    kind: &ColumnKind,
    wire: WireType,
    charset: Option<&Charset>,
    bytes: &[u8],
) -> Result<Value, BadValue> {
    if matches!(wire.code, types::BLOB_COMPRESSED | types::VARCHAR_COMPRESSED) {
        let plain = compressed::plain(bytes).ok_or(BadValue::Compressed)?;
        return value(kind, wire.plain(), charset, &plain);
    }
    if !fits(kind, wire.code) {
        return Err(BadValue::Type);
    }
    let mut cursor = Cursor(bytes);
    Ok(match kind {
        ColumnKind::Int { unsigned, .. } => {
            let number = cursor.little(bytes.len())?;
            if *unsigned {
                Value::from_u64(number)
            } else {
                let unused = 64 - 8 * bytes.len() as u32;
                Value::Int((number << unused) as i64 >> unused)
            }
        }
        ColumnKind::Year => match cursor.byte()? {
            0 => Value::Int(0),
            since_1900 => Value::Int(1900 + i64::from(since_1900)),
        },
        ColumnKind::Decimal { .. } => {
            Value::Decimal(decimal(bytes, wire.length as usize, usize::from(wire.extra)).ok_or(Truncated)?)
        }
        ColumnKind::Float => {
            let bits = cursor.little(4)? as u32;
            Value::Double(f64::from(f32::from_bits(bits)).to_bits())
        }
        ColumnKind::Double => Value::Double(cursor.little(8)?),
        ColumnKind::Bit { .. } => Value::from_u64(big_endian(bytes).ok_or(BadValue::Type)?),
        ColumnKind::Text => {
            let charset = charset.ok_or(BadValue::Text)?;
            Value::Text(charset.decode(bytes).ok_or(BadValue::Text)?)
        }
        ColumnKind::Enum(labels) => match cursor.little(bytes.len().min(8))? as usize {
            // An invalid value was stored; SELECT shows an empty text.
            0 => Value::Text(String::new()),
            number => Value::Text(labels.get(number - 1).ok_or(BadValue::Label)?.clone()),
        },
        ColumnKind::Set(labels) => {
            let bits = cursor.little(bytes.len().min(8))?;
            if labels.len() < 64 && bits >> labels.len() != 0 {
                return Err(BadValue::Label);
            }
            let chosen = labels.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            Value::Text(chosen.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(","))
        }
        ColumnKind::FixedBinary { length } => {
            // The log leaves trailing zero bytes out.
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().max(usize::from(*length)), 0);
            Value::Bytes(padded)
        }
        ColumnKind::Binary | ColumnKind::Geometry | ColumnKind::Vector => Value::Bytes(bytes.to_vec()),
        // In the order of the text: MariaDB stores the bytes of some versions in another order, but does not log them so.
        ColumnKind::Uuid => Value::Bytes(padded::<16>(bytes)?.to_vec()),
        ColumnKind::Inet4 => Value::Text(inet4_text(padded(bytes)?)),
        ColumnKind::Inet6 => Value::Text(inet6_text(padded(bytes)?)),
        ColumnKind::Date => {
            let packed = cursor.little(3)?;
            let civil = Civil {
                year: (packed >> 9) as u16,
                month: (packed >> 5 & 15) as u8,
                day: (packed & 31) as u8,
                ..Civil::default()
            };
            Value::from_civil(civil)
        }
        ColumnKind::DateTime { .. } => Value::from_civil(datetime(wire, &mut cursor)?),
        ColumnKind::Timestamp { .. } => {
            let seconds = if wire.code == types::TIMESTAMP { cursor.little(4)? } else { cursor.big(4)? };
            let micros = fraction(wire, &mut cursor)?;
            // Zero stands for 0000-00-00: MySQL stores no TIMESTAMP of 1970-01-01 00:00:00.
            let zero = seconds == 0 && micros == 0;
            Value::from_civil(if zero { Civil::default() } else { Civil::from_unix(seconds as i64, micros) })
        }
        ColumnKind::Time { .. } => Value::Time(time(wire, &mut cursor)?),
        // MySQL's JSON has a binary form here and a text there; nothing is routed by it, nor by what has no kind.
        ColumnKind::Json | ColumnKind::Other(_) => return Err(BadValue::Type),
    })
}

/// The log leaves trailing zero bytes out.
fn padded<const N: usize>(bytes: &[u8]) -> Result<[u8; N], BadValue> {
    let mut padded = [0; N];
    padded.get_mut(..bytes.len()).ok_or(BadValue::Type)?.copy_from_slice(bytes);
    Ok(padded)
}

/// Microseconds after the second, of TIMESTAMP2 and DATETIME2.
fn fraction(wire: WireType, cursor: &mut Cursor<'_>) -> Result<u32, Truncated> {
    if !matches!(wire.code, types::TIMESTAMP2 | types::DATETIME2) {
        return Ok(0);
    }
    let bytes = wire.length.div_ceil(2).min(3);
    Ok(cursor.big(bytes as usize)? as u32 * 100u32.pow(3 - bytes))
}

fn datetime(wire: WireType, cursor: &mut Cursor<'_>) -> Result<Civil, Truncated> {
    if wire.code == types::DATETIME {
        // Before MySQL 5.6: the decimal number YYYYMMDDhhmmss.
        let number = cursor.little(8)?;
        let (date, time) = (number / 1_000_000, number % 1_000_000);
        return Ok(Civil {
            year: (date / 10_000) as u16,
            month: (date / 100 % 100) as u8,
            day: (date % 100) as u8,
            hour: (time / 10_000) as u8,
            minute: (time / 100 % 100) as u8,
            second: (time % 100) as u8,
            micros: 0,
        });
    }
    let packed = cursor.big(5)? & 0x7f_ffff_ffff;
    let (date, time) = (packed >> 17, packed & 0x1_ffff);
    let (months, day) = (date >> 5, date & 31);
    Ok(Civil {
        year: (months / 13) as u16,
        month: (months % 13) as u8,
        day: day as u8,
        hour: (time >> 12) as u8,
        minute: (time >> 6 & 63) as u8,
        second: (time & 63) as u8,
        micros: fraction(wire, cursor)?,
    })
}

/// Microseconds of a TIME, negative ones too.
fn time(wire: WireType, cursor: &mut Cursor<'_>) -> Result<i64, Truncated> {
    if wire.code == types::TIME {
        // Before MySQL 5.6: the decimal number hhmmss, signed.
        let number = (cursor.little(3)? as i64) << 40 >> 40;
        let size = number.abs();
        let seconds = size / 10_000 * 3600 + size / 100 % 100 * 60 + size % 100;
        return Ok(seconds * 1_000_000 * number.signum());
    }
    // One number of hours, minutes, seconds and fraction, offset by half of its range: so a negative one has to be read
    // whole before it is taken apart.
    let bytes = wire.length.div_ceil(2).min(3);
    let whole = cursor.big(3 + bytes as usize)? as i64 - (0x80_0000i64 << (8 * bytes));
    let size = whole.abs();
    let (clock, rest) = (size >> (8 * bytes), size & ((1 << (8 * bytes)) - 1));
    let seconds = (clock >> 12 & 0x3ff) * 3600 + (clock >> 6 & 63) * 60 + (clock & 63);
    Ok((seconds * 1_000_000 + rest * 100i64.pow(3 - bytes)) * whole.signum())
}

/// A DECIMAL's text. Stored are groups of nine digits in four bytes and what is left over in fewer, with the first bit
/// flipped, and all bits flipped if negative.
pub(super) fn decimal(bytes: &[u8], precision: usize, scale: usize) -> Option<String> {
    let whole = precision.checked_sub(scale)?;
    if precision > DECIMAL_DIGITS_MAX || bytes.len() != decimal_bytes(precision, scale) {
        return None;
    }
    let negative = bytes.first()? & 0x80 == 0;
    let mask = if negative { 0xff } else { 0 };
    let mut digits = [b'0'; DECIMAL_DIGITS_MAX];
    let (mut at, mut end) = (0, 0);
    let mut group = |count: usize| -> Option<()> {
        let mut number: u32 = 0;
        for _ in 0..LEFT_OVER_BYTES[count] {
            let flipped = bytes.get(at)? ^ mask ^ if at == 0 { 0x80 } else { 0 };
            number = number << 8 | u32::from(flipped);
            at += 1;
        }
        end += count;
        for digit in digits[end - count..end].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        // More digits than the group has.
        (number == 0).then_some(())
    };
    group(whole % 9)?;
    for _ in 0..whole / 9 + scale / 9 {
        group(9)?;
    }
    group(scale % 9)?;
    let (left, right) = std::str::from_utf8(&digits[..precision]).ok()?.split_at(whole);
    let left = left.trim_start_matches('0');
    let zero = left.is_empty() && right.bytes().all(|digit| digit == b'0');
    let mut text = String::with_capacity(left.len().max(1) + right.len() + 2);
    if negative && !zero {
        text.push('-');
    }
    text.push_str(if left.is_empty() { "0" } else { left });
    if scale > 0 {
        text.push('.');
        text.push_str(right);
    }
    Some(text)
}

#[cfg(test)]
#[path = "decode_value_tests.rs"]
mod tests;
