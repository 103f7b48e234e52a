//! Rows of which no document can be made, in the copy and in the stream: each is parked by itself with its reason, the others
//! go on, and the next change that mends it brings its document.
//! Owns: what is parked, and what has a value of its own instead. Does not own: entries that cannot be read (`redis::poison`).

use crate::harness;
use crate::harness::engine::{Engine, Job};
use crate::harness::servers::{Scratch, execute};
use crate::harness::status;
use crate::harness::world::REST;
use crate::schema::job::{Settings, header};
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mysql_async::Conn;
use std::collections::BTreeMap;
use std::time::Duration;

const TABLES: [&str; 5] = [
    "CREATE TABLE t (id INT PRIMARY KEY, j JSON NULL, u VARCHAR(20) CHARACTER SET ucs2 NULL, s VARCHAR(20) NULL, d DATE NULL, \
     n DECIMAL(65,30) NULL)",
    "CREATE TABLE part (id INT PRIMARY KEY, t_id INT, x LONGTEXT, KEY (t_id))",
    "CREATE TABLE word (k VARCHAR(768) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, v INT)",
    "CREATE TABLE day (k DATE NOT NULL PRIMARY KEY, v INT)",
    "CREATE TABLE ci (k VARCHAR(20) NOT NULL PRIMARY KEY, j JSON, u VARCHAR(20) CHARACTER SET ucs2)",
];
/// A field's name with a NUL in it, which BSON does not have.
const NUL_IN_NAME: &str = r#"'{"a\\u0000b": 1}'"#;
/// Names that MongoDB reads as paths and operators in a query, and stores.
const ODD_NAMES: &str = r#"'{"a.b": 1, "$x": {"": 2, "y.$z": [3]}, "": 4}'"#;
/// Half of a character of UTF-16, alone.
const BROKEN: &str = "X'0061D800'";

struct Table {
    scratch: Scratch,
    job: Job,
    conn: Conn,
}

impl Table {
    async fn create(name: &str) -> Table {
        let scratch = Scratch::create(name).await;
        let mut conn = scratch.mysql().await;
        execute(&mut conn, "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'").await;
        for sql in TABLES {
            execute(&mut conn, sql).await;
        }
        let db = &scratch.name;
        let settings = Settings::of(name, db, "8KiB", String::new());
        let yaml = header(&settings)
            + &format!(
                "projections:\n  - collection: t\n    root: {db}.t\n    many:\n      parts: {{table: {db}.part, join: {{id: t_id}}, \
                 value: x}}\n  - {{collection: word, root: {db}.word}}\n  - {{collection: day, root: {db}.day}}\n  \
                 - {{collection: ci, root: {db}.ci}}\n"
            );
        Table { job: Job::create(name, &yaml), scratch, conn }
    }

    async fn run(&mut self, statements: &[&str]) {
        for sql in statements {
            execute(&mut self.conn, sql).await;
        }
    }

    /// The documents of a collection by their `_id` as text.
    async fn documents(&self, collection: &str) -> BTreeMap<String, Document> {
        let cursor =
            self.scratch.mongo.collection::<Document>(collection).find(doc! {}).await.expect("the target answers");
        let all: Vec<Document> = cursor.try_collect().await.expect("the target can be read");
        let id = |document: &Document| match document.get("_id") {
            Some(Bson::String(text)) => text.clone(),
            other => other.expect("an _id").to_string(),
        };
        all.into_iter().map(|document| (id(&document), document)).collect()
    }

    async fn document(&self, id: i32) -> Document {
        self.documents("t").await.remove(&id.to_string()).unwrap_or_else(|| panic!("no document {id}"))
    }

    /// `build key: reason` of every parked record.
    async fn parked(&self) -> Vec<String> {
        let records = self.scratch.mongo.collection::<Document>("_rowfold.parked").find(doc! {}).await;
        let all: Vec<Document> = records.expect("the target answers").try_collect().await.expect("records can be read");
        let mut shown: Vec<String> = all
            .iter()
            .map(|record| {
                format!(
                    "{} {}: {}",
                    record.get("_id").expect("an _id"),
                    record.get("key").expect("a key"),
                    record.get_str("reason").expect("a reason")
                )
            })
            .collect();
        shown.sort();
        shown
    }

