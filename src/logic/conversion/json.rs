//! JSON texts as documents, number by number without a loss.
//!
//! Owns: reading JSON (RFC 8259), and which BSON number holds a JSON number exactly. Does not own: JSON in the binlog
//! (`edge::mysql::json`), where it is written to (`logic::conversion`).
//!
//! A number is what its digits say:
//!
//! | digits | BSON |
//! |---|---|
//! | whole, up to 64 bits | Int32, Int64, above 2^63-1 Decimal128 |
//! | exactly those by which a double is told from every other: `0.1`, `1.0`, `1e100` | Double |
//! | any others, up to 34: `1.10`, `0.12345678901234567890` | Decimal128 |
//! | more than 34, or an exponent beyond Decimal128's | String |
//!
//! Of members of one object with the same name the last counts, as in MySQL.

use std::borrow::Cow;
use std::collections::HashMap;

use super::numbers::{shortest, significant, write_u64};
use crate::model::document::{BsonWriter, DECIMAL128_EXPONENTS, array_index};
use crate::model::row::DECIMAL128_DIGITS_MAX;

/// How deep a text may nest: MySQL's own limit, and that of a BSON document.
const DEPTH_MAX: usize = 100;
/// Members up to which they are compared with each other instead of hashed.
const FEW: usize = 16;

/// Why a text gives no document. Without any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no JSON.
    Syntax,
    /// It nests deeper than [`DEPTH_MAX`].
    Depth,
    /// BSON has no such names.
    NulInName,
}

impl Fault {
    /// A sentence that the column begins.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "holds a text that is not JSON",
            Self::Depth => "holds JSON that nests deeper than 100 levels",
            Self::NulInName => "holds a JSON object with a NUL character in a member's name, which BSON cannot hold",
        }
    }
}

/// Writes a JSON text as the element `name`.
pub(super) fn write(writer: &mut BsonWriter, name: &str, text: &str) -> Result<(), Fault> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at != text.len() {
        return Err(Fault::Syntax);
    }
    write_value(writer, name, &value);
    Ok(())
}

/// A JSON value; numbers as they are written.
enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, Fault> {
        let there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        if there { Ok(value) } else { Err(Fault::Syntax) }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        self.space();
        match self.peek().ok_or(Fault::Syntax)? {
            b'{' | b'[' if depth == DEPTH_MAX => Err(Fault::Depth),
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Json::Text),
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.eat(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.space();
            if self.eat(b']') {
                return Ok(Json::Array(items));
            }
            if !self.eat(b',') {
                return Err(Fault::Syntax);
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.eat(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(Fault::Syntax);
            }
            let name = self.string()?;
            if name.contains('\0') {
                return Err(Fault::NulInName);
            }
            self.space();
            if !self.eat(b':') {
                return Err(Fault::Syntax);
            }
            members.push((name, self.value(depth)?));
            self.space();
            if self.eat(b'}') {
                return Ok(Json::Object(last_of_each(members)));
            }
            if !self.eat(b',') {
                return Err(Fault::Syntax);
            }
        }
    }

    /// A string from its first quote to behind its last.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.peek().ok_or(Fault::Syntax)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..=0x1f => return Err(Fault::Syntax),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).ok_or(Fault::Syntax)?;
        if escaped {
            return serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| Fault::Syntax);
        }
        Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Fault::Syntax) }
    }

    fn number(&mut self) -> Result<Json<'a>, Fault> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _sign = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }
}

/// Members with the same name but for the last of them, which stands where the first stood.
fn last_of_each<'a>(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Vec<(Cow<'a, str>, Json<'a>)> {
    let mut kept: Vec<(Cow<'a, str>, Json<'a>)> = Vec::with_capacity(members.len());
    let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
    let many = members.len() > FEW;
    for (name, value) in members {
        let before = if many { places.get(&name).copied() } else { kept.iter().position(|(known, _)| *known == name) };
        match before {
            Some(at) => kept[at].1 = value,
            None => {
                if many {
                    places.insert(name.clone(), kept.len());
                }
                kept.push((name, value));
            }
        }
    }
    kept
}

fn write_value(writer: &mut BsonWriter, name: &str, value: &Json<'_>) {
    match value {
        Json::Null => writer.null(name),
        Json::Bool(flag) => writer.boolean(name, *flag),
        Json::Text(text) => writer.string(name, text),
        Json::Number(text) => write_number(writer, name, text),
        Json::Array(items) => {
            writer.begin_array(name);
            let mut scratch = String::new();
            for (index, item) in items.iter().enumerate() {
                write_value(writer, array_index(index, &mut scratch), item);
            }
            writer.end();
        }
        Json::Object(members) => {
            writer.begin_document(name);
            for (name, member) in members {
                write_value(writer, name, member);
            }
            writer.end();
        }
    }
}

fn write_number(writer: &mut BsonWriter, name: &str, text: &str) {
    if let Ok(number) = text.parse::<i64>() {
        match i32::try_from(number) {
            Ok(small) => writer.int32(name, small),
            Err(_) => writer.int64(name, number),
        }
        return;
    }
    if let Ok(number) = text.parse::<u64>() {
        return write_u64(writer, name, number);
    }
    if let Some(number) = double(text) {
        return writer.double(name, number);
    }
    match decimal(text) {
        Some((digits, exponent)) => writer.decimal128_times(name, digits, exponent),
        None => writer.string(name, text),
    }
}

/// The parts of a number: whether it is negative, its digits before and behind the point, its exponent.
fn parts(text: &str) -> Option<(bool, &str, &str, i32)> {
    let (negative, size) = text.strip_prefix('-').map_or((false, text), |size| (true, size));
    let (mantissa, exponent) = size.split_once(['e', 'E']).unwrap_or((size, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    Some((negative, whole, fraction, exponent.parse().ok()?))
}

/// The double with exactly these digits as its shortest. Zeros at the end of a fraction say that it is a decimal, but for
/// the one in `1.0`.
fn double(text: &str) -> Option<f64> {
    let (_, whole, fraction, exponent) = parts(text)?;
    let floating = text.contains(['.', 'e', 'E']);
    let fraction = if fraction == "0" { "" } else { fraction };
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    if !floating || fraction.ends_with('0') {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let digits = digits.trim_matches('0');
    if digits.is_empty() {
        return Some(number);
    }
    let place = (whole.len() as i64 - leading as i64) + i64::from(exponent);
    let same = |printed: &str| {
        let (shortest, point) = significant(printed);
        digits == shortest && place == i64::from(point)
    };
    // The server's digits; or those of others, where two are as near.
    (same(&shortest(&number.abs())) || same(&format!("{:e}", number.abs()))).then_some(number)
}

/// The digits as one number, and the exponent of ten behind it; `None` if a Decimal128 cannot hold them.
fn decimal(text: &str) -> Option<(i128, i32)> {
    let (negative, whole, fraction, exponent) = parts(text)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    if digits.len() > usize::from(DECIMAL128_DIGITS_MAX) || !DECIMAL128_EXPONENTS.contains(&exponent) {
        return None;
    }
    let number: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some((if negative { -number } else { number }, exponent))
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
