//! Rows of a generated schema, as INSERT statements: the initial fill, and single rows for the writer.
//! Owns: which values a row may have (keys from the key space, links at keys that may exist, edges of each type).
//! Does not own: when rows are written.

use super::{Link, Schema, Table};
use crate::rng::Rng;

const ROWS_PER_STATEMENT: usize = 200;
/// A link to nothing.
const NULL_PERCENT: u64 = 10;

/// The statements that fill every table. Keys that are equal under a collation meet in INSERT IGNORE.
pub fn fill(schema: &Schema, rng: &mut Rng) -> Vec<String> {
    schema.tables.iter().flat_map(|t| fill_table(schema, t, rng)).collect()
}

fn fill_table(schema: &Schema, table: &Table, rng: &mut Rng) -> Vec<String> {
    let columns = columns(table);
    let picked = pick_keys(table, rng);
    let rows: Vec<String> = picked.into_iter().map(|k| format!("({})", row(schema, table, k, rng).join(","))).collect();
    rows.chunks(ROWS_PER_STATEMENT)
        .map(|part| format!("INSERT IGNORE INTO `{}` ({columns}) VALUES\n{}", table.name, part.join(",\n")))
        .collect()
}

/// `rows` different indexes of the key space: the edges always, the rest at random, in no order.
fn pick_keys(table: &Table, rng: &mut Rng) -> Vec<u64> {
    let size = table.keys.size;
    let mut chosen = std::collections::BTreeSet::new();
    chosen.extend(0..4.min(size).min(table.rows));
    while (chosen.len() as u64) < table.rows.min(size) {
        chosen.insert(rng.below(size));
    }
    let mut keys: Vec<u64> = chosen.into_iter().collect();
    for i in (1..keys.len()).rev() {
        keys.swap(i, rng.below(i as u64 + 1) as usize);
    }
    keys
}

pub fn columns(table: &Table) -> String {
    table.columns.iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(",")
}

/// (column, literal) of key `i`.
pub fn key_values(table: &Table, i: u64) -> Vec<(String, String)> {
    table.keys.parts.iter().map(|p| p.column.clone()).zip(table.keys.literals(i)).collect()
}

/// (column, literal) of a link to some row, there or not, or to none.
pub fn link_values(schema: &Schema, link: &Link, rng: &mut Rng) -> Vec<(String, String)> {
    if link.nullable && rng.percent(NULL_PERCENT) {
        // One missing part is enough to point at nothing.
        let missing = rng.below(link.columns.len() as u64) as usize;
        let mut values = target_values(schema, link, rng);
        values[missing].1 = "NULL".into();
        return values;
    }
    target_values(schema, link, rng)
}

fn target_values(schema: &Schema, link: &Link, rng: &mut Rng) -> Vec<(String, String)> {
    let target = &schema.tables[link.to];
    let key = key_values(target, rng.skewed(target.keys.size));
    let literal = |column: &String| key.iter().find(|(c, _)| c == column).expect("a part of the key").1.clone();
    link.columns.iter().cloned().zip(target.primary.iter().map(literal)).collect()
}

/// Links that can be moved without touching the row's own key.
pub fn free_links(table: &Table) -> impl Iterator<Item = &Link> {
    table.links.iter().filter(|l| !l.columns.iter().any(|c| table.primary.contains(c)))
}

/// The value of a second unique key: distinct for each index, and next to it the same word in another case.
pub fn unique_literal(table: &Table, column: &str, i: u64) -> String {
    table.column(column).ty.key(i)
}

pub fn payload_literal(table: &Table, column: &str, rng: &mut Rng) -> String {
    let column = table.column(column);
    if column.nullable && rng.percent(15) { "NULL".into() } else { column.ty.literal(rng) }
}

/// The literals of a whole row with key `i`, in the order of the columns.
pub fn row(schema: &Schema, table: &Table, i: u64, rng: &mut Rng) -> Vec<String> {
    let mut known: Vec<(String, String)> = key_values(table, i);
    for link in free_links(table) {
        known.extend(link_values(schema, link, rng));
    }
    if let Some(unique) = &table.unique {
        known.push((unique.clone(), unique_literal(table, unique, i * 2)));
    }
    let value = |column: &super::Column, rng: &mut Rng| match known.iter().find(|(c, _)| *c == column.name) {
        Some((_, literal)) => literal.clone(),
        None => payload_literal(table, &column.name, rng),
    };
    table.columns.iter().map(|c| value(c, rng)).collect()
}
