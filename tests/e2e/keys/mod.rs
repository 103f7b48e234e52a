//! Keys and join columns of every type and in many collations: equal is what MySQL holds equal, through the copy and through
//! the stream.
//! Owns: the run. Does not own: the types (`types`), their tables and documents (`tables`).

mod tables;
mod types;

use crate::harness;
use crate::harness::engine::Job;
use crate::harness::servers::{self, Scratch, execute};
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
    let settings = Settings::of(name, db, "1MiB", through(db));
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

/// So many that each batch is shared out among workers, which cannot know that two spellings are one key.
const WORDS: u32 = 300;

/// Keys change their spelling all the time, hundreds in a transaction, while they are being read.
#[tokio::test(flavor = "multi_thread")]
async fn two_spellings_of_a_key_in_two_hands_are_one_document() {
    let _seat = harness::seat().await;
    let scratch = Scratch::create("spellings").await;
    let db = &scratch.name;
    let mut conn = connect(&servers::mysql_url(), db).await;
    let series = format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {WORDS}) SELECT");
    for sql in [
        "CREATE TABLE word (k VARCHAR(20) PRIMARY KEY, v INT)".to_owned(),
        "CREATE TABLE kid (id INT PRIMARY KEY, k VARCHAR(20), KEY (k))".to_owned(),
        format!("INSERT INTO word {series} CONCAT('wé', i), i FROM n"),
        format!("INSERT INTO kid {series} i, CONCAT('WE', 1 + i % 50) FROM n"),
    ] {
        execute(&mut conn, &sql).await;
    }
    let settings = Settings::of("spellings", db, "8KiB", String::new());
    let yaml = header(&settings)
        + &format!(
            "projections:\n  - collection: words\n    root: {db}.word\n    many: {{kids: {{table: {db}.kid, join: {{k: k}}, \
             value: id}}}}\n"
        );
    let job = Job::create("spellings", &yaml);
    let mut engine = job.run();
    status::wait_live(&job, &mut engine, LIVE).await;
    for round in 0..12 {
        for sql in [
            "UPDATE word SET k = UPPER(k)".to_owned(),
            format!("UPDATE word SET k = REPLACE(k, 'WÉ', 'we'), v = v + 1 WHERE v % 3 = {}", round % 3),
            format!("DELETE FROM word WHERE v % 97 = {round}"),
            "UPDATE word SET k = LOWER(k)".to_owned(),
            format!("UPDATE kid SET k = CONCAT('wÉ', 1 + (id + {round}) % 50) WHERE id % 2 = {}", round % 2),
            format!("INSERT IGNORE INTO word {series} CONCAT('We', i), i FROM n WHERE i % 5 = {}", round % 5),
            format!("UPDATE word SET k = CONCAT('wé', SUBSTRING(k, 3)) WHERE v % 2 = {}", round % 2),
        ] {
            execute(&mut conn, &sql).await;
        }
    }
    status::wait_quiescent(&job, &mut engine, LIVE).await;
    let query = r#"SELECT CONCAT('[', JSON_QUOTE(CONCAT('s:', k)), ']'), CONCAT('{"k":', JSON_QUOTE(CONCAT('s:', k)), ',"v":"i32:',
        v, '","kids":[', IFNULL((SELECT GROUP_CONCAT(CONCAT('"i32:', c.id, '"') ORDER BY c.id) FROM kid c WHERE c.k = word.k), ''),
        ']}') FROM word"#;
    let expected = oracle::expected(&mut conn, query).await;
    let report = compare::compare(&expected, &oracle::actual(&scratch.mongo, "words").await);
    assert!(report.is_equal(), "{report}");
    assert!(report.compared > 200, "only {} were compared", report.compared);
    let finished = engine.stop(Duration::from_secs(20)).await;
    assert_eq!(finished.code, 0, "stopped in order while live: {}", finished.stderr);
    scratch.remove().await;
}
