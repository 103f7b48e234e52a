//! The tracker against a small model of Redis and capture in which everything gets lost now and then. The model knows
//! which entries each transaction has, so it knows what must have been delivered.

use std::collections::BTreeMap;

use super::*;
use crate::model::position::{Gtid, GtidSource};
use crate::model::stream::Epoch;

const STREAMS: usize = 2;

/// SplitMix64: a seed is a whole run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn gtid(number: u64) -> Gtid {
    Gtid { source: GtidSource::Server { uuid: 1, tag: String::new() }, number }
}

fn up_to(number: u64) -> GtidSet {
    let mut set = GtidSet::default();
    set.insert_range(&gtid(1).source, 1, number);
    set
}

fn tables() -> BTreeSet<TableName> {
    (0..STREAMS).map(|at| TableName::new("d", format!("t{at}"))).collect()
}

fn streams() -> Vec<String> {
    (0..STREAMS).map(|at| format!("p.d.t{at}")).collect()
}

#[derive(Clone, Default)]
struct Stream {
    entries: Vec<(EntryId, u64)>,
    last: EntryId,
    added: u64,
}

#[derive(Clone, Default)]
struct Redis {
    meta: Meta,
    streams: BTreeMap<usize, Stream>,
}

impl Redis {
    fn look(&self) -> Vec<Option<Position>> {
        let position = |at| self.streams.get(&at).map(|stream| Position { id: stream.last, count: stream.added });
        (0..STREAMS).map(position).collect()
    }

    fn add(&mut self, at: usize, id: EntryId, transaction: u64) {
        let stream = self.streams.entry(at).or_default();
        assert!(id > stream.last, "the model appends in order");
        stream.entries.push((id, transaction));
        stream.last = id;
        stream.added += 1;
    }
}

/// The source: transaction n touches each stream `touches[n - 1][stream]` times.
struct World {
    rng: Rng,
    touches: Vec<[u64; STREAMS]>,
    redis: Redis,
    saved: Redis,
    requests: Vec<u64>,
    generations: u64,
}

impl World {
    /// A capture session from now on; serves what was asked for.
    fn begin(&mut self) {
        let meta = &self.redis.meta;
        let newest = self.redis.streams.values().map(|stream| stream.last.epoch()).max().unwrap_or(0);
        let number = meta.epoch.max(newest) + 1;
        let captured = meta.epochs.get(&meta.epoch).map(|epoch| epoch.captured.count());
        let executed = self.touches.len() as u64;
        let from = self.requests.drain(..).fold(captured.unwrap_or(executed), u64::min);
        for at in 0..STREAMS {
            if !self.redis.streams.contains_key(&at) {
                self.redis.add(at, EntryId::starter(number).expect("an ID"), 0);
            }
        }
        let base = (0..STREAMS).zip(streams());
        let base = base.filter_map(|(at, key)| Some((key, self.redis.look()[at]?))).collect();
        let meta = &mut self.redis.meta;
        if meta.generation.is_empty() {
            self.generations += 1;
            meta.generation = format!("g{}", self.generations);
        }
        meta.epoch = number;
        let record = Epoch { from: up_to(from), tables: tables(), base, captured: up_to(from), open: None };
        meta.epochs.insert(number, record);
        meta.epochs.retain(|old, _| old + 5 > number);
    }

    /// Appends the next transaction.
    fn append(&mut self) {
        let epoch = self.redis.meta.epoch;
        let Some(record) = self.redis.meta.epochs.get(&epoch).filter(|_| !self.redis.meta.generation.is_empty()) else {
            return self.begin();
        };
        let number = record.captured.count() + 1;
        let Some(touches) = self.touches.get(number as usize - 1).copied() else {
            return self.touches.push([self.rng.below(3), self.rng.below(3)]);
        };
        for (at, times) in touches.into_iter().enumerate() {
            for ordinal in 0..times {
                let id = EntryId::of(epoch, 1, number, ordinal).expect("an ID");
                self.redis.add(at, id, number);
            }
        }
        if let Some(record) = self.redis.meta.epochs.get_mut(&epoch) {
            record.captured = up_to(number);
        }
    }

