//! INIT and the copy, as one owner goes through them: stream start, C, P0, the collection's name, the lookup cache,
//! then per chunk E, snapshot, durable E, plain inserts, done, and at last the seal. No event is looked at here.

use crate::oracle::Breach;
use crate::owner::PATIENCE;
use crate::rules::Bug;
use crate::source::{ROOTS, TABLES};
use crate::stream::ALL_TABLES;
use crate::target::{CHUNKS, Doc, Kind, Op, Phase, chunk_of};
use crate::world::{Mode, World, note};

/// Where an owner is on its way to the stream.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Pc {
    #[default]
    Begin,
    Tables,
    /// The start of the first streams is noted, then that of the others.
    StartA,
    StartB,
    ReadC,
    WaitC,
    TakeP0,
    SaveInit,
    Name,
    NameSent,
    Load,
    CacheFirst,
    CacheSecond,
    NextChunk,
    ReadFirst,
    ReadSecond,
    Store,
    StoreSent,
    Insert,
    Done,
    Seal,
    SealSent,
    Switch,
    Run,
}

impl World {
    pub fn position_to_read(&self) -> u64 {
        if self.rules.has(Bug::EFromBinlogEnd) { self.source.binlog_end() } else { self.source.executed }
    }

    /// Of the two halves of a read, E and the snapshot: is it E's turn?
    pub fn takes_e(&self, first_half: bool) -> bool {
        first_half != self.rules.has(Bug::SnapshotBeforeE)
    }

    pub fn copy_step(&mut self, s: usize) {
        let pc = self.owners[s].pc;
        let next = match pc {
            Pc::Begin if self.mode == Mode::Queue => Pc::TakeP0,
            Pc::Begin => {
                self.streams.asked = true;
                Pc::Tables
            }
            Pc::Tables if self.streams.listed != ALL_TABLES && !self.rules.has(Bug::TablesNotAcknowledged) => pc,
            Pc::Tables if self.rules.has(Bug::CapturedReadFirst) => {
                self.owners[s].captured = self.streams.appended(self.rules);
                Pc::StartA
            }
            Pc::Tables => Pc::StartA,
            Pc::StartA => self.note_start(s, 0..2, Pc::StartB),
            Pc::StartB => self.note_start(s, 2..TABLES, Pc::ReadC),
            Pc::ReadC => {
                if !self.rules.has(Bug::CapturedReadFirst) {
                    self.owners[s].captured = self.streams.appended(self.rules);
                }
                Pc::WaitC
            }
            Pc::WaitC => {
                let missing = self.owners[s].captured & !self.source.executed;
                if missing != 0 && !self.rules.has(Bug::NoInitWait) { pc } else { Pc::TakeP0 }
            }
            Pc::TakeP0 => {
                let p0 = if self.rules.has(Bug::StartFromBinlogEnd) {
                    self.source.binlog_end()
                } else {
                    self.source.executed
                };
                self.owners[s].p0 = p0;
                Pc::SaveInit
            }
            Pc::SaveInit => self.save_init(s),
            Pc::Name => self.seal_off(s),
            Pc::NameSent => self.move_answered(s, Pc::Name),
            Pc::Load => self.load(s),
            Pc::CacheFirst => {
                self.cache_half(s, true);
                Pc::CacheSecond
            }
            Pc::CacheSecond => {
                self.cache_half(s, false);
                Pc::NextChunk
            }
            Pc::NextChunk => self.next_chunk(s),
            Pc::ReadFirst => {
                self.chunk_half(s, true);
                Pc::ReadSecond
            }
            Pc::ReadSecond => self.chunk_read(s),
            Pc::Store => self.store(s),
            Pc::StoreSent => self.store_answered(s),
            Pc::Insert => self.insert(s),
            Pc::Done => self.chunk_done(s),
            Pc::Seal => self.seal(s),
            Pc::SealSent => self.move_answered(s, Pc::Seal),
            Pc::Switch => self.switch(s),
            Pc::Run => pc,
        };
        if next != pc {
            note!(self, next as u8, "owner {} goes from {pc:?} to {next:?}", self.owners[s].epoch);
            self.owners[s].pc = next;
        }
    }

