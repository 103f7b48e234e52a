//! The job files that are shipped: each reads and resolves.

use std::path::Path;

use crate::config::{load, render};

use super::{Answers, TableName, ddl, facts, loaded, resolved, shop};

const TPCH: &str = "CREATE TABLE tpch.region (
  r_regionkey int NOT NULL,
  r_name char(25) NOT NULL,
  r_comment varchar(152) NULL,
  PRIMARY KEY (r_regionkey)
);
CREATE TABLE tpch.nation (
  n_nationkey int NOT NULL,
  n_name char(25) NOT NULL,
  n_regionkey int NOT NULL,
  n_comment varchar(152) NULL,
  PRIMARY KEY (n_nationkey),
  KEY region (n_regionkey)
);
CREATE TABLE tpch.part (
  p_partkey int NOT NULL,
  p_name varchar(55) NOT NULL,
  p_mfgr char(25) NOT NULL,
  p_brand char(10) NOT NULL,
  p_type varchar(25) NOT NULL,
  PRIMARY KEY (p_partkey)
);
CREATE TABLE tpch.supplier (
  s_suppkey int NOT NULL,
  s_name char(25) NOT NULL,
  s_nationkey int NOT NULL,
  PRIMARY KEY (s_suppkey)
);
CREATE TABLE tpch.customer (
  c_custkey int NOT NULL,
  c_name varchar(25) NOT NULL,
  c_nationkey int NOT NULL,
  PRIMARY KEY (c_custkey),
  KEY nation (c_nationkey)
);
CREATE TABLE tpch.orders (
  o_orderkey int NOT NULL,
  o_custkey int NOT NULL,
  o_orderdate date NOT NULL,
  PRIMARY KEY (o_orderkey),
  KEY customer (o_custkey)
);
CREATE TABLE tpch.lineitem (
  l_orderkey int NOT NULL,
  l_partkey int NOT NULL,
  l_suppkey int NOT NULL,
  l_linenumber int NOT NULL,
  l_quantity decimal(15,2) NOT NULL,
  l_extendedprice decimal(15,2) NOT NULL,
  l_discount decimal(15,2) NOT NULL,
  l_shipdate date NOT NULL,
  PRIMARY KEY (l_orderkey, l_linenumber),
  KEY part (l_partkey),
  KEY supplier (l_suppkey)
);
";

#[test]
fn the_tpch_jobs_resolve() {
    let tables = ddl::tables(TPCH);
    let resolve = |text: &str| {
        let (plan, problems) = resolved(text, &tables, &facts());
        assert_eq!(render(&problems), "");
        plan.expect("a job without problems has a plan")
    };
    let orders = resolve(include_str!("../../../../jobs/tpch_orders.yaml"));
    let fields: Vec<&str> = orders.projections[0].nodes.iter().map(|node| node.field.as_str()).collect();
    assert_eq!(fields, ["", "customer", "nation", "region", "lineitems", "part", "supplier"]);
    assert!(orders.projections[0].nodes[4].join.as_ref().is_some_and(|join| join.follows_root_key));
    assert_eq!(orders.tables.len(), 7);

    let customers = resolve(include_str!("../../../../jobs/tpch_customers.yaml"));
    let nodes = &customers.projections[0].nodes;
    assert_eq!(nodes[2].order_by, ["`o_orderdate` DESC", "`o_orderkey`"]);
    assert_eq!(nodes[3].order_by, ["`l_orderkey`", "`l_linenumber`"]);
    assert!(nodes[2].join.as_ref().is_some_and(|join| join.follows_root_key));
    assert!(nodes[3].join.as_ref().is_some_and(|join| !join.follows_root_key), "its parent is not the root");
}

#[test]
fn the_shop_job_resolves() {
    let (plan, problems) = resolved(include_str!("../../../../jobs/shop.yaml"), &shop(), &facts());
    assert_eq!(render(&problems), "");
    let plan = plan.expect("a job without problems has a plan");
    let fields =
        |at: usize| -> Vec<&str> { plan.projections[at].nodes.iter().map(|node| node.field.as_str()).collect() };
    assert_eq!(fields(0), ["", "customer", "recipient", "lines", "product", "tags", "history"]);
    assert_eq!(fields(1), ["", "category", "parent", "parent", "parent"]);
    assert_eq!(fields(2), ["", "products", "children", "children", "children"]);
    assert_eq!(plan.projections[0].nodes[6].order_by, ["`at`", "`region`", "`no`", "`event`"]);
}

#[test]
fn files_are_loaded_with_their_tables() {
    for name in ["shop", "tpch_orders", "tpch_customers"] {
        let path = format!("{}/jobs/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let loaded = load(Path::new(&path)).unwrap_or_else(|problems| panic!("{}", render(&problems)));
        assert_eq!(render(&loaded.problems), "");
        assert_eq!(loaded.settings.name, name);
    }
    let shop = loaded(include_str!("../../../../jobs/shop.yaml"));
    let names: Vec<String> = shop.tables().iter().map(TableName::to_string).collect();
    assert_eq!(
        names,
        [
            "shop.category",
            "shop.customer",
            "shop.order",
            "shop.order_event",
            "shop.order_line",
            "shop.order_tag",
            "shop.product",
            "shop.tag"
        ]
    );
}

#[test]
fn questions_are_asked_before_a_plan_is_made() {
    let loaded = loaded(include_str!("../../../../jobs/shop.yaml"));
    let questions = loaded.questions(&shop());
    let orders: Vec<&str> = questions.expressions[0].1.iter().map(String::as_str).collect();
    assert_eq!(orders, ["YEAR(placed)", "shipped IS NOT NULL AND DATEDIFF(shipped, placed) > 3", "status <> 'draft'"]);
    let (plan, problems) = loaded.resolve(&shop(), &facts(), &Answers::default());
    assert!(plan.is_none());
    assert_eq!(problems[0].code, "E-UNANSWERED");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problems = load(Path::new("jobs/none.yaml")).expect_err("there is no such file");
    assert_eq!((problems[0].code, problems.len()), ("E-FILE", 1));
    assert!(render(&problems).contains("--> jobs/none.yaml\n"), "{}", render(&problems));
}
