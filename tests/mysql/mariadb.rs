//! What only MariaDB has: domains, compressed events, positions with holes, its own DDL and types in the binlog.

use std::collections::HashSet;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use rowfold::edge::mysql::{MySqlLog, MySqlSource};
use rowfold::error::{Error, Kind};
use rowfold::model::change::{Cell, LogEvent};
use rowfold::model::position::{Gtid, GtidSet};
use rowfold::model::row::value_at;
use rowfold::model::schema::ColumnKind;
use rowfold::model::value::Value;
use rowfold::ports::{CaptureSource, ChangeLog, Selected, Selection, Snapshot, Source};

use crate::support::{Database, Engine, job, node};

struct Mariadb {
    server_id: u32,
    database: Database,
    source: MySqlSource,
}

async fn mariadb(name: &str, server_id: u32, tables: &[&str]) -> Mariadb {
    let database = Database::on(Engine::MariaDb, name, server_id, tables).await;
    let table = database.definition("t").await;
    let routes = |kind: &ColumnKind| matches!(kind, ColumnKind::Int { .. });
    let source = database.source(job(vec![node(&table, None, None, &[])], &["id"], &[&table], routes));
    Mariadb { server_id, database, source }
}

impl Mariadb {
    async fn now(&self) -> GtidSet {
        Source::state(&self.source).await.expect("a state").executed
    }

    /// What the log tells of the test's table, from a set on until all of `until` is settled: GTID and IDs, or what a
    /// statement did. GTIDs are those of the test's own domain.
    async fn told(&self, log: &mut MySqlLog, from: &GtidSet, until: &GtidSet, domain: u32) -> (Vec<String>, GtidSet) {
        let mut settled = from.clone();
        let mut told = Vec::new();
        while !until.is_subset(&settled) {
            let next = tokio::time::timeout(Duration::from_secs(20), log.next());
            match next.await.expect("in time").expect("an event") {
                LogEvent::Commit(done) => {
                    let ids = done.changes.iter().filter_map(|change| change.after.as_ref().or(change.before.as_ref()));
                    let ids: Vec<i64> = ids
                        .map(|image| match image.0[0] {
                            Cell::Value(Value::Int(id)) => id,
                            ref other => panic!("{other:?}"),
                        })
                        .collect();
                    if done.gtid.to_string().starts_with(&format!("{domain}-")) {
                        told.push(format!("{} {ids:?}", done.gtid.number));
                    } else {
                        assert!(ids.is_empty());
                    }
                    settled.insert(&done.gtid);
                    settled.extend(&done.also);
                }
                LogEvent::Unlogged { what, .. } => told.push(format!("{what:?}")),
                LogEvent::Heartbeat => {}
                other => panic!("{other:?}"),
            }
        }
        (told, settled)
    }
}

/// A domain that no other test and no other run has written in, so that its numbers begin at 1.
async fn new_domain(mariadb: &mut Mariadb) -> u32 {
    let position = mariadb.now().await;
    let used = |domain: u32| position.to_string().split(',').any(|gtid| gtid.starts_with(&format!("{domain}-")));
    let domain = (mariadb.server_id * 1000..).find(|domain| !used(*domain)).expect("a domain");
    mariadb.database.run(&[&format!("SET gtid_domain_id={domain}")]).await;
    domain
}

