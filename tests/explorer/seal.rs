//! The sealed copy: a plain insert carries no deadline, so the collection it goes to is renamed at a take-over and at
//! the end of the copy, and a late insert of a dead owner makes a stray instead. Here: which name is next, and how a
//! rename is made that may itself be late, lost, or repeated by the next owner. What is inserted is `chunk`'s business.
//!
//! The intent is durable before the rename is sent, and whoever comes next completes it before any rename of its own.
//! So each name has one successor for ever, and a late rename can only move a stray, along the same way.

use crate::chunk::Pc;
use crate::owner::PATIENCE;
use crate::rules::Bug;
use crate::target::{Kind, Op, Phase, SEALED};
use crate::world::{World, note};

impl World {
    /// The collection into which the owner of this epoch copies.
    fn copy_name(&self, s: usize) -> u8 {
        self.owners[s].epoch * 2
    }

    /// The collection a new build begins with.
    pub fn make_collection(&mut self, s: usize) {
        let name = self.copy_name(s);
        self.target.build.identity = self.target.make(name);
        self.target.build.name = name;
        self.owners[s].name = name;
    }

    /// After a take-over: into a name that no write of an older owner knows.
    pub fn seal_off(&mut self, s: usize) -> Pc {
        let name = self.copy_name(s);
        if self.rules.has(Bug::NotSealed) || self.rules.has(Bug::NotSealedAtTakeOver) {
            self.owners[s].name = self.target.build.name;
            Pc::Load
        } else if self.rules.has(Bug::NoRenameIntent) {
            self.move_newest(s, name, Pc::Name, Pc::NameSent, Pc::Load)
        } else {
            self.move_to(s, name, Pc::Name, Pc::NameSent, Pc::Load)
        }
    }

    /// At the end of the copy: into a name that no plain insert knows. The phase is durable before.
    pub fn seal(&mut self, s: usize) -> Pc {
        if self.target.build.phase != Phase::Seal {
            if self.may_change_record(s) {
                self.target.build.phase = Phase::Seal;
            }
            Pc::Seal
        } else if self.rules.has(Bug::NotSealed) || self.rules.has(Bug::NotSealedAtEnd) {
            self.owners[s].name = self.target.build.name;
            Pc::Switch
        } else if self.rules.has(Bug::NoRenameIntent) {
            let name = self.target.newest_name() | 1;
            self.move_newest(s, name, Pc::Seal, Pc::SealSent, Pc::Switch)
        } else {
            self.move_to(s, SEALED, Pc::Seal, Pc::SealSent, Pc::Switch)
        }
    }

    /// One step on the way to `name`: store the intent, do what it says, store that it is done.
    fn move_to(&mut self, s: usize, name: u8, here: Pc, sent: Pc, done: Pc) -> Pc {
        let (from, to) = (self.target.build.renaming, self.target.build.name);
        if from == 0 && to == name {
            self.owners[s].name = to;
            return done;
        }
        let at_from = self.target.exists(from);
        let at_to = self.target.exists(to);
        if from != 0 && at_from {
            // Both exist: it was renamed, and a late insert has made the old name again.
            let kind = if at_to { Kind::Drop } else { Kind::Rename };
            return self.send_move(s, kind, from, to, here, sent);
        }
        if !self.may_change_record(s) {
            return here;
        }
        let build = &mut self.target.build;
        if from == 0 {
            build.strays |= 1 << build.name;
            build.renaming = build.name;
            build.name = name;
        } else {
            build.renaming = 0;
        }
        note!(self, name, "record: collection {} renaming {}", self.target.build.name, self.target.build.renaming);
        here
    }

    /// What an engine does that takes the newest name for its own and stores no intent.
    fn move_newest(&mut self, s: usize, name: u8, here: Pc, sent: Pc, done: Pc) -> Pc {
        let newest = self.target.newest_name();
        if newest & 1 == 1 || newest == name {
            self.owners[s].name = newest;
            return done;
        }
        self.send_move(s, Kind::Rename, newest, name, here, sent)
    }

    fn send_move(&mut self, s: usize, kind: Kind, name: u8, to: u8, here: Pc, sent: Pc) -> Pc {
        if !self.may_write(s) {
            return here;
        }
        let op = Op { kind, name, to, ..Op::default() };
        let ticket = self.send(s, op);
        let owner = &mut self.owners[s];
        owner.waiting = ticket;
        owner.give_up = self.now + PATIENCE;
        sent
    }

    /// Whatever the answer was, and without one: look again which names exist.
    pub fn move_answered(&self, s: usize, again: Pc) -> Pc {
        let owner = &self.owners[s];
        if owner.waiting != 0 && self.now < owner.give_up { owner.pc } else { again }
    }

    /// Drops what late inserts have made under names that are no longer used; nobody waits for that.
    pub fn drop_strays(&mut self, s: usize) {
        let build = self.target.build;
        for name in 1..SEALED {
            let used = name == build.name || name == build.renaming;
            if build.strays >> name & 1 == 1 && !used && self.target.exists(name) && self.may_write(s) {
                self.send(s, Op { kind: Kind::Drop, name, ..Op::default() });
            }
        }
    }
}
