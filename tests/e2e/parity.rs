//! A value is the same in a document whether the copy or the stream wrote it: every type with its boundaries, byte by byte.
//! Owns: the comparison of a copied document with a streamed one of the same row. Does not own: the types (`types`), what a
//! value should be (`tests/mysql`).

use crate::harness::engine::{Engine, Job};
use crate::harness::servers::{Scratch, execute, is_mariadb};
use crate::harness::world::REST;
use crate::harness::{self, status};
use crate::random::Random;
use crate::schema::job::{Settings, header};
use crate::types::{On, TYPES, Type};
use bson::{RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Types of one table: a row has room for so many.
const COLUMNS: usize = 24;
/// Rows of each table, at least; more where a type has more boundaries.
const ROWS: usize = 40;
/// What is added to the number of a row for the one that holds the same values.
const TWIN: i32 = 100_000;

/// Row `number` holds each type's boundary of that number, then random values, and once NULL.
fn values(types: &[&Type], number: usize, random: &mut Random) -> String {
    let value = |one: &&Type| match one.bounds.get(number) {
        Some(bound) => bound.to_string(),
        None if number == ROWS - 1 && !one.declared.starts_with("VECTOR") => "NULL".to_owned(),
        None => (one.make)(random),
    };
    types.iter().map(value).collect::<Vec<_>>().join(", ")
}

async fn fill(scratch: &Scratch, tables: &[Vec<&'static Type>], random: &mut Random) {
    let mut conn = scratch.mysql().await;
    execute(&mut conn, "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'").await;
    for (at, types) in tables.iter().enumerate() {
        let mut create = format!("CREATE TABLE t{at} (id INT PRIMARY KEY");
        for (column, one) in types.iter().enumerate() {
            // Else a TIMESTAMP is given the time of the statement.
            let null = one.declared.starts_with("TIMESTAMP") && !one.declared.ends_with("NULL");
            let _ = write!(create, ", c{column} {}{}", one.declared, if null { " NULL" } else { "" });
        }
        execute(&mut conn, &(create + ") DEFAULT CHARSET=utf8mb4")).await;
        for number in 0..ROWS {
            let insert = format!("INSERT INTO t{at} VALUES ({number}, {})", values(types, number, random));
            execute(&mut conn, &insert).await;
        }
    }
}

/// The documents' bytes by the number of their row, but for `_id`, `id` and `_rf`.
async fn documents(scratch: &Scratch, collection: &str) -> BTreeMap<i32, Vec<u8>> {
    let found = scratch.mongo.collection::<RawDocumentBuf>(collection).find(doc! {}).await;
    let found: Vec<RawDocumentBuf> =
        found.expect("the target can be read").try_collect().await.expect("the target can be read");
    let rest = |document: &RawDocumentBuf| {
        let mut rest = RawDocumentBuf::new();
        let fields = document.iter().map(|field| field.expect("a field"));
        for (name, value) in fields.filter(|(name, _)| !["_id", "id", "_rf"].contains(&name.as_str())) {
            rest.append(name, bson::RawBson::from(value));
        }
        (document.get_i32("_id").expect("a number"), rest.into_bytes())
    };
    found.iter().map(rest).collect()
}

async fn parity(name: &str, through_redis: bool) {
    let scratch = Scratch::create(name).await;
    let (redis, prefix) = (harness::servers::redis_url(), &scratch.name);
    let section = format!("stream:\n  url: {redis}\n  prefix: {prefix}\n  max_bytes: 64MiB\n");
    let mut conn = scratch.mysql().await;
    execute(&mut conn, "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'").await;
    let here = if is_mariadb(&mut conn).await { On::MariaDb } else { On::MySql };
    let (seed, mut random) = Random::of_run();
    let mut types: Vec<&Type> = TYPES.iter().filter(|one| one.on == On::Both || one.on == here).collect();
    random.shuffle(&mut types);
    let tables: Vec<Vec<&Type>> = types.chunks(COLUMNS).map(<[&Type]>::to_vec).collect();
    fill(&scratch, &tables, &mut random).await;
    let mut job =
        header(&Settings::of(name, &scratch.name, "64KiB", if through_redis { section } else { String::new() }));
    job += "projections:\n";
    for at in 0..tables.len() {
        let _ = writeln!(job, "  - {{collection: t{at}, root: {}.t{at}}}", scratch.name);
    }
    let job = Job::create(name, &job);
    let mut engine: Engine = job.run();
    status::wait_quiescent(&job, &mut engine, REST).await;
    for (at, types) in tables.iter().enumerate() {
        let columns: Vec<String> = (0..types.len()).map(|column| format!("c{column}")).collect();
        let list = columns.join(", ");
        // One at a time, and some twice: an event for each, and one that changes every column of the row.
        execute(&mut conn, &format!("INSERT INTO t{at} (id, {list}) SELECT id + {TWIN}, {list} FROM t{at}")).await;
        execute(&mut conn, &format!("UPDATE t{at} SET id = id + {TWIN} WHERE id >= {TWIN} AND id % 2 = 0")).await;
    }
    status::wait_quiescent(&job, &mut engine, REST).await;
    let mut compared = 0;
    for (at, types) in tables.iter().enumerate() {
        let documents = documents(&scratch, &format!("t{at}")).await;
        assert_eq!(documents.len(), 2 * ROWS, "t{at}");
        for number in 0..ROWS as i32 {
            let twin = number + if number % 2 == 0 { 2 * TWIN } else { TWIN };
            let (copied, streamed) = (&documents[&number], &documents[&twin]);
            if copied != streamed {
                let names = types.iter().map(|one| one.declared).collect::<Vec<_>>().join(", ");
                panic!("seed {seed}: row {number} of t{at} differs between copy and stream; its types: {names}");
            }
            compared += types.len();
        }
    }
    println!("{name}: {} types, {compared} values the same byte by byte in copy and stream", types.len());
    let finished = engine.stop(Duration::from_secs(10)).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    scratch.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_copied_and_streamed() {
    let _seat = harness::seat().await;
    parity("parity", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_copied_and_streamed_through_redis() {
    let _seat = harness::seat().await;
    parity("rparity", true).await;
}
