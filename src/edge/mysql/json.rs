//! JSON documents of the binlog, which are binary there, as text.
//!
//! Owns: [`text`]. Does not own: differences of documents (`decode` leaves such cells absent).
//! Format: MySQL source, `sql-common/json_binary.h`; what dates, decimals and other values of MySQL look like in a document:
//! `sql-common/json_dom.cc`, `Json_wrapper::to_string`.
//!
//! The text is compact (`{"a":[1,2.5,null]}`), with members in the order in which MySQL keeps them.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::cursor::{Cursor, Truncated};
use super::decode_value;
use super::table_map::types;
use crate::model::time::{Civil, time_text};

/// How deep MySQL lets documents nest.
const DEPTH_MAX: usize = 100;
/// No value's text is longer than so many times its bytes. Broken documents may contain themselves.
const GROWTH_MAX: usize = 8;

mod kind {
    pub const SMALL_OBJECT: u8 = 0;
    pub const LARGE_OBJECT: u8 = 1;
    pub const SMALL_ARRAY: u8 = 2;
    pub const LARGE_ARRAY: u8 = 3;
    pub const LITERAL: u8 = 4;
    pub const INT16: u8 = 5;
    pub const UINT16: u8 = 6;
    pub const INT32: u8 = 7;
    pub const UINT32: u8 = 8;
    pub const INT64: u8 = 9;
    pub const UINT64: u8 = 10;
    pub const DOUBLE: u8 = 11;
    pub const STRING: u8 = 12;
    pub const OPAQUE: u8 = 15;
}

/// The bytes are no document.
#[derive(Debug, PartialEq, Eq)]
struct Broken;

impl From<Truncated> for Broken {
    fn from(_: Truncated) -> Self {
        Self
    }
}

/// The document's text; `None` if the bytes are none.
pub(super) fn text(document: &[u8]) -> Option<String> {
    let Some((kind, data)) = document.split_first() else {
        // What MySQL makes of a document that was never set.
        return Some("null".into());
    };
    let mut writer = Writer { out: Vec::with_capacity(document.len() * 2), longest: document.len() * GROWTH_MAX + 64 };
    writer.value(*kind, data, 0).ok()?;
    String::from_utf8(writer.out).ok()
}

struct Writer {
    out: Vec<u8>,
    longest: usize,
}

impl Writer {
    /// A value whose bytes begin `data`.
    fn value(&mut self, kind: u8, data: &[u8], depth: usize) -> Result<(), Broken> {
        let mut cursor = Cursor(data);
        match kind {
            kind::SMALL_OBJECT | kind::LARGE_OBJECT | kind::SMALL_ARRAY | kind::LARGE_ARRAY => {
                return self.container(kind, data, depth + 1);
            }
            kind::LITERAL => self.out.extend_from_slice(match cursor.byte()? {
                0 => b"null",
                1 => b"true",
                2 => b"false",
                _ => return Err(Broken),
            }),
            kind::INT16 => self.print(cursor.little(2)? as i16),
            kind::UINT16 => self.print(cursor.little(2)?),
            kind::INT32 => self.print(cursor.little(4)? as i32),
            kind::UINT32 => self.print(cursor.little(4)?),
            kind::INT64 => self.print(cursor.little(8)? as i64),
            kind::UINT64 => self.print(cursor.little(8)?),
            kind::DOUBLE => {
                let number = f64::from_bits(cursor.little(8)?);
                if !number.is_finite() {
                    return Err(Broken);
                }
                // With `.0` or an exponent, so that it stays a double.
                self.print(format_args!("{number:?}"));
            }
            kind::STRING => {
                let length = length(&mut cursor)?;
                self.string(cursor.take(length)?)?;
            }
            kind::OPAQUE => {
                let field = cursor.byte()?;
                let length = length(&mut cursor)?;
                self.opaque(field, cursor.take(length)?)?;
            }
            _ => return Err(Broken),
        }
        Ok(())
    }

    /// An object or array: its count and size, entries of its keys, entries of its values, then what they point to.
    fn container(&mut self, kind: u8, data: &[u8], depth: usize) -> Result<(), Broken> {
        if depth > DEPTH_MAX {
            return Err(Broken);
        }
        let object = matches!(kind, kind::SMALL_OBJECT | kind::LARGE_OBJECT);
        let width = if matches!(kind, kind::LARGE_OBJECT | kind::LARGE_ARRAY) { 4 } else { 2 };
        let mut head = Cursor(data);
        let (count, size) = (head.little(width)? as usize, head.little(width)? as usize);
        let data = data.get(..size).ok_or(Broken)?;
        let mut keys = Cursor(if object { head.take(count.checked_mul(width + 2).ok_or(Broken)?)? } else { &[] });
        let (open, close) = if object { (b'{', b'}') } else { (b'[', b']') };
        self.out.push(open);
        for at in 0..count {
            if self.out.len() > self.longest {
                return Err(Broken);
            }
            if at > 0 {
                self.out.push(b',');
            }
            if object {
                let (offset, length) = (keys.little(width)? as usize, keys.little(2)? as usize);
                self.string(data.get(offset..).and_then(|rest| rest.get(..length)).ok_or(Broken)?)?;
                self.out.push(b':');
            }
            let kind = head.byte()?;
            let entry = head.take(width)?;
            match kind {
                kind::LITERAL | kind::INT16 | kind::UINT16 => self.value(kind, entry, depth)?,
                kind::INT32 | kind::UINT32 if width == 4 => self.value(kind, entry, depth)?,
                _ => {
                    let offset = Cursor(entry).little(width)? as usize;
                    self.value(kind, data.get(offset..).ok_or(Broken)?, depth)?;
                }
            }
        }
        self.out.push(close);
        Ok(())
    }

