//! `RecordStore`: leases by the server's clock, fencing, chunks, checkpoints, parked records, formats.

use std::time::Duration;

use bson::doc;
use rowfold::edge::mongo::MongoTarget;
use rowfold::error::Kind;
use rowfold::model::build::{
    BuildRecord, CheckpointRecord, ChunkRecord, ChunkState, EngineStatus, FORMAT_VERSION, Lease, LeaseReply,
    MarkRecord, ParkedRecord, Phase,
};
use rowfold::model::position::GtidSet;
use rowfold::model::stream::{EntryId, Position, StreamCheckpoint};
use rowfold::model::value::{Key, Value};
use rowfold::ports::RecordStore;

use super::{Bench, v};

const LEASE: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(3);

fn build(number: i32, owner_epoch: i64) -> BuildRecord {
    BuildRecord {
        format: FORMAT_VERSION,
        job: "shop".into(),
        collection: "orders".into(),
        number,
        phase: Phase::Copy,
        stored_in: "orders__b1_c1".into(),
        renaming: Some("orders__b1".into()),
        strays: vec!["orders__b1_c0".into()],
        owner_epoch,
        start: gtids(5),
        caught_up_at: GtidSet::default(),
        server_uuid: "u".into(),
        version_epoch: 40_000,
        mapping: "{}".into(),
        documents: 1 << 40,
        rows: 3,
        halted: None,
    }
}

fn gtids(last: u64) -> GtidSet {
    format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{last}").parse().expect("a GTID set")
}

fn key(number: u64) -> Key {
    Key(vec![Value::from_u64(number), Value::Text("k\0'".into()), Value::Double((-0.0f64).to_bits()), Value::Null])
}

fn chunk(number: u32) -> ChunkRecord {
    let bound = |at: u32| key(u64::MAX - u64::from(at));
    ChunkRecord {
        number,
        after: (number > 0).then(|| bound(number - 1)),
        up_to: Some(bound(number)),
        state: ChunkState::Planned,
        executed: None,
        attempts: 0,
        documents: 0,
        rows: 0,
    }
}

async fn take(target: &MongoTarget, owner: &str) -> (Lease, u64) {
    match target.acquire_lease("shop", owner, LEASE, DEADLINE).await.expect("an answer") {
        LeaseReply::Taken { lease, wait_ms } => (lease, wait_ms),
        LeaseReply::Held { holder, remaining_ms } => panic!("held by {holder} for {remaining_ms} ms"),
    }
}

