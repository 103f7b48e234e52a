//! Entries become marks, as one owner does it: which roots an event marks, which of them a chunk covers, the records
//! of `_rowfold.marks`, and how far the streams may be passed. How a mark is discharged is in `apply`.

use crate::chunk::Pc;
use crate::oracle::Breach;
use crate::owner::PATIENCE;
use crate::rules::Bug;
use crate::source::{
    CHILD, Change, GRAND, LOOKUP, ROOT, ROOTS, TABLES, key_of, link, shows_child, shows_lookup, table_of,
};
use crate::target::{Kind, Op, chunk_of};
use crate::world::{Mode, World, note};

impl World {
    /// The roots an event marks, as bits (I1).
    fn roots_of(&self, change: Change) -> u8 {
        let row = usize::from(change.row);
        let key = key_of(row);
        let before = if self.rules.has(Bug::AfterImageOnly) && change.after != 0 { 0 } else { change.before };
        let images = [before, change.after];
        let present = images.into_iter().filter(|image| *image != 0);
        let through_target = self.rules.has(Bug::RootsThroughTarget);
        match table_of(row) {
            ROOT => 1 << key,
            CHILD => present.fold(0, |roots, image| roots | 1 << link(image)),
            GRAND if through_target => {
                present.fold(0, |roots, image| roots | self.documents(|doc| shows_child(doc, link(image))))
            }
            GRAND => present
                .map(|image| self.source.rows.child(link(image)))
                .filter(|child| *child != 0)
                .fold(0, |roots, child| roots | 1 << link(child)),
            _ if through_target => self.documents(|doc| shows_lookup(doc, key)),
            _ => (0..ROOTS)
                .filter(|root| self.source.rows.root(*root) != 0 && link(self.source.rows.root(*root)) == key)
                .fold(0, |roots, root| roots | 1 << root),
        }
    }

    fn documents(&self, wanted: impl Fn(u64) -> bool) -> u8 {
        let docs = self.target.live();
        (0..ROOTS).filter(|key| wanted(docs[*key].body)).fold(0, |roots, key| roots | 1 << key)
    }

    /// Does the chunk of `key`, whose E this owner knows to be durable, contain transaction `tx`?
    fn covered(&self, s: usize, key: usize, tx: usize, table: usize) -> bool {
        let chunk = &self.owners[s].known[chunk_of(key)];
        let set = match self.rules.has(Bug::CacheByTable) {
            true if table == LOOKUP && self.cached => chunk.c0,
            true => chunk.e,
            false => chunk.e & chunk.c0,
        };
        self.mode == Mode::Streams && chunk.stored && set >> tx & 1 == 1
    }

    /// Reads one entry of any stream, and holds or covers the marks it makes.
    pub fn read_entry(&mut self, s: usize) -> bool {
        let running = self.owners[s].pc == Pc::Run;
        if self.mode == Mode::Queue && (!running || s != self.current) {
            return false;
        }
        let first = self.rng.below(TABLES);
        for turn in 0..TABLES {
            let stream = (first + turn) % TABLES;
            let at = usize::from(self.owners[s].cursor[stream]);
            if at >= usize::from(self.streams.len[stream]) {
                continue;
            }
            let (tx, change) = self.streams.entry(stream, at, &self.source);
            // Edges are looked up in a snapshot that contains the event: wait for it (I2).
            let looks_up = matches!(table_of(usize::from(change.row)), GRAND | LOOKUP);
            if looks_up && self.source.executed >> tx & 1 == 0 && !self.rules.has(Bug::NoFence) {
                continue;
            }
            self.owners[s].cursor[stream] += 1;
            let before_p0 = self.skip_p0 && self.owners[s].p0 >> tx & 1 == 1;
            let roots = if before_p0 { 0 } else { self.roots_of(change) };
            note!(
                self,
                (tx << 8) as u64 | u64::from(roots),
                "owner {} reads entry {at} of stream {stream}: tx {tx} row {} marks {roots:#06b}",
                self.owners[s].epoch,
                change.row
            );
            for key in (0..ROOTS).filter(|key| roots >> key & 1 == 1) {
                if self.covered(s, key, tx, stream) {
                    note!(self, key, "  covered for key {key}");
                    continue;
                }
                let record = !running || (self.mode == Mode::Streams && self.rng.chance(self.profile.recorded));
                let owner = &mut self.owners[s];
                owner.due[key][stream] |= 1 << at;
                if record {
                    owner.to_record[key] |= 1 << tx;
                } else {
                    owner.dirty[key] |= 1 << tx;
                }
            }
            return true;
        }
        false
    }

