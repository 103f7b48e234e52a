//! The MySQL of the model: rows of four tables, transactions, their binlog, when they become visible, and the fold
//! of a root's rows into its document. Knows nothing of streams, of owners or of the target.
//!
//! A transaction is in the binlog first, then visible to SELECT, then in `gtid_executed`; each is a step of its own,
//! because the design rests on that order. A GTID is the transaction's number, a GTID set is a `u64`.

use std::fmt;

use crate::profiles::Profile;
use crate::rng::Rng;

pub const ROOTS: usize = 4;
pub const CHILDREN: usize = 3;
pub const GRANDS: usize = 3;
pub const LOOKUPS: usize = 2;
pub const ROWS: usize = ROOTS + CHILDREN + GRANDS + LOOKUPS;
pub const TABLES: usize = 4;
pub const TXS: usize = 16;

pub const ROOT: usize = 0;
pub const CHILD: usize = 1;
pub const GRAND: usize = 2;
pub const LOOKUP: usize = 3;

const FIRST: [usize; TABLES] = [0, ROOTS, ROOTS + CHILDREN, ROOTS + CHILDREN + GRANDS];
/// How many rows the other end of a table's link has; a root may also point to no lookup.
const LINKS: [usize; TABLES] = [LOOKUPS + 1, ROOTS, CHILDREN, 1];

/// Low byte: the stamp of the transaction that wrote the row, 0 if there is none. High byte: the link.
pub type Row = u16;
pub type Lookups = [Row; LOOKUPS];

pub fn link(row: Row) -> usize {
    usize::from(row >> 8)
}

fn stamp(row: Row) -> u64 {
    u64::from(row & 0x3F)
}

pub fn table_of(row: usize) -> usize {
    match row {
        r if r < FIRST[CHILD] => ROOT,
        r if r < FIRST[GRAND] => CHILD,
        r if r < FIRST[LOOKUP] => GRAND,
        _ => LOOKUP,
    }
}

pub fn key_of(row: usize) -> usize {
    row - FIRST[table_of(row)]
}

#[derive(Clone, Copy, Default)]
pub struct Rows([Row; ROWS]);

impl Rows {
    pub fn child(&self, key: usize) -> Row {
        self.0[FIRST[CHILD] + key]
    }

    pub fn root(&self, key: usize) -> Row {
        self.0[key]
    }

    pub fn lookups(&self) -> Lookups {
        [self.0[FIRST[LOOKUP]], self.0[FIRST[LOOKUP] + 1]]
    }

    /// The document of root `key`, exactly: every stamp and every edge has bits of its own. 0 is "no document".
    pub fn fold(&self, key: usize, lookups: &Lookups) -> u64 {
        let root = self.0[key];
        if root == 0 {
            return 0;
        }
        let mut doc = 1 << 63 | stamp(root) | (link(root) as u64) << 6;
        if link(root) < LOOKUPS {
            doc |= stamp(lookups[link(root)]) << 8;
        }
        let mut mine = [false; CHILDREN];
        for (c, is_mine) in mine.iter_mut().enumerate() {
            let row = self.child(c);
            if row != 0 && link(row) == key {
                *is_mine = true;
                doc |= stamp(row) << (14 + 6 * c);
            }
        }
        for g in 0..GRANDS {
            let row = self.0[FIRST[GRAND] + g];
            if row != 0 && mine[link(row)] {
                doc |= (stamp(row) | (link(row) as u64) << 6) << (32 + 8 * g);
            }
        }
        doc
    }
}

/// Does the document show child `key`? What an engine that looks roots up in the target would ask.
pub fn shows_child(doc: u64, key: usize) -> bool {
    doc >> (14 + 6 * key) & 0x3F != 0
}

/// Does the document point to lookup `key`?
pub fn shows_lookup(doc: u64, key: usize) -> bool {
    doc != 0 && (doc >> 6 & 3) as usize == key
}

#[derive(Clone, Copy, Default)]
pub struct Change {
    pub row: u8,
    pub before: Row,
    pub after: Row,
}

