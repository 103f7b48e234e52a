//! Values: what an encoder of each mode writes is read back, whatever else it may be taken for.

use proptest::prelude::*;

use super::*;
use crate::logic::envelope::decode::Producer::{Debezium, Rowfold};
use crate::model::time::time_text as mysql_time;

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("JSON")
}

fn base64(bytes: &[u8]) -> String {
    quoted(&STANDARD.encode(bytes))
}

/// Values print their type only, so they are compared by hand.
#[track_caller]
fn same(found: Result<Vec<Value>, Reason>, expected: &[Value]) {
    let found = found.expect("readings");
    assert!(found.len() == expected.len() && expected.iter().all(|value| found.contains(value)), "{found:?}");
}

#[track_caller]
fn both(kind: &ColumnKind, json: &str, expected: &[Value]) {
    same(readings(kind, json, Rowfold), expected);
    same(readings(kind, json, Debezium), expected);
}

fn at(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8, micros: u32) -> Value {
    Value::from_civil(Civil { year, month, day, hour, minute, second, micros })
}

#[test]
fn numbers() {
    let int = |bits, unsigned| ColumnKind::Int { bits, unsigned };
    both(&int(8, false), "-128", &[Value::Int(-128)]);
    both(&int(32, true), "4294967295", &[Value::Int(4_294_967_295)]);
    both(&int(64, true), "18446744073709551615", &[Value::UInt(u64::MAX)]);
    same(readings(&int(64, true), "-1", Debezium), &[Value::UInt(u64::MAX)]);
    same(readings(&int(64, false), "-1", Debezium), &[Value::Int(-1)]);
    same(readings(&int(64, true), "\"AP//////////\"", Debezium), &[Value::UInt(u64::MAX)]);
    same(readings(&int(64, true), "\"AA==\"", Debezium), &[Value::Int(0)]);
    both(&int(64, false), "null", &[Value::Null]);
    both(&ColumnKind::Year, "2155", &[Value::Int(2155)]);
    both(&ColumnKind::Float, "0.1", &[Value::Double(f64::from(0.1f32).to_bits())]);
    both(&ColumnKind::Double, "1.0E308", &[Value::Double(1e308f64.to_bits())]);
    both(&ColumnKind::Bit { length: 1 }, "true", &[Value::Int(1)]);
    both(&ColumnKind::Bit { length: 64 }, "\"AQAAAAAAAIA=\"", &[Value::UInt(1 << 63 | 1)]);
    for (kind, json) in [
        (int(32, false), "true"),
        (int(32, false), "1.5"),
        (int(64, true), "\"AP///////////w==\""),
        (int(64, true), "\"/w==\""),
        (ColumnKind::Double, "1e999"),
        (ColumnKind::Bit { length: 9 }, "\"AQAAAAAAAIAAAA==\""),
        (ColumnKind::Text, "[1]"),
        (ColumnKind::Text, "\"\\ud83c\""),
    ] {
        assert_eq!(readings(&kind, json, Debezium), Err(UNKNOWN_FORM), "{json}");
    }
    assert_eq!(readings(&ColumnKind::Json, "1", Debezium), Err(NO_ROUTE));
}

