//! Several jobs on the streams of one prefix, and a job whose file gains a projection.
//! Owns: that nobody loses what somebody else has read already, and that Redis stays within its bound meanwhile.
//! Does not own: harm from outside (`losses`).

use super::outage::LOST;
use super::rig::{Running, Runs, section};
use super::streams::Streams;
use crate::harness;
use crate::harness::engine::Job;
use crate::harness::library::{AUTHORS, Library};
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::servers::{self, execute, server_id};
use crate::harness::status;
use crate::harness::world::REST;
use crate::oracle::{self, compare};
use bson::Document;
use mongodb::Database;
use std::time::Duration;

const PACE: Duration = Duration::from_millis(10);
const SAID: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_secs(15);
/// The bound of the streams, and what Redis may need beside the entries' own bytes before capture measures again.
const MAX_BYTES: u64 = 1 << 20;
const SLACK: u64 = 128 << 10;

/// Another job over the library's books, with documents in a database of its own.
struct Second {
    job: Job,
    target: Database,
}

impl Second {
    async fn create(library: &Library, stream: &str, projections: &str) -> Second {
        let name = format!("{}_second", library.scratch.name);
        let target = servers::mongo().await.database(&name);
        target.drop().await.expect("a scratch database can be dropped");
        let db = &library.scratch.name;
        let yaml = format!(
            "name: {name}\nsource:\n  url: ${{ROWFOLD_MYSQL_URL}}\n  server_id: {}\ntarget:\n  url: ${{ROWFOLD_MONGO_URL}}\n  \
             database: {name}\n  lease: 3s\n  write_deadline: 2s\n{stream}projections:\n{}",
            server_id(),
            projections.replace("DB", db)
        );
        Second { job: Job::create(&name, &yaml), target }
    }

    async fn equal(&self, library: &mut Library, collection: &str, query: &str) -> usize {
        equal(library, &self.target, collection, query).await
    }
}

async fn equal(library: &mut Library, target: &Database, collection: &str, query: &str) -> usize {
    let expected = oracle::expected(&mut library.conn, query).await;
    let report = compare::compare(&expected, &oracle::actual(target, collection).await);
    assert!(report.is_equal() && report.compared > 10, "{collection}: {report}");
    report.compared
}

const BOOKS: &str = "  - collection: books\n    root: DB.book\n    one:\n      author: {table: DB.author, join: {author_id: id}, columns: [name]}\n";
const BOOKS_QUERY: &str = "SELECT CAST(JSON_ARRAY(CONCAT('i32:', b.id)) AS CHAR), CAST(JSON_OBJECT('id', CONCAT('i32:', b.id), \
    'author_id', CONCAT('i32:', b.author_id), 'title', CONCAT('s:', b.title), 'author', \
    IF(a.id IS NULL, NULL, JSON_OBJECT('name', CONCAT('s:', a.name)))) AS CHAR) \
    FROM book b LEFT JOIN author a ON a.id = b.author_id";
const SHELVES: &str = "  - collection: shelves\n    root: DB.shelf\n    many:\n      books: {table: DB.book, join: {id: author_id}, columns: [id]}\n";
const SHELVES_QUERY: &str = "SELECT CAST(JSON_ARRAY(CONCAT('i32:', s.id)) AS CHAR), CAST(JSON_OBJECT('id', CONCAT('i32:', s.id), \
    'place', CONCAT('s:', s.place), 'books', (SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT(JSON_OBJECT('id', \
    CONCAT('i32:', b.id)) ORDER BY b.id), ''), ']') AS JSON) FROM book b WHERE b.author_id = s.id)) AS CHAR) FROM shelf s";

/// One job is away. Its entries are kept for it, Redis stays within its bound, and capture waits and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_away_is_waited_for_within_the_bound() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "raway";
    let stream = section(&redis, name, "1MiB");
    let mut library = Library::create_over(name, &servers::mysql_url(), stream.clone()).await;
    let database = library.scratch.name.clone();
    let second = Second::create(&library, &stream, BOOKS).await;
    let mut running = Runs::Halves.start(&library.job);
    let mut away = second.job.command("apply").start();
    running.wait_quiescent(&library.job).await;
    status::wait_quiescent(&second.job, &mut away, REST).await;
    assert_eq!(away.stop(STOPPED).await.code, 0);

    let streams = Streams { redis: &redis, prefix: name, database: &database };
    let load = library.load(PACE);
    running.wait_said(&["no room in Redis"], SAID).await;
    let (mut full, mut most) = (streams.stream("book").await.expect("a stream"), streams.bytes().await);
    // It waits: what is committed now stays in the binlog.
    for _ in 0..5 {
        load.more(20).await;
        most = most.max(streams.bytes().await);
        let now = streams.stream("book").await.expect("a stream");
        assert_eq!(now.first, full.first, "entries were trimmed that a registered job has not read");
        full = now;
    }
    assert!(most <= MAX_BYTES + SLACK, "{most} bytes in Redis, of {MAX_BYTES}");
    assert!(most >= MAX_BYTES / 2, "only {most} bytes in Redis: that is no bound to wait at");
    let waited_at = full.added;
    load.more(10).await;
    assert_eq!(streams.stream("book").await.expect("a stream").added, waited_at, "capture does not wait");
    running.assert_running();
    assert!(running.said(&format!("{database}_second")), "it is not said who is waited for: {}", running.log());

    // It returns, and everything goes on.
    let mut away = second.job.command("apply").start();
    harness::until("capture to go on", SAID, async || {
        let bytes = streams.bytes().await;
        assert!(bytes <= MAX_BYTES + SLACK, "{bytes} bytes in Redis, of {MAX_BYTES}");
        (streams.stream("book").await.expect("a stream").added > waited_at + 20).then_some(())
    })
    .await;
    load.stop().await;
    running.wait_quiescent(&library.job).await;
    status::wait_quiescent(&second.job, &mut away, REST).await;
    library.assert_equal(AUTHORS).await;
    second.equal(&mut library, "books", BOOKS_QUERY).await;
    let all = running.log() + &away.log();
    assert!(!all.contains(LOST), "nothing was lost, but a loss was reported: {all}");
    let left = streams.bytes().await;
    println!("at most {most} bytes of {MAX_BYTES} (+ {SLACK}); {left} when all had read all");
    assert_eq!(away.stop(STOPPED).await.code, 0);
    running.stop().await;
    library.scratch.remove().await;
    second.target.drop().await.expect("a scratch database can be dropped");
}

