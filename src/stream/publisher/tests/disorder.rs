//! Seeded disorder: crashes at any call, pauses, lost answers, flushes, requests, members that come and go, two owners,
//! little memory. Then peace, in which everything has to arrive.

use super::*;
use crate::model::position::GtidSet;

/// Seeds of one run of the test.
const SEEDS: u64 = 200;
/// Steps of disorder.
const STEPS: usize = 400;

const TABLES: [&str; 3] = ["a", "b", "c"];

/// What happened in all seeds together: a test in which these stay 0 proves nothing.
#[derive(Default, Debug)]
struct Seen {
    trimmed: u64,
    parts: u64,
    full: u64,
    sessions: usize,
    flushed: u64,
    superseded: u64,
    lost_binlog: u64,
}

fn chance(world: &World, bound: u64) -> u64 {
    world.state().chance(bound)
}

fn some_table(world: &World) -> &'static str {
    TABLES[chance(world, 3) as usize]
}

fn commit_some(world: &World) {
    let many = if chance(world, 10) == 0 { 40 } else { 5 };
    let rows = (0..chance(world, many)).map(|_| table(some_table(world))).collect();
    let definition = chance(world, 25) == 0;
    let unlogged = definition.then(|| (table(some_table(world)), Unlogged::Definition));
    let (part, xa) = (chance(world, 12) as usize + 1, chance(world, 8) == 0);
    let mut state = world.state();
    let number = state.log.iter().map(|one| one.number).max().unwrap_or_default() + 1;
    let (number, also) = if xa { (number + 1, Some(number)) } else { (number, None) };
    state.log.push(Logged { number, also, rows, part, unlogged });
}

fn request(world: &World) {
    let k = chance(world, 40);
    let state = world.state();
    let applied: GtidSet = newest(&state).map(|(_, epoch)| epoch.captured.clone()).unwrap_or_default();
    let purged = up_to(state.purged);
    drop(state);
    let mut asked = applied.intersection(&up_to(k));
    if chance(world, 4) > 0 {
        asked.extend(&purged);
    }
    world.request("m", &asked).now_or_never().expect("no wait").expect("asked");
}

/// One step of everybody but the publishers.
fn move_on(world: &World, seen: &mut Seen) {
    match chance(world, 60) {
        0..=19 => commit_some(world),
        20..=34 => {
            let mut state = world.state();
            let hidden = (state.log.len() - state.shown) as u64;
            state.shown += state.chance(hidden + 1) as usize;
        }
        35..=37 => register(world, ["m", "n"][chance(world, 2) as usize], &[some_table(world), some_table(world)]),
        38 => world.unregister("n", &[]).now_or_never().expect("no wait").expect("gone"),
        39 | 40 => request(world),
        41..=50 => {
            let mut state = world.state();
            let far = state.chance(3);
            for stream in state.streams.values_mut() {
                let to =
                    stream.entries.get(stream.entries.len() * far as usize / 2).map_or(stream.at.id, |entry| entry.id);
                stream.groups.values_mut().for_each(|delivered| *delivered = to.max(*delivered));
            }
        }
        51 => {
            let mut state = world.state();
            if state.chance(4) == 0 {
                state.check();
                (state.meta, state.streams) = (None, Default::default());
                seen.flushed += 1;
            }
        }
        52 => {
            let mut state = world.state();
            let k = state.chance(30);
            let mut gone = GtidSet::default();
            gone.extend(&up_to(k));
            if captured(&state, &gone) && gone.is_subset(&state.executed()) {
                state.purged = state.purged.max(k);
            }
        }
        53 => {
            let gone = table(some_table(world));
            let mut state = world.state();
            if gone != table("a") && !state.missing.remove(&gone) {
                state.missing.insert(gone);
            }
        }
        _ => {}
    }
}

