//! Whether a reader of streams has missed anything.
//!
//! Owns: [`Tracker`]: counting what is read against what was added (invariant I6), what a look at the streams means, and
//! where to go on after entries were lost. Does not own: reading (`stream::reader`), appending again (`logic::capturing`).
//!
//! A look shows in one moment C and, for each stream, its last ID and how many entries were ever added to it. Who has read
//! up to that ID without missing an entry has counted as many. Only then has everything in C been delivered. Entries that
//! were trimmed, deleted or flushed away make the counts differ, whoever did it.

use std::collections::BTreeSet;

use crate::model::position::GtidSet;
use crate::model::schema::TableName;
use crate::model::stream::{DEBEZIUM, EntryId, Meta, Position, StreamCheckpoint};

/// What a look means for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is missing: read on.
    Follow,
    /// The positions were set anew, to where a capture session began that appends all that is not covered. Read on.
    Rebased,
    /// Entries are missing, for this reason: ask for a capture session after [`Tracker::covered`].
    Lost(String),
    /// Entries are missing, and the session that brings them has not begun.
    Wait,
}

/// A reader's place in the streams of its tables.
#[derive(Clone, Debug)]
pub struct Tracker {
    streams: Vec<String>,
    tables: BTreeSet<TableName>,
    /// `None` while entries are missing.
    life: Option<Life>,
    /// Up to which session capture had come when entries were found missing: only a later one brings them.
    lost_in: Option<Life>,
    read: Vec<Position>,
    covered: GtidSet,
    target: Option<Target>,
}

/// Which streams these are: those of one generation, up to one capture session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Life {
    generation: String,
    epoch: u64,
}

/// A look that is being read up to.
#[derive(Clone, Debug)]
struct Target {
    streams: Vec<Position>,
    captured: GtidSet,
}

impl Tracker {
    /// A reader of these streams (Redis keys) and tables, that has delivered everything in `covered`, and stands at
    /// `checkpoint`; without one it has to be given a place first.
    pub fn new(
        streams: Vec<String>,
        tables: BTreeSet<TableName>,
        covered: GtidSet,
        checkpoint: Option<&StreamCheckpoint>,
    ) -> Self {
        let at =
            |stream: &String| checkpoint.and_then(|place| place.positions.get(stream)).copied().unwrap_or_default();
        let read = streams.iter().map(at).collect();
        let life = checkpoint.map(|place| Life { generation: place.generation.clone(), epoch: place.epoch });
        Self { streams, tables, life, lost_in: None, read, covered, target: None }
    }

    /// Everything in it was delivered.
    pub fn covered(&self) -> &GtidSet {
        &self.covered
    }

    /// Whether entries are missing: nothing is to be read until a look has said otherwise.
    pub fn is_lost(&self) -> bool {
        self.life.is_none()
    }

    /// Takes in a look at streams that capture of ours writes. Only when no other look is being read up to.
    pub fn look(&mut self, meta: Option<&Meta>, streams: &[Option<Position>]) -> Verdict {
        let meta = meta.filter(|meta| !meta.generation.is_empty());
        let verdict = match meta {
            None if self.is_lost() => return Verdict::Wait,
            None => return self.lose("the record beside the streams is gone", None),
            Some(meta) if self.is_lost() => {
                if !self.rebase(meta) {
                    return Verdict::Wait;
                }
                Verdict::Rebased
            }
            Some(meta) => match self.goes_on(meta) {
                Ok(()) => Verdict::Follow,
                Err(reason) => return self.lose(reason, Some(meta)),
            },
        };
        let captured = meta.and_then(|meta| meta.epochs.get(&meta.epoch)).map(|epoch| epoch.captured.clone());
        match self.aim(streams, captured.unwrap_or_default()) {
            Ok(()) => verdict,
            Err(reason) => self.lose(&reason, meta),
        }
    }

    /// Takes in a look at a Debezium Server's streams; `captured` is the set in its offsets.
    pub fn look_foreign(&mut self, captured: GtidSet, streams: &[Option<Position>]) -> Verdict {
        match &self.life {
            Some(life) if life.generation == DEBEZIUM => {}
            _ => return self.lose("the build has not followed the streams of a Debezium Server before", None),
        }
        match self.aim(streams, captured) {
            Ok(()) => Verdict::Follow,
            Err(reason) => self.lose(&reason, None),
        }
    }

    /// The streams that have to be read next, with the IDs after which to read: those that have not been read up to the
    /// last look, or all of them when that is done.
    pub fn unread(&self) -> (bool, Vec<(usize, EntryId)>) {
        let all = || self.read.iter().enumerate().map(|(at, read)| (at, read.id));
        let behind: Vec<_> = match &self.target {
            Some(target) => all().filter(|(at, id)| *id < target.streams[*at].id).collect(),
            None => Vec::new(),
        };
        if behind.is_empty() { (false, all().collect()) } else { (true, behind) }
    }

