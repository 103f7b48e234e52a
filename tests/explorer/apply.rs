//! Marks become reads and reads become guarded writes, as one owner does it: a batch of dirty roots in one snapshot,
//! replace, create or delete, and what its outcome discharges. How marks come about is in `events`.

use crate::oracle::Breach;
use crate::owner::{Hand, Held};
use crate::rules::Bug;
use crate::source::ROOTS;
use crate::target::{Answer, Doc, Kind, Op, Phase};
use crate::world::{World, note};

impl World {
    /// The marks this owner knows of: those in its memory, and the record if it has found one.
    fn marks_of(&self, s: usize, key: usize) -> u64 {
        let owner = &self.owners[s];
        let found = owner.drain >> key & 1 == 1;
        owner.dirty[key] | if found { self.target.marks[key] } else { 0 }
    }

    /// Half of a batched read: the first chooses the roots. Waiting until every mark is in E is not necessary, so it
    /// is done only in some schedules; what is not in E stays marked.
    pub fn read_batch(&mut self, s: usize) -> bool {
        if self.owners[s].batch == 0 {
            let position = self.position_to_read();
            let patient = self.rng.chance(32);
            let hasty = self.rules.has(Bug::NoFence) || self.rng.chance(4);
            let owner = &self.owners[s];
            let mut keys = 0;
            for key in 0..ROOTS {
                let wanted = self.marks_of(s, key);
                let drained = owner.drain >> key & 1 == 1;
                let useful = wanted & position != 0 || hasty || drained;
                let whole = wanted & !position == 0 || !patient || hasty;
                if owner.hands[key].state == Held::Free && (wanted != 0 || drained) && useful && whole {
                    keys |= 1 << key;
                }
            }
            keys &= self.rng.draw() as u8 | self.rng.draw() as u8;
            if keys == 0 {
                return false;
            }
            self.owners[s].batch = keys;
            self.batch_half(s, true);
            return true;
        }
        self.batch_half(s, false);
        let wanted: [u64; ROOTS] = std::array::from_fn(|key| self.marks_of(s, key));
        let owner = &mut self.owners[s];
        let lookups = owner.batch_rows.lookups();
        self.broken.note(Breach::ReadBeforeP0, owner.p0 & !owner.batch_truth != 0);
        for key in (0..ROOTS).filter(|key| owner.batch >> key & 1 == 1) {
            let body = owner.batch_rows.fold(key, &lookups);
            owner.hands[key] = Hand {
                state: Held::Ready,
                kind: if body == 0 { Kind::Delete } else { Kind::Replace },
                body,
                version: owner.batch_e.count_ones() as u8,
                e: owner.batch_e,
                truth: owner.batch_truth,
                wanted: wanted[key],
                ticket: 0,
                deadline: 0,
            };
        }
        owner.batch = 0;
        true
    }

    fn batch_half(&mut self, s: usize, first: bool) {
        if self.takes_e(first) {
            self.owners[s].batch_e = self.position_to_read();
        } else {
            self.owners[s].batch_rows = self.source.rows;
            self.owners[s].batch_truth = self.source.visible;
        }
        note!(
            self,
            self.owners[s].batch,
            "owner {} reads roots {:#06b}, E {:#x}, sees {:#x}",
            self.owners[s].epoch,
            self.owners[s].batch,
            self.owners[s].batch_e,
            self.owners[s].batch_truth
        );
    }

    /// The next write of a key in hand, or giving up on one whose answer does not come.
    pub fn write_hand(&mut self, s: usize) -> bool {
        let first = self.rng.below(ROOTS);
        for turn in 0..ROOTS {
            let key = (first + turn) % ROOTS;
            let hand = self.owners[s].hands[key];
            match hand.state {
                Held::Ready if self.may_write(s) => {
                    let name = if self.target.build.phase == Phase::Stream {
                        self.target.build.name
                    } else {
                        self.owners[s].name
                    };
                    let doc = Doc { body: hand.body, version: hand.version, truth: hand.truth };
                    let ticket = self.send(s, Op { kind: hand.kind, key: key as u8, name, doc, ..Op::default() });
                    let deadline = self.now + self.profile.deadline;
                    let hand = &mut self.owners[s].hands[key];
                    (hand.state, hand.ticket, hand.deadline) = (Held::Sent, ticket, deadline);
                    return true;
                }
                Held::Sent if self.now >= hand.deadline || (!self.quiet() && self.rng.chance(self.profile.lost)) => {
                    let released = self.rules.has(Bug::UnknownReleased);
                    self.owners[s].hands[key].state = if released { Held::Free } else { Held::Unknown };
                    note!(self, key, "owner {} gives up waiting for key {key}", self.owners[s].epoch);
                    return true;
                }
                Held::Unknown if self.now >= hand.deadline => {
                    self.owners[s].hands[key].state = Held::Free;
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// Replace first; what it did not find is created; both, and a newer read in the way, discharge.
    pub fn hand_answered(&mut self, s: usize, key: usize, answer: Answer) {
        let hand = &mut self.owners[s].hands[key];
        match (hand.kind, answer) {
            (Kind::Replace, Answer::Missed) => {
                hand.kind = Kind::Create;
                hand.state = Held::Ready;
            }
            (_, Answer::Late) => hand.state = Held::Free,
            // Done, or a newer read is there: both discharge.
            _ => self.discharge(s, key),
        }
    }

    fn discharge(&mut self, s: usize, key: usize) {
        let owner = &mut self.owners[s];
        let hand = owner.hands[key];
        owner.hands[key].state = Held::Free;
        let set = if self.rules.has(Bug::NoFence) { hand.e | hand.wanted } else { hand.e };
        let unfenced = (owner.dirty[key] | owner.to_record[key]) & set & !hand.truth;
        self.broken.note(Breach::Unfenced, unfenced != 0);
        owner.dirty[key] &= !set;
        owner.to_record[key] &= !set;
        if owner.drain >> key & 1 == 1 {
            self.broken.note(Breach::Unfenced, self.target.marks[key] & set & !hand.truth != 0);
            owner.to_drop[key] |= if self.rules.has(Bug::MarkRemovedWhole) { u64::MAX } else { set };
            owner.drain &= !(1 << key);
        }
        self.discharge_entries(s, key, set);
    }
}
