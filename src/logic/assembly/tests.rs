//! Documents of hand-made rows: nesting, order, NULLs, values, and what parks a document.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Decimal128Array, Int64Array, StringArray, UInt64Array};
use arrow_schema::{Field, Schema};
use bson::doc;

use super::*;
use crate::model::plan::{Equality, IdColumn, JoinPair, JoinPlan, NodeColumn, WriteAs};
use crate::model::schema::{ColumnKind, TableName};
use crate::model::time::Civil;
use crate::model::value::Value;
use crate::model::zone::Zone;

const INT: ColumnKind = ColumnKind::Int { bits: 32, unsigned: false };

fn column(name: &str, kind: ColumnKind) -> NodeColumn {
    NodeColumn { sql: format!("`{name}`"), kind, field: Some(name.into()), write: WriteAs::Plain }
}

fn node(
    field: &str,
    parent: Option<usize>,
    shape: Shape,
    columns: Vec<NodeColumn>,
    join: Option<JoinPlan>,
) -> NodePlan {
    NodePlan {
        table: TableName::new("shop", field),
        parent,
        field: field.into(),
        shape,
        columns,
        join,
        filter: None,
        order_by: vec![],
        omit_nulls: false,
    }
}

fn join(parent_position: usize, child_position: usize, equality: Equality) -> Option<JoinPlan> {
    let pair = JoinPair {
        parent_column: "p".into(),
        parent_position,
        child_column: "c".into(),
        child_position: Some(child_position),
        kind: INT,
        equality,
    };
    Some(JoinPlan { pairs: vec![pair], through: None, follows_root_key: false })
}