    /// Counts an entry of the stream `at`. An error says that entries before it are missing.
    pub fn entry(&mut self, at: usize, id: EntryId) -> Result<(), String> {
        let before = self.read[at];
        let now = Position { id, count: before.count + 1 };
        let last = self.target.as_ref().map(|target| target.streams[at]).filter(|last| before.id < last.id);
        if id <= before.id {
            return Err(self.missing(at, "came out of order"));
        }
        match last {
            Some(last) if id > last.id => return Err(self.missing(at, "lost its last entry")),
            Some(last) if id == last.id && now.count != last.count => {
                return Err(self.missing(at, "lost entries before they were read"));
            }
            _ => {}
        }
        self.read[at] = now;
        Ok(())
    }

    /// The streams that still have entries to read up to the last look have none: they were removed.
    pub fn vanished(&self) -> String {
        let (_, behind) = self.unread();
        behind.first().map_or_else(String::new, |(at, _)| self.missing(*at, "lost entries before they were read"))
    }

    /// Once everything up to the last look was read: what has been delivered by now.
    pub fn passed(&mut self) -> Option<(GtidSet, StreamCheckpoint)> {
        let (behind, _) = self.unread();
        if behind {
            return None;
        }
        let (life, target) = (self.life.as_ref()?, self.target.take()?);
        self.covered.extend(&target.captured);
        let positions = self.streams.iter().cloned().zip(self.read.iter().copied()).collect();
        Some((target.captured, StreamCheckpoint { generation: life.generation.clone(), epoch: life.epoch, positions }))
    }

    /// Notes that entries are missing.
    pub fn lose(&mut self, reason: &str, meta: Option<&Meta>) -> Verdict {
        let seen = meta.map(|meta| Life { generation: meta.generation.clone(), epoch: meta.epoch });
        self.lost_in = seen.or_else(|| self.life.clone());
        self.life = None;
        self.target = None;
        Verdict::Lost(reason.to_string())
    }

    fn missing(&self, at: usize, what: &str) -> String {
        format!("stream {} {what}", self.streams[at])
    }

    /// Whether capture went on, from the session that was seen last to the one of now, without leaving anything out.
    fn goes_on(&mut self, meta: &Meta) -> Result<(), &'static str> {
        let Some(life) = &mut self.life else {
            return Err("nothing was read yet");
        };
        if life.generation == DEBEZIUM && meta.imported {
            // Capture took over after all that the Debezium Server had appended.
            let (&first, _) = meta.epochs.first_key_value().ok_or("the record beside the streams is not whole")?;
            *life = Life { generation: meta.generation.clone(), epoch: first };
        }
        if life.generation != meta.generation {
            return Err("the streams were lost and begun anew");
        }
        if meta.epoch < life.epoch {
            return Err("the streams went back to an earlier state");
        }
        let mut last = meta.epochs.get(&life.epoch);
        for number in life.epoch + 1..=meta.epoch {
            let epoch = meta.epochs.get(&number).ok_or("the record of a capture session is gone")?;
            let gap = last.is_none_or(|last| !epoch.from.is_subset(&last.captured));
            if gap || !epoch.tables.is_superset(&self.tables) {
                return Err("a capture session left changes out");
            }
            last = Some(epoch);
        }
        life.epoch = meta.epoch;
        Ok(())
    }

    /// Sets the positions to where the newest capture session began, if it appends all that is not covered.
    fn rebase(&mut self, meta: &Meta) -> bool {
        let Some(epoch) = meta.epochs.get(&meta.epoch) else {
            return false;
        };
        let later =
            self.lost_in.as_ref().is_none_or(|lost| lost.generation != meta.generation || lost.epoch < meta.epoch);
        if !later || !epoch.from.is_subset(&self.covered) || !epoch.tables.is_superset(&self.tables) {
            return false;
        }
        self.read = self.streams.iter().map(|stream| epoch.base.get(stream).copied().unwrap_or_default()).collect();
        self.life = Some(Life { generation: meta.generation.clone(), epoch: meta.epoch });
        self.lost_in = None;
        true
    }

    /// Sets a look as the point to read up to, unless it shows already that entries are missing.
    fn aim(&mut self, streams: &[Option<Position>], captured: GtidSet) -> Result<(), String> {
        let mut ends = Vec::with_capacity(streams.len());
        for (at, (end, read)) in streams.iter().zip(&self.read).enumerate() {
            let end = end.unwrap_or_default();
            if end.id < read.id || end.count < read.count {
                return Err(self.missing(at, "went back, or is gone"));
            }
            if (end.id == read.id) != (end.count == read.count) {
                return Err(self.missing(at, "lost entries before they were read"));
            }
            ends.push(end);
        }
        self.target = Some(Target { streams: ends, captured });
        Ok(())
    }
}

#[cfg(test)]
#[path = "following_tests.rs"]
mod tests;