/// Streams that run already gain a table, under load, without the first job noticing anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_job_joins_with_another_table() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "rjoin";
    let stream = section(&redis, name, "64MiB");
    let mut library = Library::create_over(name, &servers::mysql_url(), stream.clone()).await;
    execute(&mut library.conn, "CREATE TABLE shelf (id int NOT NULL PRIMARY KEY, place varchar(40) NOT NULL)").await;
    let shelves = "INSERT INTO shelf SELECT id, CONCAT('place ', id) FROM author";
    execute(&mut library.conn, shelves).await;
    let second = Second::create(&library, &stream, SHELVES).await;
    let mut running = Runs::Halves.start(&library.job);
    running.wait_live(&library.job).await;
    let load = library.load(PACE);
    load.more(10).await;
    // A whole engine: it finds a capture at work, and its tables have to be taken up by that one.
    let mut joined = second.job.command("run").start();
    status::wait_live(&second.job, &mut joined, REST).await;
    for number in 0..40 {
        let sql = format!("UPDATE shelf SET place = 'moved {number}' WHERE id = {}", 1 + number);
        execute(&mut library.conn, &sql).await;
    }
    execute(&mut library.conn, "DELETE FROM shelf WHERE id > 55").await;
    load.more(10).await;
    load.stop().await;
    running.wait_quiescent(&library.job).await;
    status::wait_quiescent(&second.job, &mut joined, REST).await;
    library.assert_equal(AUTHORS).await;
    second.equal(&mut library, "shelves", SHELVES_QUERY).await;
    let all = running.log() + &joined.log();
    assert!(!all.contains(LOST), "nothing was lost, but a loss was reported: {all}");

    // Whose capture it was ends; the other one takes over, and both are served.
    let Running { capture, mut apply } = running;
    capture.expect("capture").kill();
    let load = library.load(PACE);
    load.more(10).await;
    load.stop().await;
    status::wait_quiescent(&library.job, &mut apply, REST).await;
    status::wait_quiescent(&second.job, &mut joined, REST).await;
    library.assert_equal(AUTHORS).await;
    second.equal(&mut library, "shelves", SHELVES_QUERY).await;
    for engine in [apply, joined] {
        let finished = engine.stop(STOPPED).await;
        assert_eq!(finished.code, 0, "{}", finished.stderr);
    }
    library.scratch.remove().await;
    second.target.drop().await.expect("a scratch database can be dropped");
}

/// The live collection follows while the new one is copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_projection_is_copied_while_the_live_one_follows() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "rgrow";
    let stream = section(&redis, name, "64MiB");
    let mut library = Library::create_over(name, &servers::mysql_url(), stream).await;
    let database = library.scratch.name.clone();
    let mut running = Runs::Whole.start(&library.job);
    running.wait_live(&library.job).await;
    running.stop().await;
    let before = std::fs::read_to_string(&library.job.file).expect("the job file");
    library.job.rewrite(&(before + &BOOKS.replace("DB", &database)));
    let release = library.job.folder.join("go-on");
    let load = library.load(PACE);
    let mut running = Runs::Whole.start_held(&library.job, Some(("chunk.done", 1, &release)));
    running.wait_said(&["hold chunk.done reached"], SAID).await;
    load.more(10).await;
    load.stop().await;
    let target = library.scratch.mongo.clone();
    let books = target.collection::<Document>("books");
    // All that was committed reaches the live collection although the copy of the other one stands still.
    let goal = servers::executed(&mut library.conn).await;
    let mut conn = library.scratch.mysql().await;
    harness::until("the live collection to follow during the copy", REST, async || {
        let status = status::status(&library.job).await?;
        let phase = |name: &str| status.projections.iter().find(|p| p.collection == name).cloned();
        let (live, copied) = (phase("authors")?, phase("books")?);
        assert_eq!((live.phase.as_str(), copied.phase.as_str()), ("live", "copy"), "{status:?}");
        servers::contains(&mut conn, &live.applied, &goal).await.then_some(())
    })
    .await;
    library.assert_equal(AUTHORS).await;
    assert_eq!(books.estimated_document_count().await.expect("may be asked"), 0, "it has its name before it is whole");
    std::fs::write(&release, "").expect("it can be released");
    let load = library.load(PACE);
    load.more(10).await;
    load.stop().await;
    running.wait_quiescent(&library.job).await;
    library.assert_equal(AUTHORS).await;
    equal(&mut library, &target, "books", BOOKS_QUERY).await;
    assert!(!running.said(LOST), "nothing was lost, but a loss was reported: {}", running.log());
    running.stop().await;
    library.scratch.remove().await;
}
