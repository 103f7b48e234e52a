//! What others may do to the streams while a job lives on them: flush, delete, trim, replace, fill up.
//! Owns: that each is noticed, named, and mended by capturing again. Does not own: a purged binlog (`purged`), kill -9 of
//! Redis at named points (`outage`).

use super::outage::LOST;
use super::rig::{Running, Runs, section};
use super::streams::Streams;
use crate::harness;
use crate::harness::library::{AUTHORS, Library};
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::servers;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(20);
const SAID: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_secs(15);
/// Entries of each stream that nobody has read when harm is done to them.
const UNREAD: u64 = 12;
const TABLES: [&str; 2] = ["author", "book"];

/// Harm, and how the log names what is lost by it.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flush,
    DeleteStream,
    DeleteRecord,
    /// Somebody else trims, and leaves nothing.
    Trim,
    /// Somebody else deletes one entry from the middle.
    DeleteEntry,
    Replace,
    Restart,
}

impl Harm {
    async fn be_done(self, redis: &mut MortalRedis, prefix: &str, database: &str) {
        let streams = Streams { redis, prefix, database };
        let (book, meta) = (streams.key("book"), streams.meta());
        match self {
            Harm::Flush => drop(redis.ask::<String>(&["FLUSHALL"]).await),
            Harm::DeleteStream => assert_eq!(redis.ask::<u64>(&["DEL", &book]).await, 1),
            Harm::DeleteRecord => assert_eq!(redis.ask::<u64>(&["DEL", &meta]).await, 1),
            Harm::Trim => assert!(redis.ask::<u64>(&["XTRIM", &book, "MAXLEN", "0"]).await >= UNREAD),
            Harm::DeleteEntry => {
                // The newest are certainly unread; the very last would leave a mark of its own (its ID).
                let newest: Vec<(String, redis::Value)> =
                    redis.ask(&["XREVRANGE", &book, "+", "-", "COUNT", "4"]).await;
                let (id, _) = newest.last().expect("entries");
                assert_eq!(redis.ask::<u64>(&["XDEL", &book, id]).await, 1);
            }
            Harm::Replace => redis.replace().await,
            Harm::Restart => redis.restart().await,
        }
    }

    /// One of these is in the log.
    fn named(self) -> &'static [&'static str] {
        const GONE: &[&str] = &["the record beside the streams is gone", "the streams were lost and begun anew"];
        match self {
            Harm::Flush | Harm::Replace | Harm::Restart | Harm::DeleteRecord => GONE,
            Harm::DeleteStream => &["book went back, or is gone", "book lost entries before they were read"],
            Harm::Trim | Harm::DeleteEntry => &["book lost entries before they were read"],
        }
    }
}

/// The job is at rest and right, and what was lost was named.
async fn mended(library: &mut Library, running: &mut Running, harm: Harm) {
    running.wait_said(harm.named(), SAID).await;
    assert!(running.said(LOST), "{harm:?}: {}", running.log());
    running.wait_quiescent(&library.job).await;
    library.assert_equal(AUTHORS).await;
}

