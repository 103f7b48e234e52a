//! What `jobs/tpch_orders.yaml` means, said a second time in plain SQL.
//!
//! Owns: the fields of a document with their types and order, and the query that makes the same document as JSON in MySQL.
//! Its leaves are text that carries the BSON type (`i64:7`, `d128:1.50`), so that a wrong type is a difference.
//! Change it together with the job file.

/// What a column becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// INT.
    Int32,
    /// BIGINT.
    Int64,
    /// DECIMAL(15,2).
    Decimal,
    /// CHAR, VARCHAR.
    Text,
    /// DATE.
    Date,
}

/// A sub-document: a table's fields, then what is nested in it.
#[derive(Debug)]
pub struct Node {
    pub fields: &'static [(&'static str, Leaf)],
    pub nested: &'static [Nested],
}

/// A table nested in its parent's document.
#[derive(Debug)]
pub struct Nested {
    pub field: &'static str,
    pub node: Node,
    /// An array.
    pub many: bool,
    /// `FROM` and `WHERE` of its rows, in terms of the parent's columns: every column of TPC-H has a name of its own.
    from: &'static str,
    /// The order of an array.
    order: &'static str,
}

use Leaf::{Date, Decimal, Int32, Int64, Text};

/// A document of the collection `orders`.
pub const ORDER: Node = Node {
    fields: &[
        ("o_orderkey", Int64),
        ("o_custkey", Int32),
        ("o_orderstatus", Text),
        ("o_totalprice", Decimal),
        ("o_orderdate", Date),
        ("o_orderpriority", Text),
        ("o_clerk", Text),
        ("o_shippriority", Int32),
        ("o_comment", Text),
    ],
    nested: &[
        Nested {
            field: "customer",
            node: CUSTOMER,
            many: false,
            from: "customer WHERE c_custkey = o_custkey",
            order: "",
        },
        Nested {
            field: "lineitems",
            node: LINEITEM,
            many: true,
            from: "lineitem WHERE l_orderkey = o_orderkey",
            order: "l_linenumber",
        },
    ],
};

const CUSTOMER: Node = Node {
    fields: &[
        ("c_custkey", Int32),
        ("c_name", Text),
        ("c_address", Text),
        ("c_nationkey", Int32),
        ("c_phone", Text),
        ("c_acctbal", Decimal),
        ("c_mktsegment", Text),
        ("c_comment", Text),
    ],
    nested: &[Nested {
        field: "nation",
        node: NATION,
        many: false,
        from: "nation WHERE n_nationkey = c_nationkey",
        order: "",
    }],
};

const NATION: Node = Node {
    fields: &[("n_nationkey", Int32), ("n_name", Text), ("n_regionkey", Int32), ("n_comment", Text)],
    nested: &[Nested {
        field: "region",
        node: REGION,
        many: false,
        from: "region WHERE r_regionkey = n_regionkey",
        order: "",
    }],
};

const REGION: Node = Node { fields: &[("r_regionkey", Int32), ("r_name", Text), ("r_comment", Text)], nested: &[] };

const LINEITEM: Node = Node {
    fields: &[
        ("l_orderkey", Int64),
        ("l_partkey", Int32),
        ("l_suppkey", Int32),
        ("l_linenumber", Int32),
        ("l_quantity", Decimal),
        ("l_extendedprice", Decimal),
        ("l_discount", Decimal),
        ("l_tax", Decimal),
        ("l_returnflag", Text),
        ("l_linestatus", Text),
        ("l_shipdate", Date),
        ("l_commitdate", Date),
        ("l_receiptdate", Date),
        ("l_shipinstruct", Text),
        ("l_shipmode", Text),
        ("l_comment", Text),
    ],
    nested: &[
        Nested { field: "part", node: PART, many: false, from: "part WHERE p_partkey = l_partkey", order: "" },
        Nested {
            field: "supplier",
            node: SUPPLIER,
            many: false,
            from: "supplier WHERE s_suppkey = l_suppkey",
            order: "",
        },
    ],
};

const PART: Node =
    Node { fields: &[("p_partkey", Int32), ("p_name", Text), ("p_brand", Text), ("p_type", Text)], nested: &[] };

const SUPPLIER: Node = Node { fields: &[("s_suppkey", Int32), ("s_name", Text), ("s_nationkey", Int32)], nested: &[] };

/// `SELECT key, document` for the orders with `after < o_orderkey <= up_to`, in the order of their keys.
pub fn query(after: Option<i64>, up_to: Option<i64>) -> String {
    let low = after.map(|key| format!(" AND o_orderkey > {key}")).unwrap_or_default();
    let high = up_to.map(|key| format!(" AND o_orderkey <= {key}")).unwrap_or_default();
    format!("SELECT o_orderkey, {} FROM orders WHERE TRUE{low}{high} ORDER BY o_orderkey", object(&ORDER))
}

/// A JSON object as text. Put together by CONCAT: a JSON_OBJECT of nested ones would parse each level again.
fn object(node: &Node) -> String {
    let fields = node.fields.iter().map(|(column, leaf)| format!("'{column}', {}", tagged(*leaf, column)));
    let mut text = format!("CAST(JSON_OBJECT({}) AS CHAR)", fields.collect::<Vec<_>>().join(", "));
    if !node.nested.is_empty() {
        let mut parts = vec![format!("TRIM(TRAILING '}}' FROM {text})")];
        for nested in node.nested {
            parts.push(format!("', \"{}\": '", nested.field));
            let inner = object(&nested.node);
            parts.push(if nested.many {
                format!(
                    "(SELECT CONCAT('[', IFNULL(GROUP_CONCAT({inner} ORDER BY {} SEPARATOR ','), ''), ']') FROM {})",
                    nested.order, nested.from
                )
            } else {
                format!("IFNULL((SELECT {inner} FROM {}), 'null')", nested.from)
            });
        }
        parts.push("'}'".to_owned());
        text = format!("CONCAT({})", parts.join(", "));
    }
    text
}

fn tagged(leaf: Leaf, column: &str) -> String {
    match leaf {
        Int32 => format!("CONCAT('i32:', {column})"),
        Int64 => format!("CONCAT('i64:', {column})"),
        Decimal => format!("CONCAT('d128:', {column})"),
        Text => format!("CONCAT('s:', {column})"),
        Date => format!("CONCAT('t:', DATEDIFF({column}, '1970-01-01') * 86400000)"),
    }
}
