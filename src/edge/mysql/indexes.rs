//! Which indexes a read may use, so that a stale estimate never turns the read of a chunk into a scan of the table.
//!
//! Owns: [`IndexHints`], made from the tables' definitions. Does not own: reading those (`schema`), the statements that
//! carry the hints (`queries`).

use std::collections::HashMap;

use super::sql;
use crate::model::schema::{Table, TableName};

/// The usable indexes of the plan's tables: per index its name and its columns' names in order.
#[derive(Debug, Default)]
pub(super) struct IndexHints {
    tables: HashMap<TableName, Vec<(String, Vec<String>)>>,
}

impl IndexHints {
    pub(super) fn of(tables: &[Table]) -> Self {
        let columns = |table: &Table, positions: &[usize]| {
            positions.iter().map(|position| table.columns[*position].name.to_lowercase()).collect()
        };
        let indexes = |table: &Table| {
            table.indexes.iter().map(|index| (index.name.clone(), columns(table, &index.columns))).collect()
        };
        Self { tables: tables.iter().map(|table| (table.name.clone(), indexes(table))).collect() }
    }

    /// ` FORCE INDEX (...)` of the indexes that begin with exactly these columns in this order, which serve a range and
    /// its order; nothing if there is none.
    pub(super) fn ranging(&self, table: &TableName, columns: &[&str]) -> String {
        self.force(table, columns, |wanted, first| wanted == first)
    }

    /// As [`IndexHints::ranging`], in any order of the columns, which serves equality.
    pub(super) fn finding(&self, table: &TableName, columns: &[&str]) -> String {
        self.force(table, columns, |wanted, first| wanted.iter().all(|column| first.contains(column)))
    }

    fn force(&self, table: &TableName, columns: &[&str], serves: impl Fn(&[String], &[String]) -> bool) -> String {
        let wanted: Vec<String> = columns.iter().map(|column| column.to_lowercase()).collect();
        let names = self.tables.get(table).into_iter().flatten().filter_map(|(name, columns)| {
            let first = columns.get(..wanted.len())?;
            serves(&wanted, first).then(|| sql::name(name))
        });
        let names = names.collect::<Vec<_>>().join(", ");
        if names.is_empty() { names } else { format!(" FORCE INDEX ({names})") }
    }
}
