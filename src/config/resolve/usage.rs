//! Every table of a job with the columns that matter to it.
//!
//! Owns: [`TableUse`] lists. Does not own: routing by them (`logic::routing`).

use std::collections::BTreeMap;

use crate::model::plan::{TableUse, UsedColumn};
use crate::model::schema::{Table, TableName};

use super::Drafts;

/// All tables of all projections, each once, with their used columns in table order.
pub fn used(projections: &[Drafts<'_>]) -> Vec<TableUse> {
    let mut tables: BTreeMap<&TableName, (&Table, BTreeMap<usize, bool>)> = BTreeMap::new();
    for draft in projections.iter().flat_map(|drafts| &drafts.nodes) {
        let own = draft.table.map(|table| (table, &draft.used));
        let link = draft.link.as_ref().map(|(table, used)| (*table, used));
        for (table, used) in own.into_iter().chain(link) {
            let (_, columns) = tables.entry(&table.name).or_insert_with(|| (table, BTreeMap::new()));
            for (&column, &routes) in used {
                *columns.entry(column).or_insert(false) |= routes;
            }
        }
    }
    let column = |table: &Table, (at, routes): (usize, bool)| {
        let column = &table.columns[at];
        UsedColumn {
            name: column.name.clone(),
            kind: column.kind.clone(),
            declared: column.declared.clone(),
            collation: column.collation.clone(),
            routes,
        }
    };
    let table_use = |(table, columns): (&Table, BTreeMap<usize, bool>)| TableUse {
        name: table.name.clone(),
        columns: columns.into_iter().map(|used| column(table, used)).collect(),
    };
    tables.into_values().map(table_use).collect()
}
