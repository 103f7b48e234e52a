//! The visibility gap on the real server: an event can be read before its row can.
//! Owns: that the fence closes the gap, that without the fence this very test sees a lost update, and the promise of
//! the server on which the fence stands.
//! Does not own: the stall itself (`harness::stall`).

use crate::harness::engine::{Engine, Job};
use crate::harness::private::{PrivateSql, Sql};
use crate::harness::servers::{Scratch, ask, execute, mysql_at, server_id};
use crate::harness::stall::{Listener, STALL, Stall};
use crate::harness::world::REST;
use crate::harness::{self, status};
use crate::oracle::compare::Report;
use crate::oracle::{self, compare};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const TABLES: &str = "
CREATE TABLE head (id INT PRIMARY KEY, v INT NOT NULL);
CREATE TABLE part (id INT PRIMARY KEY, head INT NOT NULL, v INT NOT NULL, KEY (head));
INSERT INTO head VALUES (1, 10), (2, 20), (3, 30);
INSERT INTO part VALUES (1, 1, 100), (2, 1, 200), (3, 2, 300)";

const ORACLE: &str = "
SELECT CAST(JSON_ARRAY(CONCAT('i32:', h.id)) AS CHAR), CAST(JSON_OBJECT('id', CONCAT('i32:', h.id), 'v', CONCAT('i32:', h.v),
  'parts', (SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT(
      JSON_OBJECT('id', CONCAT('i32:', p.id), 'head', CONCAT('i32:', p.head), 'v', CONCAT('i32:', p.v)) ORDER BY p.id), ''), ']') AS JSON)
    FROM part AS p WHERE p.head = h.id)) AS CHAR)
FROM head AS h";

fn job_file(database: &str) -> String {
    format!(
        "name: {database}\n\
         source:\n  url: ${{ROWFOLD_MYSQL_URL}}\n  server_id: {}\n\
         target:\n  url: ${{ROWFOLD_MONGO_URL}}\n  database: {database}\n  lease: 3s\n  write_deadline: 2s\n\
         projections:\n  - collection: heads\n    root: {database}.head\n    many:\n      \
         parts: {{table: {database}.part, join: {{id: head}}}}\n",
        server_id()
    )
}

/// Updates a row while commits hang. When this returns the row is visible; in between it was shown that its event could
/// be read, and its row could not.
async fn stalled_update(stall: &Stall, url: &str, scratch: &Scratch, value: i32) {
    let mut listener = Listener::connect_to(url, server_id()).await;
    let connect = async || mysql_at(url, Some(&scratch.name)).await;
    let (mut conn, mut other) = (connect().await, connect().await);
    stall.arm().await;
    let start = Instant::now();
    let update = format!("UPDATE part SET v = {value} WHERE id = 3");
    let commit = tokio::spawn(async move {
        execute(&mut conn, &update).await;
    });
    listener.wait_rows(&scratch.name, "part", STALL).await;
    let event_after = start.elapsed();
    // Longer than any window in which an engine gathers changes.
    let unseen_until = harness::until("the row to become visible", STALL * 3, async || {
        let seen = ask::<i32>(&mut other, "SELECT v FROM part WHERE id = 3").await == value;
        seen.then(|| start.elapsed())
    });
    let visible_after = unseen_until.await;
    commit.await.expect("the update is committed");
    stall.disarm().await;
    println!("event after {event_after:?}, row visible after {visible_after:?}");
    assert!(
        event_after + Duration::from_secs(1) < visible_after,
        "commits did not hang: {event_after:?}, {visible_after:?}"
    );
}

/// The tables of these tests, in a database of the scratch's name.
async fn tables(url: &str, scratch: &Scratch) -> Conn {
    execute(&mut mysql_at(url, None).await, &format!("CREATE DATABASE IF NOT EXISTS {}", scratch.name)).await;
    let mut conn = mysql_at(url, Some(&scratch.name)).await;
    for statement in TABLES.split(';') {
        execute(&mut conn, statement).await;
    }
    conn
}

