//! Whatever is written: resolving answers and does not panic, and what it lets pass is a sound plan.

use std::collections::HashMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::expressions::columns_of;
use super::super::scan::tokens;
use super::{HEADER, facts, resolved, shop};
use crate::config::Severity;
use crate::config::loaded::read;
use crate::model::plan::{JobPlan, ProjectionPlan, Shape};
use crate::model::schema::TableName;

/// A nested node: its table, its join or link, whether it may be a `one`.
struct Edge {
    from: &'static str,
    to: &'static str,
    how: &'static str,
    one: bool,
}

/// Joins of the shop that are right.
const EDGES: &[Edge] = &[
    Edge { from: "order", to: "customer", how: "join: {customer_id: id}", one: true },
    Edge { from: "order", to: "customer", how: "join: {recipient_id: id}", one: true },
    Edge { from: "order", to: "order_line", how: "join: {no: no, region: region}", one: false },
    Edge { from: "order", to: "order_event", how: "join: {region: region, no: no}", one: false },
    Edge {
        from: "order",
        to: "tag",
        how: "through: {table: shop.order_tag, join: {region: region, no: no}, to: {tag_id: id}}",
        one: false,
    },
    Edge { from: "customer", to: "order", how: "join: {id: customer_id}", one: false },
    Edge { from: "order_line", to: "product", how: "join: {sku: sku}", one: true },
    Edge { from: "order_line", to: "order", how: "join: {region: region, no: no}", one: true },
    Edge { from: "product", to: "category", how: "join: {category_id: id}", one: true },
    Edge { from: "product", to: "order_line", how: "join: {sku: sku}", one: false },
    Edge { from: "category", to: "product", how: "join: {id: category_id}", one: false },
    Edge { from: "category", to: "category", how: "join: {parent_id: id}", one: true },
    Edge { from: "category", to: "category", how: "join: {id: parent_id}", one: false },
    Edge { from: "order_event", to: "order", how: "join: {region: region, no: no}", one: true },
];

/// Writes the nodes below a table, as `choices` say.
fn nest(out: &mut String, table: &str, depth: usize, choices: &mut impl Iterator<Item = u32>) {
    let edges: Vec<&Edge> = EDGES.iter().filter(|edge| edge.from == table).collect();
    let pad = "  ".repeat(2 * depth + 1);
    let mut pick = || choices.next().unwrap_or(0) as usize;
    if edges.is_empty() || depth > 3 || pick().is_multiple_of(3) {
        return;
    }
    let chosen: Vec<(usize, &Edge, bool)> = (0..1 + pick() % 3)
        .map(|at| {
            let edge = edges[pick() % edges.len()];
            (at, edge, edge.one && pick().is_multiple_of(2))
        })
        .collect();
    for (key, one) in [("one", true), ("many", false)] {
        let mut nodes = chosen.iter().filter(|(.., as_one)| *as_one == one).peekable();
        if nodes.peek().is_some() {
            let _ = writeln!(out, "{pad}{key}:");
        }
        for (at, edge, _) in nodes {
            let _ = writeln!(out, "{pad}  field{at}:");
            let _ = writeln!(out, "{pad}    table: shop.{}", edge.to);
            let _ = writeln!(out, "{pad}    {}", edge.how);
            // Deep chains of tables come back to themselves.
            let _ = writeln!(out, "{pad}    max_depth: {}", 1 + at);
            if at % 2 == 1 {
                let _ = writeln!(out, "{pad}    omit_nulls: true");
            }
            nest(out, edge.to, depth + 1, choices);
        }
    }
}

