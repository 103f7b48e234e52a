//! Row changes as stream entries.
//!
//! Owns: what is written. Does not own: reading it again.
//!
//! What a Debezium Server writes for MySQL with its default modes, field by field, so that others can read our streams. Where
//! that loses something we write the truth: BIGINT UNSIGNED above 2^63-1 is the number itself, a TIME is exact, and a date that
//! no calendar has is the text that MySQL prints. Distinct values of a column are distinct texts.
//!
//! A cell that is absent is left out; so is a value that its column cannot hold, which comes of an older definition.

use std::io::Write as _;

use base64::engine::general_purpose::STANDARD as BASE64;

use crate::model::address::uuid_text;
use crate::model::change::{Cell, Image, Origin, RowChange, Spot, Unlogged};
use crate::model::position::Gtid;
use crate::model::schema::{Column, ColumnKind, Table, TableName};
use crate::model::time::Civil;
use crate::model::value::Value;

/// The name of the field of an entry, which is the row's key, and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What stands for a key that there is none of, and for the value behind a deleted row.
const DEFAULT: &[u8] = b"default";
/// Who wrote it.
const VERSION: &str = concat!("rowfold-", env!("CARGO_PKG_VERSION"));
/// Bytes of an envelope without its images, about.
const FRAME_BYTES: usize = 512;

/// The entries of one row change, in order. `now_ms` is when they are written, milliseconds since 1970.
pub fn entries(
    prefix: &str,
    table: &Table,
    gtid: &Gtid,
    origin: &Origin,
    change: &RowChange,
    now_ms: u64,
) -> Vec<Entry> {
    let source = source(prefix, &table.name, gtid, origin, change.spot);
    let envelope = |before: Option<&Image>, after: Option<&Image>, op: &str| {
        let mut out = Vec::with_capacity(FRAME_BYTES + change.bytes());
        out.extend_from_slice(b"{\"before\":");
        row(&mut out, table, before);
        out.extend_from_slice(b",\"after\":");
        row(&mut out, table, after);
        end(&mut out, &source, op, now_ms);
        out.push(b'}');
        out
    };
    match (&change.before, &change.after) {
        (None, None) => Vec::new(),
        (None, Some(after)) => vec![(key(table, after, None), envelope(None, Some(after), "c"))],
        (Some(before), None) => {
            let key = key(table, before, None);
            vec![(key.clone(), envelope(Some(before), None, "d")), (key, DEFAULT.to_vec())]
        }
        (Some(before), Some(after)) => {
            let old = key(table, before, None);
            let new = key(table, after, Some(before));
            if old == new {
                return vec![(new, envelope(Some(before), Some(after), "u"))];
            }
            let deleted = envelope(Some(before), None, "d");
            vec![(old.clone(), deleted), (old, DEFAULT.to_vec()), (new, envelope(None, Some(after), "c"))]
        }
    }
}

/// The entry of a change without row events.
pub fn unlogged(
    prefix: &str,
    table: &TableName,
    gtid: &Gtid,
    origin: &Origin,
    spot: Spot,
    what: Unlogged,
    now_ms: u64,
) -> Entry {
    let (op, content) = match what {
        Unlogged::Rows => ("t", None),
        Unlogged::Definition => ("m", Some("definition")),
        Unlogged::UsedColumns => ("m", Some("used_columns")),
        Unlogged::Statement => ("m", Some("statement")),
    };
    let mut out = b"{\"before\":null,\"after\":null".to_vec();
    end(&mut out, &source(prefix, table, gtid, origin, spot), op, now_ms);
    if let Some(content) = content {
        print(&mut out, format_args!(",\"message\":{{\"prefix\":\"rowfold\",\"content\":\"{content}\"}}"));
    }
    out.push(b'}');
    (DEFAULT.to_vec(), out)
}

/// The first entry of a stream that capture begins. It tells of no change.
pub fn starter(prefix: &str, table: &TableName, now_ms: u64) -> Entry {
    let mut out = Vec::with_capacity(FRAME_BYTES);
    print(&mut out, format_args!("{{\"before\":null,\"after\":null,\"source\":{{\"version\":\"{VERSION}\""));
    out.extend_from_slice(b",\"connector\":\"mysql\",\"name\":");
    string(&mut out, prefix);
    out.extend_from_slice(b",\"db\":");
    string(&mut out, &table.database);
    out.extend_from_slice(b",\"table\":");
    string(&mut out, &table.table);
    print(
        &mut out,
        format_args!(
            "}},\"op\":\"m\",\"ts_ms\":{now_ms},\"message\":{{\"prefix\":\"rowfold.begin\",\"content\":\"\"}}}}"
        ),
    );
    (DEFAULT.to_vec(), out)
}

/// Writing to a Vec cannot fail.
fn print(out: &mut Vec<u8>, shown: impl std::fmt::Display) {
    let _ = write!(out, "{shown}");
}

