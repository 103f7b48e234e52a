//! `jobs/tpch_orders.yaml` and `jobs/tpch_customers.yaml`: copied with `snapshot`, followed with `run`, both at once.
//! Owns: the changes and the oracle's two queries. Does not own: tables and rows (`tpch_tables`).

use super::tpch_tables::{CUSTOMERS, ORDERS, load, table};
use super::{array, assert_collection, job, looked_at_before};
use crate::harness;
use crate::harness::engine::Job;
use crate::harness::servers::{Scratch, ask, execute};
use crate::harness::status;
use crate::harness::world::REST;
use bson::{Document, doc};
use mysql_async::Conn;
use std::time::Duration;

/// Each changes documents of both jobs.
const CHANGES: [&str; 18] = [
    "UPDATE customer SET c_name = 'Renamed', c_acctbal = -0.10 WHERE c_custkey = 7",
    "UPDATE nation SET n_name = 'NEVERLAND' WHERE n_nationkey = 3",
    "UPDATE nation SET n_regionkey = 2 WHERE n_nationkey = 4",
    "UPDATE region SET r_name = 'FAR AWAY' WHERE r_regionkey = 1",
    // Line items move to another order, within a customer and to another one.
    "UPDATE lineitem SET l_orderkey = 2, l_linenumber = 91 WHERE l_orderkey = 1 AND l_linenumber = 1",
    "UPDATE lineitem SET l_orderkey = 3, l_linenumber = l_linenumber + 50 WHERE l_orderkey = 7",
    "UPDATE orders SET o_custkey = 7 WHERE o_orderkey IN (1, 2, 3, 4, 5)",
    "UPDATE orders SET o_orderdate = '1999-12-31' WHERE o_orderkey = 32",
    "UPDATE orders SET o_orderkey = 9000001 WHERE o_orderkey = 33",
    "START TRANSACTION",
    "DELETE FROM lineitem WHERE l_orderkey BETWEEN 34 AND 64",
    "DELETE FROM orders WHERE o_orderkey BETWEEN 34 AND 64",
    "INSERT INTO orders VALUES (9000002, 9, 'O', 1.00, '1998-01-01', '1-URGENT', 'Clerk', 0, 'new')",
    "INSERT INTO lineitem SELECT 9000002, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, \
     l_tax, 'N', 'O', l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, 'copied' FROM lineitem WHERE \
     l_orderkey = 65",
    "COMMIT",
    "UPDATE part SET p_brand = 'Brand#99' WHERE p_partkey BETWEEN 10 AND 20",
    "UPDATE supplier SET s_name = 'Renamed' WHERE s_suppkey = 5",
    "DELETE FROM customer WHERE c_custkey IN (10, 11)",
];

fn orders(db: &str) -> String {
    let region = format!(
        "(SELECT JSON_OBJECT({}) FROM `{db}`.region r WHERE r.r_regionkey = n.n_regionkey)",
        table("region").fields("r", &[])
    );
    let nation = format!(
        "(SELECT JSON_OBJECT({}, 'region', {region}) FROM `{db}`.nation n WHERE n.n_nationkey = c.c_nationkey)",
        table("nation").fields("n", &[])
    );
    let customer = format!(
        "(SELECT JSON_OBJECT({}, 'nation', {nation}) FROM `{db}`.customer c WHERE c.c_custkey = o.o_custkey)",
        table("customer").fields("c", &[])
    );
    let part = format!(
        "(SELECT JSON_OBJECT({}) FROM `{db}`.part p WHERE p.p_partkey = l.l_partkey)",
        table("part").fields("p", &["p_partkey", "p_name", "p_brand", "p_type"])
    );
    let supplier = format!(
        "(SELECT JSON_OBJECT({}) FROM `{db}`.supplier s WHERE s.s_suppkey = l.l_suppkey)",
        table("supplier").fields("s", &["s_suppkey", "s_name", "s_nationkey"])
    );
    let lineitems = array(
        &format!("JSON_OBJECT({}, 'part', {part}, 'supplier', {supplier})", table("lineitem").fields("l", &[])),
        "l.l_linenumber",
        &format!("`{db}`.lineitem l WHERE l.l_orderkey = o.o_orderkey"),
    );
    format!(
        "SELECT CAST(JSON_ARRAY(CONCAT('i64:', o.o_orderkey)) AS CHAR), CAST(JSON_OBJECT({}, 'customer', {customer}, \
         'lineitems', {lineitems}) AS CHAR) FROM `{db}`.orders o",
        table("orders").fields("o", &[])
    )
}

