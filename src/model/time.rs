//! MySQL's dates and times as plain numbers that lose nothing, zero and impossible dates included.
//!
//! Owns: [`Civil`] (a date and time as MySQL stores it), its packed form, and the day arithmetic of the proleptic
//! Gregorian calendar. Does not own: what becomes of a date in a document (`logic::conversion`).

/// A date and time of day without a zone, exactly as MySQL holds it. Months and days may be zero (`2024-00-00`), and
/// a day may not exist (`2024-02-30` under `ALLOW_INVALID_DATES`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Civil {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12.
    pub month: u8,
    /// 0 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999.
    pub micros: u32,
}

impl Civil {
    /// The packed form: one number whose order is the order of the dates. See [`Civil::unpack`].
    pub fn pack(self) -> i64 {
        let days = (i64::from(self.year) * 13 + i64::from(self.month)) * 32 + i64::from(self.day);
        let minutes = (days * 32 + i64::from(self.hour)) * 64 + i64::from(self.minute);
        (minutes * 64 + i64::from(self.second)) * 1_000_000 + i64::from(self.micros)
    }

    /// Reads back what [`Civil::pack`] made. `packed` must come from there.
    pub fn unpack(packed: i64) -> Self {
        let micros = packed.rem_euclid(1_000_000) as u32;
        let rest = packed / 1_000_000;
        let (second, rest) = (rest % 64, rest / 64);
        let (minute, rest) = (rest % 64, rest / 64);
        let (hour, rest) = (rest % 32, rest / 32);
        let (day, rest) = (rest % 32, rest / 32);
        Self {
            year: (rest / 13) as u16,
            month: (rest % 13) as u8,
            day: day as u8,
            hour: hour as u8,
            minute: minute as u8,
            second: second as u8,
            micros,
        }
    }

    /// Milliseconds since 1970-01-01 (UTC), or `None` for a zero or impossible date. Microseconds below are cut off.
    pub fn unix_ms(self) -> Option<i64> {
        if self.month == 0 || self.day == 0 || self.day > days_in_month(self.year, self.month) {
            return None;
        }
        let days = days_from_civil(i64::from(self.year), i64::from(self.month), i64::from(self.day));
        let seconds =
            days * 86_400 + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        Some(seconds * 1000 + i64::from(self.micros / 1000))
    }

    /// The date and time (UTC) that lies `seconds` and `micros` after 1970-01-01. Years beyond 9999 do not occur in MySQL.
    pub fn from_unix(seconds: i64, micros: u32) -> Self {
        let days = seconds.div_euclid(86_400);
        let of_day = seconds.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(days);
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            micros,
        }
    }

    /// `YYYY-MM-DD`, the text MySQL prints for a DATE.
    pub fn date_text(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `YYYY-MM-DD HH:MM:SS[.ffffff]` with `fsp` digits of a second, the text MySQL prints for a DATETIME(fsp).
    pub fn datetime_text(self, fsp: u8) -> String {
        let mut text = self.date_text();
        text.push_str(&format!(" {:02}:{:02}:{:02}", self.hour, self.minute, self.second));
        push_fraction(&mut text, self.micros, fsp);
        text
    }
}

/// `[-]HH:MM:SS[.ffffff]` with `fsp` digits of a second: the text MySQL prints for a TIME(fsp) of `micros` microseconds.
pub fn time_text(micros: i64, fsp: u8) -> String {
    let size = micros.unsigned_abs();
    let seconds = size / 1_000_000;
    let sign = if micros < 0 { "-" } else { "" };
    let mut text = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    push_fraction(&mut text, (size % 1_000_000) as u32, fsp);
    text
}

fn push_fraction(text: &mut String, micros: u32, fsp: u8) {
    if fsp > 0 {
        let digits = format!("{micros:06}");
        text.push('.');
        text.push_str(&digits[..usize::from(fsp.min(6))]);
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the given date. Algorithm: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`], from the same source.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        let leap = Civil { year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 59, micros: 123_456 };
        assert_eq!(leap.unix_ms(), Some(1_709_251_199_123));
        assert_eq!(Civil::default().unix_ms(), None);
        assert_eq!(Civil { year: 2023, month: 2, day: 29, ..Civil::default() }.unix_ms(), None);
        assert_eq!(Civil { year: 1000, month: 1, day: 1, ..Civil::default() }.unix_ms(), Some(-30_610_224_000_000));
        assert_eq!(leap.datetime_text(3), "2024-02-29 23:59:59.123");
        assert_eq!(time_text(-3_020_399_000_000, 0), "-838:59:59");
        assert_eq!(time_text(1, 6), "00:00:00.000001");
    }

    proptest! {
        #[test]
        fn packing_keeps_everything_and_the_order(
            a in (0u16..10_000, 0u8..13, 0u8..32, 0u8..24, 0u8..60, 0u8..60, 0u32..1_000_000),
            b in (0u16..10_000, 0u8..13, 0u8..32, 0u8..24, 0u8..60, 0u8..60, 0u32..1_000_000),
        ) {
            let civil = |(year, month, day, hour, minute, second, micros)| Civil { year, month, day, hour, minute, second, micros };
            let (a, b) = (civil(a), civil(b));
            prop_assert_eq!(Civil::unpack(a.pack()), a);
            prop_assert_eq!(a.pack().cmp(&b.pack()), a.cmp(&b));
        }

        #[test]
        fn unix_seconds_go_there_and_back(seconds in -60_000_000_000i64..250_000_000_000) {
            prop_assert_eq!(Civil::from_unix(seconds, 0).unix_ms(), Some(seconds * 1000));
        }
    }
}