fn string(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    print(out, format_args!("\"{}\"", base64::display::Base64Display::new(bytes, &BASE64)));
}

fn source(prefix: &str, table: &TableName, gtid: &Gtid, origin: &Origin, spot: Spot) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_BYTES);
    print(&mut out, format_args!("{{\"version\":\"{VERSION}\",\"connector\":\"mysql\",\"name\":"));
    string(&mut out, prefix);
    let us = origin.committed_unix_us;
    print(&mut out, format_args!(",\"ts_ms\":{},\"snapshot\":\"false\",\"db\":", us / 1000));
    string(&mut out, &table.database);
    print(&mut out, format_args!(",\"sequence\":null,\"ts_us\":{us},\"ts_ns\":{},\"table\":", times(us, 1000)));
    string(&mut out, &table.table);
    print(&mut out, format_args!(",\"server_id\":{},\"gtid\":\"{gtid}\",\"file\":", origin.server_id));
    string(&mut out, &origin.file);
    print(&mut out, format_args!(",\"pos\":{},\"row\":{},\"thread\":", spot.pos, spot.row));
    match origin.thread {
        Some(thread) => print(&mut out, thread),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"query\":null}");
    out
}

/// What follows the images, but for the last brace.
fn end(out: &mut Vec<u8>, source: &[u8], op: &str, now_ms: u64) {
    out.extend_from_slice(b",\"source\":");
    out.extend_from_slice(source);
    print(out, format_args!(",\"transaction\":null,\"op\":\"{op}\",\"ts_ms\":{now_ms}"));
    print(out, format_args!(",\"ts_us\":{},\"ts_ns\":{}", times(now_ms, 1000), times(now_ms, 1_000_000)));
}

fn times(number: u64, unit: u64) -> u64 {
    number.saturating_mul(unit)
}

/// The primary key's columns. What the image lacks is taken from `unchanged`.
fn key(table: &Table, image: &Image, unchanged: Option<&Image>) -> Vec<u8> {
    let primary = table.indexes.iter().find(|index| index.name == "PRIMARY");
    // One that ends in the prefix of a column names no row by whole columns.
    let columns = primary.filter(|index| index.unique).map_or(&[][..], |index| &index.columns);
    if columns.is_empty() {
        return DEFAULT.to_vec();
    }
    let cell = |at: usize| match (image.0.get(at), unchanged) {
        (Some(Cell::Absent) | None, Some(unchanged)) => unchanged.0.get(at),
        (cell, _) => cell,
    };
    let mut out = Vec::with_capacity(64);
    object(&mut out, table, columns.iter().map(|at| (*at, cell(*at))));
    out
}

fn row(out: &mut Vec<u8>, table: &Table, image: Option<&Image>) {
    match image {
        None => out.extend_from_slice(b"null"),
        Some(Image(cells)) => object(out, table, cells.iter().map(Some).enumerate()),
    }
}

fn object<'a>(out: &mut Vec<u8>, table: &Table, cells: impl Iterator<Item = (usize, Option<&'a Cell>)>) {
    out.push(b'{');
    let empty = out.len();
    for (at, cell) in cells {
        let (Some(column), Some(Cell::Value(held))) = (table.columns.get(at), cell) else {
            continue;
        };
        let before = out.len();
        if before > empty {
            out.push(b',');
        }
        string(out, &column.name);
        out.push(b':');
        if value(out, column, held).is_none() {
            out.truncate(before);
        }
    }
    out.push(b'}');
}