fn projection(nodes: Vec<NodePlan>) -> ProjectionPlan {
    let id = vec![IdColumn { position: 0, column: "id".into(), field: "id".into(), zone: Zone::Utc }];
    ProjectionPlan { collection: "orders".into(), nodes, id, indexes: vec![], mapping: String::new() }
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|column| Field::new("c", column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch")
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn documents(plan: &ProjectionPlan, nodes: Vec<Vec<RecordBatch>>) -> Vec<bson::Document> {
    let nodes = nodes.into_iter().map(NodeRows::Read).collect();
    let assembled = assemble(plan, &RowSet { nodes }, Version(9), 2).expect("assembled");
    assert!(assembled.parked.is_empty(), "{:?}", assembled.parked);
    let read = |document: Document| bson::Document::from_reader(&document.bytes[..]).expect("valid BSON");
    assembled.documents.into_iter().map(read).collect()
}

#[test]
fn nested_rows_stand_under_their_parent_in_reading_order() {
    let plan = projection(vec![
        node("", None, Shape::Root, vec![column("id", INT), column("customer_id", INT)], None),
        node(
            "customer",
            Some(0),
            Shape::One,
            vec![column("id", INT), column("name", ColumnKind::Text)],
            join(1, 0, Equality::Exact),
        ),
        node(
            "lines",
            Some(0),
            Shape::Many,
            vec![column("order_id", INT), column("qty", INT)],
            join(0, 0, Equality::Exact),
        ),
        node(
            "sizes",
            Some(2),
            Shape::Values(1),
            vec![column("line", INT), column("size", INT)],
            join(1, 0, Equality::Exact),
        ),
    ]);
    let read = documents(
        &plan,
        vec![
            vec![batch(vec![ints(&[Some(1), Some(2)]), ints(&[Some(7), None])])],
            vec![batch(vec![ints(&[Some(7)]), texts(&[Some("Ana")])])],
            // In two batches: an array goes on where the batch before ended.
            vec![
                batch(vec![ints(&[Some(1), Some(2)]), ints(&[Some(30), Some(20)])]),
                batch(vec![ints(&[Some(1), None]), ints(&[Some(10), Some(99)])]),
            ],
            vec![batch(vec![ints(&[Some(10), Some(10)]), ints(&[Some(5), None])])],
        ],
    );
    let empty: Vec<i32> = vec![];
    let sizes = vec![bson::Bson::Int32(5), bson::Bson::Null];
    let first = doc! {"_id": 1, "id": 1, "customer_id": 7, "customer": {"id": 7, "name": "Ana"},
    "lines": [{"order_id": 1, "qty": 30, "sizes": &empty}, {"order_id": 1, "qty": 10, "sizes": sizes}],
    "_rf": {"v": 9i64, "b": 2}};
    let second = doc! {"_id": 2, "id": 2, "customer_id": null, "customer": null,
    "lines": [{"order_id": 2, "qty": 20, "sizes": &empty}], "_rf": {"v": 9i64, "b": 2}};
    assert_eq!(read, [first, second]);
}

#[test]
fn text_joins_by_weight_string_not_by_bytes() {
    let collated = Equality::Collated { collation: "utf8mb4_0900_ai_ci".into(), pads: false };
    let plan = projection(vec![
        node("", None, Shape::Root, vec![column("id", INT), column("sku", ColumnKind::Text)], None),
        node("product", Some(0), Shape::One, vec![column("sku", ColumnKind::Text)], join(1, 0, collated)),
    ]);
    let weight = |bytes: &[u8]| -> ArrayRef { Arc::new(BinaryArray::from(vec![bytes])) };
    let read = documents(
        &plan,
        vec![
            vec![batch(vec![ints(&[Some(1)]), texts(&[Some("a")]), weight(&[0x1c, 0x47])])],
            vec![batch(vec![texts(&[Some("A")]), weight(&[0x1c, 0x47])])],
        ],
    );
    assert_eq!(read, [doc! {"_id": 1, "id": 1, "sku": "a", "product": {"sku": "A"}, "_rf": {"v": 9i64, "b": 2}}]);
}

#[test]
fn values_have_the_types_of_the_table() {
    let civil = |year, month, day| Civil { year, month, day, ..Civil::default() }.pack();
    let kinds = [
        ("tiny", ColumnKind::Int { bits: 8, unsigned: true }, ints(&[Some(255)])),
        ("uint", ColumnKind::Int { bits: 32, unsigned: true }, ints(&[Some(4_294_967_295)])),
        ("ubig", ColumnKind::Int { bits: 64, unsigned: true }, Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef),
        (
            "dec",
            ColumnKind::Decimal { precision: 12, scale: 2 },
            Arc::new(Decimal128Array::from(vec![1050i128]).with_precision_and_scale(34, 2).expect("in range"))
                as ArrayRef,
        ),
        ("bit", ColumnKind::Bit { length: 1 }, Arc::new(UInt64Array::from(vec![1u64])) as ArrayRef),
        ("set", ColumnKind::Set(vec![]), texts(&[Some("a,b")])),
        ("none", ColumnKind::Set(vec![]), texts(&[Some("")])),
        ("day", ColumnKind::Date, ints(&[Some(civil(1990, 2, 28))])),
        ("zero", ColumnKind::Date, ints(&[Some(civil(0, 0, 0))])),
        ("time", ColumnKind::Time { fsp: 0 }, ints(&[Some(-3_020_399_000_000)])),
        ("json", ColumnKind::Json, texts(&[Some(r#"{"z":1,"a":[2.5,null,18446744073709551615]}"#)])),
    ];
    let mut columns = vec![column("id", INT)];
    let mut arrays = vec![ints(&[Some(1)])];
    for (name, kind, array) in kinds {
        columns.push(column(name, kind));
        arrays.push(array);
    }
    let plan = projection(vec![node("", None, Shape::Root, columns, None)]);
    let assembled = assemble(&plan, &RowSet { nodes: vec![NodeRows::Read(vec![batch(arrays)])] }, Version(9), 2)
        .expect("assembled");
    assert_eq!(assembled.zero_dates, 1);
    let read = bson::Document::from_reader(&assembled.documents[0].bytes[..]).expect("valid BSON");
    let big: bson::Decimal128 = "18446744073709551615".parse().expect("a decimal");
    let day = bson::DateTime::parse_rfc3339_str("1990-02-28T00:00:00Z").expect("a date");
    let none: Vec<String> = vec![];
    let expected = doc! {"_id": 1, "id": 1, "tiny": 255, "uint": 4_294_967_295i64, "ubig": big,
    "dec": "10.50".parse::<bson::Decimal128>().expect("a decimal"), "bit": true, "set": ["a", "b"], "none": none,
    "day": day, "zero": null, "time": "-838:59:59", "json": {"z": 1, "a": [2.5, null, big]},
    "_rf": {"v": 9i64, "b": 2}};
    assert_eq!(read, expected);
}

#[test]
fn what_cannot_be_written_parks_its_document_only() {
    let plan = projection(vec![
        node("", None, Shape::Root, vec![column("id", INT), column("json", ColumnKind::Json)], None),
        node("one", Some(0), Shape::One, vec![column("id", INT)], join(0, 0, Equality::Exact)),
    ]);
    let rows = RowSet {
        nodes: vec![
            NodeRows::Read(vec![batch(vec![
                ints(&[Some(1), Some(2), Some(3)]),
                texts(&[Some(r#"{"a\u0000":1}"#), Some("[]"), Some("{}")]),
            ])]),
            NodeRows::Held(Arc::new(HeldRows::new(&plan, 1, vec![batch(vec![ints(&[Some(2), Some(2), Some(3)])])]))),
        ],
    };
    let assembled = assemble(&plan, &rows, Version(9), 2).expect("assembled");
    let key = |number| Key(vec![Value::Int(number)]);
    assert_eq!(assembled.documents.iter().map(|document| document.key.clone()).collect::<Vec<_>>(), [key(3)]);
    let reasons: Vec<&str> = assembled.parked.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(assembled.parked.iter().map(|(parked, _)| parked.clone()).collect::<Vec<_>>(), [key(1), key(2)]);
    assert!(reasons[0].contains("column `json` holds") && reasons[1].contains("more than one row"), "{reasons:?}");
}

#[test]
fn a_batch_that_does_not_fit_the_plan_stops_the_engine() {
    let plan = projection(vec![node("", None, Shape::Root, vec![column("id", INT)], None)]);
    let rows = RowSet { nodes: vec![NodeRows::Read(vec![batch(vec![ints(&[Some(1)]), ints(&[Some(1)])])])] };
    assert_eq!(assemble(&plan, &rows, Version(9), 2).expect_err("too many columns").kind(), crate::error::Kind::Halt);
}
