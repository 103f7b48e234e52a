//! kill -9 at every named point, under the writer, over and over, and nothing is lost.
//! Owns: which points, and the bound on work done twice. Does not own: the points themselves (the engine's failpoints).

use crate::harness;
use crate::harness::status;
use crate::harness::world::{REST, World};
use crate::ledger::Ledger;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(10);
/// A restart waits for the lease and the write deadline of the one that was killed.
const REACHED: Duration = Duration::from_secs(60);

/// Where the engine is killed, in this order: the name of the point and the how manieth time it is reached.
const KILLS: [(&str, u32); 24] = [
    ("init.saved", 1),
    ("chunk.started", 1),
    ("chunk.written", 1),
    ("chunk.read", 3),
    ("chunk.done", 2),
    ("chunk.started", 4),
    ("chunk.written", 3),
    ("chunk.done", 5),
    ("chunk.read", 1),
    ("chunk.written", 6),
    ("copy.sealed", 1),
    ("index.built", 1),
    // The first time each: these come before the checkpoint that lets the collection have its name.
    ("stream.read", 1),
    ("stream.written", 1),
    ("stream.resolved", 1),
    ("publish.renamed", 1),
    ("stream.checkpointed", 1),
    ("stream.resolved", 1),
    ("stream.written", 3),
    ("stream.checkpointed", 2),
    ("stream.read", 5),
    ("stream.written", 1),
    ("stream.resolved", 7),
    ("stream.checkpointed", 4),
];

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_named_point_under_the_writer_nothing_is_lost() {
    let _seat = harness::seat().await;
    let seed = harness::seed();
    let index = harness::number("ROWFOLD_E2E_KILL_SCHEMA", seed % 20);
    let world = World::create("kill", seed, index).await;
    println!("seed {seed}, schema {index}: {}", world.schema.label);
    let writer = world.write(PACE);
    let mut fell: BTreeMap<String, u32> = BTreeMap::new();
    let mut worst = 0;
    let mut before = Ledger::default();
    for (point, nth) in KILLS {
        let start = Instant::now();
        let mut engine = world.job.command("run").failpoint(point, nth).start();
        engine.wait_failpoint(point, REACHED).await;
        let log = engine.log_tail();
        engine.kill();
        let now = Ledger::read(&world.scratch.mongo).await;
        let redone = now.redone_since(&before);
        worst = worst.max(redone);
        let phase = status::status(&world.job).await.map_or("init".to_owned(), |s| s.phases());
        println!(
            "killed at {point}:{nth} after {:.1?}, {phase}, {redone} of {} chunks redone",
            start.elapsed(),
            now.chunks()
        );
        let readers = i64::from(world.settings.readers);
        assert!(redone <= readers, "{redone} chunks were redone after a kill, with {readers} readers\n{log}");
        *fell.entry(phase_of(point).to_owned()).or_default() += 1;
        before = now;
    }
    let mut engine = world.job.run();
    status::wait_live(&world.job, &mut engine, REST).await;
    let journal = writer.stop().await;
    let chunks = Ledger::read(&world.scratch.mongo).await;
    assert!(chunks.chunks() > 8, "{} chunks are too few to be killed among", chunks.chunks());
    let compared = world.finish(engine).await;
    let total: u32 = fell.values().sum();
    assert!(total >= 20, "only {total} kills");
    println!(
        "{total} kills: {fell:?}; at most {worst} chunks redone by one; {} transactions; {compared} documents equal",
        journal.committed
    );
}

fn phase_of(point: &str) -> &str {
    match point.split('.').next() {
        Some("stream") => "stream",
        Some("init" | "chunk") => "copy",
        _ => "between",
    }
}
