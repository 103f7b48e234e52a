//! Distinct keys give distinct `_id`s, whatever their columns hold and whatever options these have; also keys that only an
//! event could bring: wider or finer than the root's column.

use bson::Bson;
use proptest::prelude::*;

use super::*;
use crate::model::address::{inet4_text, inet6_text};
use crate::model::plan::{NodeColumn, NodePlan, Shape, WriteAs, ZeroDates};
use crate::model::row::decimal_text;
use crate::model::schema::TableName;

/// One column of a key: what it holds, its options, and how two rows differ in it.
#[derive(Clone, Debug)]
struct Part {
    kind: ColumnKind,
    zone: Zone,
    write: WriteAs,
    values: [Value; 2],
}

fn plan(parts: &[Part]) -> ProjectionPlan {
    let column = |(at, part): (usize, &Part)| NodeColumn {
        sql: format!("`k{at}`"),
        kind: part.kind.clone(),
        field: Some(format!("k{at}")),
        write: part.write.clone(),
    };
    let id = |(position, part): (usize, &Part)| IdColumn {
        position,
        column: format!("k{position}"),
        field: format!("k{position}"),
        zone: part.zone.clone(),
    };
    let root = NodePlan {
        table: TableName::new("shop", "order"),
        parent: None,
        field: String::new(),
        shape: Shape::Root,
        columns: parts.iter().enumerate().map(column).collect(),
        join: None,
        filter: None,
        order_by: vec![],
        omit_nulls: false,
    };
    ProjectionPlan {
        collection: "orders".into(),
        nodes: vec![root],
        id: parts.iter().enumerate().map(id).collect(),
        indexes: vec![],
        mapping: String::new(),
    }
}

fn key(parts: &[Part], row: usize) -> Key {
    Key(parts.iter().map(|part| part.values[row].clone()).collect())
}

/// A value as MongoDB compares it: whole numbers by their value, whatever their width.
fn compared(value: &Bson) -> String {
    match value {
        Bson::Int32(number) => format!("number {number}"),
        Bson::Int64(number) => format!("number {number}"),
        Bson::Document(parts) => parts.iter().map(|(name, part)| format!("{name}={} ", compared(part))).collect(),
        other => format!("{other:?}"),
    }
}

fn id_of(parts: &[Part], row: usize) -> String {
    let bytes = id_document(&plan(parts), &key(parts, row));
    let document = bson::Document::from_reader(&bytes[..]).expect("valid BSON");
    compared(document.get("_id").expect("an _id"))
}

/// Two of something that are often equal or near.
fn two<T: Clone + std::fmt::Debug + 'static>(one: impl Strategy<Value = T> + Clone + 'static) -> BoxedStrategy<[T; 2]> {
    prop_oneof![(one.clone(), one.clone()).prop_map(|(a, b)| [a, b]), one.prop_map(|a| [a.clone(), a])].boxed()
}

fn civil(fsp: Option<u8>) -> impl Strategy<Value = Value> + Clone {
    let micros = prop_oneof![0u32..3000, Just(0), Just(999_999)];
    // Around a clock change in Berlin too: 02:30 comes twice on 2024-10-27, and not at all on 2024-03-31.
    let days =
        prop_oneof![(2023u16..2026, 0u8..4, 0u8..32), Just((2024, 10, 27)), Just((2024, 3, 31)), Just((0, 0, 0))];
    (days, 0u8..4, prop_oneof![Just(0u8), Just(30)], micros).prop_map(
        move |((year, month, day), hour, minute, micros)| {
            let unit = fsp.map_or(1, |fsp| 10u32.pow(6 - u32::from(fsp)));
            Value::from_civil(Civil { year, month, day, hour, minute, second: 0, micros: micros / unit * unit })
        },
    )
}

fn zones() -> impl Strategy<Value = Zone> {
    prop_oneof![Just(Zone::Utc), Just(Zone::Offset(90)), Just(Zone::Named("Europe/Berlin".into()))]
}

fn all(kind: ColumnKind, values: BoxedStrategy<[Value; 2]>) -> BoxedStrategy<(ColumnKind, [Value; 2])> {
    values.prop_map(move |values| (kind.clone(), values)).boxed()
}