    /// Sends marks on their way to `_rowfold.marks`; only the answer makes them durable.
    pub fn record_marks(&mut self, s: usize) -> bool {
        let first = self.rng.below(ROOTS);
        for turn in 0..ROOTS {
            let key = (first + turn) % ROOTS;
            let owner = &mut self.owners[s];
            if owner.record_ticket[key] != 0 && self.now >= owner.record_give_up[key] {
                owner.record_ticket[key] = 0;
            }
            let set = owner.to_record[key];
            if set != 0 && owner.record_ticket[key] == 0 && self.may_write(s) {
                let ticket = self.send(s, Op { kind: Kind::AddMarks, key: key as u8, set, ..Op::default() });
                self.owners[s].record_ticket[key] = ticket;
                self.owners[s].record_give_up[key] = self.now + PATIENCE;
                return true;
            }
        }
        false
    }

    /// Looks for records to drain; one whose every transaction its chunk covers needs no read.
    pub fn find_marks(&mut self, s: usize) -> bool {
        let owner = &mut self.owners[s];
        let old = owner.drain;
        for key in 0..ROOTS {
            let chunk = &owner.known[chunk_of(key)];
            let cover = if chunk.stored && owner.pc == Pc::Run { chunk.e & chunk.c0 } else { 0 };
            match self.target.marks[key] {
                0 => {}
                set if set & !cover == 0 => owner.to_drop[key] |= set,
                _ => owner.drain |= 1 << key,
            }
        }
        owner.drain != old
    }

    /// Takes what was discharged out of its record.
    pub fn drop_marks(&mut self, s: usize) -> bool {
        let first = self.rng.below(ROOTS);
        for turn in 0..ROOTS {
            let key = (first + turn) % ROOTS;
            let set = self.owners[s].to_drop[key];
            if set != 0 && self.may_write(s) {
                self.owners[s].to_drop[key] = 0;
                // Nobody waits for this one: a record that stays is read once more.
                self.send(s, Op { kind: Kind::DropMarks, key: key as u8, set, ..Op::default() });
                return true;
            }
        }
        false
    }

    /// The marks of these transactions on `key` are durable: their entries no longer wait for it.
    pub fn discharge_entries(&mut self, s: usize, key: usize, set: u64) {
        if self.mode == Mode::Queue && s != self.current {
            return;
        }
        let doc = self.target.live()[key];
        let chunk = self.target.chunks[chunk_of(key)];
        let read = if doc.body != 0 { doc.truth } else { self.target.gone[key].truth };
        let durable = self.target.marks[key] | read | if chunk.stored { chunk.e & chunk.c0 } else { 0 };
        for stream in 0..TABLES {
            let mut due = self.owners[s].due[key][stream];
            while due != 0 {
                let at = due.trailing_zeros() as usize;
                due &= due - 1;
                let tx = self.streams.tx_at(stream, at);
                if set >> tx & 1 == 1 {
                    self.owners[s].due[key][stream] &= !(1 << at);
                    self.broken.note(Breach::PassedEarly, durable >> tx & 1 == 0);
                }
            }
        }
    }

    /// Passes what may be passed (I4).
    pub fn save_checkpoint(&mut self, s: usize) -> bool {
        if !self.may_change_record(s) {
            return false;
        }
        let early = self.rules.has(Bug::PassedBeforeWrite);
        let owner = &self.owners[s];
        let mut checkpoint = owner.cursor;
        for (stream, at) in checkpoint.iter_mut().enumerate() {
            let due = (0..ROOTS).fold(0, |due, key| due | owner.due[key][stream]);
            if due != 0 {
                let first = due.trailing_zeros() as u8;
                self.broken.note(Breach::PassedEarly, early && first < *at);
                if !early {
                    *at = first;
                }
            }
        }
        let mut passed = self.target.build.passed;
        if self.mode == Mode::Queue {
            let mut open = 0;
            for (stream, from) in checkpoint.iter().enumerate() {
                for at in usize::from(*from)..usize::from(self.streams.len[stream]) {
                    open |= 1 << self.streams.tx_at(stream, at);
                }
            }
            // Everything of the binlog up to the first transaction that is still open, or not even appended.
            let open: u64 = open | 1 << self.streams.next;
            passed |= (1 << open.trailing_zeros()) - 1;
        }
        let build = &mut self.target.build;
        if checkpoint == build.checkpoint && passed == build.passed {
            return false;
        }
        build.checkpoint = checkpoint;
        build.passed = passed;
        note!(self, checkpoint[0], "owner {} passes {checkpoint:?}, set {passed:#x}", self.owners[s].epoch);
        true
    }
}
