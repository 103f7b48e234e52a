//! The eight tables, their indexes, and how their rows are made.
//!
//! Owns: the DDL and cutting the data into parts that are loaded side by side. Does not own: sending them (`load`).

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::Sender;
use tpchgen::dates::GenerateUtils;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

/// Root rows of one part of `orders` and `lineitem`, at most.
const ORDERS_PER_PART: u64 = 25_000;
/// Bytes of lines that travel at a time.
const BLOCK: usize = 256 << 10;

/// Every table: its name, its columns with the primary key, and the secondary indexes, built after the load.
pub const TABLES: [(&str, &str, &str); 8] = [
    ("region", "r_regionkey INT NOT NULL, r_name CHAR(25) NOT NULL, r_comment VARCHAR(152) NOT NULL, PRIMARY KEY (r_regionkey)", ""),
    (
        "nation",
        "n_nationkey INT NOT NULL, n_name CHAR(25) NOT NULL, n_regionkey INT NOT NULL, n_comment VARCHAR(152) NOT NULL,
         PRIMARY KEY (n_nationkey)",
        "ADD INDEX (n_regionkey)",
    ),
    (
        "supplier",
        "s_suppkey INT NOT NULL, s_name CHAR(25) NOT NULL, s_address VARCHAR(40) NOT NULL, s_nationkey INT NOT NULL,
         s_phone CHAR(15) NOT NULL, s_acctbal DECIMAL(15,2) NOT NULL, s_comment VARCHAR(101) NOT NULL, PRIMARY KEY (s_suppkey)",
        "ADD INDEX (s_nationkey)",
    ),
    (
        "customer",
        "c_custkey INT NOT NULL, c_name VARCHAR(25) NOT NULL, c_address VARCHAR(40) NOT NULL, c_nationkey INT NOT NULL,
         c_phone CHAR(15) NOT NULL, c_acctbal DECIMAL(15,2) NOT NULL, c_mktsegment CHAR(10) NOT NULL,
         c_comment VARCHAR(117) NOT NULL, PRIMARY KEY (c_custkey)",
        "ADD INDEX (c_nationkey)",
    ),
    (
        "part",
        "p_partkey INT NOT NULL, p_name VARCHAR(55) NOT NULL, p_mfgr CHAR(25) NOT NULL, p_brand CHAR(10) NOT NULL,
         p_type VARCHAR(25) NOT NULL, p_size INT NOT NULL, p_container CHAR(10) NOT NULL,
         p_retailprice DECIMAL(15,2) NOT NULL, p_comment VARCHAR(23) NOT NULL, PRIMARY KEY (p_partkey)",
        "",
    ),
    (
        "partsupp",
        "ps_partkey INT NOT NULL, ps_suppkey INT NOT NULL, ps_availqty INT NOT NULL, ps_supplycost DECIMAL(15,2) NOT NULL,
         ps_comment VARCHAR(199) NOT NULL, PRIMARY KEY (ps_partkey, ps_suppkey)",
        "ADD INDEX (ps_suppkey)",
    ),
    (
        "orders",
        "o_orderkey BIGINT NOT NULL, o_custkey INT NOT NULL, o_orderstatus CHAR(1) NOT NULL,
         o_totalprice DECIMAL(15,2) NOT NULL, o_orderdate DATE NOT NULL, o_orderpriority CHAR(15) NOT NULL,
         o_clerk CHAR(15) NOT NULL, o_shippriority INT NOT NULL, o_comment VARCHAR(79) NOT NULL, PRIMARY KEY (o_orderkey)",
        "ADD INDEX (o_custkey)",
    ),
    (
        "lineitem",
        "l_orderkey BIGINT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL, l_linenumber INT NOT NULL,
         l_quantity DECIMAL(15,2) NOT NULL, l_extendedprice DECIMAL(15,2) NOT NULL, l_discount DECIMAL(15,2) NOT NULL,
         l_tax DECIMAL(15,2) NOT NULL, l_returnflag CHAR(1) NOT NULL, l_linestatus CHAR(1) NOT NULL,
         l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL,
         l_shipinstruct CHAR(25) NOT NULL, l_shipmode CHAR(10) NOT NULL, l_comment VARCHAR(44) NOT NULL,
         PRIMARY KEY (l_orderkey, l_linenumber)",
        "ADD INDEX (l_partkey), ADD INDEX (l_suppkey)",
    ),
];