    fn disturb(&mut self) {
        let at = self.rng.below(STREAMS as u64) as usize;
        match self.rng.below(7) {
            0 => self.redis = Redis::default(),
            1 => drop(self.redis.streams.remove(&at)),
            2 => self.redis.meta = Meta::default(),
            3 => self.redis.streams.values_mut().for_each(|stream| stream.entries.clear()),
            4 => {
                if let Some(stream) = self.redis.streams.get_mut(&at)
                    && !stream.entries.is_empty()
                {
                    let which = self.rng.below(stream.entries.len() as u64) as usize;
                    stream.entries.remove(which);
                }
            }
            5 => self.saved = self.redis.clone(),
            _ => self.redis = self.saved.clone(),
        }
    }
}

/// A reader that may stop anywhere and begin again at its checkpoint.
struct Reader {
    tracker: Tracker,
    /// Per stream and transaction, how many of its entries were delivered by readers whose checkpoint holds.
    delivered: Vec<BTreeMap<u64, BTreeSet<EntryId>>>,
    kept: (GtidSet, Option<StreamCheckpoint>),
}

impl Reader {
    fn tracker(kept: (GtidSet, Option<StreamCheckpoint>)) -> Tracker {
        Tracker::new(streams(), tables(), kept.0, kept.1.as_ref())
    }

    fn step(&mut self, world: &mut World) {
        let tracker = &mut self.tracker;
        if tracker.target.is_none() {
            match tracker.look(Some(&world.redis.meta), &world.redis.look()) {
                Verdict::Lost(_) => world.requests.push(tracker.covered().count()),
                // Asked again: the model's requests can be lost too.
                Verdict::Wait if world.requests.is_empty() => world.requests.push(tracker.covered().count()),
                _ => {}
            }
            return;
        }
        let (behind, unread) = tracker.unread();
        let mut any = false;
        for (at, after) in unread {
            let entries = world.redis.streams.get(&at).map_or(&[][..], |stream| &stream.entries);
            let most = 1 + world.rng.below(4) as usize;
            for (id, transaction) in entries.iter().filter(|(id, _)| *id > after).take(most) {
                any = true;
                if let Err(reason) = self.tracker.entry(at, *id) {
                    self.tracker.lose(&reason, Some(&world.redis.meta));
                    world.requests.push(self.tracker.covered().count());
                    return;
                }
                self.delivered[at].entry(*transaction).or_default().insert(*id);
            }
        }
        if behind && !any {
            let reason = self.tracker.vanished();
            self.tracker.lose(&reason, Some(&world.redis.meta));
            world.requests.push(self.tracker.covered().count());
            return;
        }
        if let Some((captured, checkpoint)) = self.tracker.passed() {
            self.kept.0.extend(&captured);
            self.kept.1 = Some(checkpoint);
        }
    }

    fn check(&self, world: &World, first: u64) {
        for number in first + 1..=self.kept.0.count() {
            for at in 0..STREAMS {
                let wanted = world.touches[number as usize - 1][at];
                // The same entry of two sessions has two IDs, and counts by its ordinal.
                let found: BTreeSet<u64> =
                    self.delivered[at].get(&number).into_iter().flatten().map(|id| id.low & 0xff_ffff).collect();
                assert_eq!(found.len() as u64, wanted, "transaction {number} in stream {at}");
            }
        }
    }
}

