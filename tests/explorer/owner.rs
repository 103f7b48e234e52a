//! An owner of the build: its lease, its memory, which of its micro-steps comes next, and what an answer to one of
//! its writes does. The copy's steps are in `chunk`, those of the stream in `apply`.

use crate::chunk::Pc;
use crate::rules::Bug;
use crate::source::{Lookups, ROOTS, Rows, TABLES};
use crate::target::{Answer, CHUNKS, Chunk, EPOCHS, Kind, OPS, Op, Phase};
use crate::world::{Mode, World, note};

/// How long an owner waits for an answer before it takes the write's outcome as unknown.
pub const PATIENCE: u16 = 4;

/// One key in hand, between its read and the end of its write.
#[derive(Clone, Copy, Default)]
pub struct Hand {
    pub state: Held,
    pub kind: Kind,
    pub body: u64,
    pub version: u8,
    pub e: u64,
    pub truth: u64,
    /// What was pending when the read was made; only an engine without a fence looks at it.
    pub wanted: u64,
    pub ticket: u16,
    pub deadline: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Held {
    #[default]
    Free,
    /// Read, its next write not yet sent.
    Ready,
    Sent,
    /// The outcome of the write is unknown; the key stays here until the deadline has passed.
    Unknown,
}

#[derive(Clone, Copy, Default)]
pub struct Owner {
    pub alive: bool,
    pub paused: bool,
    pub epoch: u8,
    pub lease: u16,
    tickets: u16,
    pub pc: Pc,
    /// The record and the chunks have been read: streams may be read.
    pub loaded: bool,
    // INIT
    pub start: [u8; TABLES],
    pub captured: u64,
    pub p0: u64,
    // copy
    /// The collection it copies into.
    pub name: u8,
    pub chunk: u8,
    pub e: u64,
    pub rows: Rows,
    pub truth: u64,
    pub cache: Lookups,
    pub c0: u64,
    pub cache_truth: u64,
    /// The E and c0 known to be durable.
    pub known: [Chunk; CHUNKS],
    pub to_insert: u8,
    /// Those of them that an earlier attempt has inserted: they are replaced under the guard.
    pub to_replace: u8,
    pub inserting: [u16; ROOTS],
    pub waiting: u16,
    pub give_up: u16,
    // stream
    pub cursor: [u8; TABLES],
    /// Entries that may not be passed yet, per root and stream, as bits.
    pub due: [[u64; TABLES]; ROOTS],
    /// Marks held in memory, per root.
    pub dirty: [u64; ROOTS],
    /// Marks to be recorded, and the write that is under way for them.
    pub to_record: [u64; ROOTS],
    pub record_ticket: [u16; ROOTS],
    pub record_give_up: [u16; ROOTS],
    /// What to remove from each root's record.
    pub to_drop: [u64; ROOTS],
    /// Roots known to have a record.
    pub drain: u8,
    /// Roots of the batch being read; its E may have been taken, or its snapshot opened, before the other.
    pub batch: u8,
    pub batch_e: u64,
    pub batch_rows: Rows,
    pub batch_truth: u64,
    pub hands: [Hand; ROOTS],
}

impl World {
    /// May the owner in slot `s` send a write now? Asked at the moment of sending: a read made under the lease and
    /// written after it would be as bad as one made after it.
    pub fn may_write(&self, s: usize) -> bool {
        self.target.pending < OPS && (self.now < self.owners[s].lease || self.rules.has(Bug::LeaseNotChecked))
    }

    /// A change of the build's record: conditional on the epoch.
    pub fn may_change_record(&self, s: usize) -> bool {
        self.may_write(s) && self.target.build.epoch == self.owners[s].epoch
    }

    pub fn send(&mut self, s: usize, mut op: Op) -> u16 {
        op.slow = !self.quiet() && self.rng.chance(self.profile.slow);
        let owner = &mut self.owners[s];
        owner.tickets += 1;
        op.ticket = owner.tickets;
        op.epoch = owner.epoch;
        op.deadline = self.now + self.profile.deadline;
        note!(
            self,
            op.key,
            "owner {} sends {:?} key {} v{} set {:#x} name {} to {} deadline {}",
            op.epoch,
            op.kind,
            op.key,
            op.doc.version,
            op.set,
            op.name,
            op.to,
            op.deadline
        );
        self.target.send(op);
        if self.profile.failpoint == Some(op.kind) && !self.quiet() && self.rng.chance(24) {
            self.crash(s);
        }
        op.ticket
    }

