//! Golden bytes of single values, as MySQL 9.7 wrote them or as its source defines them.

use super::*;

fn wire(code: u8, length: u32, extra: u8) -> WireType {
    WireType { code, length, extra }
}

fn read(kind: ColumnKind, wire: WireType, bytes: &[u8]) -> Value {
    let mut cursor = Cursor(bytes);
    let found = extent(wire, &mut cursor).expect("an extent");
    assert!(cursor.is_empty(), "all bytes belong to the value");
    let value = value(&kind, wire, Some(&Charset::Utf8), found).expect("a value");
    for cut in 0..bytes.len() {
        // Nothing that is missing leads to a panic.
        let mut cursor = Cursor(&bytes[..cut]);
        if let Ok(found) = extent(wire, &mut cursor) {
            let _ = super::value(&kind, wire, Some(&Charset::Utf8), found);
        }
    }
    value
}

#[test]
fn integers_are_extended_by_their_sign() {
    let int = |bits, unsigned| ColumnKind::Int { bits, unsigned };
    assert_eq!(read(int(24, false), wire(types::INT24, 0, 0), &[0xfb, 0xff, 0xff]), Value::Int(-5));
    assert_eq!(read(int(24, true), wire(types::INT24, 0, 0), &[0xfb, 0xff, 0xff]), Value::Int(0xff_fffb));
    assert_eq!(read(int(8, true), wire(types::TINY, 0, 0), &[255]), Value::Int(255));
    assert_eq!(read(int(8, false), wire(types::TINY, 0, 0), &[128]), Value::Int(-128));
    assert_eq!(read(int(64, true), wire(types::LONGLONG, 0, 0), &[255; 8]), Value::UInt(u64::MAX));
    assert_eq!(read(int(64, false), wire(types::LONGLONG, 0, 0), &[255; 8]), Value::Int(-1));
    assert_eq!(read(ColumnKind::Year, wire(types::YEAR, 0, 0), &[0]), Value::Int(0));
    assert_eq!(read(ColumnKind::Year, wire(types::YEAR, 0, 0), &[255]), Value::Int(2155));
    assert_eq!(read(ColumnKind::Bit { length: 9 }, wire(types::BIT, 9, 0), &[1, 0xf4]), Value::Int(500));
}

#[test]
fn times_below_zero_keep_their_fraction() {
    let time = |fsp: u8, bytes: &[u8]| read(ColumnKind::Time { fsp }, wire(types::TIME2, fsp.into(), 0), bytes);
    let micros =
        |hours: i64, minutes: i64, seconds: i64, rest: i64| ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + rest;
    // -00:00:00.1, the example in MySQL's my_time.cc: 7FFFFF.F6
    assert_eq!(time(1, &[0x7f, 0xff, 0xff, 0xf6]), Value::Time(-100_000));
    assert_eq!(time(2, &[0x7f, 0xff, 0xff, 0xff]), Value::Time(-10_000));
    assert_eq!(time(2, &[0x7f, 0xff, 0xfe, 0x00]), Value::Time(-2_000_000));
    assert_eq!(time(0, &[0x80, 0x10, 0x83]), Value::Time(micros(1, 2, 3, 0)));
    assert_eq!(time(6, &[0x80, 0x10, 0x83, 0, 0, 1]), Value::Time(micros(1, 2, 3, 1)));
    // -838:59:59
    assert_eq!(time(0, &[0x4b, 0x91, 0x05]), Value::Time(-micros(838, 59, 59, 0)));
}

#[test]
fn dates_keep_what_is_impossible() {
    let day = |year, month, day| Civil { year, month, day, ..Civil::default() };
    let date = |packed: u32| read(ColumnKind::Date, wire(types::DATE, 0, 0), &packed.to_le_bytes()[..3]);
    assert_eq!(date(2024 << 9 | 2 << 5 | 30), Value::from_civil(day(2024, 2, 30)));
    assert_eq!(date(0), Value::from_civil(Civil::default()));
    let moment = Civil { hour: 12, minute: 34, second: 56, micros: 780_000, ..day(2024, 2, 29) };
    let packed = 0x80_0000_0000u64 | ((2024 * 13 + 2) << 5 | 29) << 17 | 12 << 12 | 34 << 6 | 56;
    let mut bytes = packed.to_be_bytes()[3..].to_vec();
    bytes.push(78);
    assert_eq!(read(ColumnKind::DateTime { fsp: 2 }, wire(types::DATETIME2, 2, 0), &bytes), Value::from_civil(moment));
    let stamp = |bytes: &[u8]| read(ColumnKind::Timestamp { fsp: 3 }, wire(types::TIMESTAMP2, 3, 0), bytes);
    assert_eq!(stamp(&[0, 0, 0, 0, 0, 0]), Value::from_civil(Civil::default()));
    assert_eq!(stamp(&[0, 0, 0, 1, 0x1e, 0xd2]), Value::from_civil(Civil::from_unix(1, 789_000)));
}

