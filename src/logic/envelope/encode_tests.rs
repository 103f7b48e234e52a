//! What entries say, read back by a decoder of the tests' own.

use std::collections::BTreeMap;

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::model::position::GtidSource;
use crate::model::schema::{Column, Index};

fn int(unsigned: bool) -> ColumnKind {
    ColumnKind::Int { bits: 64, unsigned }
}

fn column(name: &str, kind: ColumnKind) -> Column {
    Column { name: name.into(), kind, nullable: true, collation: None, length_max: None, declared: String::new() }
}

fn table(columns: Vec<Column>, key: Option<Vec<usize>>) -> Table {
    let primary = |columns| Index { name: "PRIMARY".into(), columns, unique: true };
    Table {
        name: TableName::new("shop", "t\"x"),
        columns,
        indexes: key.map(primary).into_iter().collect(),
        foreign_keys: Vec::new(),
        engine: "InnoDB".into(),
        rows_estimate: 0,
        row_bytes_estimate: 0,
    }
}

fn image(values: &[Option<Value>]) -> Image {
    Image(values.iter().map(|value| value.clone().map_or(Cell::Absent, Cell::Value)).collect())
}

fn told(table: &Table, before: Option<Image>, after: Option<Image>) -> Vec<(String, String)> {
    let gtid = Gtid { source: GtidSource::Server { uuid: 7, tag: "blue".into() }, number: 9 };
    let origin =
        Origin { file: "log.000003".into(), server_id: 5, thread: None, committed_unix_us: 1_700_000_000_123_456 };
    let change = RowChange { table: 0, before, after, spot: Spot { pos: 5_000_000_000, row: 2 } };
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let made = entries("cdc", table, &gtid, &origin, &change, 1_700_000_000_999);
    made.into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

#[test]
fn an_envelope_as_a_whole() {
    let columns = vec![column("a\"b", int(false)), column("n", ColumnKind::Text)];
    let told = told(&table(columns, Some(vec![0])), None, Some(image(&[Some(Value::Int(-3)), Some(Value::Null)])));
    let expected = format!(
        "{{\"before\":null,\"after\":{{\"a\\\"b\":-3,\"n\":null}},\"source\":{{\"version\":\"{VERSION}\",\"connector\":\"mysql\",\
         \"name\":\"cdc\",\"ts_ms\":1700000000123,\"snapshot\":\"false\",\"db\":\"shop\",\"sequence\":null,\
         \"ts_us\":1700000000123456,\"ts_ns\":1700000000123456000,\"table\":\"t\\\"x\",\"server_id\":5,\
         \"gtid\":\"00000000-0000-0000-0000-000000000007:blue:9\",\"file\":\"log.000003\",\"pos\":5000000000,\"row\":2,\
         \"thread\":null,\"query\":null}},\"transaction\":null,\"op\":\"c\",\"ts_ms\":1700000000999,\
         \"ts_us\":1700000000999000,\"ts_ns\":1700000000999000000}}"
    );
    assert_eq!(told, [("{\"a\\\"b\":-3}".to_string(), expected)]);
}

fn field(value: &str, name: &str) -> String {
    let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(value).expect("an object");
    object.get(name).map(|raw| raw.get().to_string()).unwrap_or_default()
}

#[test]
fn a_changed_key_is_a_row_less_and_a_row_more() {
    let columns = vec![column("v", int(false)), column("k", ColumnKind::Text)];
    let keyed = table(columns.clone(), Some(vec![1]));
    let row = |v: i64, k: &str| Some(image(&[Some(Value::Int(v)), Some(Value::Text(k.into()))]));
    let shape = |entries: &[(String, String)]| -> Vec<String> {
        let op = |value: &str| if value == "default" { value.to_string() } else { field(value, "op") };
        entries.iter().map(|(key, value)| format!("{key} {}", op(value))).collect()
    };
    let changed = told(&keyed, row(1, "a"), row(1, "A"));
    assert_eq!(shape(&changed), ["{\"k\":\"a\"} \"d\"", "{\"k\":\"a\"} default", "{\"k\":\"A\"} \"c\""]);
    assert_eq!((field(&changed[0].1, "after"), field(&changed[2].1, "before")), ("null".into(), "null".into()));
    assert_eq!(shape(&told(&keyed, row(1, "a"), row(2, "a"))), ["{\"k\":\"a\"} \"u\""]);
    assert_eq!(shape(&told(&keyed, row(1, "a"), None)), ["{\"k\":\"a\"} \"d\"", "{\"k\":\"a\"} default"]);
    // An image of what was changed only.
    let told_partly = told(&keyed, row(1, "a"), Some(image(&[Some(Value::Int(2)), None])));
    assert_eq!(shape(&told_partly), ["{\"k\":\"a\"} \"u\""]);
    assert_eq!(field(&told_partly[0].1, "after"), "{\"v\":2}");
    let keyless = table(columns, None);
    assert_eq!(shape(&told(&keyless, row(1, "a"), None)), ["default \"d\"", "default default"]);
    assert_eq!(shape(&told(&keyless, row(1, "a"), row(1, "b"))), ["default \"u\""]);
}

#[test]
fn changes_without_rows() {
    let gtid = Gtid { source: GtidSource::Server { uuid: 7, tag: String::new() }, number: 9 };
    let (name, spot) = (TableName::new("d", "t"), Spot { pos: 4, row: 0 });
    let made = |what| {
        let (key, value) = unlogged("cdc", &name, &gtid, &Origin::default(), spot, what, 1);
        assert_eq!(key, b"default");
        let value = String::from_utf8(value).expect("UTF-8");
        assert_eq!((field(&value, "before"), field(&value, "after")), ("null".into(), "null".into()));
        (field(&value, "op"), field(&value, "message"))
    };
    assert_eq!(made(Unlogged::Rows), ("\"t\"".into(), String::new()));
    for (what, word) in [
        (Unlogged::Definition, "definition"),
        (Unlogged::UsedColumns, "used_columns"),
        (Unlogged::Statement, "statement"),
    ] {
        let message = format!("{{\"prefix\":\"rowfold\",\"content\":\"{word}\"}}");
        assert_eq!(made(what), ("\"m\"".into(), message));
    }
}

/// The text of one value.
fn text_of(kind: ColumnKind, value: Value) -> String {
    let told = told(&table(vec![column("c", kind)], None), None, Some(image(&[Some(value)])));
    let after = field(&told[0].1, "after");
    field(&after, "c")
}

#[test]
fn values_of_every_type() {
    let civil = |year, month, day, micros| Value::from_civil(Civil { year, month, day, micros, ..Civil::default() });
    let point = [&[0xe6, 0x10, 0, 0][..], &[1, 1, 0, 0, 0], &127f64.to_le_bytes(), &37.5f64.to_le_bytes()].concat();
    let line = [&[0, 0, 0, 0][..], &[1, 2, 0, 0, 0, 0, 0, 0, 0]].concat();
    let stamp = ColumnKind::Timestamp { fsp: 2 };
    let cases = [
        (int(true), Value::UInt(u64::MAX), "18446744073709551615"),
        (ColumnKind::Decimal { precision: 12, scale: 2 }, Value::Decimal("10.50".into()), "\"BBo=\""),
        (ColumnKind::Decimal { precision: 12, scale: 2 }, Value::Decimal("-0.01".into()), "\"/w==\""),
        (ColumnKind::Decimal { precision: 9, scale: 0 }, Value::Decimal("128".into()), "\"AIA=\""),
        (ColumnKind::Decimal { precision: 9, scale: 0 }, Value::Decimal("-128".into()), "\"gA==\""),
        (ColumnKind::Decimal { precision: 9, scale: 0 }, Value::Decimal("0".into()), "\"AA==\""),
        (ColumnKind::Decimal { precision: 9, scale: 1 }, Value::Decimal("12".into()), ""),
        (ColumnKind::Float, Value::Double(f64::from(0.1f32).to_bits()), "0.1"),
        (ColumnKind::Double, Value::Double(1e308f64.to_bits()), "1e308"),
        (ColumnKind::Double, Value::Double((-0.0f64).to_bits()), "-0.0"),
        (ColumnKind::Double, Value::Double(f64::NAN.to_bits()), ""),
        (ColumnKind::Bit { length: 1 }, Value::Int(1), "true"),
        (ColumnKind::Bit { length: 1 }, Value::Int(2), ""),
        (ColumnKind::Bit { length: 64 }, Value::UInt(1 << 63 | 1), "\"AQAAAAAAAIA=\""),
        (ColumnKind::Bit { length: 9 }, Value::Int(256), "\"AAE=\""),
        (ColumnKind::Text, Value::Text("a\"\\\n\u{1}ö😀".into()), "\"a\\\"\\\\\\n\\u0001ö😀\""),
        (ColumnKind::Text, Value::Int(1), ""),
        (ColumnKind::Binary, Value::Bytes(vec![0, 255, 16]), "\"AP8Q\""),
        (ColumnKind::Date, civil(1990, 2, 28, 0), "7363"),
        (ColumnKind::Date, civil(0, 0, 0, 0), "\"0000-00-00\""),
        (ColumnKind::Date, civil(2024, 2, 30, 0), "\"2024-02-30\""),
        (ColumnKind::DateTime { fsp: 3 }, civil(1000, 1, 1, 0), "-30610224000000"),
        (ColumnKind::DateTime { fsp: 3 }, civil(2024, 0, 0, 5000), "\"2024-00-00 00:00:00.005\""),
        (ColumnKind::DateTime { fsp: 0 }, civil(2024, 1, 1, 5), ""),
        (ColumnKind::DateTime { fsp: 6 }, civil(1969, 12, 31, 1), "-86399999999"),
        (stamp.clone(), civil(2020, 1, 2, 50_000), "\"2020-01-02T00:00:00.05Z\""),
        (stamp, civil(0, 0, 0, 0), "\"0000-00-00 00:00:00.00\""),
        (ColumnKind::Time { fsp: 6 }, Value::Time(-3_020_399_000_001), "-3020399000001"),
        (
            ColumnKind::Other("point".into()),
            Value::Bytes(point),
            "{\"x\":127.0,\"y\":37.5,\"wkb\":\"AQEAAAAAAAAAAMBfQAAAAAAAwEJA\",\"srid\":4326}",
        ),
        (ColumnKind::Other("linestring".into()), Value::Bytes(line), "{\"wkb\":\"AQIAAAAAAAAA\",\"srid\":null}"),
        (ColumnKind::Other("vector".into()), Value::Bytes(vec![1]), "\"AQ==\""),
    ];
    for (kind, value, expected) in cases {
        assert_eq!(text_of(kind.clone(), value), expected, "{kind:?}");
    }
}

/// Kinds of column that can be a key or joined by, each with one of its values.
fn keys() -> impl Strategy<Value = (ColumnKind, Value)> {
    let civil = (0u16..10_000, 0u8..13, 0u8..32, 0u8..24, 0u8..60, 0u8..60, 0u32..1_000_000);
    let at = move |fsp: u8| {
        civil.clone().prop_map(move |(year, month, day, hour, minute, second, micros)| {
            let unit = 10u32.pow(6 - u32::from(fsp));
            Civil { year, month, day, hour, minute, second, micros: micros / unit * unit }
        })
    };
    let moments = (0u8..7).prop_flat_map(move |fsp| {
        prop_oneof![
            at(fsp).prop_map(move |civil| (ColumnKind::DateTime { fsp }, Value::from_civil(civil))),
            at(fsp).prop_map(move |civil| (ColumnKind::Timestamp { fsp }, Value::from_civil(civil))),
            at(0)
                .prop_map(|civil| Civil { hour: 0, minute: 0, second: 0, ..civil })
                .prop_map(|civil| (ColumnKind::Date, Value::from_civil(civil))),
        ]
    });
    let decimals = (1u8..=65).prop_flat_map(|precision| (Just(precision), 0..=precision.min(30))).prop_flat_map(
        |(precision, scale)| {
            let digits = proptest::collection::vec(0u8..10, usize::from(precision));
            (any::<bool>(), digits).prop_map(move |(negative, digits)| {
                let digits: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
                let (left, right) = digits.split_at(usize::from(precision - scale));
                let left = Some(left.trim_start_matches('0')).filter(|left| !left.is_empty()).unwrap_or("0");
                let zero = (left.bytes().chain(right.bytes())).all(|digit| digit == b'0');
                let sign = if negative && !zero { "-" } else { "" };
                let text = if scale == 0 { format!("{sign}{left}") } else { format!("{sign}{left}.{right}") };
                (ColumnKind::Decimal { precision, scale }, Value::Decimal(text))
            })
        },
    );
    let bits = (1u8..=64, any::<u64>())
        .prop_map(|(length, bits)| (ColumnKind::Bit { length }, Value::from_u64(bits >> (64 - length))));
    let floats = prop_oneof![
        any::<u32>()
            .prop_map(f32::from_bits)
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| (ColumnKind::Float, Value::Double(f64::from(number).to_bits()))),
        any::<u64>()
            .prop_filter("finite", |bits| f64::from_bits(*bits).is_finite())
            .prop_map(|bits| (ColumnKind::Double, Value::Double(bits))),
    ];
    prop_oneof![
        any::<i64>().prop_map(|number| (int(false), Value::Int(number))),
        any::<u64>().prop_map(|number| (int(true), Value::from_u64(number))),
        (0i64..2156).prop_map(|year| (ColumnKind::Year, Value::Int(year))),
        proptest::collection::vec(any::<char>(), 0..20)
            .prop_map(|text| (ColumnKind::Text, Value::Text(text.into_iter().collect()))),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| (ColumnKind::Binary, Value::Bytes(bytes))),
        (-3_020_399_999_999i64..=3_020_399_999_999).prop_map(|us| (ColumnKind::Time { fsp: 6 }, Value::Time(us))),
        moments,
        decimals,
        bits,
        floats,
    ]
}

