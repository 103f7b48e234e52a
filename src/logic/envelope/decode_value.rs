//! Single column values in JSON: every value that a token can stand for.
//!
//! Owns: [`readings`], the forms in which Debezium and rowfold write each column type. Does not own: rows and entries
//! (`decode`).
//!
//! Debezium writes a value in one of several modes, and the JSON does not say in which. Where two modes read differently,
//! both values are returned: marking a root too many is harmless, marking one too few is not. Where a mode may have cut
//! something off, or put another value in the place of the one in the row, there is no reading but a reason.
//! Forms: Debezium documentation, "Data type mappings" of the MySQL connector, and entries of a real server
//! (`fixtures`).

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::decode::Producer;
use super::moment_text::{civil_text, time_text};
use crate::model::address::{inet4_text, inet6_text, uuid_bytes};
use crate::model::schema::ColumnKind;
use crate::model::time::Civil;
use crate::model::value::Value;

/// Why the value of a column cannot be told. Says the fix, never the value.
pub(super) type Reason = &'static str;

const UNKNOWN_FORM: Reason =
    "is written in a form that its type does not have: let rowfold capture, or start over if its type was changed";
const NULL_DATE: Reason =
    "is null or 1970-01-01, which Debezium also writes for zero and impossible dates: let rowfold capture instead";
const NULL_TIME: Reason =
    "is null or zero, which Debezium also writes for a TIME beyond a day in text form: let rowfold capture instead";
const LOSSY_DECIMAL: Reason =
    "is written as a JSON number, which does not keep all its digits: set decimal.handling.mode to precise or string";
const LOSSY_TIME: Reason =
    "may have lost what is finer than a millisecond: set time.precision.mode to isostring, or let rowfold capture";
const LABEL: Reason = "has another label than the build was made with: start over";
const NO_ROUTE: Reason = "has a type that cannot lead to a document";

/// Digits of a decimal number that a double keeps.
const DOUBLE_DIGITS: u8 = 15;
/// Microseconds from 1970 to the first and the last moment that MySQL's dates can name.
const CIVIL_US: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;
/// One day.
pub(super) const DAY_US: i64 = 86_400_000_000;
/// 838:59:59, the longest TIME.
pub(super) const TIME_MAX_US: i64 = 3_020_399_000_000;

/// A JSON token.
enum Token<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
}

impl<'a> Token<'a> {
    fn of(json: &'a str) -> Option<Self> {
        Some(match json.as_bytes().first()? {
            b'n' => Self::Null,
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'"' if !json.contains('\\') => Self::Text(Cow::Borrowed(json.get(1..json.len().checked_sub(1)?)?)),
            b'"' => Self::Text(Cow::Owned(serde_json::from_str(json).ok()?)),
            b'-' | b'0'..=b'9' => Self::Number(json),
            _ => return None,
        })
    }
}

