//! Durations and sizes as people write them.
//!
//! Owns: their syntax. Does not own: their bounds (`config::parse`).

use std::time::Duration;

/// `30ms`, `10s`, `1m 30s`.
pub fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// `8MiB`, `64 KiB`, `1GiB`, `500kB`, or plain bytes. Units of 1000 (`kB`, `MB`, `GB`) and of 1024 (`KiB`, `MiB`, `GiB`).
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000 * 1000,
        "gb" => 1000 * 1000 * 1000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A size in the unit that divides it.
pub fn show_bytes(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("8MiB"), Some(8 << 20));
        assert_eq!(bytes("64 kib"), Some(64 << 10));
        assert_eq!(bytes("1500"), Some(1500));
        assert_eq!(bytes("3MB"), Some(3_000_000));
        for wrong in ["", "MiB", "-1", "1.5MiB", "8 M", "8 MiBs", "99999999999GiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        assert_eq!(show_bytes(8 << 20), "8MiB");
        assert_eq!(show_bytes(1500), "1500B");
        assert_eq!(bytes(&show_bytes(3 << 30)), Some(3 << 30));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("30ms"), Some(Duration::from_millis(30)));
        assert_eq!(duration("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("30"), None);
        assert_eq!(duration("-1s"), None);
    }
}
