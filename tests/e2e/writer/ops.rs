//! What people do to a database: the statements of one random transaction over a generated schema.
//! Owns: the mix. Does not own: running it (`writer`).

use crate::rng::Rng;
use crate::schema::rows::{columns, free_links, key_values, link_values, payload_literal, row, unique_literal};
use crate::schema::{Schema, Table};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Insert,
    Update,
    /// Only a column that most projections leave out.
    UpdateHidden,
    Delete,
    FkMove,
    KeyChange,
    /// 'a' becomes 'A': the same key to the index, another id to the target.
    KeyCase,
    Swap,
    Replace,
    Upsert,
    Bulk,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub kind: Kind,
    pub table: usize,
    pub sql: String,
}

#[derive(Clone, Debug)]
pub struct Transaction {
    pub steps: Vec<Step>,
    /// Steps of this range are undone by a savepoint.
    pub undone: Option<std::ops::Range<usize>>,
    pub rolled_back: bool,
}

pub struct Planner<'a> {
    pub schema: &'a Schema,
    pub rng: Rng,
    /// Keys beyond the key space that only this connection uses, for the middle of a swap.
    pub spare: u64,
}

fn equals(pairs: &[(String, String)], separator: &str) -> String {
    pairs.iter().map(|(c, v)| format!("`{c}` = {v}")).collect::<Vec<_>>().join(separator)
}

