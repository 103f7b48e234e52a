//! Which character sets a column that routes may have, and how MariaDB compares its texts.
//!
//! Owns: the sets in which different keys can be the same text, the texts that MariaDB compares in two ways. Does not own:
//! decoding (`edge::mysql::charset`), collations whose equality cannot be told (`equality`).

use std::collections::BTreeMap;

use crate::model::plan::TableUse;
use crate::model::schema::{Column, ColumnKind, SourceFacts, Table, TableName};

use super::{Work, equality, sql};

/// Sets of several bytes a character in which two characters can be the same one in Unicode, or have none there.
/// Both are told as SELECT tells them, but as keys they could not be told apart.
const UNSURE: &[&str] = &["sjis", "cp932", "ujis", "eucjpms", "big5", "gbk", "gb18030", "gb2312", "euckr"];

/// Checks the columns by which events are routed: ids, joins and links.
pub fn check(facts: &SourceFacts, tables: &BTreeMap<TableName, Table>, used: &[TableUse], work: &mut Work<'_>) {
    for (table, column) in used.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column))) {
        // Labels are known from the definition.
        if !column.routes || column.kind != ColumnKind::Text {
            continue;
        }
        let Some(table) = tables.get(&table.name) else { continue };
        let Some(position) = table.column(&column.name) else { continue };
        let column = &table.columns[position];
        let (spot, path) = work.named.get(&table.name).cloned().unwrap_or_default();
        let faults = [unsure(table, column), facts.is_mariadb().then(|| compared_in_two_ways(table, column)).flatten()];
        for (why, fix) in faults.into_iter().flatten() {
            let what = format!("{} is a part of `_id` or of a join{why}", sql::describe(table, column));
            work.report.error("E-CHARSET", spot, &path, what, Some(fix));
        }
    }
}

/// What is wrong with a column's character set, and the fix.
fn unsure(table: &Table, column: &Column) -> Option<(String, String)> {
    let set = column.collation.as_deref()?.split('_').next().filter(|set| UNSURE.contains(set))?;
    let why = format!(", and different characters of {set} can be the same one in Unicode, or none");
    let fix = sql::change_collation(table, column, "utf8mb4_0900_ai_ci")
        .replace(" COLLATE", " CHARACTER SET utf8mb4 COLLATE");
    Some((why, fix))
}

/// MariaDB pads a CHAR when it compares by an index and not otherwise, which makes a difference where spaces count and one
/// character can equal two: by an index a sharp s is not `ss`, else it is (tried with 11.8.9, `utf8mb4_0900_ai_ci`).
fn compared_in_two_ways(table: &Table, column: &Column) -> Option<(String, String)> {
    let collation = column.collation.as_deref()?;
    let fixed = column.declared.to_ascii_lowercase().starts_with("char(");
    if !fixed || equality::pads(collation) || collation.ends_with("_bin") {
        return None;
    }
    let why = format!("; MariaDB compares a CHAR under {collation} in one way by an index and in another without");
    Some((why, sql::change_collation(table, column, collation).replacen(" char(", " varchar(", 1)))
}