/// Reads a value back, by other means than it was written.
fn read(kind: &ColumnKind, text: &str) -> Value {
    let bytes = || BASE64.decode(text.trim_matches('"')).expect("base64");
    let number = || text.parse::<i64>().expect("a number");
    // `2024-01-31 10:00:00.5`, with any signs between.
    let civil = || {
        let parts: Vec<&str> = text.trim_matches('"').split(|c: char| !c.is_ascii_digit()).collect();
        let part = |at: usize| parts.get(at).and_then(|part| part.parse::<u16>().ok()).unwrap_or_default();
        let fraction = format!("{:0<6}", parts.get(6).copied().unwrap_or_default());
        Value::from_civil(Civil {
            year: part(0),
            month: part(1) as u8,
            day: part(2) as u8,
            hour: part(3) as u8,
            minute: part(4) as u8,
            second: part(5) as u8,
            micros: fraction.parse().expect("digits"),
        })
    };
    match kind {
        ColumnKind::Int { unsigned: true, .. } => Value::from_u64(text.parse().expect("a number")),
        ColumnKind::Int { .. } | ColumnKind::Year => Value::Int(number()),
        ColumnKind::Bit { length: 1 } => Value::Int(i64::from(text.parse::<bool>().expect("a bool"))),
        ColumnKind::Bit { .. } => {
            Value::from_u64(bytes().iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
        }
        ColumnKind::Float => Value::Double(f64::from(text.parse::<f32>().expect("a number")).to_bits()),
        ColumnKind::Double => Value::Double(text.parse::<f64>().expect("a number").to_bits()),
        ColumnKind::Text => Value::Text(serde_json::from_str(text).expect("a string")),
        ColumnKind::Binary => Value::Bytes(bytes()),
        ColumnKind::Time { .. } => Value::Time(number()),
        ColumnKind::Decimal { scale, .. } => Value::Decimal(decimal(&bytes(), usize::from(*scale))),
        _ if text.contains(['-', 'T']) && text.starts_with('"') => civil(),
        ColumnKind::Date => Value::from_civil(Civil::from_unix(number() * 86_400, 0)),
        ColumnKind::DateTime { fsp } => {
            let us = if *fsp <= 3 { number() * 1000 } else { number() };
            Value::from_civil(Civil::from_unix(us.div_euclid(1_000_000), us.rem_euclid(1_000_000) as u32))
        }
        other => panic!("{other:?}"),
    }
}

/// By long division of the bytes.
fn decimal(bytes: &[u8], scale: usize) -> String {
    let negative = bytes[0] >= 0x80;
    let mut size: Vec<u8> = bytes.iter().map(|byte| if negative { !byte } else { *byte }).collect();
    if negative {
        for byte in size.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
        if size.iter().all(|byte| *byte == 0) {
            size.insert(0, 1);
        }
    }
    let mut digits = Vec::new();
    while size.iter().any(|byte| *byte != 0) || digits.len() <= scale {
        let mut rest = 0u32;
        for byte in &mut size {
            let number = rest << 8 | u32::from(*byte);
            (*byte, rest) = ((number / 10) as u8, number % 10);
        }
        digits.push(char::from(b'0' + rest as u8));
    }
    let text: String = digits.into_iter().rev().collect();
    let (whole, fraction) = text.split_at(text.len() - scale);
    let sign = if negative { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn every_key_is_read_back_exactly((kind, value) in keys()) {
        let text = text_of(kind.clone(), value.clone());
        let again = read(&kind, &text);
        prop_assert!(again == value, "{:?} {}", kind, text);
    }
}
