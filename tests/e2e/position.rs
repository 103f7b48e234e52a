//! `rowfold position`: shown, put back and forth by hand, and taken over from a Debezium Server.
//! Owns: what is refused, what is said, and what becomes of the documents. Does not own: streams while they are followed.

use crate::harness::engine::Finished;
use crate::harness::library::{AUTHORS, Library};
use crate::harness::redis::Redis;
use crate::harness::servers::{ask, execute, executed};
use crate::harness::stall::Listener;
use crate::harness::world::REST;
use crate::harness::{self, status};
use bson::{Document, doc};
use serde_json::Value;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// A transaction that no server has executed.
const NOBODYS: &str = "00000000-0000-0000-0000-00000000abcd:1";

async fn position(library: &Library, command: &str, args: &[&str]) -> Finished {
    let call = library.job.command(&format!("position {command}"));
    args.iter().fold(call, |call, arg| call.arg(arg)).finish(LIMIT).await
}

/// Refused with these words, and no record has changed.
async fn refused(library: &Library, command: &str, args: &[&str], words: &[&str]) {
    let before = library.contents(true).await;
    let finished = position(library, command, args).await;
    assert_eq!(finished.code, 2, "{command} {args:?}: {}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{command} {args:?} does not say {word}: {}", finished.stderr);
    }
    assert_eq!(library.contents(true).await, before, "{command} {args:?} wrote something");
}

async fn done(library: &Library, command: &str, args: &[&str]) -> String {
    let finished = position(library, command, args).await;
    assert_eq!(finished.code, 0, "{command} {args:?}: {}", finished.stderr);
    finished.stdout
}

