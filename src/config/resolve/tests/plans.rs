//! What a job that is right becomes.

use super::{plan, resolved, said, shop};
use crate::model::plan::{Equality, JoinPlan, NodeColumn, NodePlan, ProjectionPlan, Shape, WriteAs};
use crate::model::schema::{ColumnKind, TableName};

/// A node's columns as `field=sql`, hidden ones with `-`.
fn columns(node: &NodePlan) -> Vec<String> {
    let show = |column: &NodeColumn| {
        let flag = if column.write == WriteAs::Bool { "!" } else { "" };
        format!("{}{flag}={}", column.field.as_deref().unwrap_or("-"), column.sql)
    };
    node.columns.iter().map(show).collect()
}

fn join(node: &NodePlan) -> &JoinPlan {
    node.join.as_ref().expect("a nested node has a join")
}

fn only(projections: &str) -> ProjectionPlan {
    let mut plan = plan(projections);
    assert_eq!(plan.projections.len(), 1);
    plan.projections.remove(0)
}

#[test]
fn columns_come_in_table_order_then_expressions_then_what_joins_need() {
    let plan = only(
        "- collection: a
  root: shop.order
  columns: [status, no]
  rename: {status: state}
  fields: {y: YEAR(placed), late: no > 1}
  as: {late: bool}
  omit_nulls: true
  one:
    buyer: {table: shop.customer, join: {customer_id: id}, columns: [name, newsletter], as: {newsletter: bool}}
    recipient: {table: shop.customer, join: {recipient_id: id}}
",
    );
    let root = plan.root();
    assert_eq!(
        columns(root),
        [
            "no=`no`",
            "state=`status`",
            "y=YEAR(placed)",
            "late!=no > 1",
            "-=`region`",
            "-=`customer_id`",
            "-=`recipient_id`"
        ]
    );
    assert!(root.omit_nulls && !plan.nodes[1].omit_nulls);
    assert_eq!((root.shape, plan.nodes[1].shape), (Shape::Root, Shape::One));
    let id: Vec<(usize, &str, &str)> =
        plan.id.iter().map(|id| (id.position, id.column.as_str(), id.field.as_str())).collect();
    assert_eq!(id, [(4, "region", "region"), (0, "no", "no")]);
    assert_eq!(columns(&plan.nodes[1]), ["name=`name`", "newsletter!=`newsletter`", "-=`id`"]);
    assert_eq!(columns(&plan.nodes[2]), ["id=`id`", "name=`name`", "tier=`tier`", "newsletter=`newsletter`"]);
    let pair = &join(&plan.nodes[1]).pairs[0];
    assert_eq!((pair.parent_column.as_str(), pair.parent_position), ("customer_id", 5));
    assert_eq!((pair.child_column.as_str(), pair.child_position), ("id", Some(2)));
    assert_eq!((&pair.kind, &pair.equality), (&ColumnKind::Int { bits: 64, unsigned: true }, &Equality::Exact));
    assert!(plan.nodes[1].order_by.is_empty());
}

#[test]
fn a_renamed_key_column_keeps_its_name_in_both_places() {
    let plan = only("- {collection: a, root: shop.order, rename: {no: number}, columns: [region, no]}\n");
    let fields: Vec<&str> = plan.id.iter().map(|id| id.field.as_str()).collect();
    assert_eq!(fields, ["region", "number"]);
    assert_eq!(
        said("- {collection: a, root: shop.order, columns: [region], rename: {region: no}}\n"),
        ["5 E-FIELD projections[0]: two fields of one document are called `no` (the other: projections[0]) => \
          `rename` the column, or call the field something else"],
        "the hidden key column `no` and the renamed one would meet in `_id`"
    );
}

#[test]
fn a_wider_column_does_not_follow_the_roots_key() {
    let plan =
        only("- {collection: a, root: shop.order, many: {wide: {table: shop.wide, join: {region: region, no: no}}}}\n");
    assert!(!join(&plan.nodes[1]).follows_root_key);
}

#[test]
fn joins_follow_the_roots_key_in_its_order() {
    let plan = only(
        "- collection: a
  root: shop.order
  many:
    lines: {table: shop.order_line, join: {no: no, region: region}, order_by: [qty desc, line asc]}
    events: {table: shop.order_event, join: {region: region, no: no}, columns: [event]}
    by_region: {table: shop.order_line, join: {region: region}, columns: [line]}
  one:
    customer:
      table: shop.customer
      join: {customer_id: id}
      many:
        orders: {table: shop.order, join: {id: customer_id}, max_depth: 1, columns: [no]}
",
    );
    let [_, customer, orders, lines, events, by_region] = &plan.nodes[..] else { panic!("six nodes") };
    let names: Vec<&str> = join(lines).pairs.iter().map(|pair| pair.child_column.as_str()).collect();
    assert_eq!(names, ["region", "no"], "the pairs are in the key's order");
    let follows = |node| join(node).follows_root_key;
    assert!(follows(lines) && follows(events));
    assert!(!follows(by_region) && !follows(customer) && !follows(orders));
    assert_eq!(lines.order_by, ["`qty` DESC", "`line`", "`region`", "`no`"]);
    assert_eq!(events.order_by, ["`region`", "`no`", "`at`", "`event`"], "a table without a key: all of its columns");
    assert_eq!(columns(events), ["event=`event`", "-=`region`", "-=`no`", "-=`at`"]);
    assert_eq!((customer.parent, orders.parent, lines.parent), (Some(0), Some(1), Some(0)));
    let region = &join(lines).pairs[0];
    assert_eq!(region.equality, Equality::Collated { collation: "utf8mb4_0900_ai_ci".to_string(), pads: false });
}

