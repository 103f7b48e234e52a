//! Keys and join columns of every type and in many collations: equal is what MySQL holds equal, through the copy and through
//! the stream.
//! Owns: the run. Does not own: the types (`types`), their tables and documents (`tables`).

mod tables;
mod types;

use crate::harness;
use crate::harness::engine::Job;
use crate::harness::servers::{self, Scratch, execute, server_id};
use crate::harness::status;
use crate::oracle::{self, compare};
use crate::rng::Rng;
use crate::schema::job::{Settings, header};
use mysql_async::Conn;
use std::time::Duration;
use types::KeyType;

/// Two collections for each type: copying them takes its time.
const LIVE: Duration = Duration::from_secs(400);
const ROUNDS: u64 = 25;
/// Documents that must have been compared to mean something.
const ENOUGH: usize = 300;

async fn connect(url: &str, db: &str) -> Conn {
    let mut conn = servers::mysql_at(url, Some(db)).await;
    execute(&mut conn, "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'").await;
    conn
}

/// Changes of all types in turn, each transaction of one type.
async fn change(conn: &mut Conn, types: &[KeyType], rng: &mut Rng, rounds: u64) {
    for _ in 0..rounds {
        for ty in types {
            execute(conn, "BEGIN").await;
            for statement in ty.change(rng) {
                execute(conn, &statement).await;
            }
            execute(conn, "COMMIT").await;
        }
    }
}

/// Every document of every type; all that is wrong at once.
async fn assert_equal(conn: &mut Conn, scratch: &Scratch, types: &[KeyType], when: &str) -> usize {
    let (mut compared, mut wrong) = (0, Vec::new());
    for (collection, query) in types.iter().flat_map(KeyType::oracle) {
        let expected = oracle::expected(conn, &query).await;
        let report = compare::compare(&expected, &oracle::actual(&scratch.mongo, &collection).await);
        compared += report.compared;
        if !report.is_equal() {
            wrong.push(format!("{collection}: {report}"));
        }
    }
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
    compared
}

/// `url` is the source's.
async fn keys_converge(name: &str, url: &str, through: impl Fn(&str) -> String) {
    let seed = harness::seed();
    let mut rng = Rng::new(seed);
    let wanted = std::env::var("ROWFOLD_E2E_KEYS").unwrap_or_default();
    let types: Vec<KeyType> = types::all().into_iter().filter(|ty| ty.name.contains(&wanted)).collect();
    let scratch = Scratch::create(name).await;
    let db = &scratch.name;
    let mut conn = connect(url, db).await;
    for statement in types.iter().flat_map(|ty| ty.ddl().into_iter().chain(ty.fill())) {
        execute(&mut conn, &statement).await;
    }
    change(&mut conn, &types, &mut rng, 5).await;
    let settings = Settings {
        name: format!("job_{name}"),
        mysql_database: db.clone(),
        mongo_database: db.clone(),
        server_id: server_id(),
        readers: 2,
        chunk_bytes: "1MiB".into(),
        stream: through(db),
    };
    let projections: String = types.iter().map(|ty| ty.job(db)).collect();
    let mut job = Job::create(name, &(header(&settings) + "projections:\n" + &projections));
    job.mysql = url.to_owned();
    let mut engine = job.run();
    // Through streams this is kept and drained, else it is read from the log after the copy.
    change(&mut conn, &types, &mut rng, 5).await;
    status::wait_live(&job, &mut engine, LIVE).await;
    let mut compared = 0;
    for round in 0..2 {
        change(&mut conn, &types, &mut rng, ROUNDS).await;
        status::wait_quiescent(&job, &mut engine, LIVE).await;
        compared += assert_equal(&mut conn, &scratch, &types, &format!("seed {seed}, round {round}")).await;
        for statement in types.iter().flat_map(KeyType::respell) {
            execute(&mut conn, &statement).await;
        }
        status::wait_quiescent(&job, &mut engine, LIVE).await;
        compared += assert_equal(&mut conn, &scratch, &types, &format!("seed {seed}, respelled {round}")).await;
    }
    assert!(compared >= ENOUGH || !wanted.is_empty(), "only {compared} documents were compared");
    let finished = engine.stop(Duration::from_secs(20)).await;
    assert_eq!(finished.code, 0, "stopped in order while live: {}", finished.stderr);
    println!("{name}: seed {seed}, {} types, {compared} documents compared", types.len());
    scratch.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_converge() {
    let _seat = harness::seat().await;
    keys_converge("keys", &servers::mysql_url(), |_| String::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_converge_through_redis() {
    let _seat = harness::seat().await;
    keys_converge("keys_redis", &servers::mysql_url(), |prefix| {
        format!("stream:\n  url: {}\n  prefix: {prefix}\n  max_bytes: 256MiB\n", servers::redis_url())
    })
    .await;
}
