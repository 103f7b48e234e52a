//! Reads: what is after an ID, waiting for the first one, and being dropped half way.

use std::time::{Duration, Instant};

use rowfold::error::Kind;
use rowfold::ports::StreamStore;

use super::support::{Bench, entry, id};

/// Longer than any test waits for an answer that should be immediate.
const LONG: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(5);

fn fill(bench: &mut Bench, name: &str, count: u64) {
    for number in 1..=count {
        bench.say(&format!("XADD @.t.{name} 1-{number} value {number}"));
    }
}

#[tokio::test]
async fn entries_after_an_id_about_as_many_as_asked() {
    let mut bench = Bench::new("count_read").await;
    fill(&mut bench, "a", 30);
    fill(&mut bench, "b", 2);
    let from = |a, b| [(bench.key("a"), id(1, a)), (bench.key("b"), id(1, b)), (bench.key("none"), id(0, 0))];
    let (first, end, past, empty) = (from(27, 0), from(30, 2), from(99, 99), from(0, 0));
    let mut found = bench.streams.read(&first, 100, LONG).await.expect("entries");
    found.sort_by_key(|(at, _)| *at);
    let expected = |name: std::ops::RangeInclusive<u64>| -> Vec<_> {
        name.map(|number| entry(id(1, number), &number.to_string())).collect()
    };
    assert_eq!(found, [(0, expected(28..=30)), (1, expected(1..=2))]);
    assert!(bench.streams.read(&end, 100, Duration::ZERO).await.expect("none").is_empty());
    assert!(bench.streams.read(&past, 100, Duration::ZERO).await.expect("none").is_empty());
    // A full stream gets what the others leave.
    for (count, a, b) in [(12, 1..=10, 1..=2), (24, 1..=22, 1..=2), (3, 1..=1, 1..=1), (1, 1..=1, 1..=1)] {
        let mut found = bench.streams.read(&empty, count, LONG).await.expect("entries");
        found.sort_by_key(|(at, _)| *at);
        assert_eq!(found, [(0, expected(a)), (1, expected(b))], "{count}");
    }
    assert!(bench.streams.read(&[], 10, LONG).await.expect("none").is_empty());
}

#[tokio::test]
async fn it_waits_no_longer_than_it_may() {
    let bench = Bench::new("wait").await;
    let start = Instant::now();
    let found = bench.streams.read(&[(bench.key("a"), id(0, 0))], 10, Duration::from_millis(700)).await;
    assert!(found.expect("no entries").is_empty());
    let waited = start.elapsed();
    assert!((Duration::from_millis(650)..SOON).contains(&waited), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_wait_without_disturbing_anybody() {
    let mut bench = Bench::new("two").await;
    fill(&mut bench, "b", 1);
    let streams = std::sync::Arc::new(bench.another().await);
    let waiting: Vec<_> = ["a", "c"]
        .map(|name| {
            let (streams, from) = (streams.clone(), [(bench.key(name), id(0, 0))]);
            tokio::spawn(async move { streams.read(&from, 10, LONG).await.expect("entries") })
        })
        .into();
    let start = Instant::now();
    let found = streams.read(&[(bench.key("b"), id(0, 0))], 10, LONG).await.expect("entries");
    assert_eq!(found, [(0, vec![entry(id(1, 1), "1")])]);
    streams.look(&bench.keys(&["a", "b"])).await.expect("a look");
    streams.register("build", &Default::default()).await.expect("registered");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(waiting.iter().all(|task| !task.is_finished()));
    fill(&mut bench, "c", 1);
    fill(&mut bench, "a", 1);
    for task in waiting {
        assert_eq!(task.await.expect("a reader"), [(0, vec![entry(id(1, 1), "1")])]);
    }
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_read_that_is_dropped_leaves_no_reply_behind() {
    let mut bench = Bench::new("cancel").await;
    fill(&mut bench, "b", 3);
    let (waits, ready) = ([(bench.key("a"), id(0, 0))], [(bench.key("b"), id(1, 1))]);
    let start = Instant::now();
    for round in 0..20 {
        let dropped = tokio::time::timeout(Duration::from_millis(20), bench.streams.read(&waits, 10, LONG)).await;
        assert!(dropped.is_err(), "nothing to read");
        // What the dropped one waited for comes, as if to answer the next call.
        bench.say(&format!("XADD @.t.a 9-{round} value late"));
        let found = bench.streams.read(&ready, 10, LONG).await.expect("entries");
        assert_eq!(found, [(0, vec![entry(id(1, 2), "2"), entry(id(1, 3), "3")])], "round {round}");
        assert_eq!(bench.look(&["b"]).await.streams, [super::support::at(1, 3, 3)]);
        bench.say("DEL @.t.a");
    }
    assert!(start.elapsed() < LONG, "a dropped read held up the next one");
}

#[tokio::test]
async fn a_key_with_something_else_is_a_mistake() {
    let mut bench = Bench::new("read_type").await;
    bench.say("SET @.t.a text");
    let error = bench.streams.read(&[(bench.key("a"), id(0, 0))], 10, LONG).await.expect_err("no stream");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains(&bench.key("a")), "{error}");
}
