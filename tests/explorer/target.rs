//! The MongoDB of the model: collections by name, the durable records of a build, and the writes on their way there.
//! A write lands when the network says so, perhaps long after whoever sent it has died. Decides what a landing write
//! does; never when it lands.

use crate::oracle::{Breach, Broken};
use crate::rules::{Bug, Rules};
use crate::source::{ROOTS, TABLES};

pub const CHUNKS: usize = 2;
pub const EPOCHS: u8 = 5;
/// Copies go to even names made of the epoch; this is the name that only the stream writes.
pub const SEALED: u8 = 2 * EPOCHS + 3;
const NAMES: usize = SEALED as usize + 1;
pub const OPS: usize = 24;

pub fn chunk_of(key: usize) -> usize {
    key / (ROOTS / CHUNKS)
}

#[derive(Clone, Copy, Default)]
pub struct Doc {
    /// 0: there is no document.
    pub body: u64,
    /// `_rf.v`.
    pub version: u8,
    /// For the oracle only: the transactions its read really contained.
    pub truth: u64,
}

pub type Docs = [Doc; ROOTS];

#[derive(Clone, Copy, Default)]
pub struct Chunk {
    pub stored: bool,
    pub e: u64,
    pub c0: u64,
    pub done: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Phase {
    #[default]
    Init,
    Copy,
    /// Every chunk is done.
    Seal,
    Stream,
}

/// The build's record with its lease and its checkpoint; every change of it is conditional on the epoch.
#[derive(Clone, Copy, Default)]
pub struct Build {
    pub epoch: u8,
    pub lease: u16,
    pub phase: Phase,
    pub p0: u64,
    /// Where the documents are or, while a rename is under way from the name in `renaming`, will be.
    pub name: u8,
    pub renaming: u8,
    /// Names of earlier owners, which late inserts may make again.
    pub strays: u16,
    /// For the oracle only: which collection is the build's, whatever it is called.
    pub identity: u8,
    pub checkpoint: [u8; TABLES],
    /// The checkpoint as a GTID set: what the in-process queue starts from.
    pub passed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Kind {
    #[default]
    StoreE,
    Insert,
    Rename,
    Drop,
    AddMarks,
    DropMarks,
    Replace,
    Create,
    Delete,
}

#[derive(Clone, Copy, Default)]
pub struct Op {
    pub kind: Kind,
    pub epoch: u8,
    pub ticket: u16,
    pub key: u8,
    pub name: u8,
    pub to: u8,
    pub deadline: u16,
    /// Sent by the copy: without a deadline, into the copy's own collection.
    pub copied: bool,
    /// It dawdles on its way, so that it is given up long before it lands.
    pub slow: bool,
    pub doc: Doc,
    pub set: u64,
    pub c0: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Done,
    /// Nothing matched, or there is nothing to rename.
    Missed,
    /// E11000: a newer read is there, or for an insert any document.
    Duplicate,
    /// The server refused it: its deadline has passed.
    Late,
    /// The E and c0 that are stored now.
    Stored(u64, u64),
}

#[derive(Clone, Copy)]
pub struct Target {
    docs: [Docs; NAMES],
    /// Which collection names exist.
    names: u16,
    identities: [u8; NAMES],
    made: u8,
    pub build: Build,
    pub chunks: [Chunk; CHUNKS],
    /// `_rowfold.marks`: the GTIDs recorded per root; an empty set is no record.
    pub marks: [u64; ROOTS],
    pub ops: [Op; OPS],
    pub pending: usize,
    /// For the oracle: the newest read that found each root absent.
    pub gone: [Doc; ROOTS],
}

impl Target {
    pub fn new() -> Self {
        Target {
            docs: [[Doc::default(); ROOTS]; NAMES],
            names: 0,
            identities: [0; NAMES],
            made: 0,
            build: Build::default(),
            chunks: [Chunk::default(); CHUNKS],
            marks: [0; ROOTS],
            ops: [Op::default(); OPS],
            pending: 0,
            gone: [Doc::default(); ROOTS],
        }
    }

    pub fn exists(&self, name: u8) -> bool {
        self.names >> name & 1 == 1
    }

    /// The highest name: what an engine would take that knows collections by the epochs in their names.
    pub fn newest_name(&self) -> u8 {
        15 - self.names.leading_zeros() as u8
    }

    /// Where the collection of this identity is.
    pub fn name_of(&self, identity: u8) -> u8 {
        let at = (0..NAMES).find(|name| self.exists(*name as u8) && self.identities[*name] == identity);
        at.unwrap_or(0) as u8
    }

    pub fn make(&mut self, name: u8) -> u8 {
        self.names |= 1 << name;
        self.docs[usize::from(name)] = Docs::default();
        self.made += 1;
        self.identities[usize::from(name)] = self.made;
        self.made
    }

    pub fn docs(&self, name: u8) -> Docs {
        if self.exists(name) { self.docs[usize::from(name)] } else { Docs::default() }
    }

