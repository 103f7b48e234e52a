//! The binlog of a real server: transactions of every sort, and what it cannot tell.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use rowfold::edge::mysql::{MySqlLog, MySqlSource};
use rowfold::error::Kind;
use rowfold::model::change::{Cell, Image, LogEvent, RowChange, Transaction};
use rowfold::model::position::{GtidSet, GtidSource};
use rowfold::model::schema::ColumnKind;
use rowfold::model::value::Value;
use rowfold::ports::{ChangeLog, Selection, Snapshot, Source};

use crate::support::{Database, Engine, job, node};

struct Followed {
    marks: i64,
    database: Database,
    source: MySqlSource,
    log: MySqlLog,
}

const T: &str = "CREATE TABLE t (id INT PRIMARY KEY, a INT, doc JSON, big LONGBLOB)";

async fn follow(engine: Engine, name: &str, server_id: u32) -> Followed {
    let database = Database::on(engine, name, server_id, &[T, "CREATE TABLE other (id INT PRIMARY KEY)"]).await;
    let t = database.definition("t").await;
    let routes = |kind: &ColumnKind| matches!(kind, ColumnKind::Int { .. });
    let source = database.source(job(vec![node(&t, None, None, &[])], &["id"], &[&t], routes));
    let from = source.state().await.expect("a state").executed;
    let log = source.log(&from).await.expect("a log");
    Followed { marks: 0, database, source, log }
}

impl Followed {
    async fn next(&mut self) -> LogEvent {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(15), self.log.next());
            match next.await.expect("in time").expect("an event") {
                LogEvent::Heartbeat => {}
                event => return event,
            }
        }
    }

    /// Ends what is under way with a transaction that is easily seen, and returns what came before it. On a connection
    /// of its own: the other one can be inside an XA transaction.
    async fn marked(&mut self) -> Vec<LogEvent> {
        let mut conn = mysql_async::Conn::new(self.database.conn.opts().clone()).await.expect("a connection");
        self.marks -= 1;
        let insert = format!("INSERT INTO {}.t (id) VALUES ({})", self.database.name, self.marks);
        conn.query_drop(insert).await.expect("a marker");
        let mut events = Vec::new();
        loop {
            match self.next().await {
                LogEvent::Commit(done) if ids(&done.changes).contains(&self.marks) => return events,
                LogEvent::Commit(done) if done.changes.is_empty() && done.also.is_empty() => {}
                event => events.push(event),
            }
        }
    }
}

fn id(image: &Image) -> i64 {
    match image.0[0] {
        Cell::Value(Value::Int(id)) => id,
        Cell::Absent => 0,
        ref other => panic!("{other:?}"),
    }
}

/// The IDs of all rows, after the change where there is an after.
fn ids(changes: &[RowChange]) -> Vec<i64> {
    changes.iter().filter_map(|change| change.after.as_ref().or(change.before.as_ref())).map(id).collect()
}

fn commits(events: &[LogEvent]) -> Vec<&Transaction> {
    events.iter().filter_map(|event| if let LogEvent::Commit(done) = event { Some(done) } else { None }).collect()
}

#[tokio::test]
async fn transactions_with_their_images() {
    let of_mysql = async { transactions_with_their_images_on(Engine::MySql, 71_301).await };
    let of_mariadb = async { transactions_with_their_images_on(Engine::MariaDb, 71_351).await };
    tokio::join!(of_mysql, of_mariadb);
}

