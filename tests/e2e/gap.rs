//! The visibility gap on the real server: an event can be read before its row can.
//! Owns: that the fence closes the gap, and that without the fence this very test sees a lost update.
//! Does not own: the stall itself (`harness::stall`).

use crate::harness::engine::{Engine, Job};
use crate::harness::servers::{Scratch, ask, execute, server_id};
use crate::harness::stall::{Listener, STALL, Stall};
use crate::harness::world::REST;
use crate::harness::{self, status};
use crate::oracle::compare::Report;
use crate::oracle::{self, compare};
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
         source: {{url: \"${{ROWFOLD_MYSQL_URL}}\", server_id: {}}}\n\
         target: {{url: \"${{ROWFOLD_MONGO_URL}}\", database: {database}, lease: 3s, write_deadline: 2s}}\n\
         projections:\n  - collection: heads\n    root: {database}.head\n    many:\n      \
         parts: {{table: {database}.part, join: {{id: head}}}}\n",
        server_id()
    )
}

/// Updates a row while commits hang. When this returns the row is visible; in between it was shown that its event could
/// be read, and its row could not.
async fn stalled_update(stall: &Stall, scratch: &Scratch, value: i32) {
    let mut listener = Listener::connect().await;
    let (mut conn, mut other) = (scratch.mysql().await, scratch.mysql().await);
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

/// An engine that is live, and an update that reached it before the row could be seen; what the documents are after.
async fn outcome(stall: &Stall, name: &str, plant: Option<&str>) -> Report {
    let scratch = Scratch::create(name).await;
    let mut conn = scratch.mysql().await;
    for statement in TABLES.split(';') {
        execute(&mut conn, statement).await;
    }
    let job = Job::create(name, &job_file(&scratch.name));
    let call = job.command("run");
    let mut engine: Engine = plant.map_or(call, |plant| job.command("run").env("ROWFOLD_PLANT", plant)).start();
    status::wait_quiescent(&job, &mut engine, REST).await;
    stalled_update(stall, &scratch, 333).await;
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
    let stall = Stall::prepare().await;
    let fenced = outcome(&stall, "fenced", None).await;
    assert!(fenced.is_equal(), "with the fence: {fenced}");
    let unfenced = outcome(&stall, "unfenced", Some("no_fence")).await;
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
    let mut conn = scratch.mysql().await;
    for statement in TABLES.split(';') {
        execute(&mut conn, statement).await;
    }
    stalled_update(&stall, &scratch, 301).await;
    stalled_update(&stall, &scratch, 302).await;
    scratch.remove().await;
}