/// What every plan has to be, whoever made it.
fn sound(plan: &JobPlan) {
    for projection in &plan.projections {
        assert!(!projection.id.is_empty());
        for id in &projection.id {
            assert_eq!(projection.root().columns[id.position].sql, format!("`{}`", id.column));
        }
        for (at, node) in projection.nodes.iter().enumerate() {
            assert_eq!(node.parent.is_none(), at == 0);
            assert_eq!(node.join.is_none(), at == 0);
            assert!(node.parent.is_none_or(|parent| parent < at), "a parent comes before its children");
            let shown = node.columns.iter().take_while(|column| column.field.is_some()).count();
            assert!(node.columns[shown..].iter().all(|column| column.field.is_none()), "hidden columns come last");
            assert!(matches!(node.shape, Shape::Root | Shape::One) || !node.order_by.is_empty());
            joined(projection, at);
            assert!(plan.tables.iter().any(|table| table.name == node.table));
        }
    }
    let mut names: Vec<&TableName> = plan.tables.iter().map(|table| &table.name).collect();
    names.dedup();
    assert_eq!(names.len(), plan.tables.len(), "each table once");
}

fn joined(projection: &ProjectionPlan, at: usize) {
    let node = &projection.nodes[at];
    let (Some(join), Some(parent)) = (&node.join, node.parent) else { return };
    assert!(!join.pairs.is_empty());
    for pair in &join.pairs {
        let of_parent = &projection.nodes[parent].columns[pair.parent_position];
        assert_eq!(of_parent.sql, format!("`{}`", pair.parent_column));
        assert_eq!(pair.child_position.is_none(), join.through.is_some());
        if let Some(position) = pair.child_position {
            assert_eq!(node.columns[position].sql, format!("`{}`", pair.child_column));
        }
    }
    if join.follows_root_key {
        let of_root: Vec<&str> = join.pairs.iter().map(|pair| pair.parent_column.as_str()).collect();
        let key: Vec<&str> = projection.id.iter().map(|id| id.column.as_str()).collect();
        assert_eq!((of_root, parent), (key, 0));
    }
    let layout = projection.layout(at);
    assert_eq!(layout.to_parent.len(), join.pairs.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_jobs_resolve(root in 0_usize..6, choices in prop::collection::vec(0_u32..1000, 0..60)) {
        let table = ["order", "customer", "order_line", "product", "category", "tag"][root];
        let mut text = format!("{HEADER}- collection: c\n  root: shop.{table}\n");
        nest(&mut text, table, 0, &mut choices.into_iter());
        let (plan, problems) = resolved(&text, &shop(), &facts());
        let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        // A self-reference under the name of another node is the one mistake that these files can make.
        if errors.iter().all(|problem| problem.code == "E-FIELD") && !errors.is_empty() {
            return Ok(());
        }
        prop_assert!(errors.is_empty(), "{text}\n{errors:#?}");
        sound(&plan.expect("no error, so a plan"));
    }

    #[test]
    fn mangled_files_are_answered(at in any::<prop::sample::Index>(), length in 0_usize..40, with in "[a-z:{}\\[\\]' ,\n-]{0,6}") {
        let text = include_str!("../../../../jobs/shop.yaml");
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let from = *at.get(&starts);
        let to = starts.iter().copied().find(|start| *start >= from + length).unwrap_or(text.len());
        let mangled = format!("{}{with}{}", &text[..from], &text[to..]);
        match read("job.yaml", &mangled, &HashMap::new()) {
            Ok(loaded) => {
                let tables = shop();
                loaded.questions(&tables);
                let (plan, problems) = loaded.resolve(&tables, &facts(), &super::Answers::default());
                prop_assert!(plan.is_some() || problems.iter().any(|problem| problem.severity == Severity::Error));
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn any_text_is_scanned(text in "\\PC{0,40}", sql in "[a-z`'\"().,;@#*/ 0-9+-]{0,30}") {
        let table = shop().remove(&TableName::new("shop", "order")).expect("a table of the shop");
        for text in [text, sql] {
            let cut = tokens(&text);
            let columns = columns_of(&text, &table);
            prop_assert!(cut.is_ok() || columns.is_err(), "what cannot be cut is refused");
        }
    }
}