/// An engine that is live, and an update that reached it before the row could be seen; what the documents are after.
async fn outcome(stall: &Stall, url: &str, name: &str, plant: Option<&str>) -> Report {
    let scratch = Scratch::create(name).await;
    let mut conn = tables(url, &scratch).await;
    let mut job = Job::create(name, &job_file(&scratch.name));
    job.mysql = url.to_owned();
    let call = job.command("run");
    let mut engine: Engine = plant.map_or(call, |plant| job.command("run").env("ROWFOLD_PLANT", plant)).start();
    status::wait_quiescent(&job, &mut engine, REST).await;
    stalled_update(stall, url, &scratch, 333).await;
    status::wait_quiescent(&job, &mut engine, REST).await;
    let expected = oracle::expected(&mut conn, ORACLE).await;
    let report = compare::compare(&expected, &oracle::actual(&scratch.mongo, "heads").await);
    engine.stop(Duration::from_secs(10)).await;
    scratch.remove().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_closes_the_visibility_gap_and_without_it_an_update_is_lost() {
    let _alone = harness::alone().await;
    closes_the_gap(&harness::servers::mysql_url(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb_the_fence_closes_the_gap_too() {
    let _seat = harness::seat().await;
    let Some(private) = PrivateSql::start(Sql::MariaDb) else { return };
    closes_the_gap(&private.url, "_mariadb").await;
}

async fn closes_the_gap(url: &str, suffix: &str) {
    let stall = Stall::on(url).await;
    let fenced = outcome(&stall, url, &format!("fenced{suffix}"), None).await;
    assert!(fenced.is_equal(), "with the fence: {fenced}");
    let unfenced = outcome(&stall, url, &format!("unfenced{suffix}"), Some("no_fence")).await;
    assert_eq!(
        (unfenced.different, unfenced.missing, unfenced.extra),
        (1, 0, 0),
        "without the fence the update of one \
        document has to be lost, else this test shows nothing: {unfenced}"
    );
    println!("fenced: {fenced}\nunfenced, as it must be: {unfenced}");
}

/// The stall alone, without an engine.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_seconds_before_its_row() {
    let _alone = harness::alone().await;
    let stall = Stall::prepare().await;
    let scratch = Scratch::create("stall").await;
    let url = harness::servers::mysql_url();
    tables(&url, &scratch).await;
    stalled_update(&stall, &url, &scratch, 301).await;
    stalled_update(&stall, &url, &scratch, 302).await;
    scratch.remove().await;
}

/// What the fence relies on: a snapshot holds every transaction that was executed before it was opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_holds_everything_executed_before_it() {
    const WRITERS: u64 = 8;
    const ROWS: u64 = 300;
    let _alone = harness::alone().await;
    let stall = Stall::prepare().await;
    let scratch = Scratch::create("promise").await;
    let mut conn = scratch.mysql().await;
    execute(&mut conn, "CREATE TABLE row_of (writer INT, n INT, PRIMARY KEY (writer, n))").await;
    let mut listener = Listener::connect().await;
    let writer = |number: u64| {
        let database = scratch.name.clone();
        tokio::spawn(async move {
            let mut conn = harness::servers::mysql(Some(&database)).await;
            for n in 1..=ROWS {
                execute(&mut conn, &format!("INSERT INTO row_of VALUES ({number}, {n})")).await;
            }
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    // What was executed, and then how far each writer's rows could be seen.
    let mut snapshots: Vec<(String, HashMap<u64, u64>)> = Vec::new();
    while !writers.iter().all(|w| w.is_finished()) {
        let executed = harness::servers::executed(&mut conn).await;
        execute(&mut conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await;
        let seen = conn.query("SELECT writer, MAX(n) FROM row_of GROUP BY writer").await.expect("may be asked");
        execute(&mut conn, "COMMIT").await;
        snapshots.push((executed, seen.into_iter().collect::<HashMap<u64, u64>>()));
        if snapshots.len() == 40 {
            stall.arm().await;
        }
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    let mut committed: Vec<(u64, [u64; 2])> = Vec::new();
    while committed.len() < (WRITERS * ROWS) as usize {
        let (transaction, rows) = listener.next_rows(&scratch.name, "row_of").await;
        committed.extend(rows.into_iter().map(|row| (transaction, row)));
    }
    let uuid: String = ask(&mut conn, "SELECT @@server_uuid").await;
    let mut unseen_but_not_executed = 0;
    for (executed, seen) in &snapshots {
        let executed = numbers(executed, &uuid);
        for (transaction, [writer, n]) in &committed {
            let visible = seen.get(writer).is_some_and(|last| n <= last);
            let promised = executed.iter().any(|(from, to)| (from..=to).contains(&transaction));
            assert!(visible || !promised, "transaction {transaction} was executed, but its row cannot be seen");
            unseen_but_not_executed += usize::from(!visible && !promised);
        }
    }
    println!("{} snapshots of {} transactions held all that was executed", snapshots.len(), committed.len());
    assert!(snapshots.len() > 100 && unseen_but_not_executed > 0, "the writers and the snapshots did not overlap");
    scratch.remove().await;
}

/// The intervals of one server in a GTID set.
fn numbers(set: &str, uuid: &str) -> Vec<(u64, u64)> {
    let own = set.split(',').filter_map(|part| part.trim().strip_prefix(uuid)?.strip_prefix(':'));
    let interval = |text: &str| {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    own.flat_map(|intervals| intervals.split(':').map_while(interval)).collect()
}
