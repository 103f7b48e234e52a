//! The parts that a generated schema is put together from: tables with a key of some style, children, links.
//! Owns: that every join column is indexed and that a key space is larger than its table.
//! Does not own: which parts a schema gets (`generate`).

use super::types::{Collation, REGIONS, Ty};
use super::{Column, KeyPart, KeySpace, Link, Table};
use crate::rng::Rng;

/// What the key of a table looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStyle {
    Signed(u8),
    UnsignedBig,
    Text(Collation),
    FixedText,
    Binary,
    VarBinary,
    Decimal,
    TwoInts,
    /// Enum values compare by number in an index and as text in a comparison.
    EnumThenInt,
    TextThenDate,
    ThreeParts,
}

pub const ROOT_STYLES: [KeyStyle; 13] = [
    KeyStyle::Signed(4),
    KeyStyle::Text(Collation::AiCi),
    KeyStyle::TwoInts,
    KeyStyle::UnsignedBig,
    KeyStyle::EnumThenInt,
    KeyStyle::Signed(3),
    KeyStyle::Text(Collation::PadCi),
    KeyStyle::ThreeParts,
    KeyStyle::Binary,
    KeyStyle::TextThenDate,
    KeyStyle::Text(Collation::Bin),
    KeyStyle::Decimal,
    KeyStyle::VarBinary,
];