    pub fn owner_step(&mut self, s: usize) {
        let owner = &self.owners[s];
        if !owner.alive || owner.paused {
            return;
        }
        let lapsed = self.now >= owner.lease;
        let renewal = match lapsed {
            true if self.rules.has(Bug::LeaseNotChecked) => 1,
            true => 40,
            false => 4,
        };
        if self.rng.chance(renewal) {
            return self.renew(s);
        }
        let running = owner.pc == Pc::Run;
        if !running && self.rng.chance(40) {
            return self.copy_step(s);
        }
        let owner = &self.owners[s];
        if !owner.loaded {
            return;
        }
        let may_drain = running || self.rules.has(Bug::DrainDuringCopy);
        let first = self.rng.below(8);
        // Whatever is possible, beginning anywhere: no order between these steps may be relied on.
        for turn in 0..8 {
            let done = match (first + turn) & 7 {
                0 | 1 => self.read_entry(s),
                2 => may_drain && self.read_batch(s),
                3 => may_drain && self.write_hand(s),
                4 => self.record_marks(s),
                5 => may_drain && self.drop_marks(s),
                6 => may_drain && self.find_marks(s),
                _ => self.save_checkpoint(s),
            };
            if done {
                return;
            }
        }
    }

    fn renew(&mut self, s: usize) {
        if self.target.build.epoch == self.owners[s].epoch {
            self.target.build.lease = self.now + self.profile.lease;
            // The answer may be lost: then the owner believes in less than it has.
            if self.quiet() || !self.rng.chance(self.profile.lost) {
                self.owners[s].lease = self.target.build.lease;
            }
            note!(self, s, "owner {} renews its lease to {}", self.owners[s].epoch, self.owners[s].lease);
        } else {
            note!(self, s, "owner {} finds itself replaced and ends", self.owners[s].epoch);
            self.owners[s].alive = false;
        }
    }

    /// Another process takes the build over if it may.
    pub fn take_over(&mut self) -> bool {
        let wait = if self.rules.has(Bug::NoTakeOverWait) { 0 } else { self.profile.deadline };
        let build = &mut self.target.build;
        if build.epoch == EPOCHS || (build.epoch > 0 && self.now < build.lease + wait) {
            return false;
        }
        build.epoch += 1;
        build.lease = self.now + self.profile.lease;
        // The old owner may well be alive, and find out later than it should.
        self.owners[self.current].paused &= self.rng.chance(32);
        self.current ^= 1;
        let owner = &mut self.owners[self.current];
        *owner = Owner { alive: true, epoch: build.epoch, lease: build.lease, ..Owner::default() };
        owner.cursor = build.checkpoint;
        owner.p0 = build.p0;
        owner.pc = match build.phase {
            Phase::Init => Pc::Begin,
            Phase::Copy => Pc::Name,
            Phase::Seal | Phase::Stream => Pc::Load,
        };
        if self.mode == Mode::Queue {
            // The queue died with its process; capture starts again from the checkpoint.
            self.streams.restart(build.passed);
            owner.cursor = [0; TABLES];
        }
        note!(
            self,
            self.current,
            "owner {} takes over in {:?} at {}",
            self.target.build.epoch,
            self.target.build.phase,
            self.now
        );
        true
    }

    /// The answer to a write reaches whoever waits for it. An owner that has given the write up ignores it.
    pub fn answered(&mut self, op: &Op, answer: Answer) {
        let Some(s) = (0..2).find(|s| self.owners[*s].alive && self.owners[*s].epoch == op.epoch) else {
            return;
        };
        let key = usize::from(op.key);
        let owner = &mut self.owners[s];
        match op.kind {
            Kind::StoreE if owner.waiting == op.ticket => {
                owner.waiting = 0;
                if let Answer::Stored(e, c0) = answer {
                    self.stored(s, key, e, c0);
                }
            }
            Kind::Rename | Kind::Drop if owner.waiting == op.ticket => {
                owner.waiting = 0;
            }
            Kind::Insert | Kind::Replace if owner.inserting[key] == op.ticket => {
                owner.inserting[key] = 0;
                if answer == Answer::Duplicate && self.replaces {
                    owner.to_insert |= 1 << key;
                    owner.to_replace |= 1 << key;
                }
            }
            Kind::AddMarks if owner.record_ticket[key] == op.ticket => {
                owner.record_ticket[key] = 0;
                owner.to_record[key] &= !op.set;
                owner.drain |= 1 << key;
                self.discharge_entries(s, key, op.set);
            }
            Kind::Replace | Kind::Create | Kind::Delete
                if owner.hands[key].state == Held::Sent && owner.hands[key].ticket == op.ticket =>
            {
                self.hand_answered(s, key, answer);
            }
            _ => {}
        }
    }
}