    /// The documents of the build, wherever its collection is now.
    pub fn live(&self) -> Docs {
        match self.build.phase {
            Phase::Stream => self.docs(self.build.name),
            _ => self.docs(self.name_of(self.build.identity)),
        }
    }

    /// A write to a collection that is not there makes it: this is how strays come about.
    fn slot(&mut self, name: u8, key: u8) -> &mut Doc {
        if !self.exists(name) {
            self.make(name);
        }
        &mut self.docs[usize::from(name)][usize::from(key)]
    }

    pub fn send(&mut self, op: Op) {
        self.ops[self.pending] = op;
        self.pending += 1;
    }

    pub fn take(&mut self, at: usize) -> Op {
        let op = self.ops[at];
        self.pending -= 1;
        self.ops[at] = self.ops[self.pending];
        op
    }

    pub fn land(&mut self, op: &Op, now: u16, rules: Rules, broken: &mut Broken) -> Answer {
        let key = usize::from(op.key);
        let dated = match op.kind {
            Kind::Create => !rules.has(Bug::NoDeadline),
            Kind::Replace | Kind::Delete => rules.has(Bug::DeadlineOnAll) && !op.copied,
            _ => false,
        };
        if dated && now >= op.deadline {
            return Answer::Late;
        }
        if matches!(op.kind, Kind::Insert | Kind::Replace | Kind::Create | Kind::Delete) {
            // The copy's collection is out of reach once the stream writes it, and a chunk is the copy's until done.
            let streaming = self.build.phase == Phase::Stream && op.name == self.build.name;
            broken.note(Breach::InsertAfterCopy, op.copied && streaming);
            let open = !self.chunks[chunk_of(key)].done;
            broken.note(Breach::WriteInOpenChunk, !op.copied && open);
        }
        match op.kind {
            Kind::StoreE => self.store_e(op, rules, broken),
            Kind::AddMarks => {
                self.marks[key] |= op.set;
                Answer::Done
            }
            Kind::DropMarks => {
                self.marks[key] &= !op.set;
                Answer::Done
            }
            Kind::Rename => self.rename(op, rules),
            Kind::Drop => {
                self.names &= !(1 << op.name);
                Answer::Done
            }
            Kind::Insert => {
                let doc = self.slot(op.name, op.key);
                if doc.body != 0 {
                    return Answer::Duplicate;
                }
                *doc = op.doc;
                Answer::Done
            }
            Kind::Replace => {
                if self.docs(op.name)[key].body == 0 {
                    return Answer::Missed;
                }
                let doc = self.slot(op.name, op.key);
                if doc.version > op.doc.version && !rules.has(Bug::NoGuard) {
                    return Answer::Missed;
                }
                broken.note(Breach::OlderVersion, doc.version > op.doc.version);
                *doc = op.doc;
                Answer::Done
            }
            Kind::Create => self.create(op, rules, broken),
            Kind::Delete => {
                if self.docs(op.name)[key].body != 0 {
                    let doc = self.slot(op.name, op.key);
                    if doc.version > op.doc.version {
                        if !rules.has(Bug::NoGuard) {
                            return Answer::Missed;
                        }
                        broken.note(Breach::OlderVersion, true);
                    }
                    *doc = Doc::default();
                }
                if self.gone[key].version <= op.doc.version {
                    self.gone[key] = op.doc;
                }
                Answer::Done
            }
        }
    }

    fn store_e(&mut self, op: &Op, rules: Rules, broken: &mut Broken) -> Answer {
        let chunk = &mut self.chunks[usize::from(op.key)];
        if !chunk.stored || rules.has(Bug::SecondE) {
            broken.note(Breach::SecondE, chunk.stored && chunk.e != op.set);
            *chunk = Chunk { stored: true, e: op.set, c0: op.c0, done: chunk.done };
        }
        Answer::Stored(chunk.e, chunk.c0)
    }

    fn rename(&mut self, op: &Op, rules: Rules) -> Answer {
        let taken = self.exists(op.to) && !rules.has(Bug::RenameDropsTarget);
        if !self.exists(op.name) || taken {
            return Answer::Missed;
        }
        self.docs[usize::from(op.to)] = self.docs[usize::from(op.name)];
        self.identities[usize::from(op.to)] = self.identities[usize::from(op.name)];
        self.names = self.names & !(1 << op.name) | 1 << op.to;
        Answer::Done
    }

    fn create(&mut self, op: &Op, rules: Rules, broken: &mut Broken) -> Answer {
        let key = usize::from(op.key);
        let gone = self.gone[key];
        let doc = self.slot(op.name, op.key);
        if doc.body == 0 {
            broken.note(Breach::Resurrected, gone.version > op.doc.version);
        } else if doc.version > op.doc.version {
            if !rules.has(Bug::NoGuard) {
                return Answer::Duplicate;
            }
            broken.note(Breach::OlderVersion, true);
        }
        *doc = op.doc;
        Answer::Done
    }
}