/// A part of a table's rows, in TPC-H's own numbering (`part` of `parts`, from 1).
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub table: &'static str,
    part: i32,
    parts: i32,
    /// Of `orders` and `lineitem`: the orders to take.
    orders: usize,
}

/// All parts of all tables at this scale, of `orders` and `lineitem` only those of the first `orders` orders. The largest
/// come first, so that the last to finish is small.
pub fn parts(scale: f64, orders: i64) -> Vec<Part> {
    let whole = |table| Part { table, part: 1, parts: 1, orders: 0 };
    let all_orders = order_count(scale).unsigned_abs();
    let count = i32::try_from(all_orders.div_ceil(ORDERS_PER_PART)).unwrap_or(i32::MAX);
    let rows = |part| GenerateUtils::calculate_row_count(OrderGenerator::SCALE_BASE, scale, part, count);
    let mut list = Vec::new();
    for table in ["lineitem", "orders"] {
        let mut left = orders;
        for part in (1..=count).take_while(|_| orders > 0) {
            let here = rows(part).min(left);
            left -= here;
            if here > 0 {
                list.push(Part { table, part, parts: count, orders: here as usize });
            }
        }
    }
    let quarters = |table| (1..=4).map(move |part| Part { table, part, parts: 4, orders: 0 });
    list.extend(["partsupp", "customer", "part"].into_iter().flat_map(quarters));
    list.extend(["supplier", "nation", "region"].map(whole));
    list
}

/// How many orders there are at this scale.
pub fn order_count(scale: f64) -> i64 {
    OrderGenerator::calculate_row_count(scale, 1, 1)
}

impl Part {
    /// Makes the rows as lines `value|value|` and sends them in blocks. Runs on a thread of its own.
    pub fn send(&self, scale: f64, blocks: &Blocks) {
        let (part, parts) = (self.part, self.parts);
        match self.table {
            "region" => send(RegionGenerator::new(scale, part, parts).iter(), blocks),
            "nation" => send(NationGenerator::new(scale, part, parts).iter(), blocks),
            "supplier" => send(SupplierGenerator::new(scale, part, parts).iter(), blocks),
            "customer" => send(CustomerGenerator::new(scale, part, parts).iter(), blocks),
            "part" => send(PartGenerator::new(scale, part, parts).iter(), blocks),
            "partsupp" => send(PartSuppGenerator::new(scale, part, parts).iter(), blocks),
            "orders" => send(OrderGenerator::new(scale, part, parts).iter().take(self.orders), blocks),
            "lineitem" => {
                let (mut last, mut orders) = (0, 0);
                let within = |row: &tpchgen::generators::LineItem<'_>| {
                    orders += usize::from(row.l_orderkey != last);
                    last = row.l_orderkey;
                    orders <= self.orders
                };
                send(LineItemGenerator::new(scale, part, parts).iter().take_while(within), blocks);
            }
            other => unreachable!("no table {other}"),
        }
    }
}

/// Where rows go as lines, and how many were sent, by all parts together.
#[derive(Clone, Debug)]
pub struct Blocks {
    pub sender: Sender<Vec<u8>>,
    pub rows: Arc<AtomicU64>,
}

/// A receiver that is gone ends it: then the statement has failed, and says why.
fn send<T: Display>(rows: impl Iterator<Item = T>, blocks: &Blocks) {
    let (mut block, mut count) = (Vec::with_capacity(BLOCK + 1024), 0);
    let flush = |block: Vec<u8>, count: u64| {
        blocks.rows.fetch_add(count, Ordering::Relaxed);
        blocks.sender.blocking_send(block).is_ok()
    };
    for row in rows {
        writeln!(block, "{row}").expect("memory can be written");
        count += 1;
        if block.len() >= BLOCK {
            let full = std::mem::replace(&mut block, Vec::with_capacity(BLOCK + 1024));
            if !flush(full, std::mem::take(&mut count)) {
                return;
            }
        }
    }
    flush(block, count);
}
