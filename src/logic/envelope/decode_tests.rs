//! Entries: those that a real Debezium Server wrote, each form and each mistake.

use proptest::prelude::*;
use serde::Deserialize;

use super::Producer::{Debezium, Rowfold};
use super::*;
use crate::model::schema::{ColumnKind, TableName};
use crate::model::stream::EntryId;
use crate::model::time::Civil;

/// Entries of a real server: its defaults; DECIMAL and dates as texts, bigint precise, with transaction metadata; `extended`
/// with `schemas.enable`.
pub(in super::super) const FIXTURES: [&str; 3] = [
    include_str!("fixtures/compact-defaults.jsonl"),
    include_str!("fixtures/compact-string-modes.jsonl"),
    include_str!("fixtures/extended-schemas.jsonl"),
];

#[derive(Deserialize)]
struct Line {
    stream: String,
    id: String,
    fields: Vec<(String, String)>,
}

/// The entries of a stream in a fixture.
pub(in super::super) fn entries(fixture: &str, stream: &str) -> Vec<RawEntry> {
    let lines = fixture.lines().map(|line| serde_json::from_str::<Line>(line).expect("a line"));
    let found = lines.filter(|line| line.stream == stream).map(|line| RawEntry {
        id: line.id.parse().expect("an ID"),
        fields: line.fields.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect(),
    });
    found.collect()
}

fn used(table: &str, columns: &[(&str, ColumnKind, bool)]) -> TableUse {
    let column = |(name, kind, routes): &(&str, ColumnKind, bool)| UsedColumn {
        name: name.to_string(),
        kind: kind.clone(),
        declared: String::new(),
        collation: None,
        routes: *routes,
    };
    TableUse { name: TableName::new("shop", table), columns: columns.iter().map(column).collect() }
}

fn int(bits: u8) -> ColumnKind {
    ColumnKind::Int { bits, unsigned: false }
}

fn order_line() -> TableUse {
    let columns =
        [("qty", int(32), false), ("region", int(16), true), ("no", int(64), true), ("sku", ColumnKind::Text, true)];
    used("order_line", &columns)
}

fn entry(value: &str) -> RawEntry {
    RawEntry { id: EntryId::ZERO, fields: vec![(b"{\"id\":1}".to_vec(), value.as_bytes().to_vec())] }
}

const GTID: &str = "318d0ad9-e56a-11f1-8b4f-02fc00000001";

/// The rows before and after, as text that tells values apart.
fn shown(decoded: &Decoded) -> Vec<String> {
    let Decoded::Changes { changes, .. } = decoded else { panic!("{decoded:?}") };
    let cell = |cell: &Cell| match cell {
        Cell::Value(Value::Int(number)) => number.to_string(),
        Cell::Value(Value::Text(text)) => text.clone(),
        Cell::Value(Value::Null) => "null".into(),
        Cell::Raw(bytes) => format!("raw {}", String::from_utf8_lossy(bytes)),
        Cell::Absent => "-".into(),
        Cell::Value(other) => panic!("{other:?}"),
    };
    let image = |image: &Option<Image>| match image {
        Some(image) => image.0.iter().map(cell).collect::<Vec<_>>().join(" "),
        None => "none".into(),
    };
    changes.iter().map(|change| format!("{} => {}", image(&change.before), image(&change.after))).collect()
}

#[test]
fn a_key_change_is_a_deletion_a_tombstone_and_an_insertion() {
    let decoded: Vec<Decoded> = entries(FIXTURES[0], "cdc.shop.order_line")
        .iter()
        .map(|entry| decode(entry, 3, &order_line(), Debezium))
        .filter(|decoded| match decoded {
            Decoded::Changes { gtid, .. } => gtid.number == 666,
            other => *other == Decoded::Tombstone,
        })
        .collect();
    let changes: Vec<&Decoded> = decoded.iter().filter(|decoded| **decoded != Decoded::Tombstone).collect();
    assert!(decoded.len() > changes.len());
    assert_eq!(shown(changes[0]), ["- -1 2 A-1 => none"]);
    assert_eq!(shown(changes[1]), ["none => - 2 5 A-1"]);
    let Decoded::Changes { gtid, changes, origin, spot } = changes[0] else { panic!("no change") };
    assert_eq!((gtid.to_string(), changes[0].table), (format!("{GTID}:666"), 3));
    assert_eq!((*spot, changes[0].spot), (Spot { pos: 104_026_009, row: 0 }, *spot));
    assert_eq!((origin.file.as_str(), origin.server_id, origin.thread), ("binlog.000001", 1, Some(469)));
    assert_eq!(origin.committed_unix_us, 1_795_241_079_550_960);
}

