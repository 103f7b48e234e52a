//! Dates and times as text: as MySQL prints them, and ISO 8601.
//!
//! Owns: reading them. Does not own: which columns have them, what else they may stand for (`decode_value`).

use super::decode_value::{DAY_US, TIME_MAX_US};
use crate::model::schema::ColumnKind;
use crate::model::time::Civil;

/// A date, with a time of day unless the column is a DATE: as MySQL prints it, or ISO 8601. The zone counts for TIMESTAMP.
pub(super) fn civil_text(text: &str, kind: &ColumnKind) -> Option<Civil> {
    let (date, rest) = text.split_at_checked(10)?;
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return None };
    let mut civil = Civil {
        year: number(year, 4)? as u16,
        month: number(month, 2).filter(|month| *month <= 12)? as u8,
        day: number(day, 2).filter(|day| *day <= 31)? as u8,
        ..Civil::default()
    };
    if *kind == ColumnKind::Date {
        return zone(rest).map(|_| civil);
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let (clock, zone_text) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
    let micros = clock_text(clock).filter(|micros| *micros < DAY_US)?;
    let seconds = micros / 1_000_000;
    (civil.hour, civil.minute, civil.second) =
        ((seconds / 3600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8);
    civil.micros = (micros % 1_000_000) as u32;
    let zone = zone(zone_text)?;
    if zone == 0 || !matches!(kind, ColumnKind::Timestamp { .. }) {
        return Some(civil);
    }
    Some(Civil::from_unix(civil.unix_ms()?.div_euclid(1000) - zone, civil.micros))
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let exact = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if exact { text.parse().ok() } else { None }
}

/// Seconds east of Greenwich; nothing stands for zero.
fn zone(text: &str) -> Option<i64> {
    let (sign, text) = match text.as_bytes().first() {
        None => return Some(0),
        Some(b'Z') => return (text.len() == 1).then_some(0),
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        Some(_) => return None,
    };
    let (hours, minutes) = text.split_once(':')?;
    Some(sign * (i64::from(number(hours, 2)?) * 3600 + i64::from(number(minutes, 2)?) * 60))
}

/// Microseconds of `HH:MM[:SS[.fraction]]`; digits beyond the sixth have to be zero.
fn clock_text(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let hours = parts.next()?;
    let hours = number(hours, hours.len().clamp(2, 3))?;
    let minutes = number(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let seconds = parts.next().map_or(Some(0), |seconds| number(seconds, 2)).filter(|seconds| *seconds < 60)?;
    let (kept, cut) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    if parts.next().is_some() || fraction.len() > 9 || cut.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let micros = number(kept, kept.len()).filter(|_| !kept.is_empty())? * 10u32.pow(6 - kept.len() as u32);
    Some((i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds)) * 1_000_000 + i64::from(micros))
}

/// Microseconds of `[-]HH:MM:SS[.fraction][Z]`, up to 838 hours.
pub(super) fn time_text(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let micros = clock_text(text.strip_suffix('Z').unwrap_or(text)).filter(|micros| *micros <= TIME_MAX_US)?;
    Some(sign * micros)
}
