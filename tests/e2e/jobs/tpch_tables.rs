//! TPC-H, very small: the tables, rows from the generator, and how their columns look in a document.
//! Owns: the columns' types on both sides. Does not own: which of them a job shows (`tpch`).

use crate::harness::servers::execute;
use mysql_async::Conn;
use std::fmt::Display;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, RegionGenerator,
    SupplierGenerator,
};

/// 1,500 orders of 150 customers.
const SCALE: f64 = 0.001;
pub const CUSTOMERS: usize = 150;
pub const ORDERS: usize = 1500;

pub struct Table {
    name: &'static str,
    keys: &'static str,
    /// Name and kind: i(nt), b(igint), d(ecimal), t (date), s (text).
    columns: &'static [(&'static str, char)],
}

pub const TABLES: [Table; 7] = [
    Table {
        name: "region",
        keys: "PRIMARY KEY (r_regionkey)",
        columns: &[("r_regionkey", 'i'), ("r_name", 's'), ("r_comment", 's')],
    },
    Table {
        name: "nation",
        keys: "PRIMARY KEY (n_nationkey), KEY (n_regionkey)",
        columns: &[("n_nationkey", 'i'), ("n_name", 's'), ("n_regionkey", 'i'), ("n_comment", 's')],
    },
    Table {
        name: "part",
        keys: "PRIMARY KEY (p_partkey)",
        columns: &[
            ("p_partkey", 'i'),
            ("p_name", 's'),
            ("p_mfgr", 's'),
            ("p_brand", 's'),
            ("p_type", 's'),
            ("p_size", 'i'),
            ("p_container", 's'),
            ("p_retailprice", 'd'),
            ("p_comment", 's'),
        ],
    },
    Table {
        name: "supplier",
        keys: "PRIMARY KEY (s_suppkey)",
        columns: &[
            ("s_suppkey", 'i'),
            ("s_name", 's'),
            ("s_address", 's'),
            ("s_nationkey", 'i'),
            ("s_phone", 's'),
            ("s_acctbal", 'd'),
            ("s_comment", 's'),
        ],
    },
    Table {
        name: "customer",
        keys: "PRIMARY KEY (c_custkey), KEY (c_nationkey)",
        columns: &[
            ("c_custkey", 'i'),
            ("c_name", 's'),
            ("c_address", 's'),
            ("c_nationkey", 'i'),
            ("c_phone", 's'),
            ("c_acctbal", 'd'),
            ("c_mktsegment", 's'),
            ("c_comment", 's'),
        ],
    },
    Table {
        name: "orders",
        keys: "PRIMARY KEY (o_orderkey), KEY (o_custkey)",
        columns: &[
            ("o_orderkey", 'b'),
            ("o_custkey", 'i'),
            ("o_orderstatus", 's'),
            ("o_totalprice", 'd'),
            ("o_orderdate", 't'),
            ("o_orderpriority", 's'),
            ("o_clerk", 's'),
            ("o_shippriority", 'i'),
            ("o_comment", 's'),
        ],
    },
    Table {
        name: "lineitem",
        keys: "PRIMARY KEY (l_orderkey, l_linenumber), KEY (l_partkey), KEY (l_suppkey)",
        columns: &[
            ("l_orderkey", 'b'),
            ("l_partkey", 'i'),
            ("l_suppkey", 'i'),
            ("l_linenumber", 'i'),
            ("l_quantity", 'd'),
            ("l_extendedprice", 'd'),
            ("l_discount", 'd'),
            ("l_tax", 'd'),
            ("l_returnflag", 's'),
            ("l_linestatus", 's'),
            ("l_shipdate", 't'),
            ("l_commitdate", 't'),
            ("l_receiptdate", 't'),
            ("l_shipinstruct", 's'),
            ("l_shipmode", 's'),
            ("l_comment", 's'),
        ],
    },
];

pub fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|t| t.name == name).expect("a table of TPC-H")
}

impl Table {
    /// `'name', value` of these columns, or of all, for JSON_OBJECT.
    pub fn fields(&self, alias: &str, only: &[&str]) -> String {
        let leaf = |(name, kind): &(&str, char)| {
            let x = format!("{alias}.{name}");
            let value = match kind {
                'i' => format!("CONCAT('i32:', {x})"),
                'b' => format!("CONCAT('i64:', {x})"),
                'd' => format!("CONCAT('d128:', {x})"),
                't' => format!("CONCAT('t:', DATEDIFF({x}, '1970-01-01') * 86400000)"),
                _ => format!("CONCAT('s:', {x})"),
            };
            format!("'{name}', {value}")
        };
        let shown = self.columns.iter().filter(|(name, _)| only.is_empty() || only.contains(name));
        shown.map(leaf).collect::<Vec<_>>().join(", ")
    }

    fn create(&self) -> String {
        let column = |(name, kind): &(&str, char)| {
            let ty = match kind {
                'i' => "int NOT NULL",
                'b' => "bigint NOT NULL",
                'd' => "decimal(15,2) NOT NULL",
                't' => "date NOT NULL",
                _ => "varchar(200) NOT NULL",
            };
            format!("{name} {ty}")
        };
        let columns: Vec<String> = self.columns.iter().map(column).collect();
        format!("CREATE TABLE {} ({}, {})", self.name, columns.join(", "), self.keys)
    }
}

/// `1|text|` as the generator prints a row.
async fn insert(conn: &mut Conn, table: &str, rows: impl Iterator<Item: Display>) {
    let value = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    let row = |row: String| {
        let values: Vec<String> = row.trim_end_matches('|').split('|').map(value).collect();
        format!("({})", values.join(","))
    };
    let rows: Vec<String> = rows.map(|r| row(r.to_string())).collect();
    for some in rows.chunks(500) {
        execute(conn, &format!("INSERT INTO {table} VALUES {}", some.join(","))).await;
    }
}

pub async fn load(conn: &mut Conn) {
    for table in &TABLES {
        execute(conn, &table.create()).await;
    }
    insert(conn, "region", RegionGenerator::new(SCALE, 1, 1).iter()).await;
    insert(conn, "nation", NationGenerator::new(SCALE, 1, 1).iter()).await;
    insert(conn, "part", PartGenerator::new(SCALE, 1, 1).iter()).await;
    insert(conn, "supplier", SupplierGenerator::new(SCALE, 1, 1).iter()).await;
    insert(conn, "customer", CustomerGenerator::new(SCALE, 1, 1).iter()).await;
    insert(conn, "orders", OrderGenerator::new(SCALE, 1, 1).iter()).await;
    insert(conn, "lineitem", LineItemGenerator::new(SCALE, 1, 1).iter()).await;
    execute(conn, "ANALYZE TABLE orders, lineitem, customer").await;
}