    fn print(&mut self, shown: impl std::fmt::Display) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "{shown}");
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let text = std::str::from_utf8(bytes).map_err(|_| Broken)?;
        serde_json::to_writer(&mut self.out, text).map_err(|_| Broken)
    }

    /// A value of MySQL's that JSON does not know.
    fn opaque(&mut self, field: u8, bytes: &[u8]) -> Result<(), Broken> {
        match field {
            types::NEWDECIMAL => {
                let [precision, scale, digits @ ..] = bytes else {
                    return Err(Broken);
                };
                let number = decode_value::decimal(digits, usize::from(*precision), usize::from(*scale));
                self.print(number.ok_or(Broken)?);
            }
            types::DATE | types::DATETIME | types::TIMESTAMP | types::TIME => {
                let packed = Cursor(bytes).little(8)? as i64;
                let (size, micros) = (packed.unsigned_abs() >> 24, (packed.unsigned_abs() & 0xff_ffff) as u32);
                let clock = size & 0x1_ffff;
                let (minute, second) = (clock >> 6 & 63, clock & 63);
                if field == types::TIME {
                    let seconds = (size >> 12 & 0x3ff) * 3600 + minute * 60 + second;
                    let micros = (seconds * 1_000_000) as i64 + i64::from(micros);
                    self.print(format_args!("\"{}\"", time_text(micros * packed.signum(), 6)));
                    return Ok(());
                }
                let months = size >> 22;
                let civil = Civil {
                    year: (months / 13) as u16,
                    month: (months % 13) as u8,
                    day: (size >> 17 & 31) as u8,
                    hour: (clock >> 12) as u8,
                    minute: minute as u8,
                    second: second as u8,
                    micros,
                };
                let shown = if field == types::DATE { civil.date_text() } else { civil.datetime_text(6) };
                self.print(format_args!("\"{shown}\""));
            }
            _ => self.print(format_args!("\"base64:type{field}:{}\"", BASE64.encode(bytes))),
        }
        Ok(())
    }
}

/// A length in groups of seven bits, the lowest first.
fn length(cursor: &mut Cursor<'_>) -> Result<usize, Broken> {
    let mut length = 0;
    for group in 0..5 {
        let byte = cursor.byte()?;
        length |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_as_the_server_writes_them() {
        // {"a":[1,-1,null,true],"bb":"x\"y"} in the small format.
        let array = [&[4, 0, 16, 0][..], &[5, 1, 0, 5, 0xff, 0xff, 4, 0, 0, 4, 1, 0]].concat();
        let head = [&[0, 2, 0, 41, 0][..], &[18, 0, 1, 0, 19, 0, 2, 0], &[2, 21, 0, 12, 37, 0]].concat();
        let document = [&head[..], b"abb", &array, &[3], b"x\"y"].concat();
        assert_eq!(text(&document).as_deref(), Some(r#"{"a":[1,-1,null,true],"bb":"x\"y"}"#));
        for cut in 1..document.len() {
            // Never a panic, and never half a document.
            assert_eq!(text(&document[..cut]), None, "{cut}");
        }
        assert_eq!(text(&[]).as_deref(), Some("null"));
        assert_eq!(text(&[&[11][..], &1e308f64.to_le_bytes()].concat()).as_deref(), Some("1e308"));
        assert_eq!(text(&[&[10][..], &u64::MAX.to_le_bytes()].concat()).as_deref(), Some("18446744073709551615"));
        assert_eq!(text(&[&[11][..], &f64::NAN.to_le_bytes()].concat()), None);
    }

    #[test]
    fn a_document_that_contains_itself_is_none() {
        // One array whose elements all are that array.
        let looped = [2, 2, 0, 10, 0, 2, 0, 0, 2, 0, 0];
        assert_eq!(text(&looped), None);
        let wide: Vec<u8> = [&[2, 200, 0][..], &[0x5c, 2], &[2, 0, 0].repeat(200)].concat();
        assert_eq!(text(&wide), None);
    }
}
