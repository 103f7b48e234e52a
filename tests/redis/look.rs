//! Looks: all in one moment, and what a key holds that is no stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rowfold::error::Kind;
use rowfold::model::stream::{Epoch, Member, Position};
use rowfold::ports::{Begin, StreamStore};

use super::support::{Bench, append, at, begin, entry, gtid, id, set, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_sees_one_moment() {
    let bench = Bench::new("moment").await;
    bench.begin(1).await;
    let (writer, keys, done) = (bench.another().await, bench.keys(&["a", "b"]), Arc::new(AtomicBool::new(false)));
    let task = tokio::spawn({
        let (keys, done) = (keys.clone(), done.clone());
        async move {
            for number in 1..=2000 {
                let entries = keys.iter().map(|key| (key.clone(), entry(id(1, number), "v"))).collect();
                let done = writer.append(&append(1, entries, set(number))).await.expect("an answer");
                assert_eq!(done, rowfold::ports::Appended::Done);
            }
            done.store(true, Ordering::Relaxed);
        }
    });
    // More commands than the server takes from one client in one go: without MULTI others would come in between.
    let mut asked = vec![keys[0].clone()];
    asked.extend((0..1000).map(|number| bench.key(&format!("missing_{number}"))));
    asked.push(keys[1].clone());
    let mut between = 0;
    while !done.load(Ordering::Relaxed) && !task.is_finished() {
        let look = bench.streams.look(&asked).await.expect("a look");
        let count = look.meta.expect("a record").epochs[&1].captured.count();
        for stream in [look.streams[0], look.streams[1001]] {
            assert_eq!(stream.unwrap_or_default(), Position { id: id(u64::from(count > 0), count), count });
        }
        between += u64::from(count > 0 && count < 2000);
    }
    task.await.expect("the writer");
    assert!(between > 10, "{between} looks between the appends are too few to tell");
}

#[tokio::test]
async fn streams_are_counted_for_ever_and_missing_ones_are_told_apart() {
    let mut bench = Bench::new("count").await;
    let look = bench.look(&["a", "b"]).await;
    assert_eq!((look.meta, look.streams), (None, vec![None, None]));
    bench.say("XADD @.t.a 5-7 f v");
    bench.say("XADD @.t.a 6-1 f v");
    assert_eq!(bench.look(&["b", "a"]).await.streams, [None, at(6, 1, 2)]);
    // By whoever it is trimmed, and how far.
    bench.say("XTRIM @.t.a MAXLEN 0");
    assert_eq!(bench.look(&["a"]).await.streams, [at(6, 1, 2)]);
    bench.say("XADD @.t.a 6-2 f v");
    bench.say("XDEL @.t.a 6-2");
    assert_eq!(bench.look(&["a"]).await.streams, [at(6, 2, 3)]);
    bench.say("DEL @.t.a");
    assert_eq!(bench.look(&["a"]).await.streams, [None]);
}

#[tokio::test]
async fn the_record_is_read_as_it_was_written() {
    let bench = Bench::new("record").await;
    let position = Position { id: id(4, 2), count: 9 };
    let mut record = Epoch { from: set(3), tables: [table("a"), table("b.c")].into(), ..Epoch::default() };
    record.captured = set(3);
    record.base.insert(bench.key("a"), position);
    let first = Begin { imported: true, record: record.clone(), ..begin(None, "g", 4) };
    assert!(bench.streams.begin(&first).await.expect("an answer"));
    let member = Member { job: "shop".into(), tables: [table("a")].into() };
    bench.streams.register("target:0001", &member).await.expect("registered");
    bench.streams.request("target:0001", &set(2)).await.expect("requested");
    let before = bench.look(&[]).await.now_ms;
    let part = append(4, vec![(bench.key("a"), entry(id(4, 3), "v"))], set(5));
    let part = rowfold::ports::Append { open: Some(gtid(6)), ..part };
    bench.streams.append(&part).await.expect("an answer");
    let look = bench.look(&[]).await;
    let meta = look.meta.expect("a record");
    assert_eq!((meta.generation.as_str(), meta.epoch, meta.imported), ("g", 4, true));
    assert_eq!((meta.source.as_str(), meta.owner.as_str()), ("uuid", "me"));
    assert!((before..=look.now_ms).contains(&meta.beat_ms), "{} of {before}..={}", meta.beat_ms, look.now_ms);
    assert_eq!(meta.until_ms, meta.beat_ms + 30_000);
    let epoch = Epoch { captured: set(5), open: Some(gtid(6)), ..record };
    assert_eq!(meta.epochs, [(4, epoch)].into());
    assert_eq!(meta.members, [("target:0001".to_string(), member)].into());
    assert_eq!(meta.requests, [("target:0001".to_string(), set(2))].into());
    // The last part: nothing is open any more.
    bench.streams.append(&append(4, Vec::new(), set(6))).await.expect("an answer");
    assert_eq!(bench.meta().await.epochs[&4].open, None);
}

#[tokio::test]
async fn a_key_with_something_else_is_named() {
    let mut bench = Bench::new("type").await;
    bench.say("SET @.t.b text");
    bench.say("XADD @.t.a 1-1 f v");
    let error = bench.streams.look(&bench.keys(&["a", "b"])).await.expect_err("no stream");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains(&bench.key("b")), "{error}");
    let error = bench.streams.look_foreign(&bench.keys(&["b"]), "none").await.expect_err("no stream");
    assert_eq!(error.kind(), Kind::Config);
    bench.say("LPUSH @.__meta text");
    let error = bench.streams.look(&[]).await.expect_err("no record");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains(&bench.meta_key()), "{error}");
    bench.say("DEL @.__meta");
    bench.say("HSET @.__meta epoch word");
    let error = bench.streams.look(&[]).await.expect_err("no record");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("epoch") && !error.to_string().contains("word"), "{error}");
}