/// Every value that a column's JSON can stand for; at least one.
///
/// # Errors
/// The reason why the value in the row cannot be told.
pub(super) fn readings(kind: &ColumnKind, json: &str, producer: Producer) -> Result<Vec<Value>, Reason> {
    let ours = producer == Producer::Rowfold;
    let token = Token::of(json).ok_or(UNKNOWN_FORM)?;
    let one = |value: Option<Value>| value.map(|value| vec![value]).ok_or(UNKNOWN_FORM);
    match (kind, token) {
        (ColumnKind::Json | ColumnKind::Geometry | ColumnKind::Vector | ColumnKind::Other(_), _) => Err(NO_ROUTE),
        (ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. }, Token::Null) if !ours => {
            Err(NULL_DATE)
        }
        (ColumnKind::Time { .. }, Token::Null) if !ours => Err(NULL_TIME),
        (_, Token::Null) => Ok(vec![Value::Null]),
        (ColumnKind::Int { bits, unsigned }, Token::Number(text)) => {
            one(integer(text, *unsigned && *bits == 64 && !ours))
        }
        // bigint.unsigned.handling.mode=precise.
        (ColumnKind::Int { bits: 64, unsigned: true }, Token::Text(text)) if !ours => one(big_unsigned(&text)),
        (ColumnKind::Year, Token::Number(text)) => one(integer(text, false)),
        (ColumnKind::Float, Token::Number(text)) => {
            let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
            one(number.map(|number| Value::Double(f64::from(number).to_bits())))
        }
        (ColumnKind::Double, Token::Number(text)) => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            one(number.map(|number| Value::Double(number.to_bits())))
        }
        (ColumnKind::Decimal { precision, .. }, Token::Number(_)) if *precision > DOUBLE_DIGITS => Err(LOSSY_DECIMAL),
        (ColumnKind::Decimal { precision, scale }, Token::Number(text)) if !ours => {
            one(decimal(text, *precision, *scale).map(Value::Decimal))
        }
        (ColumnKind::Decimal { precision, scale }, Token::Text(text)) => {
            let precise = unscaled(&text).and_then(|digits| decimal(&format!("{digits}e-{scale}"), *precision, *scale));
            let plain = if ours { None } else { decimal(&text, *precision, *scale) };
            several(precise.into_iter().chain(plain).map(Value::Decimal))
        }
        (ColumnKind::Bit { .. }, Token::Bool(set)) => Ok(vec![Value::Int(i64::from(set))]),
        (ColumnKind::Bit { .. }, Token::Text(text)) => {
            let bytes = STANDARD.decode(text.as_bytes()).ok().filter(|bytes| (1..=8).contains(&bytes.len()));
            let number = |bytes: Vec<u8>| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            one(bytes.map(|bytes| Value::from_u64(number(bytes))))
        }
        (ColumnKind::Text, Token::Text(text)) => Ok(vec![Value::Text(text.into_owned())]),
        (ColumnKind::Enum(labels), Token::Text(text)) => {
            // The empty text stands for an invalid value that was stored.
            let known = text.is_empty() || labels.iter().any(|label| *label == text);
            if known { Ok(vec![Value::Text(text.into_owned())]) } else { Err(LABEL) }
        }
        (ColumnKind::Set(labels), Token::Text(text)) => {
            let known = text.is_empty() || text.split(',').all(|part| labels.iter().any(|label| label == part));
            if known { Ok(vec![Value::Text(text.into_owned())]) } else { Err(LABEL) }
        }
        (ColumnKind::Uuid, Token::Text(text)) => one(uuid_bytes(&text).map(|bytes| Value::Bytes(bytes.to_vec()))),
        (ColumnKind::Inet4, Token::Text(text)) => {
            one(text.parse::<Ipv4Addr>().ok().map(|address| Value::Text(inet4_text(address.octets()))))
        }
        (ColumnKind::Inet6, Token::Text(text)) => {
            one(text.parse::<Ipv6Addr>().ok().map(|address| Value::Text(inet6_text(address.octets()))))
        }
        (ColumnKind::Binary, Token::Text(text)) => several(binary(&text, ours).into_iter().map(Value::Bytes)),
        (ColumnKind::FixedBinary { length }, Token::Text(text)) => {
            let length = usize::from(*length);
            let fitting = binary(&text, ours).into_iter().filter(|bytes| bytes.len() <= length);
            several(fitting.map(|mut bytes| {
                bytes.resize(length, 0);
                Value::Bytes(bytes)
            }))
        }
        (ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. }, Token::Number(text)) => {
            let number = text.parse().map_err(|_| UNKNOWN_FORM)?;
            civils(kind, instants(kind, number, ours)?.into_iter().map(civil_at), ours)
        }
        (ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. }, Token::Text(text)) => {
            civils(kind, civil_text(&text, kind).into_iter(), ours)
        }
        (ColumnKind::Time { fsp }, Token::Number(text)) => times(text.parse().map_err(|_| UNKNOWN_FORM)?, *fsp, ours),
        (ColumnKind::Time { .. }, Token::Text(text)) => match time_text(&text).ok_or(UNKNOWN_FORM)? {
            0 if !ours => Err(NULL_TIME),
            micros => Ok(vec![Value::Time(micros)]),
        },
        _ => Err(UNKNOWN_FORM),
    }
}

/// Distinct values; none is an error.
fn several(values: impl Iterator<Item = Value>) -> Result<Vec<Value>, Reason> {
    let mut distinct = Vec::with_capacity(1);
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    if distinct.is_empty() { Err(UNKNOWN_FORM) } else { Ok(distinct) }
}

/// `wrapped`: a negative number stands for one above 2^63 (bigint.unsigned.handling.mode=long).
fn integer(text: &str, wrapped: bool) -> Option<Value> {
    match text.parse::<i64>() {
        Ok(number) if wrapped => Some(Value::from_u64(number as u64)),
        Ok(number) => Some(Value::Int(number)),
        Err(_) => text.parse().ok().map(Value::from_u64),
    }
}

fn big_unsigned(text: &str) -> Option<Value> {
    let bytes = STANDARD.decode(text.as_bytes()).ok()?;
    let bytes = match bytes.as_slice() {
        [0, rest @ ..] => rest,
        [first, ..] if *first < 0x80 => &bytes,
        _ => return None,
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (bytes.len() <= 8).then(|| Value::from_u64(number(bytes)))
}

/// The digits of a whole number that is written as base64 of its shortest two's complement, most significant byte first.
fn unscaled(text: &str) -> Option<String> {
    /// Bytes that 65 digits take.
    const BYTES_MAX: usize = 28;
    const GROUP: u64 = 1_000_000_000;
    let mut bytes = STANDARD.decode(text.as_bytes()).ok().filter(|bytes| (1..=BYTES_MAX).contains(&bytes.len()))?;
    if matches!(bytes[..], [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..]) {
        return None;
    }
    let negative = bytes[0] >= 0x80;
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // Nine digits each, the least significant first.
    let mut groups: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(byte);
        for group in &mut groups {
            let sum = *group * 256 + carry;
            (*group, carry) = (sum % GROUP, sum / GROUP);
        }
        if carry > 0 {
            groups.push(carry);
        }
    }
    let mut digits = String::from(if negative { "-" } else { "" });
    for group in groups.iter().rev() {
        digits.push_str(&format!("{group:09}"));
    }
    Some(digits)
}

