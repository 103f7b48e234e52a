//! The tests' own instruments, on real servers but without the engine.
//! Owns: proof that the oracle sees what it must see. Does not own: any claim about the engine.

use crate::harness::servers::{Scratch, execute};
use crate::oracle::{self, canon, compare::Documents, sql};
use crate::rng::Rng;
use crate::schema::{Schema, ddl, generate, job, rows};
use crate::{harness, schema};
use bson::{Bson, Document, doc};
use mysql_async::Conn;

pub async fn load(conn: &mut Conn, schema: &Schema, rng: &mut Rng) {
    for statement in ddl::statements(schema) {
        execute(conn, &statement).await;
    }
    for statement in rows::fill(schema, rng) {
        execute(conn, &statement).await;
    }
}

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
    for feature in ["child without key", "same table twice", "self-reference", "id from a unique key", "two projections"] {
        assert!(labels.iter().any(|l| l.contains(feature)), "no schema of twenty has: {feature}");
    }
    assert!(labels.iter().any(|l| l.contains("1 through")));
    let _ = schema::Select::All;
}
