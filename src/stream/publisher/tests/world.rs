//! A source, Redis and a clock in memory, for a publisher that is polled by hand.
//!
//! Owns: what the ports promise, faults within these promises, and the oracle: C never holds a transaction whose entries
//! are missing. Every call may stop half-way once or twice, so that a publisher can be dropped at any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::change::Unlogged;
use crate::model::position::{Gtid, GtidSet, GtidSource};
use crate::model::schema::TableName;
use crate::model::stream::{EntryId, Epoch, Member, Meta, Position, RawEntry, stream_key};
use crate::ports::{Append, Appended, Begin, Clock, ForeignLook, Groups, Look, StreamStore, Usage, group_name};

pub const PREFIX: &str = "cdc";
/// What an entry takes.
const ENTRY_BYTES: u64 = 10;

pub fn gtid(number: u64) -> Gtid {
    Gtid { source: GtidSource::Server { uuid: 7, tag: String::new() }, number }
}

pub fn up_to(last: u64) -> GtidSet {
    let mut set = GtidSet::default();
    set.insert_range(&gtid(1).source, 1, last);
    set
}

pub fn table(name: &str) -> TableName {
    TableName::new("shop", name)
}

pub fn key(name: &TableName) -> String {
    stream_key(PREFIX, name)
}

/// A transaction of the log.
#[derive(Clone, Debug)]
pub struct Logged {
    pub number: u64,
    /// An XA PREPARE that is settled with it.
    pub also: Option<u64>,
    pub rows: Vec<TableName>,
    /// Rows in one part.
    pub part: usize,
    pub unlogged: Option<(TableName, Unlogged)>,
}

impl Logged {
    /// The entries that it has to become for these tables: stream and value.
    pub fn entries(&self, tables: &BTreeSet<TableName>) -> BTreeSet<(String, String)> {
        let rows = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, table)| tables.contains(*table))
            .flat_map(|(row, table)| [0, 1].map(|half| (key(table), format!("{}/{row}/{half}", self.number))));
        let unlogged = self.unlogged.iter().filter(|(table, _)| tables.contains(table));
        rows.chain(unlogged.map(|(table, what)| (key(table), format!("{}/{what:?}", self.number)))).collect()
    }
}

#[derive(Default)]
pub struct Stream {
    pub entries: Vec<RawEntry>,
    pub at: Position,
    pub groups: BTreeMap<String, EntryId>,
}

/// Generation and epoch of a session.
type Named = (String, u64);

/// Everything that lives longer than a publisher.
#[derive(Default)]
pub struct State {
    pub now_ms: u64,
    seed: u64,
    /// Whether calls fail now and then, before or after they have done what they do.
    pub faults: bool,
    pub log: Vec<Logged>,
    /// How many of the log's transactions `gtid_executed` shows.
    pub shown: usize,
    pub purged: u64,
    pub missing: BTreeSet<TableName>,
    pub meta: Option<Meta>,
    /// Every request there ever was.
    asked: Vec<(String, GtidSet)>,
    pub streams: BTreeMap<String, Stream>,
    /// What all groups of a stream had read, whenever somebody asked.
    bounds: BTreeSet<(String, EntryId)>,
    /// `maxmemory`.
    pub bytes_max: u64,
    /// Every session there ever was, as its record last was, and the entries that it appended.
    pub epochs: BTreeMap<Named, Epoch>,
    pub written: BTreeMap<Named, BTreeSet<(String, String)>>,
    pub trimmed: u64,
    pub parts: u64,
    pub refused_for_memory: u64,
    pub superseded: u64,
    pub definitions_read: u64,
}

impl State {
    /// A number below `bound`.
    pub fn chance(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % bound
    }

    pub fn executed(&self) -> GtidSet {
        let mut set = up_to(self.purged);
        for one in &self.log[..self.shown] {
            [Some(one.number), one.also].into_iter().flatten().for_each(|number| set.insert(&gtid(number)));
        }
        set
    }

    fn used_bytes(&self) -> u64 {
        self.streams.values().map(|stream| stream.entries.len() as u64 * ENTRY_BYTES).sum()
    }

    /// The oracle: all that a session's C holds and `from` does not is in the streams, whole, or was; and nothing that
    /// follows a new definition.
    pub fn check(&self) {
        for (named, epoch) in &self.epochs {
            let none = BTreeSet::new();
            let written = self.written.get(named).unwrap_or(&none);
            let mut redefined = false;
            for one in &self.log {
                let new = |number| epoch.captured.contains(&gtid(number)) && !epoch.from.contains(&gtid(number));
                if new(one.number) {
                    assert!(!redefined, "{named:?} decodes {one:?} with an old definition");
                    redefined |= one
                        .unlogged
                        .as_ref()
                        .is_some_and(|(table, what)| *what == Unlogged::Definition && epoch.tables.contains(table));
                    assert!(one.entries(&epoch.tables).is_subset(written), "{named:?} lacks entries of {one:?}");
                }
                // A request may hold the PREPARE alone.
                assert!(one.also.is_none_or(|also| !new(also) || new(one.number)), "{named:?} splits {one:?}");
            }
        }
    }