#[tokio::test]
async fn numbers_of_a_domain_may_be_left_out_and_a_hole_comes_again() {
    let mut mariadb = mariadb("holes", 71_801, &["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
    let start = mariadb.now().await;
    let domain = new_domain(&mut mariadb).await;
    mariadb
        .database
        .run(&[
            "INSERT INTO t VALUES (1, 1)",
            "SET gtid_seq_no=50",
            "INSERT INTO t VALUES (2, 2)",
            "INSERT INTO t VALUES (3, 3)",
            "INSERT INTO t VALUES (4, 4)",
        ])
        .await;
    let end = mariadb.now().await;
    let mut log = mariadb.source.log(&start).await.expect("a log");
    let (told, settled) = mariadb.told(&mut log, &start, &end, domain).await;
    assert_eq!(told, ["1 [1]", "50 [2]", "51 [3]", "52 [4]"]);
    // What does not exist is settled too: nothing is missing when the log is opened again.
    assert!(end.is_subset(&settled) && settled.is_subset(&end), "{settled} {end}");
    // A hole, as a transaction leaves it that was read and not applied: it comes, and what is known does not.
    let server = end.ranges().find(|(source, ..)| source.to_string().starts_with(&format!("{domain}-")));
    let hole = Gtid { source: server.expect("the domain").0.clone(), number: 51 };
    let mut from = end.clone();
    from.remove(&hole);
    let mut log = mariadb.source.log(&from).await.expect("a log");
    mariadb.database.run(&["INSERT INTO t VALUES (5, 5)"]).await;
    let end = mariadb.now().await;
    let (told, settled) = mariadb.told(&mut log, &from, &end, domain).await;
    assert_eq!(told, ["51 [3]", "53 [5]"]);
    assert!(settled.is_subset(&end));
}

#[tokio::test]
async fn compressed_events_hold_the_same_rows() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, big LONGTEXT)";
    let mut mariadb = mariadb("compressed", 71_802, &[create]).await;
    let start = mariadb.now().await;
    let domain = new_domain(&mut mariadb).await;
    // The services compress what is larger than this; elsewhere nothing is compressed and the rows are the same.
    let compresses = mariadb.database.texts("SELECT @@GLOBAL.log_bin_compress").await == ["1"];
    println!("log_bin_compress: {compresses}");
    let change = "UPDATE t SET big = CONCAT(REPEAT('x', 3000), id) WHERE id < 50";
    mariadb
        .database
        .run(&[
            "INSERT INTO t WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 100)
             SELECT n, REPEAT('compress me ', 100) FROM s",
            change,
            "DELETE FROM t WHERE id <= 60",
            &format!("ALTER TABLE t COMMENT '{}'", "c".repeat(900)),
        ])
        .await;
    let end = mariadb.now().await;
    let mut log = mariadb.source.log(&start).await.expect("a log");
    let (told, _) = mariadb.told(&mut log, &start, &end, domain).await;
    let ids = |ids: std::ops::RangeInclusive<i64>| format!("{:?}", ids.collect::<Vec<i64>>());
    let expected = [
        format!("1 {}", ids(1..=100)),
        format!("2 {}", ids(1..=49)),
        format!("3 {}", ids(1..=60)),
        "Definition".into(),
        "4 []".into(),
    ];
    assert_eq!(told, expected);
    let whole = [mariadb.database.definition("t").await];
    let mut log = mariadb.database.server.row_log(&start, &whole).await.expect("a log");
    let mut texts = 0;
    while texts < 100 {
        if let LogEvent::Commit(done) = log.next().await.expect("an event") {
            for change in done.changes.iter().filter(|change| change.before.is_none()) {
                let cell = &change.after.as_ref().expect("an insert").0[1];
                assert_eq!(*cell, Cell::Value(Value::Text("compress me ".repeat(100))));
                texts += 1;
            }
        }
    }
}

