//! Expressions: what they may say, and which columns they use.

use super::super::expressions::columns_of;
use super::shop;
use crate::model::schema::{Table, TableName};

fn order() -> Table {
    shop().remove(&TableName::new("shop", "order")).expect("a table of the shop")
}

fn used(text: &str) -> Vec<String> {
    let table = order();
    let columns = columns_of(text, &table).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    columns.into_iter().map(|at| table.columns[at].name.clone()).collect()
}

fn refused(text: &str) -> String {
    let faults = columns_of(text, &order()).expect_err(text);
    faults.iter().map(|fault| fault.what.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_used_columns_are_found() {
    for (text, columns) in [
        ("YEAR(placed)", &["placed"][..]),
        ("`placed` > '2024-01-01' AND STATUS <> 'no'", &["status", "placed"]),
        ("CASE WHEN shipped IS NULL THEN 0 ELSE 1 END", &["shipped"]),
        ("CONCAT(region, '-', no) COLLATE utf8mb4_bin", &["region", "no"]),
        ("CAST(no AS UNSIGNED) DIV 2", &["no"]),
        ("CONVERT(status USING latin1) = _latin1'x'", &["status"]),
        ("_binary 0xFF = status", &["status"]),
        ("DATE_ADD(placed, INTERVAL 1 DAY) > shipped", &["placed", "shipped"]),
        ("status IN ('a', 'b') OR (no BETWEEN 1 AND 2)", &["no", "status"]),
        ("EXTRACT(YEAR_MONTH FROM placed)", &["placed"]),
        ("UNIX_TIMESTAMP(placed)", &["placed"]),
        ("TRIM(BOTH ' ' FROM status)", &["status"]),
        ("IF(status = 'now()', 1, 0)", &["status"]),
        ("x'4D' = status", &["status"]),
        ("1 + 1.5e3", &[]),
    ] {
        assert_eq!(used(text), columns, "{text}");
    }
}

#[test]
fn what_changes_by_itself_is_refused_by_name() {
    for (text, what) in [
        ("NOW()", "NOW is not deterministic"),
        ("now ( )", "NOW is not deterministic"),
        ("CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP is not deterministic"),
        ("placed > CURDATE() - INTERVAL 1 DAY", "CURDATE is not deterministic"),
        ("SYSDATE()", "SYSDATE is not deterministic"),
        ("RAND() * 1", "RAND is not deterministic"),
        ("UUID()", "UUID is not deterministic"),
        ("UTC_DATE", "UTC_DATE is not deterministic"),
        ("UNIX_TIMESTAMP()", "UNIX_TIMESTAMP() without an argument is not deterministic"),
        ("USER()", "USER is not deterministic"),
        ("LAST_INSERT_ID()", "LAST_INSERT_ID is not deterministic"),
        ("CONNECTION_ID()", "CONNECTION_ID is not deterministic"),
        ("FOUND_ROWS()", "FOUND_ROWS is not deterministic"),
        ("GET_LOCK('a', 1)", "GET_LOCK is not deterministic"),
        ("SLEEP(1)", "SLEEP is not deterministic"),
        ("LOAD_FILE('/etc/passwd')", "LOAD_FILE is not deterministic"),
        ("@x + 1", "the variable @x is not deterministic: its value is the session's"),
        ("@@server_id", "the variable @@server_id is not deterministic: its value is the session's"),
        ("(SELECT MAX(no) FROM t)", "a query (SELECT) cannot be in an expression"),
        ("no IN (TABLE t)", "a query (TABLE) cannot be in an expression"),
        ("total(no)", "`total` is not a deterministic function that MySQL has built in"),
        ("`total`(no)", "`total` is not a deterministic function that MySQL has built in"),
        ("shop.total(no)", "a name with a `.` cannot be in an expression"),
        ("SUM(no)", "SUM looks at many rows; an expression sees one"),
        (
            "ROW_NUMBER() OVER (ORDER BY no)",
            "ROW_NUMBER looks at many rows; an expression sees one; OVER looks at many rows; an expression sees one; table shop.order has no column `ORDER`; table shop.order has no column `BY`",
        ),
        ("`order`.no", "a name with a `.` cannot be in an expression"),
        ("plced + nno", "table shop.order has no column `plced`; table shop.order has no column `nno`"),
        ("`SELECT`", "table shop.order has no column `SELECT`"),
        ("", "the expression is empty"),
        ("no; DROP TABLE t", "a `;` cannot be in an expression"),
    ] {
        assert_eq!(refused(text), what, "{text}");
    }
}
