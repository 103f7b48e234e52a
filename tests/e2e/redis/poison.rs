//! Entries that nobody can make sense of, in a stream that others read.
//! Owns: that they are parked with their ID and counted, and that the stream goes on. Does not own: what makes sense.

use super::rig::{Runs, section};
use super::streams::Streams;
use crate::harness;
use crate::harness::library::{AUTHORS, Library};
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::world::REST;
use crate::harness::{servers, status};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use std::time::Duration;

const PACE: Duration = Duration::from_millis(20);

const POISON: [(&str, &str); 4] = [
    ("{\"id\":1}", "not JSON at all {"),
    ("{\"id\":1}", "{\"answer\": 42}"),
    ("{\"id\":1}", "[1, 2, 3]"),
    (
        "{\"id\":1}",
        "{\"before\": null, \"after\": {\"id\": 1}, \"op\": \"z\", \"source\": {\"db\": \"x\", \"table\": \"y\"}}",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_change_is_parked_with_its_id_and_the_stream_goes_on() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "rpoison";
    let mut library = Library::create_over(name, &servers::mysql_url(), section(&redis, name, "64MiB")).await;
    let database = library.scratch.name.clone();
    let mut running = Runs::Halves.start(&library.job);
    running.wait_quiescent(&library.job).await;
    library.change(1).await;
    running.wait_quiescent(&library.job).await;
    let load = library.load(PACE);
    let streams = Streams { redis: &redis, prefix: name, database: &database };
    let mut ids = Vec::new();
    for (number, (key, value)) in POISON.into_iter().enumerate() {
        let stream = streams.key(["author", "book"][number % 2]);
        load.more(2).await;
        ids.push(redis.ask::<String>(&["XADD", &stream, "*", key, value]).await);
    }
    load.more(5).await;
    load.stop().await;
    let seen = status::wait_applied(&library.job, &mut running.apply, REST).await;
    let parked: u64 = seen.projections.iter().map(|p| p.parked).sum();
    assert_eq!(parked, POISON.len() as u64, "{seen:?}\n{}", running.apply.log_tail());
    library.assert_equal(AUTHORS).await;
    let records = library.scratch.mongo.collection::<Document>("_rowfold.parked");
    let records: Vec<Document> =
        records.find(doc! {}).await.expect("may be read").try_collect().await.expect("may be read");
    for id in &ids {
        assert!(records.iter().any(|record| record.to_string().contains(id)), "{id} is not among {records:?}");
    }
    let log = running.apply.log();
    for value in POISON.map(|(_, value)| value) {
        assert!(!log.contains(value), "the log repeats what stands in an entry: {value}");
    }
    // It stays so over a restart, and nothing is parked twice.
    running.stop().await;
    let mut running = Runs::Halves.start(&library.job);
    library.change(2).await;
    let seen = status::wait_applied(&library.job, &mut running.apply, REST).await;
    assert_eq!(seen.projections.iter().map(|p| p.parked).sum::<u64>(), parked, "{seen:?}");
    library.assert_equal(AUTHORS).await;
    running.stop().await;
    library.scratch.remove().await;
}