#[tokio::test]
async fn statements_without_rows_are_noticed() {
    let mut mariadb = mariadb("ddl", 71_803, &["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
    let start = mariadb.now().await;
    let domain = new_domain(&mut mariadb).await;
    mariadb
        .database
        .run(&[
            "INSERT INTO t VALUES (1, 1), (2, 1)",
            "SET STATEMENT max_statement_time=9 FOR ALTER TABLE t ADD COLUMN w INT",
            "SET binlog_alter_two_phase=1",
            "ALTER TABLE t ADD COLUMN x INT DEFAULT 5",
            "SET binlog_alter_two_phase=0",
            "ALTER IGNORE TABLE t ADD UNIQUE KEY (v)",
            "INSERT INTO t (id, v) VALUES (3, 3)",
            "CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, v INT)",
            "INSERT INTO t VALUES (4, 4)",
        ])
        .await;
    let end = mariadb.now().await;
    let mut log = mariadb.source.log(&start).await.expect("a log");
    let (told, _) = mariadb.told(&mut log, &start, &end, domain).await;
    let expected = [
        "1 [1, 2]",
        "Definition",
        "2 []",
        // An ALTER in two phases is told twice: when it begins and when it is done.
        "Definition",
        "3 []",
        "Definition",
        "4 []",
        "Rows",
        "5 []",
        "6 [3]",
        "Rows",
        "7 []",
        "8 [4]",
    ];
    assert_eq!(told, expected);
}

async fn failure(log: &mut MySqlLog) -> Error {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), log.next());
        match next.await.expect("in time") {
            Ok(LogEvent::Heartbeat) => panic!("the server had nothing against it"),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn a_position_that_the_server_lacks_is_refused() {
    let mut mariadb = mariadb("ahead", 71_804, &["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
    let domain = new_domain(&mut mariadb).await;
    mariadb.database.run(&["INSERT INTO t VALUES (1, 1)"]).await;
    let now = mariadb.now().await;
    let ahead: GtidSet = now
        .to_string()
        .split(',')
        .map(|gtid| if gtid.starts_with(&format!("{domain}-")) { format!("{gtid}7") } else { gtid.to_string() })
        .collect::<Vec<_>>()
        .join(",")
        .parse()
        .expect("a position");
    let mut log = mariadb.source.log(&ahead).await.expect("the request itself is taken");
    let error = failure(&mut log).await;
    assert_eq!(error.kind(), Kind::Halt, "{error:?}");
    assert!(error.to_string().contains("lacks transactions"), "{error:?}");
    // One of another kind of server is refused before anything is asked.
    let foreign: GtidSet = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".parse().expect("a set");
    let error = mariadb.source.log(&foreign).await.err().expect("refused");
    assert_eq!(error.kind(), Kind::Halt, "{error:?}");
}

/// What the fence relies on: everything in E is inside the snapshot, although MariaDB's GTID variables run ahead.
#[tokio::test]
async fn a_snapshot_holds_everything_that_it_promises() {
    const WRITERS: i64 = 8;
    const ROWS: i64 = 250;
    let mut mariadb = mariadb("promise", 71_806, &["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
    let domain = new_domain(&mut mariadb).await;
    let start = mariadb.now().await;
    let opts = mariadb.database.conn.opts().clone();
    let writer = |number: i64| {
        let (opts, name) = (opts.clone(), mariadb.database.name.clone());
        tokio::spawn(async move {
            let mut conn = mysql_async::Conn::new(opts).await.expect("a connection");
            conn.query_drop(format!("SET gtid_domain_id={domain}")).await.expect("a domain");
            for n in 0..ROWS {
                let insert = format!("INSERT INTO {name}.t VALUES ({}, 1)", number * ROWS + n);
                conn.query_drop(insert).await.expect("a row");
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    let mut snapshots = Vec::new();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let mut snapshot = mariadb.source.snapshot().await.expect("a snapshot");
        let everything = Selection::Range { after: None, up_to: None };
        let Selected::Rows(batch) = snapshot.select(0, 0, everything, 1 << 24).await.expect("a read") else {
            panic!("too large");
        };
        let id = |row| match value_at(batch.column(0), &ColumnKind::Int { bits: 32, unsigned: false }, row) {
            Value::Int(id) => id,
            other => panic!("{other:?}"),
        };
        let seen: HashSet<i64> = (0..batch.num_rows()).map(id).collect();
        snapshots.push((snapshot.executed().clone(), seen));
        snapshot.close().await;
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    let end = mariadb.now().await;
    let mut log = mariadb.source.log(&start).await.expect("a log");
    let mut settled = start.clone();
    let mut committed = Vec::new();
    while !end.is_subset(&settled) {
        let next = tokio::time::timeout(Duration::from_secs(20), log.next());
        if let LogEvent::Commit(done) = next.await.expect("in time").expect("an event") {
            for change in &done.changes {
                match change.after.as_ref().expect("an insert").0[0] {
                    Cell::Value(Value::Int(id)) => committed.push((done.gtid.clone(), id)),
                    ref other => panic!("{other:?}"),
                }
            }
            settled.insert(&done.gtid);
            settled.extend(&done.also);
        }
    }
    assert_eq!(committed.len() as i64, WRITERS * ROWS);
    let mut beside = 0;
    for (executed, seen) in &snapshots {
        for (gtid, id) in &committed {
            let (promised, visible) = (executed.contains(gtid), seen.contains(id));
            assert!(visible || !promised, "{gtid} is in E, and its row cannot be seen");
            beside += usize::from(!promised);
        }
    }
    println!("{} snapshots of {} transactions held all that they promised", snapshots.len(), committed.len());
    assert!(snapshots.len() > 50 && beside > 0, "the writers and the snapshots did not overlap");
}