    fn write(&mut self, named: Named, entries: &[(String, RawEntry)]) -> Option<String> {
        let mut refused = None;
        for (key, entry) in entries {
            let stream = self.streams.entry(key.clone()).or_default();
            if entry.id <= stream.at.id {
                refused = refused.or(Some(key.clone()));
                continue;
            }
            stream.at = Position { id: entry.id, count: stream.at.count + 1 };
            stream.entries.push(entry.clone());
            let value = String::from_utf8_lossy(&entry.fields[0].1).to_string();
            self.written.entry(named.clone()).or_default().insert((key.clone(), value));
        }
        refused
    }

    fn append(&mut self, append: &Append) -> Appended {
        let named = (append.generation.clone(), append.epoch);
        if self.bytes_max > 0 && self.used_bytes() > self.bytes_max {
            self.refused_for_memory += 1;
            return Appended::Full;
        }
        let current = self.meta.as_ref().map(|meta| (meta.generation.clone(), meta.epoch));
        if current.as_ref() != Some(&named) {
            let later = current.is_some_and(|(generation, epoch)| generation == named.0 && epoch > named.1);
            self.superseded += u64::from(later);
            return if later { Appended::Superseded } else { Appended::Lost("flushed".into()) };
        }
        if let Some(stream) = self.write(named.clone(), &append.entries) {
            return Appended::Refused(stream);
        }
        let until_ms = self.now_ms + append.lease.as_millis() as u64;
        let meta = self.meta.as_mut().expect("a record");
        (meta.beat_ms, meta.until_ms) = (self.now_ms, until_ms);
        let epoch = meta.epochs.get_mut(&append.epoch).expect("the session's record");
        assert!(epoch.captured.is_subset(&append.captured), "C went back");
        (epoch.captured, epoch.open) = (append.captured.clone(), append.open.clone());
        self.epochs.insert(named, epoch.clone());
        self.parts += u64::from(append.open.is_some());
        Appended::Done
    }

    fn begin(&mut self, begin: &Begin) -> bool {
        let current = self.meta.as_ref().map(|meta| (meta.generation.clone(), meta.epoch)).unwrap_or_default();
        if current != begin.seen.clone().unwrap_or_default() {
            return false;
        }
        let named = (begin.generation.clone(), begin.epoch);
        assert!(!self.epochs.contains_key(&named) && begin.epoch > current.1, "a session's number is new");
        let now_ms = self.now_ms;
        let meta = self.meta.get_or_insert_default();
        for id in &begin.served {
            // Made after the look, it may be another one: its reader asks again until an epoch serves it.
            meta.requests.remove(id);
            let served = self.asked.iter().any(|(by, applied)| by == id && begin.record.from.is_subset(applied));
            assert!(served, "served in full");
            meta.refused.remove(id);
        }
        for (id, reason) in &begin.refused {
            meta.requests.remove(id);
            meta.refused.insert(id.clone(), reason.clone());
        }
        begin.forget.iter().for_each(|epoch| drop(meta.epochs.remove(epoch)));
        meta.epochs.insert(begin.epoch, begin.record.clone());
        (meta.generation, meta.epoch) = named.clone();
        (meta.source, meta.owner) = (begin.source.clone(), begin.owner.clone());
        (meta.beat_ms, meta.until_ms) = (now_ms, now_ms + begin.lease.as_millis() as u64);
        self.epochs.insert(named.clone(), begin.record.clone());
        self.write(named, &begin.starters);
        true
    }

    fn trim(&mut self, below: &[(String, EntryId)]) {
        for (key, id) in below {
            // Since the groups were asked for, there may be new ones, or a new stream: who misses something notices.
            assert!(self.bounds.contains(&(key.clone(), *id)), "trims what was not read");
            let Some(stream) = self.streams.get_mut(key) else { continue };
            let before = stream.entries.len();
            stream.entries.retain(|entry| entry.id >= *id);
            self.trimmed += (before - stream.entries.len()) as u64;
        }
    }
}

/// The source, Redis and the clock.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

