//! kill -9 of Redis while the engine stands at a named point, with each way in which Redis may keep what it was given.
//! Owns: the points, and that nothing is recaptured where nothing was lost. Does not own: harm done on purpose (`losses`).

use super::rig::{Runs, section};
use super::streams::Streams;
use crate::harness;
use crate::harness::library::{AUTHORS, Library};
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::servers;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(20);
const SAID: Duration = Duration::from_secs(60);

/// Where the engine is held while Redis dies and comes back: before and after the MULTI, before and after a reading.
const POINTS: [(&str, u32); 4] =
    [("capture.appending", 4), ("capture.appended", 5), ("reader.looked", 6), ("reader.read", 5)];

async fn redis_killed(keeps: Keeps, runs: Runs, name: &str) {
    let _seat = harness::seat().await;
    let Some(mut redis) = MortalRedis::start(keeps).await else { return };
    let stream = section(&redis, name, "64MiB");
    let mut library = Library::create_over(name, &servers::mysql_url(), stream).await;
    for (number, (point, nth)) in POINTS.into_iter().enumerate() {
        let start = Instant::now();
        let release = library.job.folder.join(format!("go-on-{number}"));
        // Live first: what comes before is other tests' subject, and would reach the point as well.
        let mut running = runs.start(&library.job);
        running.wait_quiescent(&library.job).await;
        running.stop().await;
        let before = generation(&redis, name).await;
        let load = library.load(PACE);
        let mut running = runs.start_held(&library.job, Some((point, nth, &release)));
        running.wait_said(&[&format!("hold {point} reached")], SAID).await;
        load.more(3).await;
        redis.restart().await;
        std::fs::write(&release, "").expect("it can be released");
        load.more(10).await;
        load.stop().await;
        running.wait_quiescent(&library.job).await;
        library.assert_equal(AUTHORS).await;
        let after = generation(&redis, name).await;
        match keeps {
            Keeps::Everything => {
                assert_eq!(before, after, "{point}: Redis has kept all, and yet the streams were begun anew");
                assert!(
                    !running.said(LOST),
                    "{point}: Redis has kept all, and yet a loss was reported\n{}",
                    running.log()
                );
            }
            Keeps::Nothing => {
                assert_ne!(before, after, "{point}: Redis has lost all, and the streams go on as if nothing were");
                assert!(running.said(LOST), "{point}: all was lost in silence\n{}", running.log());
            }
            // What was lost, if anything, depends on the second in which it died.
            Keeps::AllButASecond => {}
        }
        running.stop().await;
        println!("{keeps:?}: Redis killed at {point}:{nth}, equal after {:.1?}", start.elapsed());
    }
    library.scratch.remove().await;
}

/// What every report of a loss says.
pub const LOST: &str = "entries of the streams are missing";

async fn generation(redis: &MortalRedis, prefix: &str) -> Option<String> {
    let streams = Streams { redis, prefix, database: "" };
    redis.ask(&["HGET", &streams.meta(), "generation"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_with_an_aof_written_always_loses_nothing() {
    redis_killed(Keeps::Everything, Runs::Whole, "raofalways").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_with_an_aof_written_each_second_is_caught_up_with() {
    redis_killed(Keeps::AllButASecond, Runs::Halves, "raofsecond").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_without_an_aof_is_filled_again() {
    redis_killed(Keeps::Nothing, Runs::Whole, "raofoff").await;
}