fn customers(db: &str) -> String {
    let nation = format!(
        "(SELECT JSON_OBJECT({}) FROM `{db}`.nation n WHERE n.n_nationkey = c.c_nationkey)",
        table("nation").fields("n", &["n_name", "n_regionkey"])
    );
    let shown = ["l_linenumber", "l_partkey", "l_suppkey", "l_quantity", "l_extendedprice", "l_discount", "l_shipdate"];
    let lineitems = array(
        &format!("JSON_OBJECT({})", table("lineitem").fields("l", &shown)),
        "l.l_linenumber",
        &format!("`{db}`.lineitem l WHERE l.l_orderkey = o.o_orderkey"),
    );
    let orders = array(
        &format!("JSON_OBJECT({}, 'lineitems', {lineitems})", table("orders").fields("o", &[])),
        "o.o_orderdate DESC, o.o_orderkey",
        &format!("`{db}`.orders o WHERE o.o_custkey = c.c_custkey"),
    );
    format!(
        "SELECT CAST(JSON_ARRAY(CONCAT('i32:', c.c_custkey)) AS CHAR), CAST(JSON_OBJECT({}, 'nation', {nation}, 'orders', \
         {orders}) AS CHAR) FROM `{db}`.customer c",
        table("customer").fields("c", &[])
    )
}

async fn assert_equal(conn: &mut Conn, scratch: &Scratch, count: [usize; 2]) {
    let db = &scratch.name;
    let equal = assert_collection(conn, &scratch.mongo, "orders", &orders(db)).await;
    assert_eq!(equal, count[0]);
    let equal = assert_collection(conn, &scratch.mongo, "customers", &customers(db)).await;
    assert_eq!(equal, count[1]);
}

async fn copied(job: &Job, collection: &str, documents: usize) {
    let finished = job.snapshot().finish(REST).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let said = format!("{collection}: {documents} documents from ");
    assert!(finished.stdout.contains(&said), "it does not say {said:?}: {}", finished.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn tpch_is_copied_and_followed_by_both_jobs_at_once() {
    let _seat = harness::seat().await;
    let scratch = Scratch::create("tpch").await;
    let mut conn = scratch.mysql().await;
    load(&mut conn).await;
    let by_order = job("tpch_orders", "tpch_orders.yaml", "tpch", &scratch.name);
    let by_customer = job("tpch_customers", "tpch_customers.yaml", "tpch", &scratch.name);
    looked_at_before(&by_order, "tpch_orders", &["orders"]).await;
    looked_at_before(&by_customer, "tpch_customers", &["customers"]).await;
    copied(&by_order, "orders", ORDERS).await;
    copied(&by_customer, "customers", CUSTOMERS).await;
    assert_equal(&mut conn, &scratch, [ORDERS, CUSTOMERS]).await;

    let mut first = by_order.run();
    let mut second = by_customer.run();
    status::wait_live(&by_order, &mut first, REST).await;
    status::wait_live(&by_customer, &mut second, REST).await;
    for change in CHANGES {
        execute(&mut conn, change).await;
    }
    status::wait_quiescent(&by_order, &mut first, REST).await;
    status::wait_quiescent(&by_customer, &mut second, REST).await;
    let left: usize = ask(&mut conn, "SELECT COUNT(*) FROM orders").await;
    assert!(left < ORDERS, "orders were deleted");
    assert_equal(&mut conn, &scratch, [left, CUSTOMERS - 2]).await;

    // By hand, so that the oracle and the engine cannot be wrong together.
    let order = scratch.mongo.collection::<Document>("orders").find_one(doc! { "_id": 2_i64 }).await;
    let order = order.expect("the target can be read").expect("order 2");
    let customer = order.get_document("customer").expect("a customer");
    assert_eq!(customer.get_str("c_name").ok(), Some("Renamed"));
    let last = order.get_array("lineitems").expect("line items").last().and_then(|l| l.as_document());
    assert_eq!(last.expect("a line item").get_i32("l_linenumber").ok(), Some(91), "the moved one");
    let orphans = scratch.mongo.collection::<Document>("orders").count_documents(doc! { "customer": null }).await;
    assert!(orphans.expect("the target can be counted") > 0, "no order of a deleted customer");

    for engine in [first, second] {
        let finished = engine.stop(Duration::from_secs(10)).await;
        assert_eq!(finished.code, 0, "{}", finished.stderr);
    }
    scratch.remove().await;
}