impl World {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, ..State::default() })))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it was held")
    }

    /// One call: stops on the way now and then, and fails before or after `act`.
    pub async fn call<R>(&self, act: impl FnOnce(&mut State) -> R) -> Result<R> {
        self.stop().await;
        if self.fails() {
            return Err(Error::retry("the connection broke"));
        }
        let done = act(&mut self.state());
        self.stop().await;
        if self.fails() { Err(Error::retry("the answer was lost")) } else { Ok(done) }
    }

    pub fn fails(&self) -> bool {
        let mut state = self.state();
        state.faults && state.chance(60) == 0
    }

    async fn stop(&self) {
        let mut left = self.state().chance(3);
        poll_fn(|_| {
            left = left.saturating_sub(1);
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Clock for World {
    fn monotonic_ms(&self) -> u64 {
        self.state().now_ms
    }

    fn unix_ms(&self) -> u64 {
        self.state().now_ms
    }

    async fn sleep(&self, duration: Duration) {
        let until_ms = self.monotonic_ms() + duration.as_millis() as u64;
        poll_fn(|_| if self.monotonic_ms() >= until_ms { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl StreamStore for World {
    fn place(&self) -> String {
        "memory".into()
    }

    async fn look(&self, streams: &[String]) -> Result<Look> {
        let at = |state: &State| streams.iter().map(|key| state.streams.get(key).map(|stream| stream.at)).collect();
        self.call(|state| Look { now_ms: state.now_ms, meta: state.meta.clone(), streams: at(state) }).await
    }

    async fn look_foreign(&self, _: &[String], _: &str) -> Result<ForeignLook> {
        Err(Error::halt("capture reads no foreign streams"))
    }

    async fn read(&self, _: &[(String, EntryId)], _: usize, _: Duration) -> Result<Vec<(usize, Vec<RawEntry>)>> {
        Err(Error::halt("capture reads no streams"))
    }

    async fn register(&self, id: &str, member: &Member) -> Result<()> {
        let mut state = self.state();
        state.meta.get_or_insert_default().members.insert(id.to_string(), member.clone());
        for table in &member.tables {
            if let Some(stream) = state.streams.get_mut(&key(table)) {
                stream.groups.entry(group_name(id)).or_default();
            }
        }
        Ok(())
    }

    async fn unregister(&self, id: &str, _: &[String]) -> Result<()> {
        let mut state = self.state();
        if let Some(meta) = &mut state.meta {
            meta.members.remove(id);
            meta.requests.remove(id);
            meta.refused.remove(id);
        }
        for stream in state.streams.values_mut() {
            stream.groups.remove(&group_name(id));
        }
        Ok(())
    }

    async fn bookmark(&self, id: &str, passed: &[(String, Position)]) -> Result<()> {
        let mut state = self.state();
        for (key, at) in passed {
            if let Some(stream) = state.streams.get_mut(key) {
                stream.groups.insert(group_name(id), at.id);
            }
        }
        Ok(())
    }

    async fn request(&self, id: &str, applied: &GtidSet) -> Result<()> {
        let mut state = self.state();
        state.asked.push((id.to_string(), applied.clone()));
        let meta = state.meta.get_or_insert_default();
        meta.requests.insert(id.to_string(), applied.clone());
        meta.refused.remove(id);
        Ok(())
    }

    async fn begin(&self, begin: &Begin) -> Result<bool> {
        self.call(|state| state.begin(begin)).await
    }

    async fn append(&self, append: &Append) -> Result<Appended> {
        self.call(|state| state.append(append)).await
    }

    async fn release(&self, generation: &str, epoch: u64) -> Result<()> {
        let end = |state: &mut State| {
            let held = state.meta.as_mut().filter(|meta| meta.generation == generation && meta.epoch == epoch);
            held.into_iter().for_each(|meta| meta.until_ms = 0);
        };
        self.call(end).await
    }

    async fn groups(&self, streams: &[String]) -> Result<Vec<Groups>> {
        let of = |stream: &Stream| Groups {
            delivered: stream.groups.iter().map(|(name, id)| (name.clone(), *id)).collect(),
            first: stream.entries.first().map(|entry| entry.id),
        };
        let all = |state: &mut State| {
            for key in streams {
                let read = state.streams.get(key).and_then(|stream| stream.groups.values().copied().min());
                state.bounds.extend(read.map(|read| (key.clone(), read)));
            }
            streams.iter().map(|key| state.streams.get(key).map(of).unwrap_or_default()).collect()
        };
        self.call(all).await
    }

    async fn trim(&self, below: &[(String, EntryId)]) -> Result<()> {
        self.call(|state| state.trim(below)).await
    }

    async fn usage(&self, _: &[String]) -> Result<Usage> {
        let usage = |state: &mut State| {
            let bytes = state.used_bytes();
            Usage { stream_bytes: bytes, used_bytes: bytes, max_bytes: state.bytes_max }
        };
        self.call(usage).await
    }
}