/// Done to entries that nobody has read: there is no way to be lucky.
#[tokio::test(flavor = "multi_thread")]
async fn unread_entries_that_are_lost_are_missed_and_captured_again() {
    let _seat = harness::seat().await;
    let Some(mut redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "runread";
    let mut library = Library::create_over(name, &servers::mysql_url(), section(&redis, name, "64MiB")).await;
    let database = library.scratch.name.clone();
    let mut running = Runs::Halves.start(&library.job);
    running.wait_live(&library.job).await;
    for harm in [Harm::Trim, Harm::DeleteEntry, Harm::DeleteStream, Harm::Flush, Harm::DeleteRecord] {
        let start = Instant::now();
        let Running { capture, apply } = running;
        let stopped = apply.stop(STOPPED).await;
        assert_eq!(stopped.code, 0, "{}", stopped.stderr);
        let load = library.load(PACE);
        Streams { redis: &redis, prefix: name, database: &database }.wait_backlog(&TABLES, UNREAD).await;
        harm.be_done(&mut redis, name, &database).await;
        running = Running { capture, apply: library.job.command("apply").start() };
        running.wait_said(harm.named(), SAID).await;
        load.more(5).await;
        load.stop().await;
        mended(&mut library, &mut running, harm).await;
        println!("{harm:?} of unread entries: equal after {:.1?}", start.elapsed());
    }
    running.stop().await;
    library.scratch.remove().await;
}

/// Done under the hands of a job that is live.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_job_survives_what_is_done_to_its_redis() {
    let _seat = harness::seat().await;
    let Some(mut redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "rlive";
    let mut library = Library::create_over(name, &servers::mysql_url(), section(&redis, name, "64MiB")).await;
    let database = library.scratch.name.clone();
    for harm in [Harm::Flush, Harm::DeleteRecord, Harm::Restart, Harm::Replace] {
        let start = Instant::now();
        // A new process each time, so that what it says is about this harm.
        let mut running = Runs::Whole.start(&library.job);
        running.wait_live(&library.job).await;
        let load = library.load(PACE);
        load.more(10).await;
        harm.be_done(&mut redis, name, &database).await;
        running.wait_said(harm.named(), SAID).await;
        load.more(10).await;
        load.stop().await;
        mended(&mut library, &mut running, harm).await;
        running.stop().await;
        println!("{harm:?} under a live job: equal after {:.1?}", start.elapsed());
    }
    library.scratch.remove().await;
}

/// Lost while nobody looked: the job that starts finds nothing at all, and must not take that for a first start.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_while_the_job_is_down_is_named_when_it_starts() {
    let _seat = harness::seat().await;
    let Some(mut redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "rdown";
    let mut library = Library::create_over(name, &servers::mysql_url(), section(&redis, name, "64MiB")).await;
    let database = library.scratch.name.clone();
    for (number, runs) in [Runs::Whole, Runs::Halves].into_iter().enumerate() {
        let mut running = runs.start(&library.job);
        running.wait_quiescent(&library.job).await;
        running.stop().await;
        library.change(number as u32).await;
        Harm::Flush.be_done(&mut redis, name, &database).await;
        let mut running = runs.start(&library.job);
        running.wait_said(&[LOST], SAID).await;
        running.wait_quiescent(&library.job).await;
        library.assert_equal(AUTHORS - 1).await;
        running.stop().await;
    }
    library.scratch.remove().await;
}

/// While the copy runs, what is flushed away was not applied anywhere yet.
#[tokio::test(flavor = "multi_thread")]
async fn flushed_while_the_copy_runs_nothing_is_lost() {
    let _seat = harness::seat().await;
    let Some(mut redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "rflushcopy";
    let mut library = Library::create_over(name, &servers::mysql_url(), section(&redis, name, "64MiB")).await;
    let database = library.scratch.name.clone();
    let release = library.job.folder.join("go-on");
    let load = library.load(PACE);
    let mut running = Runs::Halves.start_held(&library.job, Some(("chunk.done", 1, &release)));
    running.wait_said(&["hold chunk.done reached"], SAID).await;
    load.more(10).await;
    Harm::Flush.be_done(&mut redis, name, &database).await;
    running.wait_said(Harm::Flush.named(), SAID).await;
    load.more(10).await;
    std::fs::write(&release, "").expect("it can be released");
    load.more(10).await;
    load.stop().await;
    mended(&mut library, &mut running, Harm::Flush).await;
    running.stop().await;
    library.scratch.remove().await;
}

/// A full Redis refuses entries; that is said, nothing is lost, and it goes on when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_is_waited_for() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let name = "rfull";
    let mut library = Library::create_over(name, &servers::mysql_url(), section(&redis, name, "64MiB")).await;
    let database = library.scratch.name.clone();
    let mut running = Runs::Halves.start(&library.job);
    running.wait_quiescent(&library.job).await;
    // Less than what is in use already: not a single byte more is taken.
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let streams = Streams { redis: &redis, prefix: name, database: &database };
    let before = streams.stream("book").await.unwrap_or_default().added;
    let load = library.load(PACE);
    running.wait_said(&["no room in Redis"], SAID).await;
    load.more(20).await;
    assert_eq!(streams.stream("book").await.unwrap_or_default().added, before, "a full Redis took entries");
    running.assert_running();
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "256mb"]).await;
    load.more(10).await;
    load.stop().await;
    running.wait_quiescent(&library.job).await;
    library.assert_equal(AUTHORS).await;
    assert!(!running.said(LOST), "nothing was lost, but a loss was reported: {}", running.log());
    running.stop().await;
    library.scratch.remove().await;
}