impl Planner<'_> {
    pub fn transaction(&mut self) -> Transaction {
        let count = match self.rng.below(10) {
            0..=5 => 1,
            6..=7 => 2,
            _ => self.rng.between(3, 5),
        };
        let mut steps = Vec::new();
        for _ in 0..count {
            let table = self.pick_table();
            self.step(table, &mut steps);
        }
        let undone = (steps.len() > 1 && self.rng.percent(15)).then(|| {
            let from = self.rng.below(steps.len() as u64) as usize;
            from..(from + 1 + self.rng.below(2) as usize).min(steps.len())
        });
        Transaction { steps, undone, rolled_back: self.rng.percent(5) }
    }

    /// The root more often than the rest.
    fn pick_table(&mut self) -> usize {
        if self.rng.percent(35) { 0 } else { self.rng.below(self.schema.tables.len() as u64) as usize }
    }

    fn step(&mut self, index: usize, steps: &mut Vec<Step>) {
        let schema = self.schema;
        let table = &schema.tables[index];
        let kind = match self.rng.below(100) {
            0..=24 => Kind::Insert,
            25..=44 => Kind::Update,
            45..=49 => Kind::UpdateHidden,
            50..=61 => Kind::Delete,
            62..=74 => Kind::FkMove,
            75..=80 => Kind::KeyChange,
            81..=85 => Kind::KeyCase,
            86..=88 => Kind::Swap,
            89..=92 => Kind::Replace,
            93..=96 => Kind::Upsert,
            _ => Kind::Bulk,
        };
        // Not every table can do everything.
        let kind = match kind {
            Kind::KeyChange | Kind::KeyCase | Kind::Swap if table.primary.is_empty() => Kind::Delete,
            Kind::FkMove if free_links(table).next().is_none() => Kind::KeyChange,
            Kind::Update | Kind::UpdateHidden | Kind::Upsert | Kind::Bulk if table.payload().next().is_none() => {
                Kind::KeyChange
            }
            kind => kind,
        };
        for (kind, sql) in self.statements(kind, table) {
            steps.push(Step { kind, table: index, sql });
        }
    }

    fn statements(&mut self, kind: Kind, table: &Table) -> Vec<(Kind, String)> {
        let name = &table.name;
        let i = self.rng.skewed(table.keys.size);
        let one = |sql: String| vec![(kind, sql)];
        match kind {
            Kind::Insert => {
                let fresh = self.rng.below(table.keys.size);
                one(format!("INSERT INTO `{name}` ({}) VALUES ({})", columns(table), self.row(table, fresh)))
            }
            Kind::Replace => one(format!("REPLACE INTO `{name}` ({}) VALUES ({})", columns(table), self.row(table, i))),
            Kind::Upsert => {
                let n = payload_literal(table, "n", &mut self.rng);
                let row = self.row(table, i);
                one(format!("INSERT INTO `{name}` ({}) VALUES ({row}) ON DUPLICATE KEY UPDATE n = {n}", columns(table)))
            }
            Kind::Update => {
                let set = self.some_payload(table);
                one(format!("UPDATE `{name}` SET {set} WHERE {}", self.row_is(table, i)))
            }
            Kind::UpdateHidden => {
                let value = payload_literal(table, "hidden", &mut self.rng);
                one(format!("UPDATE `{name}` SET hidden = {value} WHERE {}", self.row_is(table, i)))
            }
            Kind::Delete => one(format!("DELETE FROM `{name}` WHERE {}", self.row_is(table, i))),
            Kind::FkMove => {
                let links: Vec<_> = free_links(table).collect();
                let link = *self.rng.pick(&links);
                let target = equals(&link_values(self.schema, link, &mut self.rng), ", ");
                one(format!("UPDATE `{name}` SET {target} WHERE {}", self.row_is(table, i)))
            }
            Kind::KeyChange | Kind::KeyCase => self.key_change(kind, table, i),
            Kind::Swap => self.swap(table, i),
            Kind::Bulk => {
                let n = payload_literal(table, "n", &mut self.rng);
                let sql = if self.rng.percent(60) {
                    format!("UPDATE `{name}` SET n = {n} WHERE {} LIMIT 8", self.some_rows(table, i))
                } else {
                    format!("DELETE FROM `{name}` WHERE {} LIMIT 4", self.some_rows(table, i))
                };
                one(sql)
            }
        }
    }

    fn row(&mut self, table: &Table, i: u64) -> String {
        row(self.schema, table, i, &mut self.rng).join(",")
    }

    fn some_payload(&mut self, table: &Table) -> String {
        let columns: Vec<String> = table.payload().map(|c| c.name.clone()).collect();
        let mut pairs = Vec::new();
        for column in &columns {
            if pairs.is_empty() || self.rng.percent(35) {
                pairs.push((column.clone(), payload_literal(table, column, &mut self.rng)));
            }
        }
        equals(&pairs, ", ")
    }

    /// One row: by key, or where there is none by what it belongs to.
    fn row_is(&mut self, table: &Table, i: u64) -> String {
        if table.primary.is_empty() {
            format!("{} LIMIT 1", self.some_rows(table, i))
        } else {
            equals(&key_values(table, i), " AND ")
        }
    }

    /// A few rows: those that belong together.
    fn some_rows(&mut self, table: &Table, i: u64) -> String {
        match table.links.first() {
            Some(link) => {
                let values = link_values(self.schema, link, &mut self.rng);
                equals(&values, " AND ").replace("= NULL", "IS NULL")
            }
            None => equals(&key_values(table, i), " AND "),
        }
    }

    fn key_change(&mut self, kind: Kind, table: &Table, i: u64) -> Vec<(Kind, String)> {
        if let Some(unique) = &table.unique
            && self.rng.percent(60)
        {
            let literal = unique_literal(table, unique, self.rng.below(table.keys.size * 2));
            let sql = format!("UPDATE `{}` SET `{unique}` = {literal} WHERE {}", table.name, self.row_is(table, i));
            return vec![(kind, sql)];
        }
        // The neighbour of an index differs in the digit that comes first, which for a text is only its case.
        let to = if kind == Kind::KeyCase { i ^ 1 } else { self.rng.below(table.keys.size) };
        vec![(kind, self.rekey(table, i, to))]
    }

    fn rekey(&self, table: &Table, from: u64, to: u64) -> String {
        let (from, to) = (equals(&key_values(table, from), " AND "), equals(&key_values(table, to), ", "));
        format!("UPDATE `{}` SET {to} WHERE {from}", table.name)
    }

    /// Two rows trade keys.
    fn swap(&mut self, table: &Table, i: u64) -> Vec<(Kind, String)> {
        let j = self.rng.below(table.keys.size);
        let spare = table.keys.size + self.spare;
        let moves = [(i, spare), (j, i), (spare, j)];
        moves.into_iter().map(|(from, to)| (Kind::Swap, self.rekey(table, from, to))).collect()
    }
}