#[derive(Clone, Copy, Default)]
pub struct Tx {
    pub changes: [Change; 2],
    pub count: u8,
}

impl fmt::Display for Tx {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for change in &self.changes[..usize::from(self.count)] {
            let row = usize::from(change.row);
            write!(f, "{} {}", ["root", "child", "grandchild", "lookup"][table_of(row)], key_of(row))?;
            match (change.before, change.after) {
                (0, after) => write!(f, " inserted, points to {}; ", link(after))?,
                (_, 0) => write!(f, " deleted; ")?,
                (before, after) if link(before) != link(after) => {
                    write!(f, " moves from {} to {}; ", link(before), link(after))?
                }
                _ => write!(f, " changed; ")?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Default)]
pub struct Source {
    /// What a snapshot opened now would see.
    pub rows: Rows,
    pub txs: [Tx; TXS],
    pub count: usize,
    pub visible: u64,
    pub executed: u64,
    /// Rows whose lock is held: their transaction is in the binlog and not yet visible.
    pub locked: u32,
    /// `binlog_order_commits`, or a replica that preserves commit order.
    pub in_order: bool,
    /// How many rows of each table this schedule uses; fewer rows meet more often.
    pub used: [usize; TABLES],
}

impl Source {
    pub fn begin(&mut self, rng: &mut Rng) {
        for row in 0..ROWS {
            let table = table_of(row);
            if key_of(row) < self.used[table] && rng.chance(44) {
                self.rows.0[row] = 1 | (rng.below(LINKS[table]) as Row) << 8;
            }
        }
    }

    /// What `SHOW BINARY LOG STATUS` amounts to: everything written, visible or not.
    pub fn binlog_end(&self) -> u64 {
        (1 << self.count) - 1
    }

    /// Commits one transaction into the binlog; its rows stay invisible and locked.
    pub fn commit(&mut self, profile: &Profile, rng: &mut Rng) -> bool {
        if self.count == TXS {
            return false;
        }
        let mut tx = Tx::default();
        let wanted = 1 + usize::from(rng.chance(profile.pairs));
        for _ in 0..wanted {
            let table = rng.weighted(&profile.tables);
            let row = FIRST[table] + rng.below(self.used[table]);
            if self.locked & 1 << row != 0 {
                continue;
            }
            let before = self.rows.0[row];
            let new = self.count as Row + 2;
            let after = if before == 0 {
                new | (rng.below(LINKS[table]) as Row) << 8
            } else {
                match rng.weighted(&profile.edits) {
                    0 => 0,
                    1 => new | (rng.below(LINKS[table]) as Row) << 8,
                    _ => new | before & 0xFF00,
                }
            };
            self.locked |= 1 << row;
            tx.changes[usize::from(tx.count)] = Change { row: row as u8, before, after };
            tx.count += 1;
        }
        if tx.count == 0 {
            return false;
        }
        self.txs[self.count] = tx;
        self.count += 1;
        true
    }

    /// One transaction of the binlog becomes visible to new snapshots.
    pub fn reveal(&mut self, rng: &mut Rng) -> Option<usize> {
        let tx = self.pick(self.binlog_end() & !self.visible, rng)?;
        for change in &self.txs[tx].changes[..usize::from(self.txs[tx].count)] {
            self.rows.0[usize::from(change.row)] = change.after;
            self.locked &= !(1 << change.row);
        }
        self.visible |= 1 << tx;
        Some(tx)
    }

    /// One visible transaction enters `gtid_executed`.
    pub fn publish(&mut self, rng: &mut Rng) -> Option<usize> {
        let tx = self.pick(self.visible & !self.executed, rng)?;
        self.executed |= 1 << tx;
        Some(tx)
    }

    fn pick(&self, from: u64, rng: &mut Rng) -> Option<usize> {
        match from {
            0 => None,
            _ if self.in_order => Some(from.trailing_zeros() as usize),
            _ => Some(rng.bit_of(from)),
        }
    }
}