/// A decimal number in any JSON form as MySQL prints it; `None` if the column cannot hold it exactly.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<String> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let scale = usize::from(scale);
    // How many zeros are missing at the end, or how many are too many.
    let shift = i64::from(exponent) + scale as i64 - fraction.len() as i64;
    let mut digits = if digits.is_empty() {
        String::new()
    } else if let Ok(zeros) = usize::try_from(shift) {
        if digits.len() + zeros > usize::from(precision) {
            return None;
        }
        format!("{digits}{}", "0".repeat(zeros))
    } else {
        let kept = digits.len().checked_sub(usize::try_from(-shift).ok()?)?;
        if digits.bytes().skip(kept).any(|byte| byte != b'0') || kept > usize::from(precision) {
            return None;
        }
        digits[..kept].to_string()
    };
    let sign = if negative && !digits.is_empty() { "-" } else { "" };
    if digits.len() <= scale {
        digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

/// binary.handling.mode: bytes and base64, base64-url-safe, hex.
fn binary(text: &str, ours: bool) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = STANDARD.decode(text.as_bytes()).into_iter().collect();
    if !ours {
        found.extend(URL_SAFE.decode(text.as_bytes()));
        found.extend(hex(text));
    }
    found
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8; 2]| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8);
    if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
}

/// The moments, in microseconds since 1970, that a number can stand for.
fn instants(kind: &ColumnKind, number: i64, ours: bool) -> Result<Vec<i64>, Reason> {
    let (days, [ms, us, ns]) = (number.checked_mul(DAY_US), units(number));
    let fsp = match kind {
        ColumnKind::Date if ours => return Ok(days.filter(|at| CIVIL_US.contains(at)).into_iter().collect()),
        ColumnKind::Date => {
            let whole = |at: &i64| CIVIL_US.contains(at) && at % DAY_US == 0;
            return Ok([days, ms, us, ns].into_iter().flatten().filter(whole).collect());
        }
        // Ours are texts.
        ColumnKind::Timestamp { .. } if ours => return Err(UNKNOWN_FORM),
        ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp } => *fsp,
        _ => return Err(UNKNOWN_FORM),
    };
    let fits = |at: &i64| CIVIL_US.contains(at) && at % 10i64.pow(6 - u32::from(fsp.min(6))) == 0;
    if ours {
        let at = if fsp <= 3 { ms } else { us };
        return Ok(at.filter(fits).into_iter().collect());
    }
    if fsp > 3 && ms.is_some_and(|at| CIVIL_US.contains(&at)) {
        return Err(LOSSY_TIME);
    }
    Ok([ms, us, ns].into_iter().flatten().filter(fits).collect())
}

/// A number of milliseconds, of microseconds and of nanoseconds, as microseconds.
fn units(number: i64) -> [Option<i64>; 3] {
    [number.checked_mul(1000), Some(number), (number % 1000 == 0).then_some(number / 1000)]
}

fn civil_at(micros: i64) -> Civil {
    Civil::from_unix(micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) as u32)
}

/// What dates can stand for that Debezium has written.
fn civils(kind: &ColumnKind, found: impl Iterator<Item = Civil>, ours: bool) -> Result<Vec<Value>, Reason> {
    let found: Vec<Civil> = found.collect();
    if !ours && found.contains(&Civil::from_unix(0, 0)) {
        return Err(NULL_DATE);
    }
    // enable.time.adjuster (on by default) moves the years 0 to 99 to 1970 to 2069.
    let adjusted = !ours && matches!(kind, ColumnKind::Date | ColumnKind::DateTime { .. });
    let early = |civil: &Civil| match civil.year {
        year @ 1970..=1999 if adjusted => Some(Civil { year: year - 1900, ..*civil }),
        year @ 2000..=2069 if adjusted => Some(Civil { year: year - 2000, ..*civil }),
        _ => None,
    };
    let early: Vec<Civil> = found.iter().filter_map(early).collect();
    several(found.into_iter().chain(early).map(Value::from_civil))
}

/// What a TIME can stand for.
fn times(number: i64, fsp: u8, ours: bool) -> Result<Vec<Value>, Reason> {
    let [ms, us, ns] = units(number);
    let short = |at: &i64| (-TIME_MAX_US..=TIME_MAX_US).contains(at);
    let fits = |at: &i64| short(at) && at % 10i64.pow(6 - u32::from(fsp.min(6))) == 0;
    if ours {
        return several(us.filter(fits).into_iter().map(Value::Time));
    }
    if fsp > 3 && ms.as_ref().is_some_and(short) {
        return Err(LOSSY_TIME);
    }
    several([ms, us, ns].into_iter().flatten().filter(fits).map(Value::Time))
}

#[cfg(test)]
#[path = "decode_value_tests.rs"]
mod tests;