/// One value; `None`, and something half written, if it is none of this kind.
fn value(out: &mut Vec<u8>, column: &Column, value: &Value) -> Option<()> {
    use ColumnKind::*;
    match (&column.kind, value) {
        (_, Value::Null) => out.extend_from_slice(b"null"),
        (Int { .. } | Year, Value::Int(number)) => print(out, number),
        (Int { unsigned: true, .. }, Value::UInt(number)) => print(out, number),
        (Bit { length }, Value::Int(_) | Value::UInt(_)) => {
            let bits = match value {
                Value::UInt(bits) => *bits,
                Value::Int(bits) => u64::try_from(*bits).ok()?,
                _ => return None,
            };
            if *length < 64 && bits >> length != 0 {
                return None;
            }
            match length {
                1 => print(out, bits == 1),
                _ => base64(out, &bits.to_le_bytes()[..usize::from(length.div_ceil(8)).min(8)]),
            }
        }
        (Decimal { scale, .. }, Value::Decimal(text)) => {
            let (bytes, first) = unscaled(text, usize::from(*scale))?;
            base64(out, &bytes[first..]);
        }
        // With `.0` or an exponent, and as many digits as tell it from every other number of its size.
        (Double, Value::Double(bits)) => {
            let number = Some(f64::from_bits(*bits)).filter(|number| number.is_finite())?;
            print(out, format_args!("{number:?}"));
        }
        (Float, Value::Double(bits)) => {
            let number = f64::from_bits(*bits);
            let short = Some(number as f32).filter(|short| short.is_finite() && f64::from(*short) == number)?;
            print(out, format_args!("{short:?}"));
        }
        (Text | Enum(_) | Set(_) | Json | Inet4 | Inet6, Value::Text(text)) => string(out, text),
        (Binary | FixedBinary { .. } | Other(_), Value::Bytes(bytes)) => base64(out, bytes),
        (Uuid, Value::Bytes(bytes)) => print(out, format_args!("\"{}\"", uuid_text(bytes.as_slice().try_into().ok()?))),
        (Geometry, Value::Bytes(bytes)) => geometry(out, column.declared.starts_with("point"), bytes)?,
        (Vector, Value::Bytes(bytes)) => vector(out, bytes),
        (Date, Value::Civil(packed)) => {
            let civil = Civil::unpack(*packed);
            match civil.unix_ms() {
                Some(ms) => print(out, ms.div_euclid(86_400_000)),
                None => print(out, format_args!("\"{}\"", civil.date_text())),
            }
        }
        (DateTime { fsp }, Value::Civil(packed)) => {
            let civil = fitting(*packed, *fsp)?;
            match civil.unix_ms() {
                Some(ms) if *fsp <= 3 => print(out, ms),
                Some(ms) => print(out, ms * 1000 + i64::from(civil.micros % 1000)),
                None => print(out, format_args!("\"{}\"", civil.datetime_text(*fsp))),
            }
        }
        (Timestamp { fsp }, Value::Civil(packed)) => {
            let civil = fitting(*packed, *fsp)?;
            let text = civil.datetime_text(*fsp);
            match (civil.unix_ms(), text.split_once(' ')) {
                (Some(_), Some((date, time))) => print(out, format_args!("\"{date}T{time}Z\"")),
                _ => print(out, format_args!("\"{text}\"")),
            }
        }
        (Time { .. }, Value::Time(micros)) => print(out, micros),
        _ => return None,
    }
    Some(())
}

/// A date and time, if it has no more digits of a second than its column.
fn fitting(packed: i64, fsp: u8) -> Option<Civil> {
    let civil = Civil::unpack(packed);
    civil.micros.is_multiple_of(10u32.pow(6 - u32::from(fsp.min(6)))).then_some(civil)
}

/// SRID and WKB; of a column that is declared as POINT also the place.
fn geometry(out: &mut Vec<u8>, point: bool, bytes: &[u8]) -> Option<()> {
    let (srid, wkb) = bytes.split_first_chunk::<4>()?;
    out.push(b'{');
    if let (true, [1, 1, 0, 0, 0, place @ ..]) = (point, wkb)
        && let ([x, y], []) = place.as_chunks::<8>()
    {
        let (x, y) = (f64::from_le_bytes(*x), f64::from_le_bytes(*y));
        if x.is_finite() && y.is_finite() {
            print(out, format_args!("\"x\":{x:?},\"y\":{y:?},"));
        }
    }
    out.extend_from_slice(b"\"wkb\":");
    base64(out, wkb);
    out.extend_from_slice(b",\"srid\":");
    match u32::from_le_bytes(*srid) {
        0 => out.extend_from_slice(b"null"),
        srid => print(out, srid),
    }
    out.push(b'}');
    Some(())
}

/// A list of floats, each with as many digits as tell it from every other; as base64 if it is none.
fn vector(out: &mut Vec<u8>, bytes: &[u8]) {
    let (floats, rest) = bytes.as_chunks::<4>();
    let floats = || floats.iter().map(|float| f32::from_le_bytes(*float));
    if !rest.is_empty() || !floats().all(f32::is_finite) {
        return base64(out, bytes);
    }
    out.push(b'[');
    for (at, float) in floats().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        print(out, format_args!("{comma}{float:?}"));
    }
    out.push(b']');
}

/// The number without its point, in two's complement, the most significant byte first, and where its shortest form begins.
/// `None` if the text has another scale.
fn unscaled(text: &str, scale: usize) -> Option<([u8; 32], usize)> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // 76 digits fit into 255 bits; MySQL has 65.
    if fraction.len() != scale || whole.len() + fraction.len() > 76 {
        return None;
    }
    // The lowest 64 bits first.
    let mut limbs = [0u64; 4];
    for digit in whole.bytes().chain(fraction.bytes()) {
        let mut carry = u128::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        for limb in &mut limbs {
            let number = u128::from(*limb) * 10 + carry;
            (*limb, carry) = (number as u64, number >> 64);
        }
    }
    if negative {
        let mut carry = true;
        for limb in &mut limbs {
            (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
        }
    }
    let mut bytes = [0; 32];
    for (at, limb) in limbs.iter().rev().enumerate() {
        bytes[at * 8..at * 8 + 8].copy_from_slice(&limb.to_be_bytes());
    }
    let spare = |at: &usize| bytes[*at] == (bytes[at + 1] as i8 >> 7) as u8;
    let first = (0..31).take_while(spare).count();
    Some((bytes, first))
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