#[test]
fn decimals() {
    let decimal = |precision, scale| ColumnKind::Decimal { precision, scale };
    let text = |text: &str| Value::Decimal(text.into());
    both(&decimal(12, 2), "\"BBo=\"", &[text("10.50")]);
    both(&decimal(12, 2), "\"/w==\"", &[text("-0.01")]);
    both(&decimal(12, 2), "\"AA==\"", &[text("0.00")]);
    let big = "12345678901234567890123456789012345.123456789012345678901234567890";
    both(&decimal(65, 30), "\"HgK8HpeFi9xsuVBY80JNfTp/7HsD4maOPwrS\"", &[text(big)]);
    same(readings(&decimal(65, 30), &quoted(big), Debezium), &[text(big)]);
    same(readings(&decimal(12, 2), "\"-0.01\"", Debezium), &[text("-0.01")]);
    // Four digits are base64 too: of the bytes d7 6d f8.
    same(readings(&decimal(9, 0), "\"1234\"", Debezium), &[text("1234"), text("-2658824")]);
    same(readings(&decimal(4, 0), "\"1234\"", Debezium), &[text("1234")]);
    same(readings(&decimal(9, 0), "\"1234\"", Rowfold), &[text("-2658824")]);
    same(readings(&decimal(15, 2), "10.5", Debezium), &[text("10.50")]);
    same(readings(&decimal(15, 4), "1.0E10", Debezium), &[text("10000000000.0000")]);
    same(readings(&decimal(15, 4), "-0.0", Debezium), &[text("0.0000")]);
    assert_eq!(readings(&decimal(16, 2), "10.5", Debezium), Err(LOSSY_DECIMAL));
    for json in [
        "\"10.505\"",
        "\"12345678901.00\"",
        "\"\"",
        "\"abc\"",
        "\"1e32767\"",
        "\"1e-32768\"",
        "1e30",
        "\"AAE=\"",
        "true",
    ] {
        assert_eq!(readings(&decimal(12, 2), json, Debezium), Err(UNKNOWN_FORM), "{json}");
    }
}