pub const LOOKUP_STYLES: [KeyStyle; 6] = [
    KeyStyle::Signed(4),
    KeyStyle::Text(Collation::AiCi),
    KeyStyle::Signed(1),
    KeyStyle::TwoInts,
    KeyStyle::FixedText,
    KeyStyle::UnsignedBig,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKey {
    /// A number of its own.
    Own,
    /// The parent's key and a line number.
    Extends,
    None,
}

/// (column of the parent, column of the nested table)
pub type Join = Vec<(String, String)>;

pub struct Builder {
    pub rng: Rng,
    pub tables: Vec<Table>,
}

impl Builder {
    fn key_parts(style: KeyStyle) -> Vec<KeyPart> {
        let part = |column: &str, ty: Ty, radix: Option<u64>| KeyPart { column: column.into(), ty, radix };
        let int = |bytes: u8, unsigned: bool| Ty::Int { bytes, unsigned };
        match style {
            KeyStyle::Signed(bytes) => vec![part("id", int(bytes, false), None)],
            KeyStyle::UnsignedBig => vec![part("id", int(8, true), None)],
            KeyStyle::Text(coll) => vec![part("code", Ty::Varchar { len: 40, coll }, None)],
            KeyStyle::FixedText => vec![part("code", Ty::Char { len: 24, coll: Collation::AiCi }, None)],
            KeyStyle::Binary => vec![part("uid", Ty::Binary(8), None)],
            KeyStyle::VarBinary => vec![part("uid", Ty::VarBinary(12), None)],
            KeyStyle::Decimal => vec![part("num", Ty::Decimal { precision: 18, scale: 2 }, None)],
            KeyStyle::TwoInts => vec![part("grp", int(2, false), Some(9)), part("no", int(4, false), None)],
            KeyStyle::EnumThenInt => {
                vec![part("region", Ty::Enum(REGIONS.to_vec()), Some(4)), part("no", int(4, true), None)]
            }
            KeyStyle::TextThenDate => vec![
                part("code", Ty::Varchar { len: 40, coll: Collation::AiCi }, Some(12)),
                part("day", Ty::Date, None),
            ],
            KeyStyle::ThreeParts => vec![
                part("shard", int(8, false), Some(5)),
                part("code", Ty::Varchar { len: 40, coll: Collation::AiCi }, Some(14)),
                part("no", int(2, true), None),
            ],
        }
    }

    fn key_space(style: KeyStyle, rows: u64) -> KeySpace {
        let parts = Self::key_parts(style);
        let fixed: u64 = parts.iter().filter_map(|p| p.radix).product();
        let main = parts.iter().find(|p| p.radix.is_none()).expect("one part takes the rest");
        KeySpace { size: (rows * 115 / 100 + 8).min(fixed * main.ty.key_capacity()), parts }
    }

    fn payload(&mut self, only_comparable: bool) -> Vec<Column> {
        let mut columns = vec![Column { name: "n".into(), ty: Ty::Int { bytes: 4, unsigned: false }, nullable: false }];
        let wanted = self.rng.between(2, 5);
        while (columns.len() as u64) < wanted + 1 {
            let ty = self.random_type();
            if only_comparable && !ty.equal_means_identical() {
                continue;
            }
            let name = format!("c{}", columns.len());
            let nullable = self.rng.percent(60);
            columns.push(Column { name, ty, nullable });
        }
        let coll = Collation::AiCi;
        columns.push(Column { name: "hidden".into(), ty: Ty::Varchar { len: 30, coll }, nullable: true });
        columns
    }

    fn random_type(&mut self) -> Ty {
        let rng = &mut self.rng;
        let coll = *rng.pick(&[Collation::AiCi, Collation::PadCi, Collation::Bin]);
        match rng.below(18) {
            0..=2 => Ty::Int { bytes: *rng.pick(&[1, 2, 3, 4, 8]), unsigned: rng.percent(50) },
            3 => Ty::Int { bytes: 8, unsigned: true },
            4 => Ty::Tiny1,
            5 | 6 => {
                let precision = rng.between(1, 30) as u8;
                Ty::Decimal { precision, scale: rng.below(u64::from(precision.min(12)) + 1) as u8 }
            }
            7 | 8 => Ty::Varchar { len: 60, coll },
            9 => Ty::Char { len: 12, coll },
            10 => Ty::Text,
            11 => Ty::Enum(REGIONS.to_vec()),
            12 => Ty::Date,
            13 => Ty::DateTime(rng.below(4) as u8),
            14 => Ty::Double,
            15 => {
                if rng.percent(50) {
                    Ty::VarBinary(20)
                } else {
                    Ty::Binary(6)
                }
            }
            16 => Ty::Bit1,
            _ => Ty::Year,
        }
    }

    /// A table with a key of its own.
    pub fn table(&mut self, name: &str, style: KeyStyle, rows: u64) -> usize {
        let keys = Self::key_space(style, rows);
        let mut columns: Vec<Column> =
            keys.parts.iter().map(|p| Column { name: p.column.clone(), ty: p.ty.clone(), nullable: false }).collect();
        let primary = keys.parts.iter().map(|p| p.column.clone()).collect();
        columns.extend(self.payload(false));
        let rows = rows.min(keys.size * 9 / 10);
        let table =
            Table { name: name.into(), columns, primary, unique: None, indexes: vec![], keys, links: vec![], rows };
        self.tables.push(table);
        self.tables.len() - 1
    }

    /// A table whose rows belong to rows of `parent`; the join goes down from the parent.
    pub fn child(&mut self, name: &str, parent: usize, key: ChildKey, rows: u64) -> (usize, Join) {
        let table = match key {
            ChildKey::Own => self.table(name, KeyStyle::Signed(8), rows),
            ChildKey::Extends | ChildKey::None => {
                let columns = self.payload(key == ChildKey::None);
                self.tables.push(Table {
                    name: name.into(),
                    columns,
                    primary: vec![],
                    unique: None,
                    indexes: vec![],
                    keys: KeySpace { parts: vec![], size: rows },
                    links: vec![],
                    rows,
                });
                self.tables.len() - 1
            }
        };
        let nullable = key == ChildKey::Own && self.rng.percent(40);
        let up = self.link(table, "up", parent, nullable);
        if key == ChildKey::Extends {
            self.extend_key(table, parent);
        }
        (table, up.into_iter().map(|(own, theirs)| (theirs, own)).collect())
    }

    /// Makes the link to the parent and a line number the key.
    fn extend_key(&mut self, table: usize, parent: usize) {
        const LINES: u64 = 3;
        let of_parent = self.tables[parent].keys.clone();
        let child = &mut self.tables[table];
        let line_ty = Ty::Int { bytes: 2, unsigned: true };
        let at = child.links[0].columns.len();
        child.columns.insert(at, Column { name: "line".into(), ty: line_ty.clone(), nullable: false });
        let mut parts = vec![KeyPart { column: "line".into(), ty: line_ty, radix: Some(LINES) }];
        parts.extend(of_parent.parts.iter().map(|p| KeyPart { column: format!("up_{}", p.column), ..p.clone() }));
        child.keys = KeySpace { parts, size: of_parent.size * LINES };
        child.primary = child.links[0].columns.clone();
        child.primary.push("line".into());
        child.rows = child.rows.min(child.keys.size * 8 / 10);
    }

    /// Columns in `from` that hold the key of `to`, indexed. Gives (column of `from`, column of `to`).
    pub fn link(&mut self, from: usize, prefix: &str, to: usize, nullable: bool) -> Join {
        let target = &self.tables[to];
        assert!(!target.primary.is_empty(), "{} has no key to point at", target.name);
        let join: Join = target.primary.iter().map(|c| (format!("{prefix}_{c}"), c.clone())).collect();
        let columns: Vec<Column> = join
            .iter()
            .map(|(own, theirs)| Column { name: own.clone(), ty: target.column(theirs).ty.clone(), nullable })
            .collect();
        let names: Vec<String> = join.iter().map(|(own, _)| own.clone()).collect();
        let table = &mut self.tables[from];
        // In front of the payload, behind the key: a key in the middle of the row must be found too.
        let at = table.keys.parts.len().min(table.columns.len());
        table.columns.splice(at..at, columns);
        table.indexes.push(names.clone());
        table.links.push(Link { columns: names, to, nullable });
        join
    }

    /// A table between two others. With a key of its own the same pair may stand there twice.
    pub fn link_table(
        &mut self,
        name: &str,
        left: usize,
        right: usize,
        rows: u64,
        own_key: bool,
    ) -> (usize, Join, Join) {
        let table = if own_key {
            self.table(name, KeyStyle::Signed(4), rows)
        } else {
            let (a, b) = (self.tables[left].keys.clone(), self.tables[right].keys.clone());
            let prefixed =
                |p: &KeyPart, prefix: &str| KeyPart { column: format!("{prefix}_{}", p.column), ..p.clone() };
            // The right side becomes a bounded digit, the left side takes the rest.
            let [right_part] = b.parts.as_slice() else { panic!("the right side of {name} needs a one-column key") };
            let mut parts = vec![KeyPart { radix: Some(b.size), ..prefixed(right_part, "to") }];
            parts.extend(a.parts.iter().map(|p| prefixed(p, "of")));
            let primary = parts[1..].iter().chain(&parts[..1]).map(|p| p.column.clone()).collect();
            self.tables.push(Table {
                name: name.into(),
                columns: vec![],
                primary,
                unique: None,
                indexes: vec![],
                keys: KeySpace { parts: vec![], size: a.size * b.size },
                links: vec![],
                rows,
            });
            let index = self.tables.len() - 1;
            self.link(index, "to", right, false);
            self.link(index, "of", left, false);
            self.tables[index].keys.parts = parts;
            return (index, self.join_of(index, 1, left), self.join_of(index, 0, right));
        };
        self.link(table, "to", right, false);
        self.link(table, "of", left, false);
        (table, self.join_of(table, 1, left), self.join_of(table, 0, right))
    }

    /// (column of the table pointed at, column of the link)
    fn join_of(&self, table: usize, link: usize, to: usize) -> Join {
        let own = &self.tables[table].links[link].columns;
        self.tables[to].primary.iter().cloned().zip(own.iter().cloned()).collect()
    }
}
