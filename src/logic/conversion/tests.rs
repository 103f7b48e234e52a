//! Distinct keys give distinct `_id`s, also keys that only an event could bring: wider or finer than the root's column.

use proptest::prelude::*;

use super::*;
use crate::model::plan::{IdColumn, NodePlan, Shape};
use crate::model::schema::TableName;

fn plan(kind: ColumnKind) -> ProjectionPlan {
    let column = NodeColumn { sql: "`id`".into(), kind, field: Some("id".into()), as_bool: false };
    let root = NodePlan {
        table: TableName::new("shop", "order"),
        parent: None,
        field: String::new(),
        shape: Shape::Root,
        columns: vec![column],
        join: None,
        filter: None,
        order_by: vec![],
        omit_nulls: false,
    };
    let id = vec![IdColumn { position: 0, column: "id".into(), field: "id".into() }];
    ProjectionPlan { collection: "orders".into(), nodes: vec![root], id, indexes: vec![], mapping: String::new() }
}

/// `_id` as MongoDB compares it: numbers by value, whatever their width.
fn id_of(kind: &ColumnKind, value: &Value) -> String {
    let bytes = id_document(&plan(kind.clone()), &Key(vec![value.clone()]));
    let document = bson::Document::from_reader(&bytes[..]).expect("valid BSON");
    match document.get("_id").expect("an _id") {
        bson::Bson::Int32(number) => format!("number {number}"),
        bson::Bson::Int64(number) => format!("number {number}"),
        other => format!("{other:?}"),
    }
}

fn civil() -> impl Strategy<Value = Value> {
    (0u16..3, 0u8..3, 0u8..32, 0u8..2, 0u32..3000).prop_map(|(year, month, day, hour, micros)| {
        Value::from_civil(Civil { year: 2023 + year, month, day, hour, minute: 0, second: 0, micros })
    })
}

fn same_kind() -> impl Strategy<Value = (ColumnKind, Value, Value)> {
    let int = ColumnKind::Int { bits: 32, unsigned: false };
    let near = prop_oneof![any::<i8>().prop_map(i64::from), (-3i64..3).prop_map(|n| 4_294_967_296 + n), any::<i64>()];
    prop_oneof![
        (near.clone(), near).prop_map(move |(a, b)| (int.clone(), Value::Int(a), Value::Int(b))),
        (civil(), civil(), 0u8..7).prop_map(|(a, b, fsp)| (ColumnKind::DateTime { fsp }, a, b)),
        (-5_000_000i64..5_000_000, -5_000_000i64..5_000_000, 0u8..7).prop_map(|(a, b, fsp)| (
            ColumnKind::Time { fsp },
            Value::Time(a),
            Value::Time(b)
        )),
        ("[aA ]{0,3}", "[aA ]{0,3}").prop_map(|(a, b)| (ColumnKind::Text, Value::Text(a), Value::Text(b))),
    ]
}

proptest! {
    #[test]
    fn distinct_keys_have_distinct_ids((kind, a, b) in same_kind()) {
        prop_assert_eq!(a == b, id_of(&kind, &a) == id_of(&kind, &b));
    }
}

#[test]
fn a_key_wider_than_its_column_is_nobody_elses() {
    let int = ColumnKind::Int { bits: 32, unsigned: false };
    assert_ne!(id_of(&int, &Value::Int(4_294_967_301)), id_of(&int, &Value::Int(5)));
}
