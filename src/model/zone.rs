//! The time zone in which a job's DATETIMEs are read.
//!
//! Owns: [`Zone`], its names, and the instant of a date and time in it. Does not own: which columns it is about
//! (`config::resolve`).
//!
//! The rules of named zones are those of the IANA database that is compiled in: the machine's own has no say, so that
//! the same row gives the same document everywhere.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use super::time::Civil;

/// The widest offset that MySQL has, in minutes.
const OFFSET_MINUTES: std::ops::RangeInclusive<i32> = -(13 * 60 + 59)..=14 * 60;

/// A time zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Zone {
    /// UTC.
    #[default]
    Utc,
    /// Minutes ahead of UTC, always the same.
    Offset(i32),
    /// By its IANA name, as the database spells it.
    Named(String),
}

impl Zone {
    /// `UTC`, `+HH:MM`, `-HH:MM` or an IANA name.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((sign, digits)) = text.strip_prefix('+').map(|d| (1, d)).or(text.strip_prefix('-').map(|d| (-1, d)))
        {
            let (hours, minutes) = digits.split_once(':')?;
            let number = |text: &str| {
                let exact = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                if exact { text.parse::<i32>().ok() } else { None }
            };
            let offset = sign * (number(hours)? * 60 + number(minutes).filter(|minutes| *minutes < 60)?);
            return match offset {
                0 => Some(Self::Utc),
                _ => OFFSET_MINUTES.contains(&offset).then_some(Self::Offset(offset)),
            };
        }
        let zone = jiff_zone(text)?;
        match zone.iana_name()? {
            "UTC" | "Etc/UTC" => Some(Self::Utc),
            name => Some(Self::Named(name.to_string())),
        }
    }

    /// The zone with its rules looked up; `None` if the database does not have it.
    pub fn rules(&self) -> Option<ZoneRules> {
        Some(match self {
            Self::Utc => ZoneRules::Minutes(0),
            Self::Offset(minutes) => ZoneRules::Minutes(*minutes),
            Self::Named(name) => ZoneRules::Named(jiff_zone(name)?),
        })
    }
}

fn jiff_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// A zone's rules, for many dates.
#[derive(Clone, Debug)]
pub enum ZoneRules {
    /// One offset, in minutes ahead of UTC.
    Minutes(i32),
    /// Rules of the database.
    Named(TimeZone),
}

impl ZoneRules {
    /// Milliseconds since 1970-01-01 UTC of a date and time in this zone, or `None` for a zero or impossible date.
    ///
    /// A time that a clock change skips is read by the offset before the change, and one that comes twice is the first
    /// of the two (RFC 5545, 3.3.5): both are the offset before the change.
    pub fn unix_ms(&self, civil: Civil) -> Option<i64> {
        let as_utc = civil.unix_ms()?;
        let seconds = match self {
            Self::Minutes(minutes) => i64::from(minutes * 60),
            Self::Named(zone) => {
                let at = DateTime::new(
                    i16::try_from(civil.year).ok()?,
                    i8::try_from(civil.month).ok()?,
                    i8::try_from(civil.day).ok()?,
                    i8::try_from(civil.hour).ok()?,
                    i8::try_from(civil.minute).ok()?,
                    i8::try_from(civil.second).ok()?,
                    i32::try_from(civil.micros).ok()? * 1000,
                );
                let offset = match zone.to_ambiguous_timestamp(at.ok()?).offset() {
                    AmbiguousOffset::Unambiguous { offset } => offset,
                    AmbiguousOffset::Gap { before, .. } | AmbiguousOffset::Fold { before, .. } => before,
                };
                i64::from(offset.seconds())
            }
        };
        Some(as_utc - seconds * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str, year: u16, month: u8, day: u8, hour: u8, minute: u8) -> Option<i64> {
        let civil = Civil { year, month, day, hour, minute, second: 0, micros: 0 };
        let rules = Zone::parse(zone).expect("a zone").rules().expect("rules");
        rules.unix_ms(civil).map(|ms| ms / 60_000)
    }

    fn utc(year: u16, month: u8, day: u8, hour: u8, minute: u8) -> Option<i64> {
        at("UTC", year, month, day, hour, minute)
    }

    #[test]
    fn names_and_offsets_are_read() {
        assert_eq!(Zone::parse("+00:00"), Some(Zone::Utc));
        assert_eq!(Zone::parse("utc"), Some(Zone::Utc));
        assert_eq!(Zone::parse("+05:30"), Some(Zone::Offset(330)));
        assert_eq!(Zone::parse("-13:59"), Some(Zone::Offset(-839)));
        assert_eq!(Zone::parse("europe/berlin"), Some(Zone::Named("Europe/Berlin".into())));
        for wrong in ["", "CEST", "+5:30", "+14:01", "05:30", "+05:60", "+0530", "Europe/Nowhere", "-24:00", "++1:00"] {
            assert_eq!(Zone::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn instants_take_the_offset_of_their_day() {
        assert_eq!(at("+02:00", 2024, 1, 1, 1, 0), utc(2023, 12, 31, 23, 0));
        assert_eq!(at("-05:30", 2024, 1, 1, 1, 0), utc(2024, 1, 1, 6, 30));
        assert_eq!(at("Europe/Berlin", 2024, 1, 15, 12, 0), utc(2024, 1, 15, 11, 0));
        assert_eq!(at("Europe/Berlin", 2024, 7, 15, 12, 0), utc(2024, 7, 15, 10, 0));
        // Far behind the last change that the database lists.
        assert_eq!(at("Europe/Berlin", 9999, 7, 15, 12, 0), utc(9999, 7, 15, 10, 0));
        // The last day of MySQL's calendar, west of Greenwich.
        assert_eq!(at("America/New_York", 9999, 12, 31, 23, 59), Some(253_402_300_740 / 60 + 5 * 60));
        assert_eq!(at("Europe/Berlin", 2024, 2, 30, 0, 0), None);
    }

    #[test]
    fn a_clock_change_is_read_by_the_offset_before_it() {
        // Skipped: 02:00 to 03:00 on 2024-03-31, from +01:00 to +02:00.
        assert_eq!(at("Europe/Berlin", 2024, 3, 31, 2, 30), utc(2024, 3, 31, 1, 30));
        // Twice: 02:00 to 03:00 on 2024-10-27, first with +02:00.
        assert_eq!(at("Europe/Berlin", 2024, 10, 27, 2, 30), utc(2024, 10, 27, 0, 30));
        assert_eq!(at("Europe/Berlin", 2024, 10, 27, 3, 0), utc(2024, 10, 27, 2, 0));
    }
}
