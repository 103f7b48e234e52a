//! Appends: all of it with C, or an answer that says what is not there.

use rowfold::error::Kind;
use rowfold::model::stream::RawEntry;
use rowfold::ports::{Append, Appended, StreamStore};

use super::support::{Bench, append, at, begin, entry, gtid, id, set};

#[tokio::test]
async fn entries_lie_where_they_were_put_and_hold_any_bytes() {
    let bench = Bench::new("entries").await;
    bench.begin(1).await;
    let fields = vec![(b"\x00\xff".to_vec(), b"\r\n$5\r\n".to_vec()), (Vec::new(), vec![0; 70_000])];
    let odd = RawEntry { id: id(u64::MAX - 1, u64::MAX), fields };
    let entries = vec![
        (bench.key("a"), entry(id(9, 1), "one")),
        (bench.key("b"), odd.clone()),
        (bench.key("a"), entry(id(9, 2), "")),
    ];
    assert_eq!(bench.streams.append(&append(1, entries, set(2))).await.expect("an answer"), Appended::Done);
    let look = bench.look(&["a", "b"]).await;
    assert_eq!(look.streams, [at(9, 2, 2), at(u64::MAX - 1, u64::MAX, 1)]);
    let from = [(bench.key("b"), id(0, 0))];
    let found = bench.streams.read(&from, 10, std::time::Duration::ZERO).await.expect("entries");
    assert_eq!(found, [(0, vec![odd])]);
}

#[tokio::test]
async fn without_entries_it_is_a_sign_of_life() {
    let bench = Bench::new("life").await;
    bench.begin(1).await;
    let before = bench.meta().await;
    super::support::until("a later beat", async || {
        assert_eq!(bench.streams.append(&append(1, Vec::new(), set(1))).await.expect("an answer"), Appended::Done);
        bench.meta().await.beat_ms > before.beat_ms
    })
    .await;
    let after = bench.meta().await;
    assert!(after.until_ms > before.until_ms);
    assert_eq!(after.epochs[&1].captured, set(1));
}

#[tokio::test]
async fn an_id_that_is_not_above_is_refused_and_c_does_not_cover_it() {
    let mut bench = Bench::new("refused").await;
    bench.begin(1).await;
    let first = vec![(bench.key("a"), entry(id(5, 5), "mine"))];
    bench.streams.append(&append(1, first, set(3))).await.expect("an answer");
    bench.say("XADD @.t.b 7-7 f theirs");
    for high in [7, 6] {
        let entries = vec![
            (bench.key("a"), entry(id(high + 10 * (7 - high) + 1, 0), "mine")),
            (bench.key("b"), entry(id(high, 7), "mine")),
        ];
        let part = Append { open: Some(gtid(5)), ..append(1, entries, set(4)) };
        assert_eq!(bench.streams.append(&part).await.expect("an answer"), Appended::Refused(bench.key("b")));
        let meta = bench.meta().await;
        assert_eq!(meta.epochs[&1].captured, set(3), "C as it was");
        assert_eq!(meta.epochs[&1].open, None);
    }
    assert_eq!(bench.values("b"), ["theirs"]);
}

#[tokio::test]
async fn another_generation_gets_nothing() {
    let mut bench = Bench::new("generation").await;
    bench.begin(1).await;
    // Lost, and begun anew by somebody else with the same number.
    bench.say("DEL @.__meta");
    assert!(bench.streams.begin(&begin(None, "h", 1)).await.expect("an answer"));
    let entries = vec![(bench.key("a"), entry(id(1, 1), "v"))];
    let said = bench.streams.append(&append(1, entries.clone(), set(9))).await.expect("an answer");
    let Appended::Lost(reason) = said else { panic!("{said:?}") };
    assert!(reason.contains("another generation"), "{reason}");
    let look = bench.look(&["a"]).await;
    assert_eq!(look.streams, [None]);
    assert_eq!(look.meta.expect("a record").epochs[&1].captured, set(0), "its C is not ours");
    // Gone, and nobody has begun.
    bench.say("DEL @.__meta");
    let said = bench.streams.append(&append(1, entries, set(9))).await.expect("an answer");
    let Appended::Lost(reason) = said else { panic!("{said:?}") };
    assert!(reason.contains("is gone"), "{reason}");
    let look = bench.look(&["a"]).await;
    assert_eq!((look.meta, look.streams), (None, vec![None]));
}

#[tokio::test]
async fn a_later_session_ends_this_one() {
    let bench = Bench::new("superseded").await;
    bench.begin(1).await;
    bench.begin(2).await;
    let entries = vec![(bench.key("a"), entry(id(1, 1), "v"))];
    let said = bench.streams.append(&append(1, entries.clone(), set(9))).await.expect("an answer");
    assert_eq!(said, Appended::Superseded);
    let look = bench.look(&["a"]).await;
    assert_eq!(look.streams, [None]);
    assert_eq!(bench.streams.append(&append(2, entries, set(9))).await.expect("an answer"), Appended::Done);
    // A record that went back, from a backup.
    let said = bench.streams.append(&append(3, Vec::new(), set(9))).await.expect("an answer");
    assert!(matches!(said, Appended::Lost(_)), "{said:?}");
}

#[tokio::test]
async fn a_key_with_something_else_is_named_and_c_does_not_cover_it() {
    let mut bench = Bench::new("append_type").await;
    bench.begin(1).await;
    bench.say("SET @.t.a text");
    let entries = vec![(bench.key("a"), entry(id(1, 1), "v"))];
    let error = bench.streams.append(&append(1, entries, set(9))).await.expect_err("no stream");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains(&bench.key("a")), "{error}");
    assert_eq!(bench.meta().await.epochs[&1].captured, set(0));
    bench.say("DEL @.__meta");
    bench.say("SET @.__meta text");
    let error = bench.streams.append(&append(1, Vec::new(), set(9))).await.expect_err("no record");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains(&bench.meta_key()), "{error}");
}