fn moments() -> impl Strategy<Value = (ColumnKind, [Value; 2])> {
    (0u8..7, any::<bool>(), any::<bool>()).prop_flat_map(|(fsp, stamp, finer)| {
        let kind = if stamp { ColumnKind::Timestamp { fsp } } else { ColumnKind::DateTime { fsp } };
        all(kind, two(civil(if finer { None } else { Some(fsp) })))
    })
}

/// Every kind that can be a key, with two of its values.
fn kinds() -> BoxedStrategy<(ColumnKind, [Value; 2])> {
    fn bytes(length: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> + Clone {
        proptest::collection::vec(0u8..3, length)
    }
    let near = || prop_oneof![any::<i8>().prop_map(i64::from), (-3i64..3).prop_map(|n| (1 << 32) + n), any::<i64>()];
    let unsigned = || prop_oneof![any::<u8>().prop_map(u64::from), any::<u64>(), Just(u64::MAX), Just(1 << 63)];
    let labels = || vec!["a".to_string(), "b".into(), "A".into()];
    let int = |bits, unsigned| ColumnKind::Int { bits, unsigned };
    let signed_int = (prop_oneof![Just(8u8), Just(16), Just(24), Just(32), Just(64)], two(near().prop_map(Value::Int)))
        .prop_map(move |(bits, values)| (int(bits, false), values));
    let unsigned_int =
        (prop_oneof![Just(8u8), Just(24), Just(32), Just(64)], two(unsigned().prop_map(Value::from_u64)))
            .prop_map(move |(bits, values)| (int(bits, true), values));
    let decimals = (1u8..=38, 0u8..=4).prop_flat_map(|(precision, scale)| {
        let size = 10i128.pow(u32::from(precision));
        let value = (-size + 1..size).prop_map(move |digits| Value::Decimal(decimal_text(digits, scale)));
        let scale = scale.min(precision);
        two(value).prop_map(move |values| (ColumnKind::Decimal { precision, scale }, values))
    });
    let doubles = any::<f64>().prop_filter("zero has two signs and one place", |n| n.is_finite() && *n != 0.0);
    let floats = any::<f32>().prop_filter("zero has two signs and one place", |n| n.is_finite() && *n != 0.0);
    let bits = (1u8..=64, two(unsigned().prop_map(Value::from_u64)))
        .prop_map(|(length, values)| (ColumnKind::Bit { length }, values));
    let times = (0u8..7, two((-5_000_000i64..5_000_000).prop_map(Value::Time)))
        .prop_map(|(fsp, values)| (ColumnKind::Time { fsp }, values));
    let uuid = bytes(16).prop_map(Value::Bytes);
    let inet4 = proptest::array::uniform4(0u8..3).prop_map(|bytes| Value::Text(inet4_text(bytes)));
    let inet6 = proptest::array::uniform16(0u8..2).prop_map(|bytes| Value::Text(inet6_text(bytes)));
    prop_oneof![
        signed_int,
        unsigned_int,
        all(ColumnKind::Year, two((0i64..3000).prop_map(Value::Int))),
        decimals,
        all(ColumnKind::Double, two(doubles.prop_map(|n| Value::Double(n.to_bits())))),
        all(ColumnKind::Float, two(floats.prop_map(|n| Value::Double(f64::from(n).to_bits())))),
        bits,
        all(ColumnKind::Text, two("[aAä \\x00]{0,3}".prop_map(Value::Text))),
        all(ColumnKind::Enum(labels()), two("[abA]?".prop_map(Value::Text))),
        all(ColumnKind::Set(labels()), two("(a|b|a,b|a,A)?".prop_map(Value::Text))),
        all(ColumnKind::Binary, two(bytes(0..3).prop_map(Value::Bytes))),
        all(ColumnKind::FixedBinary { length: 16 }, two(bytes(16).prop_map(Value::Bytes))),
        all(ColumnKind::Uuid, two(uuid)),
        all(ColumnKind::Inet4, two(inet4)),
        all(ColumnKind::Inet6, two(inet6)),
        all(ColumnKind::Date, two(civil(None))),
        moments(),
        times,
    ]
    .boxed()
}

fn options() -> impl Strategy<Value = WriteAs> {
    let zero_dates = prop_oneof![Just(ZeroDates::Null), Just(ZeroDates::Text), Just(ZeroDates::Park)];
    prop_oneof![
        Just(WriteAs::Plain),
        Just(WriteAs::Bool),
        Just(WriteAs::Text),
        Just(WriteAs::Double),
        Just(WriteAs::Uuid),
        (zones(), zero_dates).prop_map(|(zone, zero_dates)| WriteAs::Moment { zone, zero_dates }),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    (kinds(), zones(), options()).prop_map(|((kind, values), zone, write)| Part { kind, zone, write, values })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn distinct_keys_have_distinct_ids(parts in proptest::collection::vec(part(), 1..4)) {
        let (a, b) = (key(&parts, 0), key(&parts, 1));
        let bytes = |key: &Key| id_document(&plan(&parts), key);
        prop_assert_eq!(a == b, bytes(&a) == bytes(&b));
        prop_assert_eq!(a == b, id_of(&parts, 0) == id_of(&parts, 1));
        // Said once more, with no option at all: `_id` depends on none but the zone.
        let plain: Vec<Part> = parts.iter().cloned().map(|part| Part { write: WriteAs::Plain, ..part }).collect();
        prop_assert_eq!(bytes(&a), id_document(&plan(&plain), &a));
    }

    /// Two local times that are one instant are two keys.
    #[test]
    fn distinct_moments_have_distinct_ids((kind, values) in moments(), zone in zones()) {
        let [a, b] = values.clone();
        let parts = [Part { kind, zone, write: WriteAs::Plain, values }];
        prop_assert_eq!(a == b, id_of(&parts, 0) == id_of(&parts, 1));
    }
}

fn one(kind: ColumnKind, zone: Zone, value: Value) -> Bson {
    let part = Part { kind, zone, write: WriteAs::Plain, values: [value.clone(), value] };
    let bytes = id_document(&plan(std::slice::from_ref(&part)), &key(&[part], 0));
    bson::Document::from_reader(&bytes[..]).expect("valid BSON").get("_id").expect("an _id").clone()
}

#[test]
fn a_key_wider_than_its_column_is_nobody_elses() {
    let int = || ColumnKind::Int { bits: 32, unsigned: false };
    let id = |number| one(int(), Zone::Utc, Value::Int(number));
    assert_ne!(compared(&id(4_294_967_301)), compared(&id(5)));
    let bit = |number| one(ColumnKind::Bit { length: 1 }, Zone::Utc, Value::Int(number));
    assert_eq!((bit(0), bit(1), bit(2)), (Bson::Boolean(false), Bson::Boolean(true), Bson::Int64(2)));
}

#[test]
fn ids_have_the_type_of_their_column() {
    let at = |micros| Value::from_civil(Civil { year: 2024, month: 7, day: 3, hour: 12, minute: 0, second: 0, micros });
    let noon = 1_720_008_000_000;
    let date = |ms| Bson::DateTime(bson::DateTime::from_millis(ms));
    let moment = |fsp| ColumnKind::DateTime { fsp };
    let berlin = || Zone::Named("Europe/Berlin".into());
    assert_eq!(one(moment(3), Zone::Utc, at(5000)), date(noon + 5));
    assert_eq!(one(moment(0), Zone::Offset(120), at(0)), date(noon - 7_200_000));
    assert_eq!(one(moment(0), berlin(), at(0)), "2024-07-03 12:00:00".into());
    assert_eq!(one(ColumnKind::Timestamp { fsp: 0 }, berlin(), at(0)), date(noon));
    assert_eq!(one(moment(6), Zone::Utc, at(0)), "2024-07-03 12:00:00.000000".into());
    assert_eq!(one(moment(0), Zone::Utc, Value::from_civil(Civil::default())), "0000-00-00 00:00:00".into());
    assert_eq!(one(ColumnKind::Date, Zone::Utc, Value::from_civil(Civil::default())), "0000-00-00".into());
    assert_eq!(one(ColumnKind::Time { fsp: 1 }, Zone::Utc, Value::Time(-100_000)), "-00:00:00.1".into());
    assert_eq!(one(ColumnKind::Set(vec![]), Zone::Utc, Value::Text("a,b".into())), "a,b".into());
    let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![7; 16] };
    assert_eq!(one(ColumnKind::Uuid, Zone::Utc, Value::Bytes(vec![7; 16])), Bson::Binary(uuid));
    let long = ColumnKind::Decimal { precision: 40, scale: 0 };
    assert_eq!(one(long, Zone::Utc, Value::Decimal("7".into())), "7".into());
    assert_eq!(one(ColumnKind::Inet6, Zone::Utc, Value::Text("::1".into())), "::1".into());
}