#[test]
fn an_update_counts_whatever_its_tokens_say() {
    let lines = entries(FIXTURES[0], "cdc.shop.order_line");
    let updates = lines.iter().map(|entry| decode(entry, 0, &order_line(), Debezium));
    let update = updates.filter_map(|decoded| match &decoded {
        Decoded::Changes { gtid, .. } if gtid.number == 664 => Some(shown(&decoded)),
        _ => None,
    });
    assert_eq!(update.collect::<Vec<_>>(), [["- -1 1 A-1 => none"], ["- -1 1 b-2 => none"]]);
    let moved = r#"{"op":"u","before":{"no":1,"region":1,"sku":"a","qty":1},"after":{"no":2,"region":1,"sku":"a","qty":1},
        "source":{"gtid":"318d0ad9-e56a-11f1-8b4f-02fc00000001:tag:7","snapshot":"false"}}"#;
    let decoded = decode(&entry(moved), 0, &order_line(), Debezium);
    assert_eq!(shown(&decoded), ["- 1 1 a => none", "- 1 2 a => none"]);
    assert_eq!(shown(&decode(&entry(moved), 0, &order_line(), Rowfold)), ["raw 1 1 1 a => raw 1 1 2 a"]);
    let null = moved.replace("\"qty\":1}", "\"qty\":null}");
    assert_eq!(shown(&decode(&entry(&null), 0, &order_line(), Rowfold)), ["null 1 1 a => null 1 2 a"]);
    let lacking = moved.replace(",\"qty\":1", "");
    assert_eq!(shown(&decode(&entry(&lacking), 0, &order_line(), Rowfold)), ["- 1 1 a => - 1 2 a"]);
    // The log may lack even a column that routes; `logic::routing` decides whether the image before makes up for it.
    let partial = moved.replace(r#""no":2,"region":1,"sku":"a","#, r#""no":2,"#);
    assert_eq!(shown(&decode(&entry(&partial), 0, &order_line(), Rowfold)), ["raw 1 1 1 a => raw 1 - 2 -"]);
}

/// Every kind of key in the customer of the fixtures, with its true value.
fn customer() -> (TableUse, Vec<Value>) {
    let (decimal, labels) = (
        |precision, scale| ColumnKind::Decimal { precision, scale },
        |labels: &[&str]| labels.iter().map(|label| label.to_string()).collect(),
    );
    let created = Civil { year: 2020, month: 1, day: 2, hour: 3, minute: 4, second: 5, micros: 678_000 };
    let big = "12345678901234567890123456789012345.123456789012345678901234567890";
    let columns = [
        ("id", ColumnKind::Int { bits: 32, unsigned: true }, Value::Int(1)),
        ("email", ColumnKind::Text, Value::Text("a@example.com".into())),
        ("tier", ColumnKind::Enum(labels(&["basic", "gold", ""])), Value::Text("gold".into())),
        ("flags", ColumnKind::Set(labels(&["news", "sms", "beta"])), Value::Text("news,beta".into())),
        ("credit", decimal(12, 2), Value::Decimal("10.51".into())),
        ("big", decimal(65, 30), Value::Decimal(big.into())),
        ("born", ColumnKind::Date, Value::from_civil(Civil { year: 1990, month: 2, day: 28, ..Civil::default() })),
        ("created", ColumnKind::DateTime { fsp: 3 }, Value::from_civil(created)),
        ("seen", ColumnKind::Timestamp { fsp: 6 }, Value::from_civil(Civil { micros: 678_901, ..created })),
        ("avatar", ColumnKind::Binary, Value::Bytes(vec![0, 255, 16])),
        ("active", ColumnKind::Bit { length: 1 }, Value::Int(0)),
        ("mask", ColumnKind::Bit { length: 64 }, Value::UInt(1 << 63 | 1)),
        ("huge", ColumnKind::Int { bits: 64, unsigned: true }, Value::UInt(u64::MAX)),
        ("ratio", ColumnKind::Double, Value::Double(1e308f64.to_bits())),
        ("f", ColumnKind::Float, Value::Double(1.5f64.to_bits())),
        ("since", ColumnKind::Year, Value::Int(2155)),
        ("bio", ColumnKind::Text, Value::Text("café".into())),
    ];
    let uses: Vec<(&str, ColumnKind, bool)> =
        columns.iter().map(|(name, kind, _)| (*name, kind.clone(), true)).collect();
    (used("customer", &uses), columns.into_iter().map(|(_, _, value)| value).collect())
}

