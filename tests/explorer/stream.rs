//! Capture and the streams it fills, one per table, with the captured set C; in the mode without Redis the same
//! streams are the owner's in-process queue. Does not know who reads them, nor what a mark is.

use crate::rng::Rng;
use crate::rules::{Bug, Rules};
use crate::source::{Change, Source, TABLES, TXS, table_of};

/// Entries of one stream are numbered by the bits of a `u64`.
pub const ENTRIES: usize = 64;
pub const ALL_TABLES: u8 = (1 << TABLES) - 1;

#[derive(Clone, Copy)]
pub struct Streams {
    entries: [[u8; ENTRIES]; TABLES],
    pub len: [u8; TABLES],
    /// The next transaction of the binlog to append.
    pub next: usize,
    /// The first row of `next` has been appended in a MULTI of its own.
    half: bool,
    /// C. A transaction enters it with its last row.
    captured: u64,
    /// The transaction of which only the first part has been appended.
    begun: u64,
    /// Transactions not to be sent again: what GTID auto-positioning leaves out.
    pub skipped: u64,
    /// Tables whose rows capture appends; a build may ask for more.
    pub listed: u8,
    pub asked: bool,
}

impl Streams {
    pub fn new() -> Self {
        Streams {
            entries: [[0; ENTRIES]; TABLES],
            len: [0; TABLES],
            next: 0,
            half: false,
            captured: 0,
            begun: 0,
            skipped: 0,
            listed: ALL_TABLES,
            asked: false,
        }
    }

    /// A new in-process queue: empty, starting behind `skipped`.
    pub fn restart(&mut self, skipped: u64) {
        self.len = [0; TABLES];
        self.next = 0;
        self.half = false;
        self.skipped = skipped;
    }

    /// The transaction of an entry and the row it changed.
    pub fn entry(&self, stream: usize, at: usize, source: &Source) -> (usize, Change) {
        let entry = self.entries[stream][at];
        let tx = usize::from(entry >> 1);
        (tx, source.txs[tx].changes[usize::from(entry & 1)])
    }

    pub fn tx_at(&self, stream: usize, at: usize) -> usize {
        usize::from(self.entries[stream][at] >> 1)
    }

    /// Capture's own step: acknowledge a table list, or append the next transaction, in one MULTI or in two.
    pub fn capture(&mut self, source: &Source, split: bool, rng: &mut Rng) -> bool {
        if self.asked && self.listed != ALL_TABLES && rng.chance(8) {
            self.listed = ALL_TABLES;
            return true;
        }
        if self.next == source.count {
            return false;
        }
        let tx = self.next;
        if self.skipped >> tx & 1 == 0 {
            let count = usize::from(source.txs[tx].count);
            if split && count == 2 && !self.half && rng.chance(32) {
                self.append(tx, 0, source);
                self.half = true;
                self.begun = 1 << tx;
                return true;
            }
            for change in usize::from(self.half)..count {
                self.append(tx, change, source);
            }
            self.captured |= 1 << tx;
            self.begun = 0;
        }
        self.half = false;
        self.next += 1;
        true
    }

    /// Everything of which INIT may find entries before the start it has noted. A transaction cut in several MULTIs
    /// counts from its first: C alone has it only with the last, and INIT would wait for it in vain.
    pub fn appended(&self, rules: Rules) -> u64 {
        if rules.has(Bug::HalfNotCounted) { self.captured } else { self.captured | self.begun }
    }

    fn append(&mut self, tx: usize, change: usize, source: &Source) {
        let stream = table_of(usize::from(source.txs[tx].changes[change].row));
        if self.listed >> stream & 1 == 1 {
            self.entries[stream][usize::from(self.len[stream])] = (tx << 1 | change) as u8;
            self.len[stream] += 1;
        }
    }

    /// Capture starts again from an older position, under a new epoch: entries come a second time, C stays.
    pub fn redeliver(&mut self, back: usize) -> bool {
        let room = ENTRIES - 2 * TXS;
        if self.len.iter().any(|len| usize::from(*len) > room) {
            return false;
        }
        self.next = self.next.saturating_sub(back);
        self.half = false;
        true
    }
}
