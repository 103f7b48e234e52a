//! Servers that are full, emptied, restarted, taken away or replicas: each with one of its own.

use std::time::Duration;

use redis::Value;
use rowfold::error::Kind;
use rowfold::model::stream::{Member, Position, RawEntry};
use rowfold::ports::{Appended, StreamStore};

use super::server::PrivateRedis;
use super::support::{Bench, append, at, begin, entry, id, say, set, table};

fn big(low: u64) -> RawEntry {
    RawEntry { id: id(1, low), fields: vec![(b"f".to_vec(), vec![b'x'; 50_000])] }
}

#[tokio::test]
async fn a_full_server_takes_nothing_and_still_lets_readers_go_on() {
    let Some(server) = PrivateRedis::start("--maxmemory 6mb --maxmemory-policy noeviction") else { return };
    let mut bench = Bench::at(&server.url(), "cdc").await;
    bench.begin(1).await;
    let key = bench.key("a");
    bench.say("XADD @.t.a 0-1 f v");
    bench.say("XADD @.t.b 0-1 f v");
    bench
        .streams
        .register("build", &Member { job: "j".into(), tables: [table("a")].into() })
        .await
        .expect("registered");
    let mut low = 0;
    loop {
        low += 1;
        assert!(low < 500, "never full");
        match bench.streams.append(&append(1, vec![(key.clone(), big(low))], set(low))).await.expect("an answer") {
            Appended::Done => {}
            Appended::Full => break,
            other => panic!("{other:?}"),
        }
    }
    let last = low - 1;
    let look = bench.look(&["a"]).await;
    assert_eq!(look.streams, [at(1, last, last + 1)], "all or nothing");
    assert_eq!(look.meta.expect("a record").epochs[&1].captured, set(last));
    // A large append is too large before a small one is: from here on nothing fits.
    bench.say("CONFIG SET maxmemory 3mb");
    assert_eq!(bench.streams.append(&append(1, Vec::new(), set(low))).await.expect("an answer"), Appended::Full);
    let full = bench.streams.begin(&begin(Some(("g".into(), 1)), "g", 2)).await.expect_err("no memory");
    assert_eq!(full.kind(), Kind::Retry);
    assert!(full.to_string().contains("full"), "{full}");
    let full = bench.streams.request("build", &set(1)).await.expect_err("no memory");
    assert_eq!(full.kind(), Kind::Retry);
    assert!(full.to_string().contains("full"), "{full}");
    // Readers go on: bookmarks move, a missing one can wait, and trimming makes room.
    let position = Position { id: id(1, last), count: last + 1 };
    let passed = [(key.clone(), position), (bench.key("b"), Position { id: id(0, 1), count: 1 })];
    bench.streams.bookmark("build", &passed).await.expect("moved");
    let groups = bench.streams.groups(&bench.keys(&["a", "b"])).await.expect("groups");
    assert_eq!(groups[0].delivered[0].1, id(1, last));
    assert!(groups[1].delivered.is_empty());
    bench.streams.release("g", 1).await.expect("released");
    assert_eq!(bench.meta().await.until_ms, 0);
    bench.streams.trim(&[(key.clone(), id(1, last))]).await.expect("trimmed");
    let said = bench.streams.append(&append(1, vec![(key.clone(), big(low))], set(low))).await.expect("an answer");
    assert_eq!(said, Appended::Done);
    bench.streams.unregister("build", &[key]).await.expect("gone");
}

#[tokio::test]
async fn a_flushed_server_is_noticed_by_the_next_append() {
    let Some(server) = PrivateRedis::start("") else { return };
    let mut bench = Bench::at(&server.url(), "cdc").await;
    bench.begin(1).await;
    let entries = |low| vec![(bench_key(), entry(id(1, low), "v"))];
    fn bench_key() -> String {
        "cdc.t.a".to_string()
    }
    assert_eq!(bench.streams.append(&append(1, entries(1), set(1))).await.expect("an answer"), Appended::Done);
    bench.say("FLUSHALL");
    let said = bench.streams.append(&append(1, entries(2), set(2))).await.expect("an answer");
    assert!(matches!(said, Appended::Lost(_)), "{said:?}");
    assert_eq!(bench.say("DBSIZE"), Value::Int(0), "what is lost is not half written again");
}

#[tokio::test]
async fn a_deleted_stream_counts_from_the_start_again() {
    let Some(server) = PrivateRedis::start("") else { return };
    let mut bench = Bench::at(&server.url(), "cdc").await;
    bench.begin(1).await;
    for low in 1..=3 {
        let entries = vec![(bench.key("a"), entry(id(1, low), "v")), (bench.key("b"), entry(id(1, low), "v"))];
        bench.streams.append(&append(1, entries, set(low))).await.expect("an answer");
    }
    bench.say("DEL @.t.a");
    assert_eq!(bench.look(&["a", "b"]).await.streams, [None, at(1, 3, 3)]);
    let entries = vec![(bench.key("a"), entry(id(1, 4), "v"))];
    assert_eq!(bench.streams.append(&append(1, entries, set(4))).await.expect("an answer"), Appended::Done);
    assert_eq!(bench.look(&["a"]).await.streams, [at(1, 4, 1)], "a reader that has read three sees that");
    // What somebody else trims is seen too: fewer can be read than were added.
    bench.say("XTRIM @.t.b MAXLEN 1");
    assert_eq!(bench.look(&["b"]).await.streams, [at(1, 3, 3)]);
    let from = [(bench.key("b"), id(0, 0))];
    let found = bench.streams.read(&from, 10, Duration::ZERO).await.expect("entries");
    assert_eq!(found[0].1.len(), 1);
}

