//! The publisher over a source and a Redis in memory: scenarios, and seeded disorder with an oracle.
//!
//! Nothing runs by itself: a publisher is polled, then the world moves on, so a run is the same whenever it is repeated,
//! and a publisher that is dropped dies at whatever call it was in.

mod disorder;
mod source;
mod world;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;

use self::source::{encode, encode_unlogged};
use self::world::{Logged, PREFIX, Stream, World, key, table, up_to};
use super::*;
use crate::model::position::GtidSet;
use crate::model::stream::{EntryId, Member, Position};

/// Polls within which a healthy publisher gets anywhere.
const PATIENCE: usize = 20_000;

struct Run {
    future: Pin<Box<dyn Future<Output = Result<()>>>>,
    stop: Shutdown,
}

impl Run {
    fn start(world: &World, owner: &str, own: &[&str], standby: Standby, max_bytes: Option<u64>) -> Self {
        let publisher = Publisher {
            streams: Arc::new(world.clone()),
            source: Arc::new(world.clone()),
            clock: Arc::new(world.clone()),
            encoder: Encoder { change: encode, unlogged: encode_unlogged },
            prefix: PREFIX.into(),
            tables: own.iter().map(|name| table(name)).collect(),
            max_bytes,
            lease: Duration::from_secs(3),
            owner: owner.into(),
            progress: Arc::default(),
        };
        let stop = Shutdown::default();
        let wish = stop.clone();
        Self { future: Box::pin(async move { publisher.run(standby, &wish).await }), stop }
    }

    fn usual(world: &World) -> Self {
        Self::start(world, "one", &["a"], Standby::Wait, None)
    }

    fn poll(&mut self) -> Option<Result<()>> {
        match self.future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        }
    }

    /// Polls, 10 ms apart, until something holds.
    fn until(&mut self, world: &World, what: &str, holds: impl Fn(&world::State) -> bool) {
        for _ in 0..PATIENCE {
            if let Some(ended) = self.poll() {
                panic!("ended before {what}: {ended:?}");
            }
            let mut state = world.state();
            state.now_ms += 10;
            if holds(&state) {
                return;
            }
        }
        panic!("never: {what}");
    }

    fn end(&mut self, world: &World) -> Result<()> {
        for _ in 0..PATIENCE {
            if let Some(ended) = self.poll() {
                return ended;
            }
            world.state().now_ms += 10;
        }
        panic!("never ended");
    }

    fn refuses(mut self, world: &World, kind: Kind, words: &str) {
        let error = self.end(world).expect_err("an error");
        assert_eq!(error.kind(), kind, "{}", error.chain());
        assert!(error.chain().contains(words), "{}", error.chain());
    }
}

/// A transaction of these tables' rows that is visible at once.
fn commit(world: &World, rows: &[&str]) {
    let mut state = world.state();
    let number = state.log.len() as u64 + 1;
    let rows = rows.iter().map(|name| table(name)).collect();
    state.log.push(Logged { number, also: None, rows, part: 3, unlogged: None });
    state.shown = state.log.len();
}

fn newest(state: &world::State) -> Option<(u64, &crate::model::stream::Epoch)> {
    state.meta.as_ref()?.epochs.last_key_value().map(|(number, epoch)| (*number, epoch))
}

fn captured(state: &world::State, set: &GtidSet) -> bool {
    newest(state).is_some_and(|(_, epoch)| set.is_subset(&epoch.captured))
}

fn register(world: &World, id: &str, names: &[&str]) {
    let member = Member { job: "shop".into(), tables: names.iter().map(|name| table(name)).collect() };
    world.register(id, &member).now_or_never().expect("no wait").expect("registered");
}

/// Every member has read everything, and every group too.
fn read_all(world: &World) {
    let members: Vec<(String, Member)> = world.state().meta.iter().flat_map(|meta| meta.members.clone()).collect();
    for (id, member) in members {
        world.register(&id, &member).now_or_never().expect("no wait").expect("registered");
    }
    for stream in world.state().streams.values_mut() {
        let last = stream.at.id;
        stream.groups.values_mut().for_each(|delivered| *delivered = last);
    }
}