fn run(seed: u64, disturbances: u64) -> (u64, u64) {
    let mut rng = Rng(seed);
    let begun = rng.below(5);
    let touches = (0..begun).map(|_| [rng.below(3), rng.below(3)]).collect();
    let mut world =
        World { rng, touches, redis: Redis::default(), saved: Redis::default(), requests: Vec::new(), generations: 0 };
    // The build was copied at `begun`.
    let kept = (up_to(begun), None);
    let mut reader = Reader { tracker: Reader::tracker(kept.clone()), delivered: vec![BTreeMap::new(); STREAMS], kept };
    for step in 0..600 {
        match world.rng.below(20) {
            0..=7 => world.append(),
            8..=16 => reader.step(&mut world),
            17 if step < 400 && world.rng.below(100) < disturbances => world.disturb(),
            18 if step < 400 => reader.tracker = Reader::tracker(reader.kept.clone()),
            _ if !world.requests.is_empty() || world.rng.below(10) == 0 => world.begin(),
            _ => {}
        }
        if step % 20 == 0 {
            reader.check(&world, begun);
        }
    }
    for _ in 0..400 {
        if !world.requests.is_empty() {
            world.begin();
        }
        let captured = world.redis.meta.epochs.get(&world.redis.meta.epoch).map_or(0, |epoch| epoch.captured.count());
        if captured < world.touches.len() as u64 || world.redis.meta.generation.is_empty() {
            world.append();
        }
        reader.step(&mut world);
    }
    reader.check(&world, begun);
    (reader.kept.0.count(), world.touches.len() as u64)
}

#[test]
fn nothing_is_passed_that_was_not_delivered() {
    let mut behind = 0;
    for seed in 0..1000 {
        let (passed, executed) = run(seed, 40);
        behind += u64::from(passed + 2 < executed);
    }
    assert_eq!(behind, 0, "after the disturbances every reader comes to the end");
}

#[test]
fn without_disturbance_nothing_is_found_missing_after_the_start() {
    let base: BTreeMap<String, Position> = BTreeMap::new();
    let record = Epoch { from: up_to(1), tables: tables(), base, captured: up_to(2), open: None };
    let mut meta = Meta { generation: "g".into(), epoch: 3, ..Meta::default() };
    meta.epochs.insert(3, record);
    let place = StreamCheckpoint { generation: "g".into(), epoch: 3, positions: BTreeMap::new() };
    let mut tracker = Tracker::new(streams(), tables(), up_to(1), Some(&place));
    let id = |low| EntryId { high: 9, low };
    let at = |low, count| Some(Position { id: id(low), count });
    assert_eq!(tracker.look(Some(&meta), &[at(2, 2), None]), Verdict::Follow);
    assert!(tracker.passed().is_none());
    assert_eq!(tracker.unread(), (true, vec![(0, EntryId::ZERO)]));
    assert_eq!(tracker.entry(0, id(1)), Ok(()));
    assert!(tracker.passed().is_none());
    assert_eq!(tracker.entry(0, id(2)), Ok(()));
    let (captured, checkpoint) = tracker.passed().expect("all of the look was read");
    assert_eq!(captured, up_to(2));
    assert_eq!(checkpoint.positions["p.d.t0"], Position { id: id(2), count: 2 });
    // Another session goes on where the last one ended, and adds a table: nothing is missing.
    let next = Epoch { from: up_to(2), captured: up_to(2), ..meta.epochs[&3].clone() };
    meta.epochs.insert(4, next.clone());
    meta.epoch = 4;
    assert_eq!(tracker.look(Some(&meta), &[at(2, 2), None]), Verdict::Follow);
    // A session without one of the tables left something out.
    meta.epochs.insert(5, Epoch { tables: BTreeSet::new(), ..next.clone() });
    meta.epoch = 5;
    assert!(tracker.passed().is_some());
    assert!(matches!(tracker.look(Some(&meta), &[at(2, 2), None]), Verdict::Lost(_)));
    // Only a later one that has it, and begins within what was delivered, helps.
    assert_eq!(tracker.look(Some(&meta), &[at(2, 2), None]), Verdict::Wait);
    meta.epochs.insert(6, Epoch { from: up_to(3), ..next.clone() });
    meta.epoch = 6;
    assert_eq!(tracker.look(Some(&meta), &[at(2, 2), None]), Verdict::Wait);
    meta.epochs.insert(7, next);
    meta.epoch = 7;
    assert_eq!(tracker.look(Some(&meta), &[at(2, 2), None]), Verdict::Rebased);
}