async fn transactions_with_their_images_on(engine: Engine, server_id: u32) {
    let mut followed = follow(engine, "log", server_id).await;
    followed
        .database
        .run(&[
            "INSERT INTO other VALUES (1)",
            "BEGIN",
            "INSERT INTO t VALUES (1, 10, '{\"k\": [1, 2]}', 'x'), (2, 20, NULL, NULL)",
            "SAVEPOINT s",
            "INSERT INTO t (id) VALUES (3)",
            "ROLLBACK TO s",
            "UPDATE t SET a = 11 WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
            "COMMIT",
        ])
        .await;
    let events = followed.marked().await;
    let commits = commits(&events);
    assert_eq!(events.len(), 1);
    let changes = &commits[0].changes;
    assert_eq!(ids(changes), [1, 2, 1, 2]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as u64;
    assert!(now.abs_diff(commits[0].committed_unix_ms) < 60_000);
    let update = &changes[2];
    let (before, after) = (update.before.as_ref().expect("before"), update.after.as_ref().expect("after"));
    assert_eq!((&before.0[1], &after.0[1]), (&Cell::Value(Value::Int(10)), &Cell::Value(Value::Int(11))));
    assert_eq!(before.0[2..], after.0[2..]);
    assert_eq!(before.0[3], Cell::Raw(b"x".to_vec()));
    assert!(changes[3].after.is_none());
    // An idle log shows that it is alive.
    let beat = async { while followed.log.next().await.expect("an event") != LogEvent::Heartbeat {} };
    tokio::time::timeout(Duration::from_secs(30), beat).await.expect("in time");
}

#[tokio::test]
async fn xa_rows_come_with_their_commit() {
    let of_mysql = async { xa_rows_come_with_their_commit_on(Engine::MySql, 71_302).await };
    let of_mariadb = async { xa_rows_come_with_their_commit_on(Engine::MariaDb, 71_352).await };
    tokio::join!(of_mysql, of_mariadb);
}

async fn xa_rows_come_with_their_commit_on(engine: Engine, server_id: u32) {
    let mut followed = follow(engine, "xa", server_id).await;
    let start = followed.source.state().await.expect("a state").executed;
    let xa = |id: i64| {
        vec![
            format!("XA START 'rf{id}', 'b', 7"),
            format!("INSERT INTO t (id) VALUES ({id})"),
            format!("XA END 'rf{id}', 'b', 7"),
        ]
    };
    for statement in xa(1) {
        followed.database.run(&[&statement]).await;
    }
    followed.database.run(&["XA PREPARE 'rf1', 'b', 7"]).await;
    // Prepared is neither seen by others nor delivered.
    let events = followed.marked().await;
    assert!(events.is_empty(), "{events:?}");
    followed.database.run(&["XA COMMIT 'rf1', 'b', 7"]).await;
    for statement in xa(2) {
        followed.database.run(&[&statement]).await;
    }
    followed.database.run(&["XA COMMIT 'rf2', 'b', 7 ONE PHASE"]).await;
    for statement in xa(3) {
        followed.database.run(&[&statement]).await;
    }
    followed.database.run(&["XA PREPARE 'rf3', 'b', 7", "XA ROLLBACK 'rf3', 'b', 7"]).await;
    let events = followed.marked().await;
    let done = commits(&events);
    let shape: Vec<(Vec<i64>, u64)> = done.iter().map(|done| (ids(&done.changes), done.also.count())).collect();
    assert_eq!(shape, [(vec![1], 1), (vec![2], 0), (vec![], 1)]);
    // All GTIDs since the start are accounted for.
    let (commit, prepare) = (&done[0].gtid, &done[0].also);
    assert!(prepare.ranges().all(|(_, _, last)| commit.number > last) && start.intersection(prepare).is_empty());
    // A log that begins between PREPARE and COMMIT cannot know the rows.
    for statement in xa(4) {
        followed.database.run(&[&statement]).await;
    }
    followed.database.run(&["XA PREPARE 'rf4', 'b', 7"]).await;
    let after = followed.source.state().await.expect("a state").executed;
    followed.log = followed.source.log(&after).await.expect("a log");
    followed.database.run(&["XA COMMIT 'rf4', 'b', 7"]).await;
    let error = loop {
        match followed.log.next().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Halt, "{error:?}");
}

#[tokio::test]
async fn compressed_large_and_tagged_ones() {
    let mut followed = follow(Engine::MySql, "large", 71_303).await;
    followed
        .database
        .run(&["SET binlog_transaction_compression=ON", "INSERT INTO t (id, big) VALUES (1, REPEAT('x', 100000))"])
        .await;
    followed
        .database
        .run(&[
            "SET binlog_transaction_compression=OFF",
            "SET gtid_next='AUTOMATIC:blue'",
            "INSERT INTO t (id) VALUES (2)",
        ])
        .await;
    followed.database.run(&["SET gtid_next='AUTOMATIC'"]).await;
    let many = "INSERT INTO t (id, big) WITH RECURSIVE s AS (SELECT 100 n UNION ALL SELECT n + 1 FROM s WHERE n < 1099)
                SELECT n, REPEAT('y', 20000) FROM s";
    followed.database.run(&[many]).await;
    let events = followed.marked().await;
    let done = commits(&events);
    assert_eq!(ids(&done[0].changes), [1]);
    assert_eq!(ids(&done[1].changes), [2]);
    assert!(matches!(&done[1].gtid.source, GtidSource::Server { tag, .. } if tag == "blue"));
    let mut parts = Vec::new();
    let mut count = 0;
    for event in &events {
        if let LogEvent::Part { gtid, changes, .. } = event {
            assert_eq!(*gtid, done[2].gtid);
            let bytes: usize = changes.iter().map(RowChange::bytes).sum();
            assert!(bytes < 6 << 20);
            parts.extend(ids(changes));
            count += 1;
        }
    }
    parts.extend(ids(&done[2].changes));
    assert_eq!(parts, (100..1100).collect::<Vec<i64>>());
    assert!(count >= 4, "{count} parts");
    // From a set with tags and holes the log begins exactly behind it.
    let mut from = followed.source.state().await.expect("a state").executed;
    from.remove(&done[1].gtid);
    let GtidSource::Server { uuid, .. } = done[1].gtid.source else { panic!("a GTID of MySQL") };
    let same = |source: &GtidSource| matches!(source, GtidSource::Server { uuid: known, .. } if *known == uuid);
    assert!(from.ranges().any(|(source, ..)| same(source)));
    followed.log = followed.source.log(&from).await.expect("a log");
    match followed.next().await {
        LogEvent::Commit(again) => assert_eq!(ids(&again.changes), [2]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn statements_that_bypass_rows() {
    let of_mysql = async { statements_that_bypass_rows_on(Engine::MySql, 71_304).await };
    let of_mariadb = async { statements_that_bypass_rows_on(Engine::MariaDb, 71_354).await };
    tokio::join!(of_mysql, of_mariadb);
}

async fn statements_that_bypass_rows_on(engine: Engine, server_id: u32) {
    let mut followed = follow(engine, "unlogged", server_id).await;
    let database = followed.database.name.clone();
    followed
        .database
        .run(&[
            "INSERT INTO t (id) VALUES (1)",
            "TRUNCATE t",
            "ALTER TABLE t ADD COLUMN extra INT FIRST, ADD KEY (a)",
            "INSERT INTO t (id, extra) VALUES (2, 7)",
            "ALTER TABLE other ADD COLUMN t INT",
            "SET binlog_format=STATEMENT",
            "UPDATE t SET a = 5",
            "SET binlog_format=ROW",
            "RENAME TABLE t TO gone",
            "CREATE TABLE t SELECT * FROM gone",
            "DROP TABLE gone",
        ])
        .await;
    let events = followed.marked().await;
    let told: Vec<String> = events
        .iter()
        .map(|event| match event {
            LogEvent::Commit(done) => format!("{:?}", ids(&done.changes)),
            LogEvent::Unlogged { table, what, .. } => {
                assert_eq!(table.to_string(), format!("{database}.t"));
                format!("{what:?}")
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["[1]", "Rows", "Definition", "[2]", "Statement", "Rows", "Definition", "[2]"]);
}

#[tokio::test]
async fn minimal_images_and_partial_documents_leave_cells_absent() {
    let mut followed = follow(Engine::MySql, "minimal", 71_305).await;
    followed
        .database
        .run(&[
            "INSERT INTO t VALUES (1, 10, '{\"k\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"l\": 1}', 'x')",
            "SET binlog_row_value_options=PARTIAL_JSON",
            "UPDATE t SET doc = JSON_SET(doc, '$.l', 2)",
            "SET binlog_row_value_options='', binlog_row_image=MINIMAL",
            "UPDATE t SET a = 11",
            "SET binlog_row_image=FULL",
        ])
        .await;
    let events = followed.marked().await;
    let done = commits(&events);
    let partial = &done[1].changes[0];
    assert_eq!(partial.after.as_ref().expect("after").0[2], Cell::Absent);
    assert!(matches!(partial.before.as_ref().expect("before").0[2], Cell::Raw(_)));
    let minimal = &done[2].changes[0];
    let (before, after) = (minimal.before.as_ref().expect("before"), minimal.after.as_ref().expect("after"));
    assert_eq!(before.0[..2], [Cell::Value(Value::Int(1)), Cell::Absent]);
    assert_eq!(after.0[..2], [Cell::Absent, Cell::Value(Value::Int(11))]);
}

#[tokio::test]
async fn what_was_executed_is_in_the_next_snapshot() {
    let of_mysql = async { what_was_executed_is_in_the_next_snapshot_on(Engine::MySql, 71_306).await };
    let of_mariadb = async { what_was_executed_is_in_the_next_snapshot_on(Engine::MariaDb, 71_356).await };
    tokio::join!(of_mysql, of_mariadb);
}

async fn what_was_executed_is_in_the_next_snapshot_on(engine: Engine, server_id: u32) {
    let mut followed = follow(engine, "fence", server_id).await;
    followed.database.run(&["INSERT INTO t (id) VALUES (5)"]).await;
    let events = followed.marked().await;
    let gtid = &commits(&events)[0].gtid;
    let mut one = GtidSet::default();
    one.insert(gtid);
    assert!(followed.source.wait_for(&one, Duration::from_secs(5)).await.expect("an answer"));
    let mut snapshot = followed.source.snapshot().await.expect("a snapshot");
    assert!(snapshot.executed().contains(gtid));
    assert_eq!(snapshot.server_uuid(), followed.source.state().await.expect("a state").server_uuid);
    followed.database.run(&["DELETE FROM t"]).await;
    let everything = Selection::Range { after: None, up_to: None };
    match snapshot.select(0, 0, everything, 1 << 20).await.expect("a read") {
        rowfold::ports::Selected::Rows(batch) => assert_eq!(batch.num_rows(), 2),
        other => panic!("{other:?}"),
    }
    let mut ahead = GtidSet::default();
    ahead.insert_range(&gtid.source, 1, gtid.number + 1_000_000_000);
    assert!(!followed.source.wait_for(&ahead, Duration::from_millis(200)).await.expect("an answer"));
    let refused = followed.source.log(&ahead).await;
    let error = match refused {
        Err(error) => error,
        Ok(mut log) => loop {
            if let Err(error) = log.next().await {
                break error;
            }
        },
    };
    assert_eq!(error.kind(), Kind::Halt, "{error:?}");
    snapshot.close().await;
}

#[tokio::test]
async fn a_second_reader_with_the_same_id_is_told_apart_from_a_fault() {
    let of_mysql =
        async { a_second_reader_with_the_same_id_is_told_apart_from_a_fault_on(Engine::MySql, 71_307).await };
    let of_mariadb =
        async { a_second_reader_with_the_same_id_is_told_apart_from_a_fault_on(Engine::MariaDb, 71_357).await };
    tokio::join!(of_mysql, of_mariadb);
}

async fn a_second_reader_with_the_same_id_is_told_apart_from_a_fault_on(engine: Engine, server_id: u32) {
    let mut followed = follow(engine, "twice", server_id).await;
    let from = followed.source.state().await.expect("a state").executed;
    let mut second = followed.source.log(&from).await.expect("a log");
    second.next().await.expect("the newer one is served");
    let error = loop {
        if let Err(error) = followed.log.next().await {
            break error;
        }
    };
    assert_eq!(error.kind(), Kind::Halt, "{error:?}");
    assert!(error.to_string().contains(&format!("server_id {server_id} is in use")), "{error:?}");
}
