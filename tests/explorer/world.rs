//! One schedule: the world, the actors whose steps are drawn, and the calm at the end in which everything must come
//! to rest. What a step does is in the files of its actor.

use crate::chunk::Pc;
use crate::oracle::Broken;
use crate::owner::{Held, Owner};
use crate::profiles::Profile;
use crate::rng::Rng;
use crate::rules::Rules;
use crate::source::{CHILDREN, GRANDS, LOOKUPS, ROOTS, Source, TABLES, TXS};
use crate::stream::{ALL_TABLES, Streams};
use crate::target::{Phase, Target};

/// Tells the trace and the trace's hash. The text is made only when somebody reads it.
macro_rules! note {
    ($world:expr, $mix:expr, $($text:tt)*) => {{
        let mix = $mix as u64 ^ (line!() as u64) << 32;
        $world.hash = ($world.hash ^ mix).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        if $world.traced {
            println!("{:4} {}", $world.now, format_args!($($text)*));
        }
    }};
}
pub(crate) use note;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Redis: capture runs beside, the copy records marks.
    Streams,
    /// The in-process queue: capture starts after the copy, at P0.
    Queue,
}

/// How a schedule ended.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// Roots whose documents differ at rest, as bits.
    pub differing: u8,
    pub broken: Broken,
    /// It did not come to rest.
    pub stuck: bool,
    /// The stream was reached while things could still go wrong.
    pub reached: bool,
    pub hash: u64,
}

impl Outcome {
    /// What is wrong with it, if anything is.
    pub fn fault(&self) -> Option<String> {
        match self {
            _ if self.stuck => Some("it did not come to rest".into()),
            _ if self.differing != 0 => Some(format!("documents {:#06b} differ", self.differing)),
            _ if self.broken.any() => Some(format!("broken on the way: {}", self.broken)),
            _ => None,
        }
    }
}

pub struct World {
    pub rng: Rng,
    pub rules: Rules,
    pub profile: &'static Profile,
    pub mode: Mode,
    pub source: Source,
    pub streams: Streams,
    pub target: Target,
    pub owners: [Owner; 2],
    pub current: usize,
    pub now: u16,
    pub calm: bool,
    pub broken: Broken,
    pub hash: u64,
    pub traced: bool,
    // What this schedule is like.
    pub cached: bool,
    pub skip_p0: bool,
    pub first_version: bool,
    pub replaces: bool,
    pub quiet_copy: bool,
    split: bool,
}

const CALM_STEPS: usize = 4000;

impl World {
    pub fn new(rules: Rules, profile: &'static Profile, mode: Mode, seed: u64, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mut source = Source { in_order: rng.chance(32), ..Source::default() };
        for (used, all) in source.used.iter_mut().zip([ROOTS, CHILDREN, GRANDS, LOOKUPS]) {
            *used = 1 + rng.below(all);
        }
        source.begin(&mut rng);
        let mut streams = Streams::new();
        if mode == Mode::Streams && rng.chance(profile.unlisted) {
            streams.listed = ALL_TABLES & !(1 << rng.below(TABLES));
        }
        World {
            rules,
            profile,
            mode,
            source,
            streams,
            target: Target::new(),
            owners: [Owner::default(); 2],
            current: 0,
            now: 0,
            calm: false,
            broken: Broken::default(),
            hash: 0xCBF2_9CE4_8422_2325,
            traced,
            cached: rng.chance(profile.cached),
            skip_p0: rng.chance(32),
            first_version: rng.chance(32),
            replaces: rng.chance(32),
            quiet_copy: rng.chance(profile.quiet_copy),
            split: rng.chance(32),
            rng,
        }
    }

    /// Runs the whole schedule.
    pub fn run(mut self) -> Outcome {
        let mut actors = [0; 128];
        let mut filled = 0;
        for (actor, weight) in self.profile.actors.iter().enumerate() {
            for _ in 0..*weight {
                actors[filled] = actor as u8;
                filled += 1;
            }
        }
        let (least, more) = self.profile.steps;
        let steps = usize::from(least) + self.rng.below(usize::from(more) + 1);
        let mut tail = self.profile.tail;
        for _ in 0..steps {
            let actor = actors[self.rng.below(filled)];
            self.act(actor);
            // The last transaction is committed: what is left to go wrong goes wrong soon, or not at all.
            if self.source.count == TXS {
                tail -= 1;
                if tail == 0 {
                    break;
                }
            }
        }
        let reached = self.target.build.phase == Phase::Stream;
        let rested = self.settle();
        let differing = if rested { self.differing() } else { 0 };
        if self.traced {
            self.print_end(differing);
        }
        Outcome { differing, broken: self.broken, stuck: !rested, reached, hash: self.hash }
    }