#[test]
fn captures_from_now_on_and_stops_in_order() {
    let world = World::new(1);
    commit(&world, &["a"]);
    let mut run = Run::usual(&world);
    run.until(&world, "a session", |state| newest(state).is_some());
    commit(&world, &["a", "b", "a", "a", "a"]);
    commit(&world, &["b"]);
    run.until(&world, "the transactions", |state| captured(state, &up_to(3)));
    run.stop.request();
    run.end(&world).expect("an end in order");
    let state = world.state();
    state.check();
    let (number, epoch) = newest(&state).expect("a session");
    assert_eq!((number, &epoch.from, &epoch.open), (1, &up_to(1), &None));
    assert_eq!(state.streams.keys().collect::<Vec<_>>(), ["cdc.shop.a"]);
    assert_eq!(state.streams["cdc.shop.a"].at.count, 9, "the first, and two for each of the four rows");
    assert_eq!(state.meta.as_ref().expect("a record").until_ms, 0, "the lease was given back");
}

#[test]
fn a_new_member_and_a_new_definition_begin_a_session() {
    let world = World::new(2);
    let mut run = Run::usual(&world);
    run.until(&world, "a session", |state| newest(state).is_some());
    register(&world, "m", &["b"]);
    register(&world, "x", &["gone"]);
    world.state().missing.insert(table("gone"));
    run.until(&world, "the member's table", |state| {
        newest(state).is_some_and(|(_, epoch)| epoch.tables.contains(&table("b")))
    });
    run.until(&world, "the refusal", |state| state.meta.as_ref().is_some_and(|meta| meta.refused.contains_key("x")));
    let before = newest(&world.state()).expect("a session").0;
    let read = world.state().definitions_read;
    commit(&world, &["b"]);
    commit(&world, &["a"]);
    world.state().log[1].unlogged = Some((table("a"), Unlogged::Definition));
    commit(&world, &["b"]);
    run.until(&world, "what follows", |state| captured(state, &up_to(3)));
    let state = world.state();
    state.check();
    assert_eq!(newest(&state).expect("a session").0, before + 1);
    assert_eq!(state.definitions_read, read + 1);
}

#[test]
fn a_request_is_served_from_the_binlog_or_refused() {
    let world = World::new(3);
    let mut run = Run::usual(&world);
    run.until(&world, "a session", |state| newest(state).is_some());
    (0..5).for_each(|_| commit(&world, &["a"]));
    run.until(&world, "the transactions", |state| captured(state, &up_to(5)));
    world.state().purged = 2;
    for (id, applied) in [("in", 2), ("out", 1)] {
        world.request(id, &up_to(applied)).now_or_never().expect("no wait").expect("asked");
    }
    run.until(&world, "them again", |state| {
        newest(state).is_some_and(|(_, epoch)| epoch.from == up_to(2) && epoch.captured == up_to(5))
    });
    let state = world.state();
    state.check();
    let meta = state.meta.as_ref().expect("a record");
    assert!(meta.requests.is_empty());
    assert!(meta.refused["out"].contains("E-BINLOG-LOST"));
}

#[test]
fn a_dead_owner_is_succeeded_and_a_living_one_is_not() {
    let world = World::new(4);
    let mut first = Run::usual(&world);
    first.until(&world, "a session", |state| newest(state).is_some());
    let mut second = Run::start(&world, "two", &["a"], Standby::Refuse, None);
    let refusal = loop {
        assert!(first.poll().is_none());
        world.state().now_ms += 10;
        if let Some(ended) = second.poll() {
            break ended.expect_err("a refusal");
        }
    };
    assert_eq!(refusal.kind(), Kind::Config);
    assert!(refusal.chain().contains("E-LEASE: one captures"), "{}", refusal.chain());
    // It is still, but does not know that it is dead.
    let mut third = Run::start(&world, "three", &["a"], Standby::Refuse, None);
    let asked_ms = world.state().now_ms;
    third.until(&world, "its session", |state| newest(state).is_some_and(|(number, _)| number == 2));
    assert!(world.state().now_ms > asked_ms + 1_900, "not before the lease ran out");
    commit(&world, &["a"]);
    first.until(&world, "a wait", |state| state.now_ms > asked_ms + 6_000);
    third.until(&world, "the transaction", |state| captured(state, &up_to(1)));
    assert_eq!(newest(&world.state()).map(|(number, _)| number), Some(2), "the first one stands by");
    world.state().check();
}