#[tokio::test]
async fn one_owner_at_a_time() {
    let bench = Bench::new("lease").await;
    let (one, two) = (bench.another().await, bench.another().await);
    let (first, wait_ms) = take(&one, "one").await;
    assert_eq!((first.epoch, wait_ms, first.owner.as_str()), (1, 0, "one"));
    assert_eq!(first.write_until_ms - first.until_ms, 3_000);
    let now = bench.now_ms().await;
    assert!((now..now + 2_001).contains(&first.until_ms), "{} {now}", first.until_ms);
    match two.acquire_lease("shop", "two", LEASE, DEADLINE).await.expect("an answer") {
        LeaseReply::Held { holder, remaining_ms } => {
            assert_eq!(holder, "one");
            assert!(remaining_ms <= 2_000);
        }
        LeaseReply::Taken { .. } => panic!("two owners"),
    }
    let renewed = one.renew_lease(&first, LEASE, DEADLINE).await.expect("extended");
    assert!(renewed.until_ms >= first.until_ms && renewed.epoch == 1);

    // An orderly release costs the next owner nothing.
    one.release_lease(&renewed).await.expect("released");
    one.release_lease(&renewed).await.expect("released twice, as after a lost answer");
    assert_eq!(one.renew_lease(&renewed, LEASE, DEADLINE).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    let (second, wait_ms) = take(&two, "two").await;
    assert_eq!((second.epoch, wait_ms), (2, 0));
    assert_eq!(one.release_lease(&renewed).await.map_err(|e| e.kind()), Err(Kind::Fenced));

    // An owner that vanished does.
    tokio::time::sleep(LEASE).await;
    let (third, wait_ms) = take(&one, "one").await;
    assert_eq!(third.epoch, 3);
    assert!((1_000..=3_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(two.renew_lease(&second, LEASE, DEADLINE).await.map_err(|e| e.kind()), Err(Kind::Fenced));

    // Even if its successor gave up before the wait was over.
    one.release_lease(&third).await.expect("released");
    let (fourth, wait_ms) = take(&two, "two").await;
    assert_eq!(fourth.epoch, 4);
    assert!((100..=3_000).contains(&wait_ms), "{wait_ms}");
    // The same owner again, as after a lost answer: not held by itself.
    let (fifth, wait_ms) = take(&two, "two").await;
    assert_eq!(fifth.epoch, 5);
    assert!(wait_ms > 3_000, "{wait_ms}");

    // Jobs do not meet.
    let other = bench.target.acquire_lease("shop2", "x", LEASE, DEADLINE).await.expect("an answer");
    assert!(matches!(other, LeaseReply::Taken { wait_ms: 0, .. }));
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn a_lease_that_ran_out_untaken_goes_on() {
    let bench = Bench::new("lease_late").await;
    let (lease, _) = take(&bench.target, "one").await;
    tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    let extended = bench.target.renew_lease(&lease, LEASE, DEADLINE).await.expect("extended");
    assert!(extended.until_ms > lease.until_ms);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn many_ask_at_once() {
    let bench = Bench::new("lease_race").await;
    let asks = (0..8).map(|at| {
        let target = &bench.target;
        async move { target.acquire_lease("shop", &format!("owner {at}"), LEASE, DEADLINE).await.expect("an answer") }
    });
    let replies = futures_util::future::join_all(asks).await;
    let taken = replies.iter().filter(|reply| matches!(reply, LeaseReply::Taken { .. })).count();
    assert_eq!(taken, 1, "{replies:?}");
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn builds_come_back_and_are_fenced() {
    let bench = Bench::new("builds").await;
    let target = &bench.target;
    assert_eq!(target.builds(None).await.expect("none"), []);
    let (first, tenth) = (build(1, 1), build(10, 1));
    target.save_build(&tenth).await.expect("stored");
    target.save_build(&first).await.expect("stored");
    assert_eq!(target.builds(Some("shop")).await.expect("both"), [first.clone(), tenth.clone()]);
    assert_eq!(target.builds(Some("other")).await.expect("none"), []);
    let mut taken = first.clone();
    taken.owner_epoch = 2;
    taken.halted = Some("why".into());
    target.save_build(&taken).await.expect("taken over");
    target.save_build(&taken).await.expect("stored again");
    let kinds = |result: rowfold::error::Result<()>| result.map_err(|error| error.kind());
    assert_eq!(kinds(target.save_build(&first).await), Err(Kind::Fenced));
    assert_eq!(kinds(target.remove_build(&first).await), Err(Kind::Fenced));
    assert_eq!(target.builds(None).await.expect("both"), [taken, tenth]);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn the_first_e_of_a_chunk_wins() {
    let bench = Bench::new("chunks").await;
    let target = &bench.target;
    let mine = build(1, 1);
    target.save_build(&mine).await.expect("stored");
    let chunks: Vec<_> = (0..1200).map(chunk).collect();
    target.plan_chunks(&mine, &chunks).await.expect("planned");
    target.plan_chunks(&build(10, 1), &chunks[..3]).await.expect("planned");
    assert_eq!(target.chunks(&mine).await.expect("all"), chunks);
    assert_eq!(target.start_chunk(&mine, 7, &gtids(50)).await.expect("started"), gtids(50));
    assert_eq!(target.start_chunk(&mine, 7, &gtids(90)).await.expect("started"), gtids(50));
    target.finish_chunk(&mine, 3, 10, 30).await.expect("done");
    target.finish_chunk(&mine, 3, 10, 30).await.expect("done twice");
    // Planning again, as after a lost answer, changes nothing that has begun.
    target.plan_chunks(&mine, &chunks[..10]).await.expect("planned");
    let mut other = chunk(7);
    other.up_to = None;
    assert_eq!(target.plan_chunks(&mine, &[other]).await.map_err(|e| e.kind()), Err(Kind::Halt));
    let stored = target.chunks(&mine).await.expect("all");
    assert_eq!((stored[7].state, stored[7].attempts), (ChunkState::Started, 2));
    assert_eq!((stored[3].state, stored[3].documents, stored[3].rows), (ChunkState::Done, 10, 30));
    assert_eq!(target.chunk_counts(&mine).await.expect("counts"), (1200, 1));
    assert_eq!(target.start_chunk(&mine, 5_000, &gtids(1)).await.map_err(|e| e.kind()), Err(Kind::Halt));

    // The next owner's first word shuts the last one out of chunks that the next has not touched.
    let next = build(1, 2);
    let heir = bench.another().await;
    heir.save_build(&next).await.expect("taken over");
    assert_eq!(target.start_chunk(&mine, 8, &gtids(60)).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    assert_eq!(target.finish_chunk(&mine, 7, 1, 1).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    assert_eq!(target.plan_chunks(&mine, &[chunk(9)]).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    assert_eq!(heir.start_chunk(&next, 7, &gtids(99)).await.expect("started"), gtids(50));
    assert_eq!(heir.chunks(&build(10, 1)).await.expect("untouched").len(), 3);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn a_checkpoint_and_all_that_belongs_to_a_build() {
    let bench = Bench::new("checkpoint").await;
    let target = &bench.target;
    let (mine, next) = (build(1, 1), build(1, 2));
    target.save_build(&mine).await.expect("stored");
    assert_eq!(target.checkpoint(&mine).await.expect("none"), None);
    let at = |last| CheckpointRecord {
        applied: gtids(last),
        events: last,
        committed_unix_ms: 1 << 41,
        ..CheckpointRecord::default()
    };
    target.save_checkpoint(&mine, &at(7)).await.expect("stored");
    assert_eq!(target.checkpoint(&mine).await.expect("there"), Some(at(7)));
    let heir = bench.another().await;
    heir.save_build(&next).await.expect("taken over");
    assert_eq!(target.save_checkpoint(&mine, &at(8)).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    heir.save_checkpoint(&next, &at(9)).await.expect("stored");
    assert_eq!(target.checkpoint(&mine).await.expect("there"), Some(at(9)));

    let long = Key(vec![Value::Text("x".repeat(20_000))]);
    let parked: Vec<_> = [key(1), key(u64::MAX), long]
        .map(|key| ParkedRecord { key, entry: None, reason: "too large".into(), version: v(5) })
        .into();
    heir.park(&next, &parked).await.expect("parked");
    heir.park(&next, &parked).await.expect("parked twice");
    heir.park(&build(10, 1), &parked[..1]).await.expect("parked");
    assert_eq!(target.park(&mine, &parked).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    target.unpark(&mine, &[key(1)]).await.expect("no effect");
    assert_eq!(heir.parked_count(&next).await.expect("a count"), 3);
    let mut read = heir.parked(&next, 10).await.expect("parked");
    read.sort_by_key(|record| record.key.clone());
    let mut expected = parked.clone();
    expected.sort_by_key(|record| record.key.clone());
    assert_eq!(read, expected);
    assert_eq!(heir.parked(&next, 2).await.expect("parked").len(), 2);
    heir.unpark(&next, &[key(1), key(2)]).await.expect("written after all");
    assert_eq!(heir.parked_count(&next).await.expect("a count"), 2);

    heir.plan_chunks(&next, &[chunk(0)]).await.expect("planned");
    heir.remove_build(&next).await.expect("forgotten");
    heir.remove_build(&next).await.expect("forgotten twice");
    assert_eq!(heir.builds(None).await.expect("none"), []);
    assert_eq!(heir.chunks(&next).await.expect("none"), []);
    assert_eq!(heir.checkpoint(&next).await.expect("none"), None);
    assert_eq!(heir.parked_count(&next).await.expect("a count"), 0);
    assert_eq!(heir.parked_count(&build(10, 1)).await.expect("a count"), 1);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn a_place_in_streams_and_kept_marks() {
    let bench = Bench::new("marks").await;
    let target = &bench.target;
    let (mine, next) = (build(1, 1), build(1, 2));
    target.save_build(&mine).await.expect("stored");
    let place = |count| Position { id: EntryId { high: 1 << 42, low: u64::MAX }, count };
    let positions =
        [("cdc.shop.order".to_string(), place(u64::from(u32::MAX))), ("cdc.shop.$x".into(), place(0))].into();
    let streams = StreamCheckpoint { generation: "g".into(), epoch: 3, positions };
    let at =
        CheckpointRecord { applied: gtids(7), streams: Some(streams), marked: gtids(9), ..CheckpointRecord::default() };
    target.save_checkpoint(&mine, &at).await.expect("stored");
    assert_eq!(target.checkpoint(&mine).await.expect("there"), Some(at));

    let mark = |node, linked, number| MarkRecord { node, linked, key: key(number) };
    let long = MarkRecord { node: 0, linked: false, key: Key(vec![Value::Text("x".repeat(20_000))]) };
    let marks = [mark(0, false, 1), mark(1, false, 1), mark(1, true, 1), mark(0, false, u64::MAX), long];
    target.add_marks(&mine, &marks).await.expect("kept");
    target.add_marks(&mine, &marks[1..3]).await.expect("kept once");
    target.add_marks(&build(10, 1), &marks[..1]).await.expect("kept");
    let heir = bench.another().await;
    heir.save_build(&next).await.expect("taken over");
    assert_eq!(heir.marks_count(&next).await.expect("a count"), 5);
    let mut read = heir.marks(&next, 10).await.expect("marks");
    read.sort();
    let mut expected = marks.to_vec();
    expected.sort();
    assert_eq!(read, expected);
    let some = heir.marks(&next, 2).await.expect("marks");
    assert_eq!(some.len(), 2);
    heir.remove_marks(&next, &some).await.expect("removed");
    heir.remove_marks(&next, &some).await.expect("removed twice");
    // What the new owner has kept, the one before can neither keep nor remove any more.
    heir.add_marks(&next, &marks[..1]).await.expect("kept");
    assert_eq!(target.add_marks(&mine, &marks[..1]).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    target.remove_marks(&mine, &marks[..1]).await.expect("no effect");
    assert!(heir.marks(&next, 10).await.expect("marks").contains(&marks[0]));
    heir.remove_build(&next).await.expect("forgotten");
    assert_eq!(heir.marks_count(&next).await.expect("a count"), 0);
    assert_eq!(heir.marks_count(&build(10, 1)).await.expect("a count"), 1);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn records_are_not_created_after_the_lease() {
    let bench = Bench::new("records_late").await;
    let (first, _) = take(&bench.target, "one").await;
    bench.target.save_build(&build(1, 1)).await.expect("stored");
    bench.target.plan_chunks(&build(1, 1), &[chunk(0)]).await.expect("planned");
    tokio::time::sleep(LEASE + DEADLINE).await;
    let kinds = |result: rowfold::error::Result<()>| result.map_err(|error| error.kind());
    assert_eq!(kinds(bench.target.plan_chunks(&build(1, 1), &[chunk(1)]).await), Err(Kind::Fenced));
    assert_eq!(kinds(bench.target.save_build(&build(2, 1)).await), Err(Kind::Fenced));
    let at = CheckpointRecord { applied: gtids(1), ..CheckpointRecord::default() };
    assert_eq!(kinds(bench.target.save_checkpoint(&build(1, 1), &at).await), Err(Kind::Fenced));
    bench.target.renew_lease(&first, LEASE, DEADLINE).await.expect("extended");
    bench.target.plan_chunks(&build(1, 1), &[chunk(1)]).await.expect("planned");
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn records_of_a_newer_rowfold_are_refused() {
    let bench = Bench::new("format").await;
    let meta = bench.plain.collection::<bson::Document>("_rowfold.meta");
    bench.target.save_build(&build(1, 1)).await.expect("stored");
    let noted = bench.find("_rowfold.meta", "format").await.expect("noted");
    assert_eq!(noted, doc! {"_id": "format", "version": FORMAT_VERSION});
    meta.update_one(doc! {"_id": "format"}, doc! {"$set": {"version": FORMAT_VERSION + 1}}).await.expect("changed");
    let later = bench.another().await;
    for error in [
        later.builds(None).await.expect_err("refused"),
        later.save_build(&build(2, 1)).await.expect_err("refused"),
        later.status("shop").await.expect_err("refused"),
        later.acquire_lease("shop", "x", LEASE, DEADLINE).await.expect_err("refused"),
    ] {
        assert_eq!(error.kind(), Kind::Config, "{error}");
    }
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn the_last_word_of_an_engine_has_an_age() {
    let bench = Bench::new("status").await;
    assert_eq!(bench.target.status("shop").await.expect("none"), None);
    let word = EngineStatus { owner: "host/1".into(), chunks_planned: 7, lag_ms: 3 };
    bench.target.save_status("shop", &word).await.expect("stored");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (read, age) = bench.target.status("shop").await.expect("an answer").expect("a word");
    assert_eq!(read, word);
    assert!(age >= Duration::from_millis(290) && age < Duration::from_secs(30), "{age:?}");
    bench.plain.drop().await.expect("gone");
}
