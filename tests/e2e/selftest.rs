//! The tests' own instruments, on real servers but without the engine.
//! Owns: proof that the oracle sees what it must see. Does not own: any claim about the engine.

use crate::harness;
use crate::harness::servers::{Scratch, execute};
use crate::harness::world::load;
use crate::oracle::compare::{self, Documents};
use crate::oracle::{self, canon, sql};
use crate::rng::Rng;
use crate::schema::{ddl, generate, job, rows};
use crate::writer::Writer;
use bson::{Bson, DateTime, Decimal128, Document, doc};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Puts what the oracle expects into the target, as an engine without faults would.
async fn pretend(scratch: &Scratch, collection: &str, documents: &Documents) {
    let made: Vec<Document> = documents
        .iter()
        .map(|(id, document)| {
            let mut made = doc! { "_id": canon::id_to_bson(id), "_rf": { "v": 1_i64, "b": 1 } };
            let Bson::Document(fields) = canon::to_bson(document) else { panic!("not a document: {document}") };
            made.extend(fields);
            made
        })
        .collect();
    if !made.is_empty() {
        scratch.mongo.collection::<Document>(collection).insert_many(made).await.expect("documents can be inserted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_generated_schema_can_be_created_filled_and_judged() {
    let _seat = harness::seat().await;
    let seed = harness::seed();
    println!("seed {seed}");
    let scratch = Scratch::create("judged").await;
    for index in 0..26 {
        let generated = generate::schema(seed, index);
        let mut conn = scratch.mysql().await;
        execute(&mut conn, &format!("DROP DATABASE `{}`", scratch.name)).await;
        execute(&mut conn, &format!("CREATE DATABASE `{}`", scratch.name)).await;
        execute(&mut conn, &format!("USE `{}`", scratch.name)).await;
        load(&mut conn, &generated, &mut Rng::new(seed).fork(index)).await;
        scratch.mongo.drop().await.expect("a scratch database can be dropped");
        let mut total = 0;
        for projection in &generated.projections {
            let query = sql::query(&generated, &scratch.name, projection);
            let expected = oracle::expected(&mut conn, &query).await;
            assert!(!expected.is_empty(), "schema {index} ({}) has no documents", generated.label);
            pretend(&scratch, &projection.root.field, &expected).await;
            total += expected.len();
        }
        let compared = oracle::assert_equal(&mut conn, &scratch.mongo, &generated, &scratch.name, total).await;
        println!("schema {index}: {}: {compared} documents", generated.label);
    }
    scratch.remove().await;
}

#[test]
fn a_seed_makes_the_same_schema_again_and_features_are_spread() {
    let settings = job::Settings {
        name: "x".into(),
        mysql_database: "db".into(),
        mongo_database: "db".into(),
        server_id: 1,
        readers: 2,
        chunk_bytes: "8KiB".into(),
        stream: String::new(),
    };
    let mut deepest = 0;
    for index in 0..20 {
        let (a, b) = (generate::schema(7, index), generate::schema(7, index));
        assert_eq!(ddl::statements(&a), ddl::statements(&b));
        assert_eq!(job::render(&a, &settings), job::render(&b, &settings));
        assert_eq!(rows::fill(&a, &mut Rng::new(1)), rows::fill(&b, &mut Rng::new(1)));
        for projection in &a.projections {
            projection.root.walk(&mut |_, level| deepest = deepest.max(level));
        }
    }
    assert_eq!(deepest, 4);
    let labels: Vec<String> = (0..20).map(|i| generate::schema(7, i).label).collect();
    for feature in
        ["child without key", "same table twice", "self-reference", "id from a unique key", "two projections"]
    {
        assert!(labels.iter().any(|l| l.contains(feature)), "no schema of twenty has: {feature}");
    }
    assert!(labels.iter().any(|l| l.contains("1 through")));
}

/// A small source whose documents have a compound id, a sub-document, an array and several types.
const LINES: &str = "
CREATE TABLE head (region VARCHAR(9), no INT, total DECIMAL(9,2), seen DATETIME(3), PRIMARY KEY (region, no));
CREATE TABLE line (region VARCHAR(9), no INT, line INT, text VARCHAR(9), PRIMARY KEY (region, no, line));
INSERT INTO head VALUES ('eu', 1, 1.50, '2024-02-29 01:02:03.004'), ('eu', 2, NULL, NULL), ('us', 1, 0, '1969-12-31 23:59:59.999');
INSERT INTO line VALUES ('eu', 1, 1, 'a'), ('eu', 1, 2, 'b'), ('us', 1, 7, NULL)";

const LINES_QUERY: &str = "
SELECT CAST(JSON_ARRAY('region', CONCAT('s:', h.region), 'no', CONCAT('i32:', h.no)) AS CHAR),
  CAST(JSON_OBJECT('total', CONCAT('d128:', h.total),
    'seen', CONCAT('t:', TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', h.seen) DIV 1000),
    'lines', (SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT(JSON_OBJECT('line', CONCAT('i32:', l.line),
        'text', CONCAT('s:', l.text)) ORDER BY l.line), ''), ']') AS JSON)
      FROM line AS l WHERE l.region = h.region AND l.no = h.no)) AS CHAR)
