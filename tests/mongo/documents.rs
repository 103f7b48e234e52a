//! `DocumentStore`: the guard, the deadline of creates, duplicate keys, sizes, names.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, doc};
use rowfold::error::Kind;
use rowfold::model::plan::IndexPlan;
use rowfold::ports::{CollectionState, DocumentStore, Write, WriteReport};

use super::{Bench, delete, document, put, v};

const LATER: i64 = 4_000_000_000_000;

fn ids() -> Vec<Bson> {
    let binary = Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 255, 7] };
    let date = bson::DateTime::from_millis(-5);
    let decimal: bson::Decimal128 = "18446744073709551615".parse().expect("a decimal");
    vec![
        Bson::Int32(7),
        Bson::Int64(1 << 40),
        "k'7".into(),
        doc! {"region": "eu", "no": 7i64}.into(),
        binary.into(),
        date.into(),
        decimal.into(),
        true.into(),
        Bson::Double(1.5),
    ]
}

#[tokio::test]
async fn only_what_is_not_older_lands() {
    let bench = Bench::new("guard").await;
    for id in ids() {
        for likely_new in [false, true] {
            let of = |n: i32, version| [put(doc! {"_id": id.clone(), "n": n}, version, likely_new)];
            let write = |n, version| {
                let of = of(n, version);
                let target = &bench.target;
                async move { target.write("orders", v(version), LATER, &of).await.expect("written") }
            };
            assert_eq!(write(1, 10).await, WriteReport::default(), "created, {id}");
            assert_eq!(write(2, 9).await.newer, [0], "stale, {id}");
            assert_eq!(bench.find("orders", id.clone()).await.expect("there").get_i32("n").expect("n"), 1);
            assert_eq!(write(3, 10).await, WriteReport::default(), "equal, {id}");
            assert_eq!(bench.find("orders", id.clone()).await.expect("there").get_i32("n").expect("n"), 3);
            let stale = bench.target.write("orders", v(9), LATER, &[delete(id.clone())]).await.expect("answered");
            assert_eq!(stale.newer, [0], "stale delete, {id}");
            let gone = bench.target.write("orders", v(10), LATER, &[delete(id.clone())]).await.expect("deleted");
            assert_eq!(gone, WriteReport::default(), "{id}");
            let again = bench.target.write("orders", v(10), LATER, &[delete(id.clone())]).await.expect("deleted");
            assert_eq!(again, WriteReport::default(), "{id}");
        }
    }
    assert_eq!(bench.count("orders").await, 0);
    bench.plain.drop().await.expect("gone");
}