#[test]
fn who_else_writes_to_a_stream_is_noticed() {
    let stream = |state: &mut world::State, id: EntryId| {
        let stream = Stream { at: Position { id, count: 1 }, ..Stream::default() };
        state.streams.insert(key(&table("a")), stream);
    };
    let world = World::new(5);
    let mut run = Run::usual(&world);
    run.until(&world, "a session", |state| newest(state).is_some());
    // A late owner of whose sessions the record holds nothing.
    stream(&mut world.state(), EntryId::of(8, 1, 4, 0).expect("an ID"));
    commit(&world, &["a"]);
    run.until(&world, "a session above it", |state| captured(state, &up_to(1)));
    assert_eq!(newest(&world.state()).map(|(number, _)| number), Some(9));
    // A producer whose IDs follow the last one.
    let last = world.state().streams[&key(&table("a"))].at.id;
    stream(&mut world.state(), EntryId { low: u64::MAX, ..last });
    commit(&world, &["a"]);
    run.refuses(&world, Kind::Halt, "stream cdc.shop.a refused");
    world.state().check();
    // One that was there first.
    let world = World::new(6);
    stream(&mut world.state(), "1795241077141-0".parse().expect("an ID"));
    Run::usual(&world).refuses(&world, Kind::Config, "E-STREAM-FOREIGN");
}

#[test]
fn another_source_is_refused_and_a_late_one_waited_for() {
    let world = World::new(7);
    let mut run = Run::usual(&world);
    run.until(&world, "a session", |state| newest(state).is_some());
    commit(&world, &["a"]);
    run.until(&world, "the transaction", |state| captured(state, &up_to(1)));
    drop(run);
    world.state().shown = 0;
    let mut run = Run::usual(&world);
    let began_ms = world.state().now_ms;
    run.until(&world, "a while", |state| state.now_ms > began_ms + 5_000);
    assert_eq!(newest(&world.state()).map(|(number, _)| number), Some(1), "not before it shows what was captured");
    world.state().shown = 1;
    run.until(&world, "a session", |state| newest(state).is_some_and(|(number, _)| number == 2));
    drop(run);
    world.state().shown = 0;
    Run::usual(&world).refuses(&world, Kind::Config, "E-SOURCE-CHANGED");
    world.state().meta.as_mut().expect("a record").source = "another".into();
    Run::usual(&world).refuses(&world, Kind::Config, "E-STREAM-SOURCE");
    world.state().missing.insert(table("a"));
    world.state().meta = None;
    Run::usual(&world).refuses(&world, Kind::Config, "E-MISSING");
}

#[test]
fn capture_waits_for_readers_when_there_is_no_room() {
    for (max_bytes, server_bytes_max) in [(Some(200), 0), (None, 250)] {
        let world = World::new(8);
        world.state().bytes_max = server_bytes_max;
        register(&world, "m", &["a"]);
        let mut run = Run::start(&world, "one", &["a"], Standby::Wait, max_bytes);
        run.until(&world, "a session", |state| newest(state).is_some());
        let mut committed = 0;
        while committed < 60 {
            commit(&world, &["a", "a"]);
            committed += 1;
            let until_ms = world.state().now_ms + 1_000;
            run.until(&world, "a while", |state| state.now_ms > until_ms);
        }
        let held = world.state().streams[&key(&table("a"))].entries.len();
        assert!((15..30).contains(&held), "{held} entries wait");
        assert_eq!(world.state().trimmed, 0);
        let state = world.state();
        let behind_ms = state.now_ms - state.meta.as_ref().expect("a record").beat_ms;
        drop(state);
        assert!(behind_ms <= 1_500, "it shows that it is alive: {behind_ms}");
        let all = up_to(committed);
        for _ in 0..100 {
            read_all(&world);
            let until_ms = world.state().now_ms + 300;
            run.until(&world, "a while", |state| state.now_ms > until_ms);
        }
        assert!(captured(&world.state(), &all));
        let state = world.state();
        state.check();
        assert_eq!(state.streams[&key(&table("a"))].at.count, committed * 4 + 1, "and the first");
        assert!(state.trimmed >= committed * 3);
    }
}