FROM head AS h";

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_difference_is_reported() {
    let scratch = Scratch::create("planted").await;
    let mut conn = scratch.mysql().await;
    for statement in LINES.split(';') {
        execute(&mut conn, statement).await;
    }
    let expected = oracle::expected(&mut conn, LINES_QUERY).await;
    assert_eq!(expected.len(), 3);
    let documents = scratch.mongo.collection::<Document>("heads");
    let key = |region: &str, no: i32| doc! { "_id": { "region": region, "no": no } };
    let pristine = doc! { "_id": { "region": "eu", "no": 1 }, "total": "1.50".parse::<Decimal128>().expect("a decimal"),
    "seen": DateTime::from_millis(1_709_168_523_004),
    "lines": [{ "line": 1, "text": "a" }, { "line": 2, "text": "b" }], "_rf": { "v": 1_i64, "b": 1 } };
    let with = |change: &dyn Fn(&mut Document)| {
        let mut changed = pristine.clone();
        change(&mut changed);
        changed
    };
    let lines = |a: Document, b: Document| move |d: &mut Document| drop(d.insert("lines", vec![a.clone(), b.clone()]));
    let a = doc! { "line": 1, "text": "a" };
    let b = doc! { "line": 2, "text": "b" };
    let changes: Vec<(&str, Document)> = vec![
        ("nothing", pristine.clone()),
        ("a leaf of an array element", with(&lines(a.clone(), doc! { "line": 2, "text": "B" }))),
        ("the order of an array", with(&lines(b.clone(), a.clone()))),
        ("an element twice", with(&|d| drop(d.insert("lines", vec![a.clone(), b.clone(), b.clone()])))),
        ("a lost element", with(&|d| drop(d.insert("lines", vec![a.clone()])))),
        ("null for an array", with(&|d| drop(d.insert("lines", Bson::Null)))),
        ("the same number in another type", with(&lines(doc! { "line": 1_i64, "text": "a" }, b.clone()))),
        ("the scale of a decimal", with(&|d| drop(d.insert("total", "1.5".parse::<Decimal128>().expect("a decimal"))))),
        ("a millisecond", with(&|d| drop(d.insert("seen", DateTime::from_millis(1_709_168_523_005))))),
        ("a field too many", with(&|d| drop(d.insert("more", 1)))),
        ("a field too few", with(&|d| drop(d.remove("seen")))),
    ];
    for (what, changed) in changes {
        scratch.mongo.drop().await.expect("a scratch database can be dropped");
        pretend(&scratch, "heads", &expected).await;
        documents.replace_one(key("eu", 1), changed).await.expect("a document can be replaced");
        let report = compare::compare(&expected, &oracle::actual(&scratch.mongo, "heads").await);
        let wanted = usize::from(what != "nothing");
        assert_eq!((report.different, report.missing, report.extra), (wanted, 0, 0), "{what}: {report}");
        assert_eq!(report.is_equal(), wanted == 0, "{what}: {report}");
        let shown = report.to_string();
        assert_eq!(shown.contains(r#"different ["region","s:eu","no","i32:1"]"#), wanted == 1, "{what}: {shown}");
    }
    // Whole documents: gone, not wanted, and under an id that only looks the same.
    documents.delete_one(key("eu", 2)).await.expect("a document can be deleted");
    let swapped = doc! { "_id": { "no": 2, "region": "eu" }, "_rf": { "v": 1_i64, "b": 1 } };
    documents.insert_one(swapped).await.expect("a document can be inserted");
    documents.insert_one(doc! { "_id": 5, "_rf": { "v": 1_i64 } }).await.expect("a document can be inserted");
    let report = compare::compare(&expected, &oracle::actual(&scratch.mongo, "heads").await);
    assert_eq!((report.missing, report.extra, report.compared), (1, 2, 2), "{report}");
    assert!(!report.is_equal());
    scratch.remove().await;
}

#[test]
fn an_empty_target_is_never_equal() {
    let expected = Documents::from([("[1]".to_owned(), serde_json::json!({}))]);
    assert!(!compare::compare(&expected, &Documents::new()).is_equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_does_everything_it_is_meant_to() {
    let _seat = harness::seat().await;
    let seed = harness::seed();
    println!("seed {seed}");
    let mut all = std::collections::BTreeMap::new();
    let (mut committed, mut rolled_back, mut retried) = (0, 0, 0);
    for index in 0..6 {
        let scratch = Scratch::create("writer").await;
        let generated = Arc::new(generate::schema(seed, index));
        let mut conn = scratch.mysql().await;
        load(&mut conn, &generated, &mut Rng::new(seed).fork(index)).await;
        let query = sql::query(&generated, &scratch.name, &generated.projections[0]);
        let before = oracle::expected(&mut conn, &query).await;
        let start = Instant::now();
        let writer = Writer::start(&generated, &scratch.name, seed ^ index, Duration::from_millis(2));
        harness::until_true("the writer", Duration::from_secs(60), || writer.journal().committed >= 300).await;
        let took = start.elapsed();
        let journal = writer.stop().await;
        for (kind, count) in journal.kinds(start, Instant::now()) {
            *all.entry(kind).or_insert(0) += count;
        }
        let after = oracle::expected(&mut conn, &query).await;
        let changed = compare::changed(&before, &after);
        println!(
            "{}: {} transactions in {took:?}, {changed} of {} changed",
            generated.label,
            journal.committed,
            before.len()
        );
        assert!(changed * 20 >= before.len(), "only {changed} of {} documents changed", before.len());
        assert_eq!(journal.tables(), generated.tables.len(), "every table is written to");
        committed += journal.committed;
        rolled_back += journal.rolled_back;
        retried += journal.retried;
        scratch.remove().await;
    }
    println!("{committed} committed, {rolled_back} rolled back, {retried} retried, {all:?}");
    assert_eq!(all.len(), 11, "kinds of change that never happened: {all:?}");
    let share = rolled_back * 100 / (committed + rolled_back);
    assert!((2..=9).contains(&share), "{share}% rolled back");
}