#[test]
fn every_kind_of_key_is_exact_in_every_fixture() {
    let (table, truth) = customer();
    let truth = Image(truth.into_iter().map(Cell::Value).collect());
    for fixture in FIXTURES {
        let lines = entries(fixture, "cdc.shop.customer");
        let update = lines.iter().map(|entry| decode(entry, 0, &table, Debezium)).find_map(|decoded| match decoded {
            Decoded::Changes { changes, .. } => Some(changes),
            _ => None,
        });
        let update = update.expect("an update");
        let images: Vec<&Image> = update.iter().filter_map(|change| change.before.as_ref()).collect();
        assert!(images.contains(&&truth));
        // Two dates in years that may stand for early ones; the credit before and after.
        assert_eq!(images.len(), 8);
    }
}

/// rowfold writes what a Debezium Server writes by default, except for what is lossy there.
#[test]
fn our_own_form_has_one_reading() {
    let (mut table, mut truth) = customer();
    let huge = table.columns.iter().position(|column| column.name == "huge").expect("a column");
    table.columns.remove(huge);
    truth.remove(huge);
    let wake = used("customer", &[("wake", ColumnKind::Time { fsp: 6 }, true), ("place", ColumnKind::Json, false)]);
    table.columns.extend(wake.columns);
    let place = r#"{"x":127.0,"y":37.5,"wkb":"AQEAAAAAAAAAAMBfQAAAAAAAwEJA","srid":4326}"#;
    let mut after = Image(truth.into_iter().map(Cell::Value).collect());
    after.0.extend([Cell::Value(Value::Time(-3_020_399_000_000)), Cell::Raw(place.as_bytes().to_vec())]);
    let mut before = after.clone();
    before.0[4] = Cell::Value(Value::Decimal("10.50".into()));
    for fixture in [FIXTURES[0], FIXTURES[2]] {
        let lines = entries(fixture, "cdc.shop.customer");
        let update = lines.iter().map(|entry| decode(entry, 1, &table, Rowfold)).find_map(|decoded| match decoded {
            Decoded::Changes { changes, .. } => Some(changes),
            _ => None,
        });
        let update = update.expect("an update");
        let spot = update[0].spot;
        let whole = RowChange { table: 1, before: Some(before.clone()), after: Some(after.clone()), spot };
        assert!(update == [whole]);
    }
}

#[test]
fn fixtures_decode_whole() {
    let count = |fixture: &str, table: &TableUse| {
        let decoded = entries(fixture, &format!("cdc.{}", table.name))
            .into_iter()
            .map(|entry| decode(&entry, 0, table, Debezium));
        let mut counts = [0; 4];
        for decoded in decoded {
            match decoded {
                Decoded::Changes { .. } => counts[0] += 1,
                Decoded::Tombstone => counts[1] += 1,
                Decoded::Snapshot(SnapshotPart::Last) => counts[2] += 1,
                Decoded::Snapshot(SnapshotPart::First | SnapshotPart::Within) => counts[3] += 1,
                other => panic!("{other:?}"),
            }
        }
        counts
    };
    let customer = customer().0;
    let customer = TableUse { columns: customer.columns[..2].to_vec(), ..customer };
    let order = used("order", &[("region", int(16), true), ("no", int(64), true)]);
    let product = used("product", &[("sku", ColumnKind::Text, true)]);
    let audit = used("audit", &[("what", ColumnKind::Text, true)]);
    let counts = FIXTURES.map(|fixture| [&customer, &order, &product, &audit].map(|table| count(fixture, table)));
    let compact = [[2, 1, 1, 1], [4, 2, 1, 1], [4, 1, 1, 1], [1, 1, 1, 1]];
    assert_eq!(counts, [compact, compact, [[2, 1, 0, 0], [0; 4], [2, 1, 1, 0], [1, 0, 0, 0]]]);
}

