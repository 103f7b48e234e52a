//! Which roots a change marks: a two-level projection with a lookup and a link table.

use super::*;
use crate::model::change::Spot;
use crate::model::plan::{
    Equality, IdColumn, JoinPair, JoinPlan, NodeColumn, NodePlan, ProjectionPlan, Shape, TableUse, Through, UsedColumn,
    WriteAs,
};
use crate::model::schema::ColumnKind;
use crate::model::schema::TableName;
use crate::model::zone::Zone;

const INT: ColumnKind = ColumnKind::Int { bits: 32, unsigned: false };

fn column(name: &str) -> NodeColumn {
    NodeColumn { sql: format!("`{name}`"), kind: INT, field: Some(name.into()), write: WriteAs::Plain }
}

fn node(table: &str, parent: Option<usize>, columns: &[&str], join: Option<JoinPlan>) -> NodePlan {
    NodePlan {
        table: TableName::new("shop", table),
        parent,
        field: table.into(),
        shape: if parent.is_none() { Shape::Root } else { Shape::Many },
        columns: columns.iter().map(|name| column(name)).collect(),
        join,
        filter: None,
        order_by: vec![],
        omit_nulls: false,
    }
}

fn pair(parent_column: &str, parent_position: usize, child_column: &str, child_position: Option<usize>) -> JoinPair {
    JoinPair {
        parent_column: parent_column.into(),
        parent_position,
        child_column: child_column.into(),
        child_position,
        kind: INT,
        equality: Equality::Exact,
    }
}

fn join(pair: JoinPair, through: Option<Through>, follows_root_key: bool) -> Option<JoinPlan> {
    Some(JoinPlan { pairs: vec![pair], through, follows_root_key })
}

fn used(table: &str, columns: &[(&str, bool)]) -> TableUse {
    let columns = columns.iter().map(|(name, routes)| UsedColumn {
        name: (*name).into(),
        kind: INT,
        declared: "int".into(),
        collation: None,
        routes: *routes,
    });
    TableUse { name: TableName::new("shop", table), columns: columns.collect() }
}

/// order(id, customer_id) > customer(id, name); > line(order_id, qty) > product(id); > tag through order_tag.
fn plan() -> JobPlan {
    let through = Through {
        table: TableName::new("shop", "order_tag"),
        to: vec![("tag_id".into(), "id".into())],
        kinds: vec![INT],
    };
    let nodes = vec![
        node("order", None, &["id", "customer_id"], None),
        node("customer", Some(0), &["id", "name"], join(pair("customer_id", 1, "id", Some(0)), None, false)),
        node("line", Some(0), &["order_id", "product_id"], join(pair("id", 0, "order_id", Some(0)), None, true)),
        node("product", Some(2), &["id"], join(pair("product_id", 1, "id", Some(0)), None, false)),
        node("tag", Some(0), &["id"], join(pair("id", 0, "order_id", None), Some(through), true)),
    ];
    let id = vec![IdColumn { position: 0, column: "id".into(), field: "id".into(), zone: Zone::Utc }];
    let projection = ProjectionPlan { collection: "orders".into(), nodes, id, indexes: vec![], mapping: String::new() };
    JobPlan {
        name: "shop".into(),
        projections: vec![projection],
        tables: vec![
            used("order", &[("id", true), ("customer_id", false)]),
            used("customer", &[("id", true), ("name", false)]),
            used("line", &[("order_id", true), ("product_id", false)]),
            used("product", &[("id", true)]),
            used("order_tag", &[("order_id", true), ("tag_id", false)]),
            used("tag", &[("id", true)]),
        ],
    }
}

fn int(number: i64) -> Cell {
    Cell::Value(Value::Int(number))
}

fn image(cells: &[Cell]) -> Option<Image> {
    Some(Image(cells.to_vec()))
}

/// (marked roots with their hint, lookups as (node, linked, key)), sorted.
type Marked = (Vec<(i64, bool)>, Vec<(usize, bool, i64)>);

