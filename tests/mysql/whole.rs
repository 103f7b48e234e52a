//! Whole rows of a real binlog: documents and shapes as SELECT has them, and where each change stands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rowfold::edge::mysql::MySqlServer;
use rowfold::model::change::{Cell, LogEvent, Origin, RowChange, Spot};
use rowfold::model::position::GtidSet;
use rowfold::model::schema::{ColumnKind, Table};
use rowfold::model::value::Value;
use rowfold::ports::{CaptureSource, ChangeLog};

use crate::support::Database;

/// What one change was, where it stood, and what else is known of it.
struct Found {
    change: Option<RowChange>,
    spot: Spot,
    origin: Arc<Origin>,
}

async fn executed(server: &MySqlServer) -> GtidSet {
    CaptureSource::state(server).await.expect("a state").executed
}

/// Everything that the log has between two sets.
async fn between(server: &MySqlServer, tables: &[Table], from: &GtidSet, until: &GtidSet) -> Vec<Found> {
    let mut log = server.row_log(from, tables).await.expect("a log");
    let mut done = from.clone();
    let mut found = Vec::new();
    while !until.minus(&done).is_empty() {
        let next = tokio::time::timeout(Duration::from_secs(20), log.next());
        let mut add = |changes: Vec<RowChange>, origin: &Arc<Origin>| {
            let one = |change: RowChange| Found { spot: change.spot, origin: origin.clone(), change: Some(change) };
            found.extend(changes.into_iter().map(one));
        };
        match next.await.expect("in time").expect("an event") {
            LogEvent::Commit(commit) => {
                add(commit.changes, &commit.origin);
                done.insert(&commit.gtid);
                done.extend(&commit.also);
            }
            LogEvent::Part { changes, origin, .. } => add(changes, &origin),
            LogEvent::Unlogged { origin, spot, .. } => found.push(Found { change: None, spot, origin }),
            LogEvent::Heartbeat | LogEvent::Passed(_) => {}
        }
    }
    found
}

fn after(found: &Found) -> &[Cell] {
    let image = found.change.as_ref().and_then(|change| change.after.as_ref());
    &image.expect("an image").0
}

fn text(cell: &Cell) -> &str {
    match cell {
        Cell::Value(Value::Text(text)) => text,
        other => panic!("{other:?}"),
    }
}

const DOCUMENTS: [&str; 14] = [
    r#"'{"a":[1,2.5,null,"x"],"d":{"k":18446744073709551615},"":""}'"#,
    r#"'[0, -1, 32767, 32768, -32769, 65535, 65536, -2147483649, 4294967296, 9223372036854775808, -9223372036854775808]'"#,
    r#"'[1e308, 5e-324, -0.0, 0.1, 1.0, 1e16, 123456789012345678901234567890]'"#,
    r#"'"a\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\\u00e9😀"'"#,
    "'null'",
    "'{}'",
    "'[[], {}, [[[[[[true, false]]]]]]]'",
    "JSON_OBJECT('date', CAST('2024-02-29' AS DATE), 'zero', CAST('0000-00-00' AS DATE))",
    "JSON_ARRAY(CAST('-838:59:59' AS TIME), CAST('00:00:00.000001' AS TIME(6)), CAST('2024-01-01 10:11:12.5' AS DATETIME(3)))",
    "JSON_ARRAY(CAST(-12.30 AS DECIMAL(10,2)), 12345678901234567890123456789.000000001, CAST(0 AS DECIMAL(30,30)))",
    "JSON_ARRAY(X'00FF', b'101', CAST(2024 AS YEAR))",
    "JSON_OBJECT(REPEAT('k', 300), REPEAT('v', 20000), 'b', TRUE)",
    "JSON_OBJECT('large', REPEAT('x', 70000), 'n', -70000, 'm', 3000000000, 'a', JSON_ARRAY(1, NULL, REPEAT('é', 200)))",
    "(WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 9000) SELECT JSON_ARRAYAGG(n * 7.25) FROM s)",
];