#[test]
fn keys_that_cannot_be_told_name_the_fix() {
    let told = |kind: ColumnKind, json: &str| {
        let value = format!(r#"{{"op":"c","after":{{"k":{json}}},"source":{{"gtid":"{GTID}:1"}}}}"#);
        match decode(&entry(&value), 0, &used("t", &[("k", kind, true)]), Debezium) {
            Decoded::Unusable { column, reason } => format!("{column} {reason}"),
            other => panic!("{other:?}"),
        }
    };
    assert!(told(ColumnKind::Decimal { precision: 20, scale: 2 }, "1.5").contains("decimal.handling.mode"));
    assert!(told(ColumnKind::DateTime { fsp: 6 }, "1577934245678").contains("time.precision.mode"));
    assert!(told(ColumnKind::Date, "null").contains("zero and impossible dates"));
    assert!(told(ColumnKind::Text, "\"__debezium_unavailable_value\"").contains("binlog_row_image=FULL"));
    assert!(told(int(32), "\"x\"").contains("form"));
    let absent = format!(r#"{{"op":"c","after":{{"x":1}},"source":{{"gtid":"{GTID}:1"}}}}"#);
    let decoded = decode(&entry(&absent), 0, &order_line(), Debezium);
    assert!(matches!(&decoded, Decoded::Unusable { column, .. } if column == "region"), "{decoded:?}");
    // Two readings each.
    let keys: Vec<(&str, ColumnKind, bool)> =
        ["a", "b", "c", "d"].map(|name| (name, ColumnKind::Decimal { precision: 9, scale: 0 }, true)).to_vec();
    let row = r#"{"a":"1234","b":"1234","c":"1234","d":"1234"}"#;
    let value = format!(r#"{{"op":"d","before":{row},"source":{{"gtid":"{GTID}:1"}}}}"#);
    let decoded = decode(&entry(&value), 0, &used("t", &keys), Debezium);
    assert!(matches!(&decoded, Decoded::Unusable { column, .. } if column == "d"), "{decoded:?}");
    let Decoded::Changes { changes, .. } = decode(&entry(&value), 0, &used("t", &keys[..3]), Debezium) else {
        panic!("no changes")
    };
    assert_eq!(changes.len(), 8);
}

#[test]
fn other_operations() {
    let told = |value: &str, producer| decode(&entry(value), 0, &order_line(), producer);
    let with = |rest: &str| format!(r#"{{"source":{{"gtid":"{GTID}:9","ts_ms":5,"pos":4,"row":1}},{rest}}}"#);
    let kind = |value: &str| match told(value, Rowfold) {
        Decoded::Unlogged { gtid, what, origin, spot } => {
            assert_eq!((gtid.number, origin.committed_unix_us, spot), (9, 5000, Spot { pos: 4, row: 1 }));
            what
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&with(r#""op":"t","before":null,"after":null"#)), Unlogged::Rows);
    for (content, what) in [
        ("definition", Unlogged::Definition),
        ("used_columns", Unlogged::UsedColumns),
        ("statement", Unlogged::Statement),
    ] {
        use base64::Engine as _;
        let message = with(&format!(r#""op":"m","message":{{"prefix":"rowfold","content":"{content}"}}"#));
        assert_eq!(kind(&message), what);
        let coded = message.replace(content, &base64::engine::general_purpose::STANDARD.encode(content));
        assert_eq!(kind(&coded), what);
        assert_eq!(told(&message, Debezium), Decoded::Ignored);
    }
    assert_eq!(told(&with(r#""op":"m","message":{"prefix":"app","content":"x"}"#), Rowfold), Decoded::Ignored);
    assert!(matches!(
        told(&with(r#""op":"m","message":{"prefix":"rowfold","content":"x"}"#), Rowfold),
        Decoded::Poison(_)
    ));
    let incremental = r#"{"op":"r","after":{},"source":{"gtid":null,"snapshot":"incremental"}}"#;
    assert_eq!(told(incremental, Debezium), Decoded::Snapshot(SnapshotPart::Incremental));
    let inner = r#"{"op":"r","after":{},"source":{"snapshot":"true"}}"#;
    assert_eq!(told(inner, Debezium), Decoded::Snapshot(SnapshotPart::Within));
    let row = r#""op":"c","after":{"region":1,"no":1,"sku":"a","qty":1}"#;
    assert_eq!(told(&format!(r#"{{{row},"source":{{"gtid":null,"snapshot":"false"}}}}"#), Debezium), Decoded::NoGtid);
    assert!(matches!(told(&format!(r#"{{{row},"source":{{"gtid":"0-1"}}}}"#), Debezium), Decoded::Poison(_)));
    let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{}}}"#, with(row));
    assert_eq!(shown(&told(&wrapped, Debezium)), ["none => - 1 1 a"]);
    for nothing in ["default", "", "null", r#"{"schema":null,"payload":null}"#] {
        assert_eq!(told(nothing, Debezium), Decoded::Tombstone, "{nothing}");
    }
}

#[test]
fn poison_says_what_is_wrong_and_quotes_nothing() {
    let whole = format!(
        r#"{{"source":{{"gtid":"{GTID}:9"}},"op":"u","before":{{"sku":"SECRET"}},"after":{{"sku":"SECRET"}}}}"#
    );
    let reason = |fields: Vec<(Vec<u8>, Vec<u8>)>| match decode(
        &RawEntry { id: EntryId::ZERO, fields },
        0,
        &order_line(),
        Debezium,
    ) {
        Decoded::Poison(reason) => reason,
        other => panic!("{other:?}"),
    };
    let of = |value: &str| reason(vec![(b"k".to_vec(), value.as_bytes().to_vec())]);
    for (value, expected) in [
        (&whole[..whole.len() - 3], "ends too early"),
        ("SECRET", "no JSON"),
        (r#"{"id":1,"name":"SECRET"}"#, "ExtractNewRecordState"),
        (r#"{"op":1,"source":"SECRET"}"#, "no change event"),
        (r#"["SECRET"]"#, "no change event"),
        (r#"{"payload":{"id":1}}"#, "ExtractNewRecordState"),
        (r#"{"op":"x","source":{"gtid":null}}"#, "unknown"),
        (r#"{"op":"c","after":{}}"#, "source"),
        (&whole.replace(r#""before":{"sku":"SECRET"}"#, r#""before":null"#), "image"),
        (&whole.replace(r#"{"sku":"SECRET"}"#, r#""SECRET""#), "no change event"),
    ] {
        let reason = of(value);
        assert!(reason.contains(expected) && !reason.contains("SECRET"), "{value}: {reason}");
    }
    assert!(reason(Vec::new()).contains("compact"));
    assert!(reason(vec![(b"a".to_vec(), Vec::new()), (b"b".to_vec(), Vec::new())]).contains("compact"));
    assert!(reason(vec![(b"k".to_vec(), b"\xff\xfe".to_vec())]).contains("no JSON"));
}

proptest! {
    #[test]
    fn nothing_panics(line in 0usize..200, cut in 0usize..2000, at in 0usize..2000, byte in any::<u8>(), noise in any::<Vec<u8>>()) {
        let (table, _) = customer();
        let mut entries: Vec<RawEntry> = FIXTURES[..2].iter().flat_map(|fixture| entries(fixture, "cdc.shop.customer")).collect();
        let count = entries.len();
        let entry = &mut entries[line % count];
        let value = &mut entry.fields[0].1;
        if cut < value.len() && line % 2 == 0 {
            value.truncate(cut);
        }
        if let Some(place) = value.get_mut(at) {
            *place = byte;
        }
        for producer in [Rowfold, Debezium] {
            decode(entry, 0, &table, producer);
            let noisy = RawEntry { id: EntryId::ZERO, fields: vec![(b"value".to_vec(), noise.clone())] };
            let decoded = decode(&noisy, 0, &table, producer);
            assert!(!matches!(decoded, Decoded::Changes { .. }));
        }
    }
}