    fn act(&mut self, actor: u8) {
        match actor {
            0 => {
                let quota = match self.target.build.phase {
                    Phase::Init => usize::from(self.profile.quota[0]),
                    Phase::Copy | Phase::Seal => usize::from(self.profile.quota[1]),
                    Phase::Stream => TXS,
                };
                if self.source.count < quota && self.source.commit(self.profile, &mut self.rng) {
                    let tx = self.source.count - 1;
                    note!(self, tx, "source commits tx {tx}: {}", self.source.txs[tx]);
                }
            }
            1 => {
                if let Some(tx) = self.source.reveal(&mut self.rng) {
                    note!(self, tx, "source shows tx {tx}");
                }
            }
            2 => {
                if let Some(tx) = self.source.publish(&mut self.rng) {
                    note!(self, tx, "source adds tx {tx} to gtid_executed");
                }
            }
            3 => self.capture(),
            4 => self.owner_step(self.current),
            5 => self.network(),
            6 => {
                // Nobody at work: time may as well pass faster.
                let dead = !self.owners[self.current].alive;
                self.now += 1 + self.rng.below(if dead { 6 } else { 2 }) as u16;
            }
            7 => self.fault(),
            8 => {
                let owner = &self.owners[self.current];
                if self.target.build.epoch == 0 || !owner.alive || owner.paused || self.rng.chance(8) {
                    self.take_over();
                }
            }
            _ => self.owner_step(self.current ^ 1),
        }
    }

    fn capture(&mut self) {
        let owner = &self.owners[self.current];
        let runs = match self.mode {
            Mode::Streams => true,
            Mode::Queue => owner.alive && !owner.paused && owner.pc == Pc::Run,
        };
        if runs && self.streams.capture(&self.source, self.split, &mut self.rng) {
            note!(
                self,
                self.streams.next,
                "capture is before tx {}, C {:#x}, streams {:?}",
                self.streams.next,
                self.streams.appended(Rules::CLEAN),
                self.streams.len
            );
        }
    }

    /// No more faults and no more transactions: everything under way is finished, in some order.
    fn settle(&mut self) -> bool {
        self.calm = true;
        note!(self, 0, "calm");
        for owner in &mut self.owners {
            owner.paused = false;
        }
        for step in 0..CALM_STEPS {
            match self.rng.below(16) {
                0 => self.act(1),
                1 => self.act(2),
                2 | 3 => self.act(3),
                4..=7 => self.network(),
                8 => self.act(6),
                9 => self.act(9),
                10 if !self.owners[self.current].alive => {
                    self.act(6);
                    self.take_over();
                }
                _ => self.act(4),
            }
            if step % 8 == 7 && self.at_rest() {
                // What is still on its way has no one waiting for it; it may land at any time, so now.
                while self.target.pending > 0 {
                    let at = self.rng.below(self.target.pending);
                    self.land(at, false);
                }
                return true;
            }
        }
        false
    }

    fn at_rest(&self) -> bool {
        let all = self.source.binlog_end();
        let owner = &self.owners[self.current];
        self.source.executed == all
            && self.target.build.phase == Phase::Stream
            && owner.alive
            && owner.pc == Pc::Run
            && self.streams.next == self.source.count
            && owner.cursor == self.streams.len
            && owner.dirty == [0; ROOTS]
            && owner.to_record == [0; ROOTS]
            && owner.due == [[0; TABLES]; ROOTS]
            && owner.batch == 0
            && owner.hands.iter().all(|hand| hand.state == Held::Free)
            && self.target.marks == [0; ROOTS]
            && (self.mode == Mode::Queue || self.target.build.checkpoint == self.streams.len)
    }

    fn print_end(&self, differing: u8) {
        println!("broken on the way: {}", self.broken);
        let lookups = self.source.rows.lookups();
        for key in 0..ROOTS {
            let (is, should) = (self.target.live()[key].body, self.source.rows.fold(key, &lookups));
            let word = if differing >> key & 1 == 1 { "DIFFERS" } else { "equal" };
            println!("document {key}: {is:016x}, source {should:016x}: {word}");
        }
    }
}