#[tokio::test]
async fn a_restart_is_one_failure_that_passes_and_an_empty_look() {
    let Some(mut server) = PrivateRedis::start("") else { return };
    let bench = Bench::at(&server.url(), "cdc").await;
    bench.begin(1).await;
    let entries = vec![(bench.key("a"), entry(id(1, 1), "v"))];
    bench.streams.append(&append(1, entries.clone(), set(1))).await.expect("an answer");
    let from = [(bench.key("a"), id(1, 1))];
    let read = bench.streams.read(&from, 1, Duration::from_secs(20));
    let (read, ()) = tokio::join!(read, async {
        let mut plain = super::support::plain(&server.url());
        super::support::until("a waiting reader", async || {
            let info: String = redis::from_redis_value(say(&mut plain, "INFO clients")).expect("a text");
            info.contains("blocked_clients:1")
        })
        .await;
        server.restart();
    });
    assert_eq!(read.expect_err("the connection broke").kind(), Kind::Retry);
    let look = bench.look(&["a"]).await;
    assert_eq!((look.meta, look.streams), (None, vec![None]));
    let said = bench.streams.append(&append(1, entries, set(1))).await.expect("an answer");
    assert!(matches!(said, Appended::Lost(_)), "{said:?}");
    drop(server);
    for _ in 0..2 {
        let error = bench.streams.look(&[]).await.expect_err("nobody there");
        assert_eq!(error.kind(), Kind::Retry);
    }
}

#[tokio::test]
async fn the_server_does_not_wait_for_a_reader_that_was_dropped() {
    let Some(server) = PrivateRedis::start("") else { return };
    let bench = Bench::at(&server.url(), "cdc").await;
    let mut plain = super::support::plain(&server.url());
    let mut blocked = async |count: usize| {
        super::support::until("so many waiting readers", async || {
            let info: String = redis::from_redis_value(say(&mut plain, "INFO clients")).expect("a text");
            info.contains(&format!("blocked_clients:{count}\r"))
        })
        .await;
    };
    let from = [(bench.key("a"), id(0, 0))];
    tokio::select! {
        _ = bench.streams.read(&from, 1, Duration::from_secs(60)) => panic!("nothing to read"),
        () = blocked(1) => {}
    }
    blocked(0).await;
}

#[tokio::test]
async fn a_replica_takes_nothing() {
    let Some(server) = PrivateRedis::start("") else { return };
    let mut bench = Bench::at(&server.url(), "cdc").await;
    bench.begin(1).await;
    bench.say("REPLICAOF 127.0.0.1 1");
    let error = bench.streams.append(&append(1, Vec::new(), set(1))).await.expect_err("a replica");
    assert_eq!(error.kind(), Kind::Retry);
    assert!(error.to_string().contains("replica"), "{error}");
    let facts = bench.streams.facts(&bench.settings, &[table("a")]).await.expect("facts");
    assert!(facts.is_replica);
    bench.say("REPLICAOF NO ONE");
    assert_eq!(bench.streams.append(&append(1, Vec::new(), set(1))).await.expect("an answer"), Appended::Done);
}

#[tokio::test]
async fn a_cluster_is_fine_with_a_hash_tag_and_told_of_without() {
    let Some(server) = PrivateRedis::start("--cluster-enabled yes") else { return };
    say(&mut super::support::plain(&server.url()), "CLUSTER ADDSLOTSRANGE 0 16383");
    let bench = Bench::at(&server.url(), "{cdc}").await;
    let mut plain = super::support::plain(&server.url());
    super::support::until("a cluster that is up", async || {
        let info: String = redis::from_redis_value(say(&mut plain, "CLUSTER INFO")).expect("a text");
        info.contains("cluster_state:ok")
    })
    .await;
    let tables = [table("a"), table("b")];
    let facts = bench.streams.facts(&bench.settings, &tables).await.expect("facts");
    assert!(facts.is_cluster && !facts.keys_elsewhere && facts.denied_commands.is_empty(), "{facts:?}");
    bench.begin(1).await;
    let entries = |bench: &Bench| vec![(bench.key("a"), entry(id(1, 1), "v")), (bench.key("b"), entry(id(1, 1), "v"))];
    assert_eq!(bench.streams.append(&append(1, entries(&bench), set(1))).await.expect("an answer"), Appended::Done);
    let spread = Bench::at(&server.url(), "cdc").await;
    spread.begin(1).await;
    let error = spread.streams.append(&append(1, entries(&spread), set(1))).await.expect_err("several slots");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("{cdc}"), "{error}");
    let facts = spread.streams.facts(&spread.settings, &tables).await.expect("facts");
    assert!(facts.is_cluster, "{facts:?}");
}