#[tokio::test]
async fn documents_and_shapes_are_what_select_has() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, doc JSON, place GEOMETRY, spot POINT SRID 4326, near VECTOR(3))";
    let mut database = Database::with("whole", 71_402, &[create]).await;
    let table = database.definition("t").await;
    let from = executed(&database.server).await;
    for (id, document) in DOCUMENTS.iter().enumerate() {
        let insert = format!(
            "INSERT INTO t VALUES ({id}, {document}, ST_GeomFromText('LINESTRING(0 {id}, 1 1)', 3857), \
             ST_SRID(POINT(12, {id}), 4326), STRING_TO_VECTOR('[1, 2, {id}]'))"
        );
        database.run(&[&insert]).await;
    }
    let until = executed(&database.server).await;
    let found = between(&database.server, std::slice::from_ref(&table), &from, &until).await;
    let ask = "SELECT CAST(doc AS CHAR), HEX(place), HEX(spot), HEX(near) FROM t ORDER BY id";
    let rows: Vec<(String, String, String, String)> = database.conn.query(ask).await.expect("rows");
    assert_eq!((rows.len(), found.len()), (DOCUMENTS.len(), DOCUMENTS.len()));
    for ((document, place, spot, near), found) in rows.iter().zip(&found) {
        // Neither spaces nor the spelling of numbers count. MySQL breaks long base64 into lines, against JSON's rules.
        let read = |text: &str| -> serde_json::Value {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        let (selected, logged) = (read(document), read(text(&after(found)[1])));
        assert_eq!(selected.to_string(), logged.to_string());
        for (cell, hex) in after(found)[2..].iter().zip([place, spot, near]) {
            let Cell::Value(Value::Bytes(bytes)) = cell else { panic!("{cell:?}") };
            assert_eq!(&bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>(), hex);
        }
    }
    assert_eq!(text(&after(&found[0])[1]), r#"{"":"","a":[1,2.5,null,"x"],"d":{"k":18446744073709551615}}"#);
}

#[tokio::test]
async fn what_the_log_lacks_is_absent() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, a INT, doc JSON, name VARCHAR(9))";
    let mut database = Database::with("absent", 71_403, &[create]).await;
    let mut table = database.definition("t").await;
    let from = executed(&database.server).await;
    database
        .run(&[
            "INSERT INTO t VALUES (1, 2, '{\"k\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"l\": 1}', 'x')",
            "SET binlog_row_value_options=PARTIAL_JSON",
            "UPDATE t SET doc = JSON_SET(doc, '$.l', 2)",
            "SET binlog_row_value_options='', binlog_row_image=MINIMAL",
            "UPDATE t SET a = 3",
            "SET binlog_row_image=FULL",
            "ALTER TABLE t DROP name",
            "UPDATE t SET a = 4",
        ])
        .await;
    let until = executed(&database.server).await;
    // As if `a` had become a text and a column had come.
    table.columns[1].kind = ColumnKind::Text;
    let mut more = table.columns[1].clone();
    more.name = "more".into();
    table.columns.push(more);
    let found = between(&database.server, &[table], &from, &until).await;
    let present: Vec<String> = found
        .iter()
        .filter(|found| found.change.is_some())
        .map(|found| after(found).iter().map(|cell| if *cell == Cell::Absent { '-' } else { '+' }).collect())
        .collect();
    // id, a, doc, name, more
    assert_eq!(present, ["+-++-", "+--+-", "-----", "+-+--"]);
}

#[tokio::test]
async fn changes_stand_where_the_server_says() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, a INT, big LONGBLOB)";
    let mut database = Database::with("spots", 71_404, &[create, "CREATE TABLE other (id INT PRIMARY KEY)"]).await;
    let tables = [database.definition("t").await, database.definition("other").await];
    let from = executed(&database.server).await;
    database
        .run(&[
            "BEGIN",
            "INSERT INTO t (id) VALUES (1), (2), (3)",
            "INSERT INTO other VALUES (1)",
            "UPDATE t SET a = 1",
            "COMMIT",
            "SET binlog_transaction_compression=ON",
            "BEGIN",
            "INSERT INTO t (id, big) VALUES (4, REPEAT('x', 100000)), (5, NULL)",
            "INSERT INTO other VALUES (2)",
            "COMMIT",
            "SET binlog_transaction_compression=OFF",
            "FLUSH BINARY LOGS",
            "XA START 'spots'",
            "INSERT INTO t (id) VALUES (6), (7)",
            "INSERT INTO other VALUES (3)",
            "XA END 'spots'",
            "XA PREPARE 'spots'",
            "XA COMMIT 'spots'",
            "TRUNCATE other",
            "DELETE FROM t WHERE id < 3",
        ])
        .await;
    let until = executed(&database.server).await;
    let found = between(&database.server, &tables, &from, &until).await;
    let facts: (u32, u32) =
        database.conn.query_first("SELECT @@server_id, CONNECTION_ID()").await.expect("facts").expect("facts");
    // What the server has at these positions.
    let mut shape = Vec::new();
    for one in &found {
        let ask = format!("SHOW BINLOG EVENTS IN '{}' FROM {} LIMIT 1", one.origin.file, one.spot.pos);
        let event: mysql_async::Row = database.conn.query_first(ask).await.expect("an event").expect("an event");
        let (kind, info): (String, String) = (event.get(2).expect("a type"), event.get(5).expect("what it is"));
        let xa = if info.starts_with("XA COMMIT") { "XA COMMIT".to_string() } else { kind };
        shape.push(format!("{xa} {}", one.spot.row));
        assert_eq!((one.origin.server_id, one.origin.thread), (facts.0, Some(facts.1)));
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_micros() as u64;
        assert!(now.abs_diff(one.origin.committed_unix_us) < 120_000_000);
    }
    let rows = |kind: &'static str, count: u32| (0..count).map(move |row| format!("{kind} {row}"));
    let expected: Vec<String> = rows("Write_rows", 3)
        .chain(rows("Write_rows", 1))
        .chain(rows("Update_rows", 3))
        .chain(rows("Transaction_payload", 3))
        .chain(rows("XA COMMIT", 3))
        .chain(rows("Query", 1))
        .chain(rows("Delete_rows", 2))
        .collect();
    assert_eq!(shape, expected);
    assert_eq!(found.iter().map(|one| &one.origin.file).collect::<BTreeSet<_>>().len(), 2);
    // They rise as the log goes on, and are the same when it is read again from anywhere.
    let places = |found: &[Found]| -> Vec<(String, Spot)> {
        found.iter().map(|one| (one.origin.file.clone(), one.spot)).collect()
    };
    let all = places(&found);
    assert!(all.is_sorted_by(|left, right| left < right), "{all:?}");
    assert_eq!(places(&between(&database.server, &tables, &from, &until).await), all);
    let mut missing: Vec<_> =
        until.minus(&from).ranges().map(|(source, first, last)| (source.clone(), first, last)).collect();
    let (source, first, last) = missing.remove(0);
    let mut later = from.clone();
    for number in first..=last {
        later.insert(&rowfold::model::position::Gtid { source: source.clone(), number });
        if number > first + 1 {
            break;
        }
        let rest = places(&between(&database.server, &tables, &later, &until).await);
        assert!(all.ends_with(&rest) && !rest.is_empty(), "{number}");
    }
}