/// An end of a publisher that these worlds can lead to. Without what is left of the binlog, its operator begins anew.
fn ended(world: &World, result: Result<()>, seen: &mut Seen) {
    let Err(error) = result else { return };
    if error.kind() == Kind::Retry {
        return;
    }
    let text = error.chain();
    let hidden = world.state().shown < world.state().log.len();
    if hidden && text.contains("E-SOURCE-CHANGED") {
        // What was captured has not become visible for longer than anybody waits: its operator starts it again.
        return;
    }
    assert_eq!(error.kind(), Kind::Halt, "{text}");
    assert!(text.contains("E-BINLOG-LOST") || text.contains("no longer reaches back"), "{text}");
    world.state().meta = None;
    seen.lost_binlog += 1;
}

fn disorder(seed: u64, seen: &mut Seen) {
    let world = World::new(seed);
    world.state().faults = true;
    world.state().bytes_max = [0, 1_000][seed as usize % 2];
    let max_bytes = [None, None, Some(600)][seed as usize % 3];
    let mut runs: [Option<Run>; 2] = [None, None];
    for step in 0..STEPS {
        for (at, slot) in runs.iter_mut().enumerate() {
            match (&mut *slot, chance(&world, 100)) {
                (None, 0..=20) => {
                    let owner = format!("owner {at} of step {step}");
                    *slot = Some(Run::start(&world, &owner, &["a"], Standby::Wait, max_bytes));
                }
                (Some(_), 0) => *slot = None,
                (Some(run), 1) => run.stop.request(),
                // Paused now and then, at whatever it was doing.
                (Some(run), 2..=70) => {
                    if let Some(result) = run.poll() {
                        *slot = None;
                        ended(&world, result, seen);
                    }
                }
                _ => {}
            }
        }
        move_on(&world, seen);
        let mut state = world.state();
        let by_ms = [1, 10, 100, 1_000][state.chance(4) as usize];
        state.now_ms += by_ms;
    }
    world.state().check();
    peace(&world, runs, max_bytes, seen);
    let state = world.state();
    state.check();
    seen.trimmed += state.trimmed;
    seen.parts += state.parts;
    seen.full += state.refused_for_memory;
    seen.sessions += state.epochs.len();
    seen.superseded += state.superseded;
}

/// No faults, readers that read, and in the end every transaction is captured for whoever is there.
fn peace(world: &World, runs: [Option<Run>; 2], max_bytes: Option<u64>, seen: &mut Seen) {
    {
        let mut state = world.state();
        state.faults = false;
        state.shown = state.log.len();
        state.missing.clear();
    }
    let [mut run, other] = runs;
    drop(other);
    for step in 0..PATIENCE {
        let going =
            run.get_or_insert_with(|| Run::start(world, &format!("last {step}"), &["a"], Standby::Wait, max_bytes));
        if let Some(result) = going.poll() {
            run = None;
            ended(world, result, seen);
        }
        if step % 50 == 0 {
            // Who was refused once asks anew, as a build that starts again does.
            for id in ["m", "n"] {
                let refused = world.state().meta.as_ref().is_some_and(|meta| meta.refused.contains_key(id));
                if refused || step == 0 {
                    world.unregister(id, &[]).now_or_never().expect("no wait").expect("gone");
                    register(world, id, &TABLES);
                }
            }
            if world.state().meta.as_ref().is_none_or(|meta| meta.members.is_empty()) {
                register(world, "m", &TABLES);
            }
            read_all(world);
        }
        let mut state = world.state();
        state.now_ms += 20;
        let all = state.executed();
        let served = state.meta.as_ref().is_some_and(|meta| meta.requests.is_empty());
        if served && captured(&state, &all) && newest(&state).is_some_and(|(_, epoch)| epoch.tables.len() == 3) {
            return;
        }
    }
    panic!("something was never captured: {:?}", world.state().meta);
}

#[test]
fn no_disorder_makes_c_hold_what_the_streams_lack() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let before = format!("{seen:?}");
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| disorder(seed, &mut seen)));
        if let Err(panic) = run {
            eprintln!("seed {seed}, after {before}");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{seen:?}");
    let Seen { trimmed, parts, full, sessions, flushed, superseded, lost_binlog } = seen;
    let all = [trimmed, parts, full, flushed, superseded, lost_binlog];
    assert!(all.iter().all(|count| *count > 2) && sessions > 1_000, "this is not disorder");
}