    fn note_start(&mut self, s: usize, streams: std::ops::Range<usize>, next: Pc) -> Pc {
        self.owners[s].start[streams.clone()].copy_from_slice(&self.streams.len[streams]);
        next
    }

    fn save_init(&mut self, s: usize) -> Pc {
        if !self.may_change_record(s) {
            return Pc::SaveInit;
        }
        self.make_collection(s);
        let owner = &mut self.owners[s];
        let build = &mut self.target.build;
        build.phase = Phase::Copy;
        build.p0 = owner.p0;
        build.passed = owner.p0;
        build.checkpoint = owner.start;
        owner.cursor = owner.start;
        Pc::Load
    }

    fn load(&mut self, s: usize) -> Pc {
        let owner = &mut self.owners[s];
        owner.known = self.target.chunks;
        owner.c0 = u64::MAX;
        owner.loaded = true;
        self.drop_strays(s);
        match self.target.build.phase {
            Phase::Stream => Pc::Run,
            Phase::Seal => Pc::Seal,
            _ if self.cached => Pc::CacheFirst,
            _ => Pc::NextChunk,
        }
    }

    fn cache_half(&mut self, s: usize, first: bool) {
        if self.takes_e(first) {
            self.owners[s].c0 = self.position_to_read();
        } else {
            self.owners[s].cache = self.source.rows.lookups();
            self.owners[s].cache_truth = self.source.visible;
        }
        note!(self, first, "owner {} reads its lookup cache, c0 {:#x}", self.owners[s].epoch, self.owners[s].c0);
    }

    fn next_chunk(&mut self, s: usize) -> Pc {
        let open = (0..CHUNKS).fold(0, |open, c| open | u64::from(!self.target.chunks[c].done) << c);
        if open == 0 {
            return Pc::Seal;
        }
        self.owners[s].chunk = self.rng.bit_of(open) as u8;
        Pc::ReadFirst
    }

    fn chunk_half(&mut self, s: usize, first: bool) {
        if self.takes_e(first) {
            self.owners[s].e = self.position_to_read();
        } else {
            self.owners[s].rows = self.source.rows;
            self.owners[s].truth = self.source.visible;
        }
        note!(
            self,
            first,
            "owner {} reads chunk {}, E {:#x}, sees {:#x}",
            self.owners[s].epoch,
            self.owners[s].chunk,
            self.owners[s].e,
            self.owners[s].truth
        );
    }

    fn chunk_read(&mut self, s: usize) -> Pc {
        self.chunk_half(s, false);
        let owner = &mut self.owners[s];
        if !self.cached {
            owner.cache = owner.rows.lookups();
            owner.cache_truth = owner.truth;
        }
        self.broken.note(Breach::ReadBeforeP0, owner.p0 & !(owner.truth & owner.cache_truth) != 0);
        owner.to_insert = 0;
        owner.to_replace = 0;
        owner.inserting = [0; ROOTS];
        for key in (0..ROOTS).filter(|key| chunk_of(*key) == usize::from(owner.chunk)) {
            if owner.rows.root(key) != 0 {
                owner.to_insert |= 1 << key;
            }
        }
        if self.mode == Mode::Queue || self.rules.has(Bug::EAfterWrites) { Pc::Insert } else { Pc::Store }
    }

    fn store(&mut self, s: usize) -> Pc {
        if !self.may_write(s) {
            return Pc::Store;
        }
        let owner = &self.owners[s];
        let op = Op { kind: Kind::StoreE, key: owner.chunk, set: owner.e, c0: owner.c0, ..Op::default() };
        let ticket = self.send(s, op);
        self.owners[s].waiting = ticket;
        self.owners[s].give_up = self.now + PATIENCE;
        Pc::StoreSent
    }

