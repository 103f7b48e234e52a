//! What goes wrong: writes that dawdle, get lost or outlive their sender, answers that do not arrive, owners that die
//! or pause, capture that starts again. When a fault's turn comes is the profile's choice; what follows is not here.

use crate::target::{EPOCHS, OPS, Phase};
use crate::world::{Mode, World, note};

impl World {
    /// One write on its way lands, with or without its answer, or is dropped.
    pub fn network(&mut self) {
        if self.target.pending == 0 {
            return;
        }
        let at = self.rng.below(self.target.pending);
        let op = self.target.ops[at];
        let orphan = !self.owners.iter().any(|owner| owner.alive && owner.epoch == op.epoch);
        if (op.slow || orphan) && self.target.pending < OPS - 4 && !self.rng.chance(self.profile.late) {
            return;
        }
        if !self.quiet() && self.rng.chance(self.profile.dropped) {
            note!(self, op.key, "dropped: {:?} key {} of owner {}", op.kind, op.key, op.epoch);
            self.target.take(at);
            return;
        }
        let heard = self.quiet() || !self.rng.chance(self.profile.lost);
        self.land(at, heard);
    }

    pub fn land(&mut self, at: usize, heard: bool) {
        let op = self.target.take(at);
        let answer = self.target.land(&op, self.now, self.rules, &mut self.broken);
        note!(
            self,
            op.key,
            "lands: {:?} key {} v{} name {} of owner {}: {answer:?}{}",
            op.kind,
            op.key,
            op.doc.version,
            op.name,
            op.epoch,
            if heard { "" } else { ", answer lost" }
        );
        if heard {
            self.answered(&op, answer);
        }
    }

    /// Nothing goes wrong now: at the end of every schedule, and in some until the stream is reached.
    pub fn quiet(&self) -> bool {
        self.calm || (self.quiet_copy && self.target.build.phase != Phase::Stream)
    }

    /// The owner in slot `s` dies; what it has sent stays on its way.
    pub fn crash(&mut self, s: usize) {
        let owner = &mut self.owners[s];
        // The last epoch there is must live, or nobody would finish.
        if owner.alive && owner.epoch < EPOCHS {
            owner.alive = false;
            note!(self, owner.epoch, "owner {} crashes", owner.epoch);
        }
    }

    /// One of the profile's faults, drawn by its weights.
    pub fn fault(&mut self) {
        if self.quiet() {
            return;
        }
        let kind = self.rng.weighted(&self.profile.faults);
        let current = self.current;
        match kind {
            0 => self.crash(current),
            1 => {
                let which = current ^ usize::from(self.rng.chance(16));
                self.owners[which].paused = !self.owners[which].paused;
                note!(self, which, "owner {} pauses or goes on", self.owners[which].epoch);
            }
            2 if self.mode == Mode::Streams => {
                let back = self.rng.below(5);
                if self.streams.redeliver(back) {
                    note!(self, back, "capture starts again {back} earlier");
                }
            }
            _ => {}
        }
    }
}