#[test]
fn texts_and_bytes() {
    both(&ColumnKind::Text, r#""K\u00f6tt \uD83C\uDF72\n""#, &[Value::Text("Kött 🍲\n".into())]);
    both(&ColumnKind::Text, r#""café""#, &[Value::Text("café".into())]);
    let labels = vec!["news".to_string(), "beta".to_string()];
    both(&ColumnKind::Set(labels.clone()), "\"news,beta\"", &[Value::Text("news,beta".into())]);
    both(&ColumnKind::Enum(labels.clone()), "\"\"", &[Value::Text(String::new())]);
    assert_eq!(readings(&ColumnKind::Enum(labels.clone()), "\"gold\"", Debezium), Err(LABEL));
    assert_eq!(readings(&ColumnKind::Set(labels), "\"news,sms\"", Debezium), Err(LABEL));
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    both(&ColumnKind::Binary, "\"AP8Q\"", &[bytes(b"\x00\xff\x10")]);
    same(readings(&ColumnKind::Binary, "\"_w==\"", Debezium), &[bytes(b"\xff")]);
    same(readings(&ColumnKind::Binary, "\"00ff10\"", Debezium), &[bytes(b"\x00\xff\x10")]);
    same(readings(&ColumnKind::Binary, "\"00ff\"", Debezium), &[bytes(b"\x00\xff"), bytes(b"\xd3\x47\xdf")]);
    same(readings(&ColumnKind::FixedBinary { length: 2 }, "\"00ff\"", Debezium), &[bytes(b"\x00\xff")]);
    both(&ColumnKind::Uuid, "\"ABABABAB-abab-abab-abab-abababababab\"", &[bytes(&[0xab; 16])]);
    both(&ColumnKind::Inet4, "\"192.0.2.1\"", &[Value::Text("192.0.2.1".into())]);
    both(&ColumnKind::Inet6, "\"0:0:0:0:0:0:102:304\"", &[Value::Text("::1.2.3.4".into())]);
    for kind in [ColumnKind::Uuid, ColumnKind::Inet4, ColumnKind::Inet6] {
        assert_eq!(readings(&kind, "\"1.2.3\"", Debezium), Err(UNKNOWN_FORM));
    }
    both(&ColumnKind::FixedBinary { length: 4 }, "\"AP8Q\"", &[bytes(b"\x00\xff\x10\x00")]);
}

#[test]
fn dates() {
    let (datetime, timestamp) = (|fsp| ColumnKind::DateTime { fsp }, |fsp| ColumnKind::Timestamp { fsp });
    let (born, early) = (at(1990, 2, 28, 0, 0, 0, 0), at(90, 2, 28, 0, 0, 0, 0));
    same(readings(&ColumnKind::Date, "7363", Rowfold), std::slice::from_ref(&born));
    for json in ["7363", "\"1990-02-28Z\"", "\"1990-02-28\"", "\"1990-02-28+01:00\""] {
        same(readings(&ColumnKind::Date, json, Debezium), &[born.clone(), early.clone()]);
    }
    let created = at(2020, 1, 2, 3, 4, 5, 678_000);
    same(readings(&datetime(3), "1577934245678", Rowfold), std::slice::from_ref(&created));
    for json in ["1577934245678", "1577934245678000", "1577934245678000000", "\"2020-01-02T03:04:05.678Z\""] {
        let found = readings(&datetime(3), json, Debezium).expect("readings");
        assert!(found.contains(&created), "{json}");
    }
    same(readings(&datetime(6), "1577934245678901", Rowfold), &[at(2020, 1, 2, 3, 4, 5, 678_901)]);
    let seen = [at(2020, 1, 2, 3, 4, 5, 678_901)];
    both(&timestamp(6), "\"2020-01-02T03:04:05.678901Z\"", &seen);
    both(&timestamp(6), "\"2020-01-02T05:04:05.678901000+02:00\"", &seen);
    both(&datetime(3), "\"1000-01-01T00:00:00Z\"", &[at(1000, 1, 1, 0, 0, 0, 0)]);
    same(readings(&datetime(3), "-30610224000000", Rowfold), &[at(1000, 1, 1, 0, 0, 0, 0)]);
    for kind in [datetime(0), timestamp(0)] {
        both(&kind, "\"0000-00-00 00:00:00\"", &[Value::from_civil(Civil::default())]);
        same(readings(&kind, "\"2050-02-31 10:00:00\"", Rowfold), &[at(2050, 2, 31, 10, 0, 0, 0)]);
    }
    both(&ColumnKind::Date, "\"2100-00-00\"", &[at(2100, 0, 0, 0, 0, 0, 0)]);
    // A number that Debezium may have cut to milliseconds, and what it writes for dates that it cannot write.
    assert_eq!(readings(&datetime(6), "1577934245678", Debezium), Err(LOSSY_TIME));
    for (kind, json) in [
        (ColumnKind::Date, "0"),
        (ColumnKind::Date, "null"),
        (datetime(0), "0"),
        (datetime(6), "null"),
        (timestamp(0), "\"1970-01-01T00:00:00Z\""),
    ] {
        assert_eq!(readings(&kind, json, Debezium), Err(NULL_DATE), "{json}");
    }
    both(&timestamp(0), "\"1970-01-01T00:00:01Z\"", &[at(1970, 1, 1, 0, 0, 1, 0)]);
    for json in
        ["1e3", "\"1990-13-01\"", "\"1990-1-01\"", "\"1990-02-28X\"", "\"\"", "9223372036854775807", "\"199é-02-28\""]
    {
        assert_eq!(readings(&ColumnKind::Date, json, Debezium), Err(UNKNOWN_FORM), "{json}");
    }
    for json in ["\"1990-02-28\"", "\"1990-02-28T24:00:00\"", "\"1990-02-28T10:00:00+1\"", "\"1990-02-28T10:00:00.\""] {
        assert_eq!(readings(&datetime(0), json, Debezium), Err(UNKNOWN_FORM), "{json}");
    }
    assert_eq!(readings(&timestamp(0), "1577934245000", Rowfold), Err(UNKNOWN_FORM));
}

#[test]
fn times() {
    let time = |fsp| ColumnKind::Time { fsp };
    let longest = Value::Time(-TIME_MAX_US);
    same(readings(&time(6), "-3020399000000", Rowfold), std::slice::from_ref(&longest));
    same(readings(&time(6), "-3020399000000", Debezium), &[longest.clone(), Value::Time(-3_020_399_000)]);
    both(&time(0), "\"-838:59:59\"", &[longest]);
    same(readings(&time(6), "\"00:00:00.000001Z\"", Debezium), &[Value::Time(1)]);
    same(readings(&time(0), "60000000", Rowfold), &[Value::Time(60_000_000)]);
    same(readings(&time(0), "60000000", Debezium), &[Value::Time(60_000_000), Value::Time(60_000_000_000)]);
    assert_eq!(readings(&time(6), "1", Debezium), Err(LOSSY_TIME));
    assert_eq!(readings(&time(6), "null", Debezium), Err(NULL_TIME));
    assert_eq!(readings(&time(6), "\"00:00:00Z\"", Debezium), Err(NULL_TIME));
    for json in ["\"839:00:00\"", "\"1:00:00\"", "\"10\"", "\"10:00:00:00\"", "\"10:60:00\"", "3020400000001"] {
        assert_eq!(readings(&time(0), json, Rowfold), Err(UNKNOWN_FORM), "{json}");
    }
}

/// A DECIMAL's text, and the whole number that its digits make.
fn decimal_case() -> impl Strategy<Value = (u8, u8, String)> {
    (1u8..=65)
        .prop_flat_map(|precision| (Just(precision), 0..=precision.min(30)))
        .prop_flat_map(|(precision, scale)| {
            let digits = proptest::collection::vec(0u8..10, usize::from(precision));
            (Just(precision), Just(scale), digits, any::<bool>(), 0..=usize::from(precision))
        })
        .prop_map(|(precision, scale, mut digits, negative, zeros)| {
            digits[..zeros].fill(0);
            let text: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
            let (whole, fraction) = text.split_at(text.len() - usize::from(scale));
            let whole = whole.trim_start_matches('0');
            let sign = if negative && digits.iter().any(|digit| *digit > 0) { "-" } else { "" };
            let point = if scale > 0 { "." } else { "" };
            (precision, scale, format!("{sign}{}{point}{fraction}", if whole.is_empty() { "0" } else { whole }))
        })
}

/// The shortest two's complement of a whole number, most significant byte first, by plain long multiplication.
fn two_complement(text: &str) -> Vec<u8> {
    let negative = text.starts_with('-');
    let mut bytes = vec![0u8; 40];
    for digit in text.bytes().filter(u8::is_ascii_digit) {
        let mut carry = u16::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            let sum = u16::from(*byte) * 10 + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
    }
    if negative {
        let last = bytes.iter().rposition(|byte| *byte != 0).expect("not zero");
        bytes[..last].iter_mut().for_each(|byte| *byte = !*byte);
        bytes[last] = bytes[last].wrapping_neg();
    }
    let fill = if negative { 0xff } else { 0 };
    while bytes.len() > 1 && bytes[0] == fill && (bytes[1] & 0x80 == 0x80) == negative {
        bytes.remove(0);
    }
    bytes
}

proptest! {
    #[test]
    fn decimals_in_every_mode((precision, scale, text) in decimal_case()) {
        let kind = ColumnKind::Decimal { precision, scale };
        let value = Value::Decimal(text.clone());
        let precise = base64(&two_complement(&text));
        assert!(readings(&kind, &precise, Rowfold) == Ok(vec![value.clone()]));
        assert!(readings(&kind, &precise, Debezium).is_ok_and(|found| found.contains(&value)));
        assert!(readings(&kind, &quoted(&text), Debezium).is_ok_and(|found| found.contains(&value)));
        let double = format!("{:?}", text.parse::<f64>().expect("a number"));
        let found = readings(&kind, &double, Debezium);
        assert!(if precision > 15 { found == Err(LOSSY_DECIMAL) } else { found == Ok(vec![value]) });
    }

    #[test]
    fn integers_in_every_mode(number in any::<u64>()) {
        let kind = ColumnKind::Int { bits: 64, unsigned: true };
        let value = vec![Value::from_u64(number)];
        assert!(readings(&kind, &number.to_string(), Rowfold) == Ok(value.clone()));
        assert!(readings(&kind, &number.to_string(), Debezium) == Ok(value.clone()));
        assert!(readings(&kind, &(number as i64).to_string(), Debezium) == Ok(value.clone()));
        let precise = base64(&two_complement(&number.to_string()));
        assert!(readings(&kind, &precise, Debezium) == Ok(value.clone()));
        let bits = base64(&number.to_le_bytes());
        assert!(readings(&ColumnKind::Bit { length: 64 }, &bits, Debezium) == Ok(value));
        let signed = number as i64;
        let kind = ColumnKind::Int { bits: 64, unsigned: false };
        assert!(readings(&kind, &signed.to_string(), Debezium) == Ok(vec![Value::Int(signed)]));
    }

    #[test]
    fn floats(bits in any::<u64>()) {
        let (double, float) = (f64::from_bits(bits), f32::from_bits(bits as u32));
        prop_assume!(double.is_finite() && float.is_finite());
        assert!(readings(&ColumnKind::Double, &format!("{double:?}"), Debezium) == Ok(vec![Value::Double(bits)]));
        let value = vec![Value::Double(f64::from(float).to_bits())];
        assert!(readings(&ColumnKind::Float, &format!("{float:?}"), Debezium) == Ok(value.clone()));
        assert!(readings(&ColumnKind::Float, &format!("{:?}", f64::from(float)), Debezium) == Ok(value));
    }

    #[test]
    fn texts_in_every_mode(text in any::<String>()) {
        assert!(readings(&ColumnKind::Text, &quoted(&text), Debezium) == Ok(vec![Value::Text(text.clone())]));
        assert!(readings(&ColumnKind::Text, &quoted(&text), Rowfold) == Ok(vec![Value::Text(text)]));
    }

    #[test]
    fn bytes_in_every_mode(bytes in proptest::collection::vec(any::<u8>(), 0..12), stripped in 0usize..4) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut padded = bytes.clone();
        padded.resize(bytes.len() + stripped, 0);
        let fixed = ColumnKind::FixedBinary { length: padded.len() as u16 };
        for json in [base64(&bytes), quoted(&URL_SAFE.encode(&bytes)), quoted(&hex)] {
            let found = readings(&ColumnKind::Binary, &json, Debezium);
            assert!(found.is_ok_and(|found| found.contains(&Value::Bytes(bytes.clone()))));
            let found = readings(&fixed, &json, Debezium);
            assert!(found.is_ok_and(|found| found.contains(&Value::Bytes(padded.clone()))));
        }
        assert!(readings(&ColumnKind::Binary, &base64(&bytes), Rowfold) == Ok(vec![Value::Bytes(bytes)]));
    }

    #[test]
    fn moments_in_every_mode(seconds in -62_135_596_800i64..253_402_300_800, micros in 0u32..1_000_000, fsp in 0u8..=6) {
        prop_assume!(seconds != 0);
        let unit = 10u32.pow(6 - u32::from(fsp));
        let micros = micros / unit * unit;
        let civil = Civil::from_unix(seconds, micros);
        let value = Value::from_civil(civil);
        let us = seconds * 1_000_000 + i64::from(micros);
        let kind = ColumnKind::DateTime { fsp };
        let ours = if fsp <= 3 { us / 1000 } else { us };
        assert!(readings(&kind, &ours.to_string(), Rowfold) == Ok(vec![value.clone()]));
        let iso = quoted(&format!("{}Z", civil.datetime_text(fsp).replace(' ', "T")));
        let includes = |kind: &ColumnKind, json: &str| {
            let found = readings(kind, json, Debezium);
            found.is_ok_and(|found| found.contains(&value))
        };
        assert!(includes(&kind, &iso));
        assert!(includes(&ColumnKind::Timestamp { fsp }, &iso));
        let ours = readings(&ColumnKind::Timestamp { fsp }, &iso, Rowfold);
        assert!(ours == Ok(vec![value.clone()]));
        if fsp <= 3 {
            assert!(includes(&kind, &(us / 1000).to_string()));
        }
        // Where a number of microseconds may as well be one of milliseconds, something may be cut off.
        if fsp <= 3 || !CIVIL_US.contains(&us.saturating_mul(1000)) {
            assert!(includes(&kind, &us.to_string()));
            if let Some(ns) = us.checked_mul(1000) {
                assert!(includes(&kind, &ns.to_string()));
            }
        } else {
            assert!(readings(&kind, &us.to_string(), Debezium) == Err(LOSSY_TIME));
        }
    }

    #[test]
    fn cut_moments_are_never_taken_for_whole_ones(ms in -62_135_596_800_000i64..253_402_300_800_000, fsp in 4u8..=6) {
        let found = readings(&ColumnKind::DateTime { fsp }, &ms.to_string(), Debezium);
        assert!(found.is_err());
    }

    #[test]
    fn early_years_are_among_the_readings(year in 1u16..100, month in 1u8..=12, day in 1u8..=28) {
        let civil = Civil { year, month, day, ..Civil::default() };
        let adjusted = Civil { year: if year < 70 { year + 2000 } else { year + 1900 }, ..civil };
        prop_assume!(adjusted != Civil::from_unix(0, 0));
        let days = adjusted.unix_ms().expect("a date") / 86_400_000;
        let found = readings(&ColumnKind::Date, &days.to_string(), Debezium);
        assert!(found.is_ok_and(|found| found.contains(&Value::from_civil(civil))));
    }

    #[test]
    fn times_in_every_mode(us in -TIME_MAX_US..=TIME_MAX_US, fsp in 0u8..=6) {
        let unit = 10i64.pow(6 - u32::from(fsp));
        let us = us / unit * unit;
        prop_assume!(us != 0);
        let kind = ColumnKind::Time { fsp };
        let value = Value::Time(us);
        assert!(readings(&kind, &us.to_string(), Rowfold) == Ok(vec![value.clone()]));
        let includes = |json: &str| readings(&kind, json, Debezium).is_ok_and(|found| found.contains(&value));
        assert!(includes(&quoted(&mysql_time(us, fsp))));
        assert!(includes(&quoted(&format!("{}Z", mysql_time(us, fsp)))));
        if fsp <= 3 {
            assert!(includes(&(us / 1000).to_string()));
        }
        if fsp <= 3 || us.abs() > 3_020_399_000 {
            assert!(includes(&us.to_string()));
            assert!(includes(&(us * 1000).to_string()));
        }
    }

    #[test]
    fn nothing_panics(json in "[-0-9a-z+/=.:TZ\"\\\\é]{0,24}", fsp in 0u8..=6, scale in 0u8..=30) {
        for kind in [
            ColumnKind::Int { bits: 64, unsigned: true },
            ColumnKind::Year,
            ColumnKind::Decimal { precision: 65, scale },
            ColumnKind::Double,
            ColumnKind::Bit { length: 64 },
            ColumnKind::Text,
            ColumnKind::FixedBinary { length: 4 },
            ColumnKind::Date,
            ColumnKind::DateTime { fsp },
            ColumnKind::Timestamp { fsp },
            ColumnKind::Time { fsp },
        ] {
            for producer in [Rowfold, Debezium] {
                for json in [json.clone(), format!("\"{json}\"")] {
                    if let Ok(found) = readings(&kind, &json, producer) {
                        assert!(!found.is_empty() && (producer == Debezium || found.len() == 1));
                    }
                }
            }
        }
    }
}
