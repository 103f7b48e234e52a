//! What must hold: the invariants a step may break on its way, and the comparison at rest. Reads everything, and uses
//! what no engine could know (`truth`); changes nothing but its own record of breaches.

use std::fmt;

use crate::source::ROOTS;
use crate::world::World;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Breach {
    /// I2: a mark was discharged by a read that does not contain its transaction.
    Unfenced,
    /// I3: a document was replaced or deleted by an older read.
    OlderVersion,
    /// I4: a position was passed while one of its marks was not durable.
    PassedEarly,
    /// I5: a create landed though a newer read had found the root gone.
    Resurrected,
    /// A chunk's E was stored a second time.
    SecondE,
    /// A chunk covers a transaction that one of its documents does not contain.
    CoverNotRead,
    /// Something other than the copy wrote a document of a chunk that was not done.
    WriteInOpenChunk,
    /// A plain insert reached the collection after the copy had ended.
    InsertAfterCopy,
    /// A read was made that does not contain P0.
    ReadBeforeP0,
}

pub const BREACHES: [Breach; 9] = [
    Breach::Unfenced,
    Breach::OlderVersion,
    Breach::PassedEarly,
    Breach::Resurrected,
    Breach::SecondE,
    Breach::CoverNotRead,
    Breach::WriteInOpenChunk,
    Breach::InsertAfterCopy,
    Breach::ReadBeforeP0,
];

/// The invariants broken so far in one schedule.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Broken(u32);

impl Broken {
    pub fn note(&mut self, breach: Breach, broken: bool) {
        self.0 |= u32::from(broken) << breach as u32;
    }

    pub fn any(self) -> bool {
        self.0 != 0
    }

    pub fn has(self, breach: Breach) -> bool {
        self.0 >> breach as u32 & 1 == 1
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut first = true;
        for breach in BREACHES {
            if self.has(breach) {
                write!(f, "{}{breach:?}", if first { "" } else { " " })?;
                first = false;
            }
        }
        if first { f.write_str("-") } else { Ok(()) }
    }
}

impl World {
    /// I7: every document equals the fold of its root's rows, and there are no others.
    pub fn differing(&self) -> u8 {
        let docs = self.target.live();
        let lookups = self.source.rows.lookups();
        let mut keys = 0;
        for (key, doc) in docs.iter().enumerate().take(ROOTS) {
            if doc.body != self.source.rows.fold(key, &lookups) {
                keys |= 1 << key;
            }
        }
        keys
    }
}