async fn snapshot(library: &Library) {
    let finished = library.job.snapshot().finish(REST).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

async fn applied(library: &Library) -> String {
    let shown: Value = serde_json::from_str(&done(library, "show", &["--json"]).await).expect("JSON");
    assert_eq!(shown["capture"], Value::Null);
    let applied = shown["projections"][0]["applied"].as_str().expect("a position").to_owned();
    let text = done(library, "show", &[]).await;
    assert!(text.contains("authors (build 1)") && text.contains(&applied), "{text}");
    applied
}

async fn name_of(library: &Library, id: i32) -> String {
    let authors = library.scratch.mongo.collection::<Document>("authors");
    let author = authors.find_one(doc! { "_id": id }).await.expect("the target can be read").expect("an author");
    author.get_str("name").expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_follow_a_position_that_was_put_elsewhere() {
    let _seat = harness::seat().await;
    let mut library = Library::create("position").await;
    let shown = position(&library, "show", &[]).await;
    assert!(shown.code == 1 && shown.stdout.contains("was never started"), "{shown:?}");
    let now = executed(&mut library.conn).await;
    refused(&library, "set", &["--gtids", &now, "--yes"], &["has not begun"]).await;
    snapshot(&library).await;
    let first = applied(&library).await;

    // What cannot be followed.
    refused(&library, "set", &["--gtids", "x"], &["--gtids"]).await;
    refused(&library, "skip", &["--gtid", &first, "--yes"], &["one transaction"]).await;
    refused(&library, "set", &["--gtids", NOBODYS, "--yes"], &["has not executed", NOBODYS]).await;
    refused(&library, "skip", &["--gtid", NOBODYS, "--yes"], &["has not executed", NOBODYS]).await;

    // One poison transaction is left out, the one after it is not.
    let mut listener = Listener::connect().await;
    execute(&mut library.conn, "UPDATE book SET title = 'poison' WHERE id = 9").await;
    let (number, _) = listener.next_rows(&library.scratch.name, "book").await;
    let uuid: String = ask(&mut library.conn, "SELECT @@server_uuid").await;
    let mine = format!("{uuid}:{number}");
    execute(&mut library.conn, "UPDATE author SET name = 'after' WHERE id = 8").await;
    refused(&library, "skip", &["--gtid", &mine], &["--yes"]).await;
    let said = done(&library, "skip", &["--gtid", &mine, "--yes"]).await;
    assert!(said.contains("skipped, 1 transactions") && said.contains(&mine), "{said}");
    assert!(done(&library, "skip", &["--gtid", &mine, "--yes"]).await.contains("nothing changes"));
    snapshot(&library).await;
    let authors = library.scratch.mongo.collection::<Document>("authors");
    let poisoned = authors.count_documents(doc! { "books.title": "poison" });
    assert_eq!(poisoned.await.expect("documents can be counted"), 0, "the poison was applied");
    assert_eq!(name_of(&library, 8).await, "after");

    // Back: what was left out is applied after all.
    let said = done(&library, "set", &["--gtids", &first, "--yes"]).await;
    assert!(said.contains("applied again"), "{said}");
    assert_eq!(applied(&library).await, first);
    snapshot(&library).await;
    library.assert_equal(AUTHORS).await;

    // Forth: changes up to it never reach the documents, later ones do.
    library.change(3).await;
    execute(&mut library.conn, "UPDATE author SET name = 'unseen' WHERE id = 20").await;
    let now = executed(&mut library.conn).await;
    let said = done(&library, "set", &["--gtids", &now, "--yes"]).await;
    assert!(said.contains("skipped, ") && said.contains("may lack for good"), "{said}");
    execute(&mut library.conn, "UPDATE author SET name = 'seen' WHERE id = 21").await;
    snapshot(&library).await;
    assert_eq!((name_of(&library, 20).await.as_str(), name_of(&library, 21).await.as_str()), ("author 20", "seen"));

    // An engine that runs is not disturbed.
    let mut engine = library.job.run();
    status::wait_live(&library.job, &mut engine, REST).await;
    let finished = position(&library, "set", &["--gtids", &first, "--yes"]).await;
    assert!(finished.code == 2 && finished.stderr.contains("E-LEASE"), "{finished:?}");
    let finished = engine.stop(Duration::from_secs(20)).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    library.scratch.remove().await;
}

/// A stream as a Debezium Server writes it: three entries, and what its offsets say.
fn theirs(redis: &Redis, db: &str, gtids: &str) {
    for id in ["1700000000000-0", "1700000000000-1", "1700000000001-0"] {
        let _: String = redis.ask(&format!("XADD {db}.{db}.author {id} key {{}} value {{}}"));
    }
    let offset =
        format!(r#"{{"ts_sec":1700000000,"file":"binlog.000001","pos":4,"gtids":"{gtids}","row":1,"event":2}}"#);
    let _: u64 = redis.ask(&format!(r#"HSET {db}.offsets ["kafka",{{"server":"{db}"}}] {offset}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_debezium_server_are_taken_over_once_it_is_quiet() {
    let _seat = harness::seat().await;
    let mut library = Library::create("import").await;
    let redis = Redis::shared();
    let db = library.scratch.name.clone();
    let yaml = fs::read_to_string(&library.job.file).expect("the job");
    refused(&library, "import debezium", &[], &["capture: debezium"]).await;
    let stream = format!("stream:\n  url: ${{ROWFOLD_REDIS_URL}}\n  prefix: {db}\n");
    library.job.rewrite(&format!("{yaml}{stream}  capture: debezium\n  offsets_key: {db}.offsets\n"));

    let before = redis.contents(&db);
    refused(&library, "import debezium", &[], &[&format!("{db}.offsets"), "offsets_key"]).await;
    theirs(&redis, &db, NOBODYS);
    refused(&library, "import debezium", &[], &["has not executed", NOBODYS]).await;

    // It still writes: between the two looks an entry arrives.
    let now = executed(&mut library.conn).await;
    redis.remove(&db);
    assert_eq!(redis.contents(&db), before);
    theirs(&redis, &db, &now);
    let mut importing = library.job.command("position import debezium").start();
    importing.wait_line("waiting", LIMIT).await;
    let _: String = redis.ask(&format!("XADD {db}.{db}.author * key {{}} value {{}}"));
    let finished = importing.finish(LIMIT).await;
    assert!(finished.code == 2 && finished.stderr.contains(&format!("{db}.{db}.author")), "{finished:?}");
    assert!(!redis.ask::<bool>(&format!("EXISTS {db}.__meta")), "something was written");

    let said = done(&library, "import debezium", &[]).await;
    assert!(said.contains("remove `capture: debezium`"), "{said}");
    let field = |name: &str| redis.ask::<Option<String>>(&format!("HGET {db}.__meta {name}")).unwrap_or_default();
    assert_eq!((field("epoch").as_str(), field("imported").as_str()), ("1", "1"));
    assert_eq!(field("until_ms"), "", "the lease was not given back");
    let epoch: Value = serde_json::from_str(&field("epoch:1")).expect("a record");
    let captured = field("captured:1");
    assert_eq!(epoch["from"], captured.as_str());
    // The server writes tagged GTIDs shorter.
    let same = format!("SELECT GTID_SUBSET('{now}', '{captured}') AND GTID_SUBSET('{captured}', '{now}')");
    assert_eq!(ask::<u8>(&mut library.conn, &same).await, 1, "{captured} is not {now}");
    assert_eq!(epoch["base"][format!("{db}.{db}.author")]["count"], 4);
    assert_eq!(epoch["tables"].as_array().map(Vec::len), Some(2));
    refused(&library, "import debezium", &[], &["has begun"]).await;
    library.scratch.remove().await;
}
