//! What an ALTER TABLE does: to rows, to names, and to which columns.
//!
//! Owns: the clauses of ALTER TABLE. Does not own: what follows from it (`transaction`).

use super::{Effect, Target, Token, Tokens};
use crate::model::change::Unlogged;
use crate::model::plan::TableUse;
use crate::model::schema::ColumnKind;

/// Words behind ADD, DROP or ALTER that say that something else than a column follows. MySQL reserves them all.
const NO_COLUMN: [&str; 10] =
    ["INDEX", "KEY", "FULLTEXT", "SPATIAL", "PRIMARY", "UNIQUE", "CONSTRAINT", "FOREIGN", "CHECK", "PARTITION"];

/// Columns of a table that a statement adds, drops, renames or changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Altered {
    /// By name.
    pub(in super::super) columns: Vec<String>,
    /// Every text column (CONVERT TO CHARACTER SET).
    pub(in super::super) texts: bool,
}

impl Altered {
    /// Whether a used column of the table is among them.
    pub(in super::super) fn touches(&self, table: &TableUse) -> bool {
        let named = |used: &str| self.columns.iter().any(|name| name.to_lowercase() == used.to_lowercase());
        table.columns.iter().any(|used| self.texts && used.kind == ColumnKind::Text || named(&used.name))
    }
}

impl Tokens<'_> {
    /// ALTER TABLE: the table itself, and those it is renamed to or exchanged with.
    pub(super) fn alter(&self) -> Vec<Effect> {
        let at = self.skip(1, &["ONLINE", "OFFLINE", "IGNORE"]);
        if !self.is(at, "TABLE") {
            return Vec::new();
        }
        let Some((table, rest)) = self.table(self.skip(at + 1, &["IF", "EXISTS"])) else {
            return Vec::new();
        };
        let rest = self.wait(rest);
        let mut found = Vec::new();
        // MariaDB's IGNORE removes rows that a new unique key does not allow.
        let ignores = (1..at).any(|at| self.is(at, "IGNORE"));
        let mut what = if ignores { Unlogged::Rows } else { Unlogged::Definition };
        for at in rest..self.list.len() {
            let follows = |word: &str| self.is(at + 1, word);
            match self.word(at).as_deref() {
                Some("DROP" | "TRUNCATE" | "COALESCE" | "EXCHANGE") if follows("PARTITION") => what = Unlogged::Rows,
                Some("DISCARD" | "IMPORT") if follows("TABLESPACE") || follows("PARTITION") => what = Unlogged::Rows,
                // MariaDB: a partition becomes a table, or the other way round.
                Some("CONVERT") if follows("PARTITION") || follows("TABLE") => {
                    what = Unlogged::Rows;
                    let other = if follows("TABLE") { Some(at + 1) } else { self.find(at, &["TABLE"]) };
                    let other = other.and_then(|table| self.table(table + 1));
                    found.extend(other.map(|(table, _)| Effect::on(table, Unlogged::Rows)));
                }
                Some("WITH") if follows("TABLE") => {
                    found.extend(self.table(at + 2).map(|(table, _)| Effect::on(table, Unlogged::Rows)));
                }
                Some("RENAME") if !["COLUMN", "INDEX", "KEY"].iter().any(|word| follows(word)) => {
                    what = Unlogged::Rows;
                    let to = self.skip(at + 1, &["TO", "AS"]);
                    found.extend(self.table(to).map(|(table, _)| Effect::on(table, Unlogged::Rows)));
                }
                _ => {}
            }
        }
        let mut altered = Altered::default();
        for clause in self.parts(rest, 0) {
            self.clause(clause, &mut altered);
        }
        found.insert(0, Effect { on: Target::Table(table), what, altered });
        found
    }

    /// Where the parts of a list with commas begin, from `at` on, at a depth of brackets (0: `at` is outside of any).
    fn parts(&self, at: usize, depth: usize) -> Vec<usize> {
        let mut parts = vec![at];
        let mut open = depth;
        for (at, token) in self.list.iter().enumerate().skip(at) {
            match token {
                Token::Sign('(') => open += 1,
                Token::Sign(')') if open <= 1 && depth == 1 => break,
                Token::Sign(')') => open = open.saturating_sub(1),
                Token::Sign(',') if open == depth => parts.push(at + 1),
                _ => {}
            }
        }
        parts
    }

    fn clause(&self, at: usize, altered: &mut Altered) {
        let plain = !NO_COLUMN.iter().any(|word| self.is(at + 1, word));
        let column = self.skip(at + 1, &["COLUMN", "IF", "NOT", "EXISTS"]);
        match self.word(at).as_deref() {
            Some("ADD") if plain && self.list.get(column) == Some(&Token::Sign('(')) => {
                for part in self.parts(column + 1, 1) {
                    if !NO_COLUMN.iter().any(|word| self.is(part, word)) {
                        altered.columns.extend(self.name(part).map(str::to_string));
                    }
                }
            }
            Some("ADD" | "DROP" | "ALTER") if plain => altered.columns.extend(self.name(column).map(str::to_string)),
            Some("MODIFY") => altered.columns.extend(self.name(column).map(str::to_string)),
            Some("CHANGE") => {
                altered.columns.extend([column, column + 1].iter().filter_map(|at| self.name(*at)).map(str::to_string));
            }
            Some("RENAME") if self.is(at + 1, "COLUMN") => {
                let names = [column, self.skip(column + 1, &["TO"])];
                altered.columns.extend(names.iter().filter_map(|at| self.name(*at)).map(str::to_string));
            }
            Some("CONVERT") if !self.is(at + 1, "PARTITION") && !self.is(at + 1, "TABLE") => altered.texts = true,
            _ => {}
        }
    }
}
