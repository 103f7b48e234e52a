//! kill -9 of whoever captures and whoever applies, at every named point of the way through Redis, under the writer.
//! Owns: which points. Does not own: kill -9 of Redis (`outage`), nor points that have nothing to do with Redis (`crate::kill`).

use super::rig::{Runs, section};
use crate::harness::engine::Engine;
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::world::{REST, World};
use crate::harness::{self, status};
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(10);
/// A restart waits for the lease and the write deadline of the one that was killed.
const REACHED: Duration = Duration::from_secs(60);
/// The name of a point and the how manieth time it is reached.
type Kill = (&'static str, u32);

/// Kills under one writer. After them it rests and every document is judged: what it might have mended later is seen.
type Round = &'static [Kill];

/// Points that are reached only while there is something to copy.
const OF_THE_COPY: [&str; 4] = ["capture.begun", "marks.saved", "chunk.written", "chunk.done"];

/// Of `run`. Those of the copy first, because there is only one, and the start of the first build before all of them.
const WHOLE: [Round; 3] = [
    &[
        ("init.saved", 1),
        ("capture.begun", 1),
        ("marks.saved", 1),
        ("chunk.written", 2),
        ("marks.saved", 1),
        ("copy.sealed", 1),
        ("marks.drained", 1),
        ("index.built", 1),
    ],
    &[("capture.appending", 2), ("capture.appended", 3), ("reader.looked", 4), ("reader.read", 3)],
    &[("stream.written", 2), ("stream.checkpointed", 2), ("capture.trimmed", 1), ("capture.read", 3)],
];

/// Of `capture`, while `apply` goes on.
const CAPTURE: [Round; 2] = [
    &[("capture.begun", 1), ("capture.read", 1), ("capture.appending", 1), ("capture.appended", 1)],
    &[("capture.appending", 6), ("capture.appended", 9), ("capture.trimmed", 1), ("capture.read", 7)],
];

/// Of `apply`, while `capture` goes on.
const APPLY: [Round; 2] = [
    &[("chunk.done", 1), ("marks.saved", 1), ("marks.drained", 1), ("reader.looked", 2)],
    &[("reader.read", 2), ("stream.read", 1), ("stream.written", 3), ("stream.checkpointed", 3)],
];

/// Kills `command` at each point; `beside` runs all the time. After each round all documents are right.
async fn killed_at(world: &mut World, command: &str, rounds: &[Round], beside: Option<&str>) {
    let (mut compared, mut kills) = (0, 0);
    let mut other = beside.map(|command| world.job.command(command).start());
    for (turn, round) in rounds.iter().enumerate() {
        let writer = world.write_as(turn as u64, PACE);
        for (point, nth) in *round {
            let start = Instant::now();
            let mut call = world.job.command(command).failpoint(point, *nth);
            if command != "capture" && OF_THE_COPY.contains(point) {
                // Whatever waits for a kill, its other tasks would copy on to the end, and the next points be out of reach.
                let first_held = if point.starts_with("chunk") { nth + 1 } else { 1 };
                call = call.hold("chunk.written", first_held, &world.job.folder.join("never"));
            }
            let mut engine = call.start();
            engine.wait_failpoint(point, REACHED).await;
            engine.kill();
            kills += 1;
            assert_alive(&mut other);
            println!("{command} killed at {point}:{nth} after {:.1?}", start.elapsed());
        }
        // Stopped before anybody goes on: nothing written later can mend what the kills have lost.
        writer.stop().await;
        let mut engine = world.job.command(command).start();
        let applies = if command == "capture" { other.as_mut().expect("apply") } else { &mut engine };
        status::wait_quiescent(&world.job, applies, REST).await;
        assert_alive(&mut other);
        compared = world.assert_equal().await;
        let finished = engine.stop(Duration::from_secs(15)).await;
        assert_eq!(finished.code, 0, "stopped in order while live: {}", finished.stderr);
    }
    if let Some(other) = other {
        let finished = other.stop(Duration::from_secs(15)).await;
        assert_eq!(finished.code, 0, "stopped in order while live: {}", finished.stderr);
    }
    println!("{kills} kills of {command}, {compared} documents equal");
}

fn assert_alive(engine: &mut Option<Engine>) {
    if let Some(engine) = engine {
        assert_eq!(engine.ended(), None, "it ended because the other was killed\n{}", engine.log_tail());
    }
}

async fn world(redis: &MortalRedis, name: &str, shift: u64) -> World {
    let seed = harness::seed();
    let index = harness::number("ROWFOLD_E2E_KILL_SCHEMA", (seed + shift) % 20);
    let world = World::create_over(name, seed, index, section(redis, name, "64MiB")).await;
    println!("seed {seed}, schema {index}: {}", world.schema.label);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn run_killed_at_every_point_of_the_way_through_redis_loses_nothing() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let mut world = world(&redis, "rkillrun", 1).await;
    killed_at(&mut world, "run", &WHOLE, None).await;
    world.scratch.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_killed_while_apply_goes_on_loses_nothing() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let mut world = world(&redis, "rkillcapture", 2).await;
    let mut running = Runs::Halves.start(&world.job);
    running.wait_live(&world.job).await;
    running.stop().await;
    killed_at(&mut world, "capture", &CAPTURE, Some("apply")).await;
    world.scratch.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_killed_while_capture_goes_on_loses_nothing() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let mut world = world(&redis, "rkillapply", 3).await;
    killed_at(&mut world, "apply", &APPLY, Some("capture")).await;
    world.scratch.remove().await;
}

/// A transaction of more rows than fit in one MULTI: killed between its parts, it is still applied whole or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_parts_of_a_huge_transaction_nothing_is_lost() {
    let _seat = harness::seat().await;
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    let stream = section(&redis, "rparts", "200MiB");
    let mut library =
        crate::harness::library::Library::create_over("rparts", &harness::servers::mysql_url(), stream).await;
    let mut running = Runs::Halves.start(&library.job);
    running.wait_live(&library.job).await;
    let (capture, mut apply) = (running.capture.expect("capture"), running.apply);
    capture.stop(Duration::from_secs(15)).await;
    // In one transaction: 6,000 rows come, all change, half go again.
    for sql in [
        "SET /*!80000 cte_max_recursion_depth *//*M!100000 max_recursive_iterations */ = 100000",
        "BEGIN",
        "INSERT INTO book WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) \
         SELECT 1000000 + i, 1 + i % 50, CONCAT('book ', i) FROM n",
        "UPDATE book SET title = CONCAT(title, '!'), author_id = 1 + (author_id + 7) % 50 WHERE id > 1000000",
        "DELETE FROM book WHERE id > 1000200",
        "COMMIT",
    ] {
        harness::servers::execute(&mut library.conn, sql).await;
    }
    for nth in [1, 2] {
        let mut capture = library.job.command("capture").failpoint("capture.part", nth).start();
        capture.wait_failpoint("capture.part", REACHED).await;
        capture.kill();
    }
    let capture = library.job.command("capture").start();
    status::wait_quiescent(&library.job, &mut apply, REST).await;
    library.assert_equal(harness::library::AUTHORS).await;
    apply.stop(Duration::from_secs(15)).await;
    capture.stop(Duration::from_secs(15)).await;
    library.scratch.remove().await;
}
