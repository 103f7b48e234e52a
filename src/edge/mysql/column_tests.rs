//! What a TABLE_MAP says of a column beside what the plan says.

use super::*;

fn column(kind: ColumnKind) -> UsedColumn {
    UsedColumn { name: "c".into(), kind, declared: String::new(), collation: None, routes: true }
}

fn map(code: u8, length: u32, extra: u8) -> TableMap {
    TableMap { types: vec![WireType { code, length, extra }], ..TableMap::default() }
}

fn used(map: &TableMap, kind: ColumnKind, form: Form) -> Result<Used, Mismatch> {
    let charsets = Charsets::default();
    Used::new(3, &column(kind), form, Evidence { map, position: 0, collation_now: None, charsets: &charsets })
}

/// What is wrong with a column, or nothing.
fn told(map: &TableMap, kind: ColumnKind) -> &'static str {
    match used(map, kind, Form::Exact) {
        Ok(_) => "",
        Err(Mismatch::Says(what)) => what,
        Err(Mismatch::Unread(_)) => "unread",
    }
}

#[test]
fn signs_must_agree_where_they_are_given() {
    let int = |unsigned| ColumnKind::Int { bits: 32, unsigned };
    let mut signed = map(types::LONG, 0, 0);
    assert_eq!((told(&signed, int(true)), told(&signed, int(false))), ("", ""));
    signed.unsigned.insert(0, false);
    assert_eq!(told(&signed, int(false)), "");
    assert_eq!(told(&signed, int(true)), "is not UNSIGNED in the binlog, and was when the build was made");
    signed.unsigned.insert(0, true);
    assert_eq!(told(&signed, int(true)), "");
    assert_eq!(told(&signed, int(false)), "is UNSIGNED in the binlog, and was not when the build was made");
}

#[test]
fn details_of_types_must_agree() {
    let other = "has another type than the build was made with";
    let says = |code, length, extra, kind| told(&map(code, length, extra), kind);
    let decimal = ColumnKind::Decimal { precision: 10, scale: 2 };
    assert_eq!(says(types::NEWDECIMAL, 10, 2, decimal.clone()), "");
    assert_eq!(says(types::NEWDECIMAL, 10, 3, decimal.clone()), other);
    assert_eq!(says(types::NEWDECIMAL, 11, 2, decimal), other);
    assert_eq!(says(types::LONGLONG, 0, 0, ColumnKind::Int { bits: 32, unsigned: false }), other);
    assert_eq!(says(types::BIT, 9, 0, ColumnKind::Bit { length: 9 }), "");
    assert_eq!(says(types::BIT, 10, 0, ColumnKind::Bit { length: 9 }), other);
    assert_eq!(says(types::TIME2, 2, 0, ColumnKind::Time { fsp: 2 }), "");
    assert_eq!(says(types::TIME2, 1, 0, ColumnKind::Time { fsp: 2 }), other);
    assert_eq!(says(types::DATETIME, 0, 0, ColumnKind::DateTime { fsp: 0 }), "");
    // MariaDB's own form of fractions, which its binlog does not describe.
    assert_eq!(says(types::DATETIME, 0, 0, ColumnKind::DateTime { fsp: 3 }), other);
    let fixed = ColumnKind::FixedBinary { length: 16 };
    assert_eq!(says(types::STRING, 16, 0, fixed.clone()), "");
    assert_eq!(says(types::STRING, 8, 0, fixed.clone()), other);
    assert_eq!(says(types::VARCHAR, 16, 0, fixed), other);
    assert_eq!(says(types::STRING, 16, 0, ColumnKind::Binary), other);
    assert_eq!(says(types::BLOB_COMPRESSED, 0, 2, ColumnKind::Binary), "");
}

#[test]
fn text_and_bytes_are_told_apart() {
    let mut bytes = map(types::VARCHAR, 40, 0);
    bytes.collations.insert(0, BINARY);
    assert_eq!(told(&bytes, ColumnKind::Binary), "");
    assert_eq!(told(&bytes, ColumnKind::Text), "holds bytes in the binlog, and text in the build");
    bytes.collations.insert(0, 255);
    assert_eq!(told(&bytes, ColumnKind::Binary), "holds text in the binlog, and bytes in the build");
    // Nobody says which set it is.
    assert_eq!(
        told(&map(types::VARCHAR, 40, 0), ColumnKind::Text),
        "has a character set that the server does not tell"
    );
}

#[test]
fn labels_are_those_of_the_event() {
    let labels = |labels: &[&str]| labels.iter().map(|label| label.to_string()).collect::<Vec<_>>();
    let mut then = map(types::ENUM, 1, 0);
    then.collations.insert(0, 255);
    then.labels.insert(0, vec![b"a".to_vec(), b"b".to_vec()]);
    let charsets = Charsets::with(255, "utf8mb4");
    let used = |now: &[&str], form| {
        let evidence = Evidence { map: &then, position: 0, collation_now: None, charsets: &charsets };
        Used::new(0, &column(ColumnKind::Enum(labels(now))), form, evidence).map(|used| used.kind)
    };
    assert_eq!(used(&["a", "b", "c"], Form::Exact), Ok(ColumnKind::Enum(labels(&["a", "b", "c"]))));
    assert_eq!(used(&["b", "a"], Form::Whole), Ok(ColumnKind::Enum(labels(&["a", "b"]))));
    let other = Err(Mismatch::Says("has other labels than the build was made with"));
    assert_eq!(used(&["b", "a"], Form::Exact), other);
    // Only equality counts: nothing is read.
    assert!(used(&["b", "a"], Form::Raw).is_ok());
}