/// A map would hide a field that is stored twice, so the bytes are compared.
#[tokio::test]
async fn what_is_stored_is_what_was_sent_byte_for_byte() {
    let bench = Bench::new("bytes").await;
    for (at, id) in ids().into_iter().enumerate() {
        for likely_new in [false, true] {
            let version = 10 + at as i64;
            let sent = put(doc! {"_id": id.clone(), "b": [1, {"c": 2}], "a": null}, version, likely_new);
            let Write::Put { document, .. } = &sent else { unreachable!() };
            let expected = document.bytes.clone();
            for attempt in ["created", "replaced"] {
                let report = bench.target.write("orders", v(version), LATER, std::slice::from_ref(&sent)).await;
                assert_eq!(report.expect("written"), WriteReport::default());
                let raw = bench.plain.collection::<bson::RawDocumentBuf>("orders");
                let stored = raw.find_one(doc! {"_id": id.clone()}).await.expect("an answer").expect("there");
                assert_eq!(stored.as_bytes(), expected, "{attempt}, likely new: {likely_new}, {id}");
            }
            bench.target.write("orders", v(version), LATER, &[delete(id.clone())]).await.expect("deleted");
        }
    }
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn a_document_of_somebody_else_is_replaced() {
    let bench = Bench::new("foreign").await;
    let plain = bench.plain.collection::<bson::Document>("orders");
    plain
        .insert_many([doc! {"_id": 1}, doc! {"_id": 2, "_rf": "x"}, doc! {"_id": 3, "_rf": {"v": null}}])
        .await
        .expect("in");
    let writes = [put(doc! {"_id": 1}, 5, false), put(doc! {"_id": 2}, 5, true), put(doc! {"_id": 3}, 5, false)];
    let report = bench.target.write("orders", v(5), LATER, &writes).await.expect("written");
    assert_eq!(report, WriteReport::default());
    for id in 1..=3 {
        assert_eq!(bench.find("orders", id).await, Some(doc! {"_id": id, "_rf": {"v": 5i64, "b": 1}}));
    }
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn a_create_after_its_deadline_fails_on_the_server() {
    let bench = Bench::new("deadline").await;
    let past = bench.now_ms().await - 1;
    for id in ids() {
        for likely_new in [false, true] {
            let writes = [put(doc! {"_id": id.clone()}, 10, likely_new)];
            let error = bench.target.write("orders", v(10), past, &writes).await.expect_err("too late");
            assert_eq!(error.kind(), Kind::Fenced, "{id}: {error}");
        }
    }
    assert_eq!(bench.count("orders").await, 0);

    // A newer delete, then the create of a read from before it, sent late.
    let create = [put(doc! {"_id": 1}, 10, false)];
    bench.target.write("orders", v(10), LATER, &create).await.expect("created");
    bench.target.write("orders", v(11), LATER, &[delete(1)]).await.expect("deleted");
    assert_eq!(bench.target.write("orders", v(10), past, &create).await.map_err(|e| e.kind()), Err(Kind::Fenced));
    assert_eq!(bench.count("orders").await, 0);

    // What is there needs no deadline to be replaced or deleted.
    bench.target.write("orders", v(10), LATER, &[put(doc! {"_id": 1}, 10, true)]).await.expect("created");
    let replace = [put(doc! {"_id": 1, "n": 2}, 12, false), delete(2)];
    assert_eq!(bench.target.write("orders", v(12), past, &replace).await.expect("replaced"), WriteReport::default());
    assert_eq!(bench.find("orders", 1).await.expect("there").get_i32("n").expect("n"), 2);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn a_mixed_batch_of_a_thousand() {
    let bench = Bench::new("mixed").await;
    // 0..300 older, 300..400 newer, 400..600 older and deleted, 600..650 newer and deleted, 650..1000 absent.
    let stored: Vec<_> = (0..650)
        .map(|id| document(doc! {"_id": id}, if (300..400).contains(&id) || id >= 600 { 20 } else { 5 }))
        .collect();
    assert_eq!(bench.target.insert("orders", &stored).await.expect("in"), WriteReport::default());
    let writes: Vec<_> = (0..1000)
        .map(|id| if (400..650).contains(&id) { delete(id) } else { put(doc! {"_id": id, "n": 1}, 10, id % 3 == 0) })
        .collect();
    let report = bench.target.write("orders", v(10), LATER, &writes).await.expect("written");
    let newer: Vec<usize> = (300..400).chain(600..650).collect();
    assert_eq!((report.newer, report.refused), (newer, vec![]));
    let plain = bench.plain.collection::<bson::Document>("orders");
    assert_eq!(plain.count_documents(doc! {"_rf.v": 10i64, "n": 1}).await.expect("a count"), 300 + 350);
    assert_eq!(plain.count_documents(doc! {"_rf.v": 20i64}).await.expect("a count"), 150);
    assert_eq!(bench.count("orders").await, 800);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn inserts_report_what_was_there() {
    let bench = Bench::new("insert").await;
    let of = |id: i32| document(doc! {"_id": id, "at": id}, 10);
    assert_eq!(bench.target.insert("c", &[]).await.expect("nothing"), WriteReport::default());
    bench.target.insert("c", &[of(1), of(3)]).await.expect("in");
    let report = bench.target.insert("c", &[of(0), of(1), of(2), of(3), of(4)]).await.expect("in");
    assert_eq!((report.newer, report.refused), (vec![1, 3], vec![]));
    assert_eq!(bench.count("c").await, 5);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn a_unique_index_refuses_its_document_only() {
    let bench = Bench::new("unique").await;
    bench.target.create("c").await.expect("created");
    let unique = [IndexPlan { keys: vec![("mail".into(), 1)], unique: true }];
    bench.target.create_indexes("c", &unique).await.expect("built");
    let of = |id: i32, mail: &str| doc! {"_id": id, "mail": mail};
    let inserted = [document(of(1, "a@secret"), 10), document(of(2, "a@secret"), 10), document(of(3, "c"), 10)];
    let expect = |report: WriteReport, at: usize| {
        assert!(report.newer.is_empty());
        assert_eq!(report.refused.len(), 1);
        assert_eq!(report.refused[0].0, at);
        assert!(report.refused[0].1.contains("mail_1"), "{:?}", report.refused);
        assert!(!report.refused[0].1.contains("secret"), "{:?}", report.refused);
    };
    expect(bench.target.insert("c", &inserted).await.expect("in"), 1);
    for likely_new in [true, false] {
        let writes = [put(of(4, "d"), 11, likely_new), put(of(5, "a@secret"), 11, likely_new)];
        expect(bench.target.write("c", v(11), LATER, &writes).await.expect("written"), 1);
        let writes = [put(of(3, "a@secret"), 11, likely_new), put(of(1, "a@secret"), 11, likely_new)];
        expect(bench.target.write("c", v(11), LATER, &writes).await.expect("written"), 0);
    }
    assert_eq!(bench.count("c").await, 3);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn what_is_too_large_is_refused_alone() {
    let bench = Bench::new("large").await;
    let of = |id: i32, bytes: usize| doc! {"_id": id, "text": "x".repeat(bytes)};
    let limit = 16 * 1024 * 1024;
    let sizes = [10, limit, limit - 4096, 10, limit / 2, limit / 2];
    let documents: Vec<_> = (0..).zip(sizes).map(|(id, size)| document(of(id, size), 10)).collect();
    let report = bench.target.insert("a", &documents).await.expect("in");
    assert_eq!(report.refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1]);
    assert_eq!((report.newer, bench.count("a").await), (vec![], 5));
    for round in [10, 11] {
        let writes: Vec<_> = (0..).zip(sizes).map(|(id, size)| put(of(id, size), round, id % 2 == 0)).collect();
        let report = bench.target.write("b", v(round), LATER, &writes).await.expect("written");
        assert_eq!(report.refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1]);
        assert_eq!((report.newer, bench.count("b").await), (vec![], 5));
    }
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn what_the_server_refuses_is_refused_alone() {
    let bench = Bench::new("refused").await;
    let array = Bson::Array(vec![1.into()]);
    let bad = || document(doc! {"_id": array.clone()}, 10);
    let report = bench.target.insert("a", &[document(doc! {"_id": 1}, 10), bad()]).await.expect("in");
    assert_eq!(report.refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1], "{report:?}");
    assert_eq!(bench.count("a").await, 1);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
#[should_panic(expected = "twice")]
async fn an_id_cannot_be_twice_in_a_batch() {
    let bench = Bench::new("twice").await;
    let _ = bench.target.write("c", v(1), LATER, &[put(doc! {"_id": 1}, 1, false), delete(1)]).await;
}

#[tokio::test]
async fn a_late_insert_reaches_a_stray_only() {
    let bench = Bench::new("rename").await;
    let target = &bench.target;
    assert_eq!(target.collection_state("c_c1").await.expect("known"), CollectionState::Missing);
    target.create("c_c1").await.expect("created");
    target.create("c_c1").await.expect("created twice");
    assert_eq!(target.collection_state("c_c1").await.expect("known"), CollectionState::Empty);
    let index = [IndexPlan { keys: vec![("a.b".into(), 1), ("c".into(), -1)], unique: false }];
    target.create_indexes("c_c1", &index).await.expect("built");
    target.insert("c_c1", &[document(doc! {"_id": 1}, 10)]).await.expect("in");
    target.rename("c_c1", "c_c2").await.expect("renamed");
    assert_eq!(target.rename("c_c1", "c_c3").await.map_err(|e| e.kind()), Err(Kind::Retry));
    target.insert("c_c1", &[document(doc! {"_id": 2}, 10)]).await.expect("late");
    assert_eq!(target.collection_state("c_c2").await.expect("known"), CollectionState::Filled);
    assert_eq!((bench.count("c_c1").await, bench.count("c_c2").await), (1, 1));
    assert_eq!(target.rename("c_c1", "c_c2").await.map_err(|e| e.kind()), Err(Kind::Retry));
    assert_eq!(target.collections().await.expect("names"), ["c_c1", "c_c2"]);
    target.drop_collection("c_c1").await.expect("dropped");
    target.drop_collection("c_c1").await.expect("dropped twice");
    assert_eq!(target.collection_state("c_c1").await.expect("known"), CollectionState::Missing);
    target.create_indexes("c_c2", &index).await.expect("the index came with it");
    let names = bench.plain.collection::<bson::Document>("c_c2").list_index_names().await.expect("names");
    assert_eq!(names, ["_id_", "a.b_1_c_-1"]);
    bench.plain.drop().await.expect("gone");
}

#[tokio::test]
async fn indexes_conflict_loudly() {
    let bench = Bench::new("indexes").await;
    let index = |unique| [IndexPlan { keys: vec![("mail".into(), 1)], unique }];
    bench.target.insert("c", &[1, 2].map(|id| document(doc! {"_id": id, "mail": "secret"}, 1))).await.expect("in");
    let error = bench.target.create_indexes("c", &index(true)).await.expect_err("violated");
    assert_eq!(error.kind(), Kind::Halt);
    assert!(error.chain().contains("mail_1") && !error.chain().contains("secret"), "{error}");
    let twice = [index(false), index(false)].concat();
    for _ in 0..2 {
        bench.target.create_indexes("c", &twice).await.expect("built");
    }
    bench.target.write("c", v(2), LATER, &[delete(2)]).await.expect("deleted");
    let error = bench.target.create_indexes("c", &index(true)).await.expect_err("in the way");
    assert_eq!(error.kind(), Kind::Halt);
    assert!(error.chain().contains("dropIndex(\"mail_1\")"), "{error}");
    bench.plain.drop().await.expect("gone");
}
