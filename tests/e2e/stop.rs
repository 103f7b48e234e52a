//! Stopped in order, started again, started twice: what an operator does to an engine without meaning any harm.
//! Owns: signals, restarts, the second engine, and a snapshot that is followed later. Does not own: kill -9 (`kill`).

use crate::harness;
use crate::harness::engine::Engine;
use crate::harness::status;
use crate::harness::world::{REST, World};
use crate::ledger::Ledger;
use std::time::{Duration, Instant};

const PACE: Duration = Duration::from_millis(10);
/// "Within seconds."
const IN_ORDER: Duration = Duration::from_secs(10);

/// Running, with some chunks done and some to come.
async fn in_the_copy(world: &World, command: &str) -> Engine {
    let mut engine = world.job.command(command).start();
    let some = |s: &status::Status| s.projections.iter().any(|p| p.phase == "copy" && p.chunks_done >= 3);
    status::wait(&world.job, &mut engine, "some chunks of the copy", REST, some).await;
    engine
}

async fn interrupted(world: &World, command: &str, signal: &str) {
    let engine = in_the_copy(world, command).await;
    let start = Instant::now();
    engine.signal(signal);
    let finished = engine.finish(IN_ORDER).await;
    println!("{command}: SIG{signal} took {:.1?}", start.elapsed());
    assert_eq!(finished.code, 130, "interrupted before it was done: {}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_interrupted_goes_on_where_it_stopped() {
    let _seat = harness::seat().await;
    for (index, signal) in [(4, "INT"), (7, "TERM")] {
        let world = World::create(&format!("stop_{signal}").to_lowercase(), harness::seed(), index).await;
        let writer = world.write(PACE);
        interrupted(&world, "run", signal).await;
        let stopped = Ledger::read(&world.scratch.mongo).await;
        let mut engine = world.job.run();
        status::wait_live(&world.job, &mut engine, REST).await;
        let resumed = Ledger::read(&world.scratch.mongo).await;
        let redone = resumed.redone_since(&stopped);
        assert!(redone <= 2, "{redone} chunks were copied again after a stop in order");
        writer.stop().await;
        world.finish(engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let _seat = harness::seat().await;
    let world = World::create("twice", harness::seed(), 2).await;
    let engine = in_the_copy(&world, "run").await;
    engine.signal("INT");
    engine.signal("INT");
    let finished = engine.finish(Duration::from_secs(5)).await;
    assert_eq!(finished.code, 130, "{}", finished.stderr);
    let engine = world.job.run();
    world.finish(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_ends_by_itself_and_is_followed_when_asked() {
    let _seat = harness::seat().await;
    let mut world = World::create("snapshot", harness::seed(), 5).await;
    let writer = world.write(PACE);
    interrupted(&world, "snapshot", "TERM").await;
    let journal = writer.stop().await;
    let finished = world.job.snapshot().finish(REST).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    println!("{} transactions; it said: {}", journal.committed, finished.stdout);
    let compared = world.assert_equal().await;
    assert!(
        finished.stdout.contains(&compared.to_string()) || world.schema.projections.len() > 1,
        "no count of documents"
    );
    let executed = harness::servers::executed(&mut world.conn).await;
    // The server's name in it: `uuid`, or MariaDB's `domain-server`.
    let first = executed.split(',').next().unwrap_or_default();
    let source = first.split_once(':').or_else(|| first.rsplit_once('-')).expect("a GTID set").0;
    assert!(finished.stdout.contains(source), "the GTID set is not printed: {}", finished.stdout);
    // Nothing to do: it says so again, and changes nothing.
    let again = world.job.snapshot().finish(REST).await;
    assert_eq!(again.code, 0, "{}", again.stderr);
    world.assert_equal().await;
    let writer = world.write(PACE);
    let mut engine = world.job.run();
    status::wait_live(&world.job, &mut engine, REST).await;
    harness::until_true("changes to follow", REST, || writer.journal().committed >= 100).await;
    writer.stop().await;
    world.finish(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_while_live_it_follows_on_without_copying() {
    let _seat = harness::seat().await;
    let world = World::create("restart", harness::seed(), 8).await;
    let writer = world.write(PACE);
    let mut engine = world.job.run();
    status::wait_live(&world.job, &mut engine, REST).await;
    let copied = Ledger::read(&world.scratch.mongo).await;
    for _ in 0..3 {
        let finished = engine.stop(IN_ORDER).await;
        assert_eq!(finished.code, 0, "stopped while live: {}", finished.stderr);
        let missed = writer.journal().committed + 40;
        harness::until_true("changes while it is down", REST, || writer.journal().committed >= missed).await;
        let start = Instant::now();
        engine = world.job.run();
        status::wait_live(&world.job, &mut engine, REST).await;
        // The lease was given back: nobody waits for it to run out. Compiled without optimization, so seconds.
        println!("live again after {:.1?}", start.elapsed());
    }
    writer.stop().await;
    let now = Ledger::read(&world.scratch.mongo).await;
    assert_eq!(now.attempts(), copied.attempts(), "a restart copied again");
    world.finish(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_on_the_same_job_does_not_get_in() {
    let _seat = harness::seat().await;
    let world = World::create("second", harness::seed(), 3).await;
    let writer = world.write(PACE);
    let mut first = world.job.run();
    status::wait_live(&world.job, &mut first, REST).await;
    let mut second = world.job.run();
    let said = ["held by", "another engine", "lease"];
    harness::until_true("the second engine to say why it does not start", Duration::from_secs(30), || {
        let log = second.log().to_lowercase();
        second.ended().is_some() || said.iter().any(|s| log.contains(s))
    })
    .await;
    let log = second.log().to_lowercase();
    assert!(said.iter().any(|s| log.contains(s)) && log.contains(&world.settings.name), "it does not say why: {log}");
    assert_ne!(second.ended(), Some(0), "the second engine said it was done");
    drop(second);
    assert_eq!(first.ended(), None, "the first engine gave up: {}", first.log_tail());
    writer.stop().await;
    world.finish(first).await;
}