    /// The answer names the E that holds, which is another attempt's if that came first.
    pub fn stored(&mut self, s: usize, chunk: usize, e: u64, c0: u64) {
        let owner = &mut self.owners[s];
        let known = &mut owner.known[chunk];
        (known.stored, known.e, known.c0) = (true, e, c0);
    }

    fn store_answered(&mut self, s: usize) -> Pc {
        let owner = &self.owners[s];
        match owner.waiting {
            0 if self.rules.has(Bug::EAfterWrites) => Pc::Done,
            0 => Pc::Insert,
            _ if self.now < owner.give_up => Pc::StoreSent,
            // Outcome unknown: store it again, or read the chunk again.
            _ if self.rng.chance(32) => Pc::Store,
            _ => Pc::ReadFirst,
        }
    }

    fn insert(&mut self, s: usize) -> Pc {
        let owner = &self.owners[s];
        if owner.to_insert == 0 {
            if owner.inserting == [0; ROOTS] {
                return if self.rules.has(Bug::EAfterWrites) && self.mode == Mode::Streams {
                    Pc::Store
                } else {
                    Pc::Done
                };
            }
            if self.now < owner.give_up {
                return Pc::Insert;
            }
            if self.rng.chance(32) {
                return Pc::ReadFirst;
            }
            // Outcome unknown: a plain insert may be sent again, the first one may still land.
            let owner = &mut self.owners[s];
            for key in 0..ROOTS {
                owner.to_insert |= u8::from(owner.inserting[key] != 0) << key;
                owner.inserting[key] = 0;
            }
            return Pc::Insert;
        }
        if !self.may_write(s) {
            return Pc::Insert;
        }
        let key = self.rng.bit_of(u64::from(self.owners[s].to_insert));
        let owner = &self.owners[s];
        if self.mode == Mode::Streams {
            // What is durable may be another attempt's; it must lie in this read all the same.
            let known = &owner.known[usize::from(owner.chunk)];
            let uncovered = known.e & known.c0 & !(owner.truth & owner.cache_truth);
            self.broken.note(Breach::CoverNotRead, known.stored && uncovered != 0);
        }
        let mut read = owner.e & owner.c0;
        if self.first_version && self.mode == Mode::Streams && !self.rules.has(Bug::EAfterWrites) {
            read &= owner.known[usize::from(owner.chunk)].e & owner.known[usize::from(owner.chunk)].c0;
        }
        let doc = Doc {
            body: owner.rows.fold(key, &owner.cache),
            version: read.count_ones() as u8,
            truth: owner.truth & owner.cache_truth,
        };
        let op = Op {
            kind: match owner.to_replace >> key & 1 {
                0 => Kind::Insert,
                _ => Kind::Replace,
            },
            copied: true,
            key: key as u8,
            name: owner.name,
            doc,
            ..Op::default()
        };
        let ticket = self.send(s, op);
        let owner = &mut self.owners[s];
        owner.to_insert &= !(1 << key);
        owner.inserting[key] = ticket;
        owner.give_up = self.now + PATIENCE;
        Pc::Insert
    }

    fn chunk_done(&mut self, s: usize) -> Pc {
        if !self.may_change_record(s) {
            return Pc::Done;
        }
        let at = usize::from(self.owners[s].chunk);
        let chunk = self.target.chunks[at];
        let docs = self.target.live();
        for key in (0..ROOTS).filter(|key| chunk_of(*key) == at) {
            let uncovered = chunk.e & chunk.c0 & !docs[key].truth;
            self.broken.note(Breach::CoverNotRead, chunk.stored && docs[key].body != 0 && uncovered != 0);
        }
        self.target.chunks[at].done = true;
        Pc::NextChunk
    }

    fn switch(&mut self, s: usize) -> Pc {
        if !self.may_change_record(s) {
            return Pc::Switch;
        }
        let build = &mut self.target.build;
        build.phase = Phase::Stream;
        build.name = self.owners[s].name;
        if self.mode == Mode::Queue {
            self.streams.restart(build.passed);
        }
        Pc::Run
    }
}