    /// Waits until all is applied: so many documents are parked then.
    async fn settled(&self, engine: &mut Engine, parked: usize) -> Vec<String> {
        let status = status::wait_applied(&self.job, engine, REST).await;
        let records = self.parked().await;
        let told: u64 = status.projections.iter().map(|projection| projection.parked).sum();
        assert_eq!((records.len(), told), (parked, parked as u64), "{records:#?}\n{}", engine.log_tail());
        records
    }
}

/// Three that together are longer than a document may be.
fn too_large(id: i32) -> [String; 3] {
    [0, 1, 2].map(|part| format!("INSERT INTO part VALUES ({}, {id}, REPEAT('x', 6000000))", id * 10 + part))
}

fn ids(documents: &BTreeMap<String, Document>) -> Vec<&str> {
    documents.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_document_is_parked_alone_and_healed_by_its_next_change() {
    let _seat = harness::seat().await;
    let mut table = Table::create("parked").await;
    let digits = format!("{}.{}", "9".repeat(35), "9".repeat(30));
    let (long, other) = ("k".repeat(3072 / 4), "\u{1F600}".repeat(3072 / 4));
    table
        .run(&[
            "INSERT INTO t VALUES (1, '{\"fine\": 1}', 'fine', 'fine', '2024-01-02', 1)",
            &format!("INSERT INTO t (id, j) VALUES (2, {NUL_IN_NAME})"),
            &format!("INSERT INTO t (id, u) VALUES (3, {BROKEN})"),
            "INSERT INTO t (id, s) VALUES (4, 'too large')",
            &format!("INSERT INTO t (id, s, d, n) VALUES (5, 'a\\0b', '0000-00-00', {digits})"),
            &format!("INSERT INTO t (id, j) VALUES (6, {ODD_NAMES})"),
            "INSERT INTO word VALUES ('', 1), ('a\\0', 2), ('a', 3)",
            &format!("INSERT INTO word VALUES ('{long}', 4), ('{other}', 5)"),
            "INSERT INTO day VALUES ('0000-00-00', 1), ('2024-00-01', 2), ('2024-02-30', 3), ('2024-02-29', 4)",
            &format!("INSERT INTO ci (k, j) VALUES ('a', '1'), ('b', {NUL_IN_NAME})"),
        ])
        .await;
    for sql in too_large(4) {
        table.run(&[&sql]).await;
    }
    let mut engine = table.job.run();
    status::wait_live(&table.job, &mut engine, REST).await;

    // The copy.
    let parked = table.settled(&mut engine, 4).await;
    for (key, reason) in [("2", "NUL"), ("3", "holds broken text"), ("4", "bytes"), ("\"b\"", "NUL")] {
        let said = |line: &&String| line.contains(key) && line.contains(reason);
        assert!(parked.iter().any(|line| said(&line)), "{key} is not parked for {reason}: {parked:#?}");
    }
    assert_eq!(ids(&table.documents("t").await), ["1", "5", "6"]);
    let five = table.document(5).await;
    assert_eq!(five.get_str("s").ok(), Some("a\0b"));
    assert_eq!(five.get_str("n").ok(), Some(digits.as_str()));
    assert_eq!(five.get("d"), Some(&Bson::Null));
    let odd = doc! { "a.b": 1, "$x": { "": 2, "y.$z": [3] }, "": 4 };
    assert_eq!(table.document(6).await.get_document("j").ok(), Some(&odd));
    let words = table.documents("word").await;
    assert_eq!(words.len(), 5, "{:?}", words.values().map(|word| word.get("v")).collect::<Vec<_>>());
    assert_eq!(words["a\0"].get_i32("v").ok(), Some(2));
    assert_eq!((words[&long].get_i32("v").ok(), words[&other].get_i32("v").ok()), (Some(4), Some(5)));
    let days = table.documents("day").await;
    assert_eq!(days.len(), 4);
    for (key, v) in [("0000-00-00", 1), ("2024-00-01", 2), ("2024-02-30", 3)] {
        assert_eq!(days[key].get_i32("v").ok(), Some(v));
    }

    // The stream: what was fine is spoilt, what was spoilt stays so, new rows come in both ways. The others go on.
    let before = table.document(1).await;
    for sql in too_large(7) {
        table.run(&[&sql]).await;
    }
    table
        .run(&[
            &format!("UPDATE t SET j = {NUL_IN_NAME}, s = 'spoilt' WHERE id = 1"),
            "UPDATE t SET s = 'still broken' WHERE id = 3",
            "INSERT INTO t (id, s) VALUES (7, 'too large')",
            &format!("INSERT INTO t (id, u, j) VALUES (8, {BROKEN}, {ODD_NAMES})"),
            "INSERT INTO t (id, s) VALUES (9, 'after them')",
            "UPDATE word SET v = v + 10",
            "UPDATE word SET k = 'b\\0' WHERE k = 'a\\0'",
            "UPDATE day SET v = v + 10",
            "UPDATE day SET k = '2023-02-31' WHERE k = '2024-02-30'",
            // Under another spelling of its key, and spoilt at once: one row, one record.
            &format!("UPDATE ci SET k = 'A', u = {BROKEN} WHERE k = 'a'"),
            "UPDATE ci SET k = 'B' WHERE k = 'b'",
        ])
        .await;
    let parked = table.settled(&mut engine, 8).await;
    for key in ["\"A\"", "\"B\""] {
        assert!(parked.iter().any(|line| line.contains(key)), "{key} is not parked: {parked:#?}");
    }
    assert_eq!(ids(&table.documents("t").await), ["1", "5", "6", "9"]);
    assert_eq!(table.document(1).await, before, "the old document stays");
    assert!(table.documents("ci").await.is_empty(), "a document is left under a key that is gone");
    let words = table.documents("word").await;
    assert_eq!(words["b\0"].get_i32("v").ok(), Some(12));
    assert!(!words.contains_key("a\0"), "a document was left behind");
    assert_eq!(words[&other].get_i32("v").ok(), Some(15));
    let days = table.documents("day").await;
    assert_eq!(ids(&days).len(), 4);
    assert_eq!((days["0000-00-00"].get_i32("v").ok(), days["2023-02-31"].get_i32("v").ok()), (Some(11), Some(13)));

    // Each is healed by its next change, also after a restart.
    table.run(&["UPDATE t SET j = '{}' WHERE id IN (1, 2)", "UPDATE ci SET u = 'x' WHERE k = 'a'"]).await;
    table.settled(&mut engine, 5).await;
    assert_eq!(table.document(1).await.get_str("s").ok(), Some("spoilt"));
    assert!(engine.stop(Duration::from_secs(15)).await.code == 0);
    let mut engine = table.job.run();
    table
        .run(&["UPDATE t SET u = 'mended' WHERE id IN (3, 8)", "DELETE FROM part WHERE t_id = 4 AND id % 10 > 0"])
        .await;
    table.run(&["UPDATE t SET s = 'as large as before' WHERE id = 7", "DELETE FROM ci WHERE k = 'B'"]).await;
    let parked = table.settled(&mut engine, 1).await;
    assert!(parked[0].contains('7'), "{parked:?}");
    table.run(&["DELETE FROM t WHERE id = 7"]).await;
    table.settled(&mut engine, 0).await;
    assert_eq!(ids(&table.documents("t").await), ["1", "2", "3", "4", "5", "6", "8", "9"]);
    assert_eq!(ids(&table.documents("ci").await), ["A"]);
    assert_eq!(table.document(8).await.get_str("u").ok(), Some("mended"));
    assert_eq!(engine.stop(Duration::from_secs(15)).await.code, 0);
    table.scratch.remove().await;
}