#[tokio::test]
async fn another_producers_streams_are_seen_with_their_last_entries() {
    let mut bench = Bench::new("foreign").await;
    bench.say("XADD @.t.a 1700000000000-0 key1 value1");
    bench.say("XADD @.t.a 1700000000000-1 key2 value2 more again");
    bench.say("XADD @.t.b 1-1 k v");
    bench.say("XTRIM @.t.b MAXLEN 0");
    let (keys, offsets) = (bench.keys(&["a", "b", "c"]), format!("{}.offsets", bench.settings.prefix));
    let look = bench.streams.look_foreign(&keys, &offsets).await.expect("a look");
    assert_eq!(look.streams, [at(1_700_000_000_000, 1, 2), at(1, 1, 1), None]);
    let fields = [("key2", "value2"), ("more", "again")];
    let fields = fields.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).to_vec();
    let last = rowfold::model::stream::RawEntry { id: id(1_700_000_000_000, 1), fields };
    assert_eq!(look.last, [Some(last), None, None]);
    assert!(look.offsets.is_empty() && look.now_ms > 1_700_000_000_000);
    bench.say("HSET @.offsets place here");
    let look = bench.streams.look_foreign(&keys, &offsets).await.expect("a look");
    assert_eq!(look.offsets, [(b"place".to_vec(), b"here".to_vec())]);
}

#[tokio::test]
async fn usage_grows_with_the_streams() {
    let mut bench = Bench::new("usage").await;
    let keys = bench.keys(&["a", "b"]);
    let empty = bench.streams.usage(&keys).await.expect("figures");
    assert_eq!(empty.stream_bytes, 0);
    bench.say(&format!("XADD @.t.a 1-1 f {}", "x".repeat(100_000)));
    let one = bench.streams.usage(&keys).await.expect("figures");
    assert!((100_000..200_000).contains(&one.stream_bytes), "{one:?}");
    assert!(one.used_bytes > one.stream_bytes, "{one:?}");
}