fn marks_of(change: &RowChange) -> Result<Marked> {
    let plan = plan();
    let mut marks = MarkSet::default();
    Routes::new(&plan)?.marks(&plan, change, &[true], &mut marks)?;
    let number = |key: &Key| match key.0[..] {
        [Value::Int(number)] => number,
        _ => panic!("one integer"),
    };
    let (roots, lookups) = marks.into_parts();
    let mut roots: Vec<_> = roots.values().flatten().map(|(key, new)| (number(key), *new)).collect();
    roots.sort_unstable();
    let mut keys: Vec<_> = lookups
        .iter()
        .flat_map(|(entry, keys)| keys.iter().map(|key| (entry.node, entry.linked, number(key))))
        .collect();
    keys.sort_unstable();
    Ok((roots, keys))
}

fn check(table: usize, before: Option<Image>, after: Option<Image>, expected: Marked) {
    let marked = marks_of(&RowChange { table, before, after, spot: Spot::default() }).expect("a complete image");
    assert_eq!(marked, expected);
}

#[test]
fn a_root_marks_itself_and_a_key_change_both_keys() {
    check(0, None, image(&[int(7), Cell::Raw(vec![1])]), (vec![(7, true)], vec![]));
    check(0, image(&[int(7), Cell::Raw(vec![1])]), None, (vec![(7, false)], vec![]));
    let moved = image(&[int(8), Cell::Raw(vec![1])]);
    check(0, image(&[int(7), Cell::Raw(vec![1])]), moved, (vec![(7, false), (8, false)], vec![]));
}

#[test]
fn a_child_that_moves_marks_both_parents() {
    let line = |order: i64| image(&[int(order), Cell::Raw(vec![9])]);
    check(2, line(1), line(2), (vec![(1, false), (2, false)], vec![]));
}

#[test]
fn a_row_below_another_is_looked_up_in_the_source() {
    check(3, image(&[int(5)]), None, (vec![], vec![(3, false, 5)]));
    let customer = |name: u8| image(&[int(5), Cell::Raw(vec![name])]);
    check(1, customer(1), customer(2), (vec![], vec![(1, false, 5)]));
}

#[test]
fn a_link_marks_its_parent_and_its_far_side_is_looked_up() {
    check(4, None, image(&[int(3), Cell::Raw(vec![1])]), (vec![(3, false)], vec![]));
    check(5, None, image(&[int(6)]), (vec![], vec![(4, true, 6)]));
}

#[test]
fn an_update_without_a_used_change_marks_nothing() {
    let row = image(&[int(5), Cell::Raw(vec![1])]);
    check(1, row.clone(), row, (vec![], vec![]));
}

#[test]
fn null_joins_nothing() {
    check(2, None, image(&[Cell::Value(Value::Null), Cell::Raw(vec![1])]), (vec![], vec![]));
}

#[test]
fn an_absent_column_is_unchanged_or_stops_the_engine() {
    let after = image(&[Cell::Absent, Cell::Raw(vec![2])]);
    check(1, image(&[int(5), Cell::Absent]), after.clone(), (vec![], vec![(1, false, 5)]));
    let unknown = RowChange { table: 1, before: image(&[Cell::Absent, Cell::Absent]), after, spot: Spot::default() };
    assert_eq!(marks_of(&unknown).expect_err("nothing leads to the roots").kind(), crate::error::Kind::Halt);
}

#[test]
fn marks_are_coalesced() {
    let mut marks = MarkSet::default();
    for _ in 0..10 {
        marks.add_root(0, Key(vec![Value::Int(1)]), false);
        marks.add_lookup(Entry { projection: 0, node: 1, linked: false }, Key(vec![Value::Int(1)]));
    }
    marks.add_root(0, Key(vec![Value::Int(1)]), true);
    assert_eq!(marks.len(), 2);
    let (roots, _) = marks.into_parts();
    assert!(roots[&0][&Key(vec![Value::Int(1)])], "the hint of any mark stays");
}

#[test]
fn marks_are_split_by_projection() {
    let key = |number| Key(vec![Value::Int(number)]);
    let mut marks = MarkSet::default();
    for projection in 0..3 {
        marks.add_root(projection, key(1), projection == 1);
        marks.add_lookup(Entry { projection, node: 1, linked: false }, key(2));
    }
    let split = marks.split_off(&[false, true, false]);
    assert_eq!((marks.len(), split.len()), (4, 2));
    assert_eq!(split.bytes() * 2, marks.bytes());
    let (roots, lookups) = split.into_parts();
    assert_eq!(roots[&1], HashMap::from([(key(1), true)]));
    assert!(lookups.keys().all(|entry| entry.projection == 1));
}