#[test]
fn text_that_pads_says_so() {
    let plan = only(
        "- collection: a
  root: shop.product
  many:
    lines: {table: shop.order_line, join: {sku: sku}, columns: [qty]}
",
    );
    let pair = &join(&plan.nodes[1]).pairs[0];
    let collation = "utf8mb4_general_ci".to_string();
    assert_eq!(pair.equality, Equality::Collated { collation, pads: true });
    assert_eq!(pair.kind, ColumnKind::Text);
    assert!(join(&plan.nodes[1]).follows_root_key);
}

#[test]
fn links_bring_their_own_columns() {
    let plan = only(
        "- collection: a
  root: shop.order
  many:
    tags:
      table: shop.tag
      through: {table: shop.order_tag, join: {region: region, no: no}, to: {tag_id: id}}
      value: name
",
    );
    let tags = &plan.nodes[1];
    assert_eq!(tags.shape, Shape::Values(0));
    assert_eq!(columns(tags), ["name=`name`", "-=`id`"]);
    assert_eq!(tags.order_by, ["`id`"]);
    let join = join(tags);
    assert!(join.follows_root_key);
    assert!(join.pairs.iter().all(|pair| pair.child_position.is_none()));
    let through = join.through.as_ref().expect("a link table");
    assert_eq!(through.table, TableName::new("shop", "order_tag"));
    assert_eq!(through.to, [("tag_id".to_string(), "id".to_string())]);
    assert_eq!(through.kinds, [ColumnKind::Text, ColumnKind::Int { bits: 32, unsigned: true }]);
}

#[test]
fn a_self_reference_nests_to_its_depth() {
    let text = |depth| {
        format!(
            "- collection: a
  root: shop.category
  many:
    children:
      table: shop.category
      join: {{id: parent_id}}
      max_depth: {depth}
      many:
        products: {{table: shop.product, join: {{id: category_id}}, columns: [sku]}}
"
        )
    };
    let shape = |depth| -> Vec<(String, Option<usize>)> {
        only(&text(depth)).nodes.into_iter().map(|node| (node.field, node.parent)).collect()
    };
    let named = |list: &[(&str, Option<usize>)]| -> Vec<(String, Option<usize>)> {
        list.iter().map(|(name, parent)| (name.to_string(), *parent)).collect()
    };
    assert_eq!(shape(1), named(&[("", None), ("children", Some(0)), ("products", Some(1))]));
    assert_eq!(
        shape(2),
        named(&[
            ("", None),
            ("children", Some(0)),
            ("products", Some(1)),
            ("children", Some(1)),
            ("products", Some(3))
        ])
    );
    assert_eq!(only(&text(32)).nodes.len(), 65);
}

#[test]
fn every_table_is_used_once_with_the_columns_that_matter() {
    let plan = plan(
        "- collection: a
  root: shop.order
  columns: [region]
  fields: {y: YEAR(placed)}
  where: status <> 'draft'
  many:
    tags: {table: shop.tag, through: {table: shop.order_tag, join: {region: region, no: no}, to: {tag_id: id}}, columns: []}
    lines: {table: shop.order_line, join: {region: region, no: no}, columns: [], order_by: [qty]}
- {collection: b, root: shop.order, columns: [shipped]}
",
    );
    let shown: Vec<String> = plan
        .tables
        .iter()
        .map(|table| {
            let columns: Vec<String> = table
                .columns
                .iter()
                .map(|column| format!("{}{}", column.name, if column.routes { "!" } else { "" }))
                .collect();
            format!("{} {}", table.name, columns.join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "shop.order region! no! status placed shipped",
            "shop.order_line region! no! line qty",
            "shop.order_tag region! no! tag_id!",
            "shop.tag id!"
        ]
    );
}

#[test]
fn the_mapping_changes_with_the_documents_only() {
    let base = "- {collection: a, root: shop.tag}\n";
    let mapping = |text: &str| only(text).mapping;
    assert_eq!(mapping(base), mapping("- {collection: b, root: shop.tag, indexes: [{keys: {name: 1}}]}\n"));
    assert_eq!(mapping(base), mapping("- {collection: a, root: '`shop`.`tag`', columns: [name, id]}\n"));
    assert_ne!(mapping(base), mapping("- {collection: a, root: shop.tag, omit_nulls: true}\n"));
    assert_ne!(mapping(base), mapping("- {collection: a, root: shop.tag, where: id > 1}\n"));
    let mut changed = shop();
    let tag = changed.get_mut(&TableName::new("shop", "tag")).expect("a table of the shop");
    tag.columns[0].kind = ColumnKind::Int { bits: 64, unsigned: false };
    let (plan, _) = resolved(&format!("{}{base}", super::HEADER), &changed, &super::facts());
    assert_ne!(plan.expect("it still resolves").projections[0].mapping, mapping(base));
}

#[test]
fn tables_are_found_under_another_spelling_if_there_is_only_one() {
    let plan = plan("- {collection: a, root: shop.TAG}\n");
    assert_eq!(plan.projections[0].root().table, TableName::new("shop", "tag"));
}