#[test]
fn decimals_print_like_mysql() {
    let decimal = |precision: u8, scale: u8, bytes: &[u8]| {
        read(ColumnKind::Decimal { precision, scale }, wire(types::NEWDECIMAL, precision.into(), scale), bytes)
    };
    // The example in MySQL's decimal.cc: 1234567890.1234 as DECIMAL(14,4).
    let example = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
    assert_eq!(decimal(14, 4, &example), Value::Decimal("1234567890.1234".into()));
    let negative: Vec<u8> = example.iter().map(|byte| !byte).collect();
    assert_eq!(decimal(14, 4, &negative), Value::Decimal("-1234567890.1234".into()));
    assert_eq!(decimal(5, 2, &[0x80, 0x00, 0x05]), Value::Decimal("0.05".into()));
    assert_eq!(decimal(5, 2, &[0x7f, 0xff, 0xfa]), Value::Decimal("-0.05".into()));
    assert_eq!(decimal(3, 0, &[0x80, 0x00]), Value::Decimal("0".into()));
    assert_eq!(decimal(2, 2, &[0x8c]), Value::Decimal("0.12".into()));
}

#[test]
fn strings_have_lengths_labels_and_padding() {
    let text = |code, length, bytes: &[u8]| read(ColumnKind::Text, wire(code, length, 0), bytes);
    assert_eq!(text(types::VARCHAR, 255, &[2, b'a', b'b']), Value::Text("ab".into()));
    assert_eq!(text(types::VARCHAR, 256, &[2, 0, b'a', b'b']), Value::Text("ab".into()));
    assert_eq!(text(types::STRING, 508, &[1, 0, b'x']), Value::Text("x".into()));
    assert_eq!(read(ColumnKind::Text, wire(types::BLOB, 0, 2), &[1, 0, b'x']), Value::Text("x".into()));
    let binary = ColumnKind::FixedBinary { length: 4 };
    assert_eq!(read(binary, wire(types::STRING, 4, 0), &[2, 7, 8]), Value::Bytes(vec![7, 8, 0, 0]));
    let labels = vec!["a".to_string(), "b".into()];
    let label = |number| read(ColumnKind::Enum(labels.clone()), wire(types::ENUM, 1, 0), &[number]);
    assert_eq!((label(2), label(0)), (Value::Text("b".into()), Value::Text(String::new())));
    assert_eq!(read(ColumnKind::Set(labels.clone()), wire(types::SET, 1, 0), &[3]), Value::Text("a,b".into()));
    let unknown = value(&ColumnKind::Enum(labels.clone()), wire(types::ENUM, 1, 0), None, &[3]);
    assert_eq!(unknown, Err(BadValue::Label));
    assert_eq!(value(&ColumnKind::Year, wire(types::LONG, 0, 0), None, &[0; 4]), Err(BadValue::Type));
    assert_eq!(value(&ColumnKind::Text, wire(types::VARCHAR, 9, 0), Some(&Charset::Utf8), &[255]), Err(BadValue::Text));
}

#[test]
fn types_of_mariadb_and_places() {
    let bytes = |kind, wire, bytes: &[u8]| match read(kind, wire, bytes) {
        Value::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    // Rows of MariaDB 11.8: a UUID of version 4, whose stored bytes have another order, and one that ends in zeros.
    let uuid = [0x98, 0x36, 0x4a, 0x2c, 0xd1, 0xd3, 0x4b, 0x5d, 0x8f, 0x13, 0x7e, 0x8c, 0xd7, 0xb9, 0xfa, 0xe1];
    assert_eq!(bytes(ColumnKind::Uuid, wire(types::STRING, 16, 0), &[&[16][..], &uuid].concat()), uuid);
    assert_eq!(bytes(ColumnKind::Uuid, wire(types::STRING, 16, 0), &[1, 9])[..2], [9, 0]);
    assert_eq!(bytes(ColumnKind::Uuid, wire(types::STRING, 16, 0), &[0]), [0; 16]);
    let text = |kind, length, bytes: &[u8]| read(kind, wire(types::STRING, length, 0), bytes);
    assert_eq!(text(ColumnKind::Inet4, 4, &[2, 1, 2]), Value::Text("1.2.0.0".into()));
    assert_eq!(text(ColumnKind::Inet6, 16, &[4, 0x20, 1, 0xd, 0xb8]), Value::Text("2001:db8::".into()));
    assert_eq!(text(ColumnKind::Inet6, 16, &[0]), Value::Text("::".into()));
    let long = value(&ColumnKind::Inet4, wire(types::STRING, 4, 0), None, &[1; 5]);
    assert_eq!(long, Err(BadValue::Type));
    let vector = [0, 0, 0x80, 0x3f, 0, 0, 0x20, 0x40];
    assert_eq!(bytes(ColumnKind::Vector, wire(types::VARCHAR, 8, 0), &[&[8][..], &vector].concat()), vector);
    assert_eq!(bytes(ColumnKind::Vector, wire(types::VECTOR, 0, 4), &[&[8, 0, 0, 0][..], &vector].concat()), vector);
    let place = [0xe6, 0x10, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(bytes(ColumnKind::Geometry, wire(types::GEOMETRY, 0, 4), &[&[13, 0, 0, 0][..], &place].concat()), place);
}
