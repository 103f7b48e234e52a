//! The root's key: which columns make `_id`.
//!
//! Owns: the choice of the key and its checks. Does not own: chunks of keys (`logic::chunks`).

use crate::model::plan::IdColumn;
use crate::model::schema::{ColumnKind, Index, Table};
use crate::model::zone::Zone;

use super::super::fields::below;
use super::super::job::ProjectionFile;
use super::super::problem::{At, Spot};
use super::columns::Names;
use super::nodes::Draft;
use super::{Work, sql};

/// The key of a projection's root, with its columns read and used; empty if there is none.
pub fn resolve<'a>(file: &'a ProjectionFile, drafts: &mut [Draft<'a>], work: &mut Work<'a>) -> Vec<IdColumn> {
    let root = &mut drafts[0];
    let Some(table) = root.table else { return Vec::new() };
    let (columns, spot, path) = match &file.id {
        Some(names) => {
            let path = below(&file.path, "id");
            let spot = names.first().map_or(file.root.spot, |name| name.spot);
            (chosen(table, names, spot, &path, work), spot, path)
        }
        None => (natural(table, file.root.spot, &below(&file.path, "root"), work), file.root.spot, file.path.clone()),
    };
    let mut id = Vec::new();
    for column in columns {
        sortable(table, column, spot, &path, work);
        root.uses(column, true);
        let Some(position) = root.position_of(column) else { continue };
        let name = table.columns[column].name.clone();
        let field = root.columns[position].field.clone().unwrap_or_else(|| name.clone());
        let zone = match table.columns[column].kind {
            ColumnKind::DateTime { .. } => work.values.time_zone.clone(),
            _ => Zone::Utc,
        };
        id.push(IdColumn { position, column: name, field, zone });
    }
    // A sub-document `_id` may hold fields that the document does not show; their names must not meet the others'.
    let (shown, hidden): (Vec<&IdColumn>, Vec<&IdColumn>) =
        id.iter().partition(|id| root.columns[id.position].field.is_some());
    let mut names = Names::new(false);
    shown.iter().for_each(|id| names.keep(&id.field, &path));
    hidden.iter().for_each(|id| names.take(&id.field, spot, &path, &mut work.report));
    id
}

/// Indexes that make a key: unique, none of their columns NULL; the primary key first.
fn keys(table: &Table) -> impl Iterator<Item = &Index> {
    let fine = |index: &&Index| {
        index.unique && !index.columns.is_empty() && index.columns.iter().all(|&at| !table.columns[at].nullable)
    };
    table.indexes.iter().filter(fine)
}

/// The columns by which rows of a table are told apart: the primary key or else a unique NOT NULL key, empty without one.
pub fn key_of(table: &Table) -> &[usize] {
    match table.primary_key() {
        [] => keys(table).next().map_or(&[], |index| &index.columns),
        columns => columns,
    }
}

fn natural(table: &Table, spot: Spot, path: &str, work: &mut Work<'_>) -> Vec<usize> {
    let key = key_of(table);
    if key.is_empty() {
        let what = format!(
            "table {} has no primary key and no unique key without NULL, so its rows have no `_id`",
            table.name
        );
        work.report.error("E-NO-KEY", spot, path, what, Some(add_key(table)));
    }
    key.to_vec()
}

/// The statement that gives a table a key.
fn add_key(table: &Table) -> String {
    if let Some(index) = table.indexes.iter().find(|index| index.unique && !index.columns.is_empty()) {
        let nullable: Vec<usize> = index.columns.iter().copied().filter(|&at| table.columns[at].nullable).collect();
        return sql::forbid_null(table, &nullable);
    }
    let name = ["id", "row_id", "rowfold_id"].into_iter().find(|name| table.column(name).is_none());
    let name = sql::quoted(name.unwrap_or("rowfold_key"));
    let table = sql::quoted_table(&table.name);
    format!("ALTER TABLE {table} ADD COLUMN {name} BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY;")
}

fn chosen(table: &Table, names: &[At<String>], spot: Spot, path: &str, work: &mut Work<'_>) -> Vec<usize> {
    let mut columns = Vec::new();
    for name in names {
        let Some(column) = work.column(table, name, path) else { continue };
        if columns.contains(&column) {
            let what = format!("`id` names the column `{}` twice", name.value);
            work.report.error("E-NO-KEY", name.spot, path, what, Some("remove one of them".to_string()));
        } else {
            columns.push(column);
        }
    }
    if names.is_empty() {
        let what = "`id` names no column";
        work.report.error("E-NO-KEY", spot, path, what, Some("remove it: the primary key is used".to_string()));
    }
    if columns.len() != names.len() || names.is_empty() || keys(table).any(|index| index.columns == columns) {
        return columns;
    }
    let same_set = |index: &&Index| {
        index.columns.len() == columns.len() && index.columns.iter().all(|column| columns.contains(column))
    };
    let list = sql::plain_list(table, &columns);
    if let Some(index) = keys(table).find(same_set) {
        let names: Vec<&str> = index.columns.iter().map(|&at| table.columns[at].name.as_str()).collect();
        let what = format!("`id` {list} has another order than the key {} of table {}", index.name, table.name);
        work.report.error("E-NO-KEY", spot, path, what, Some(format!("id: [{}]", names.join(", "))));
        return columns;
    }
    let nullable: Vec<usize> = columns.iter().copied().filter(|&at| table.columns[at].nullable).collect();
    let indexed = table.indexes.iter().any(|index| index.unique && index.columns == columns);
    let mut fixes = Vec::new();
    if !nullable.is_empty() {
        fixes.push(sql::forbid_null(table, &nullable));
    }
    if !indexed {
        fixes.push(sql::create_index("UNIQUE INDEX", table, &columns));
    }
    let what = format!("`id` {list} is not a unique key without NULL of table {}", table.name);
    work.report.error("E-NO-KEY", spot, path, what, Some(fixes.join("\n")));
    columns
}

/// Whether ranges of a key column can be read in its index's order.
fn sortable(table: &Table, column: usize, spot: Spot, path: &str, work: &mut Work<'_>) {
    let column = &table.columns[column];
    let described = sql::describe(table, column);
    match &column.kind {
        ColumnKind::Enum(labels) | ColumnKind::Set(labels) if labels.iter().any(String::is_empty) => {
            let what = format!(
                "{described} cannot be a part of `_id`: its empty label and the value that stands for none look alike"
            );
            let fix = "choose another unique key with `id`".to_string();
            work.report.error("E-KEY-TYPE", spot, path, what, Some(fix));
        }
        ColumnKind::Enum(_) | ColumnKind::Set(_) => {
            let what = format!(
                "{described} is a part of `_id`: MySQL compares it without its index, so chunks are read slowly"
            );
            work.report.warning(
                "W-KEY-TYPE",
                spot,
                path,
                what,
                Some("choose another unique key with `id`".to_string()),
            );
        }
        ColumnKind::Json | ColumnKind::Geometry | ColumnKind::Vector | ColumnKind::Other(_) => {
            let what = format!("{described} cannot be a part of `_id`");
            let fix = "choose another unique key with `id`".to_string();
            work.report.error("E-KEY-TYPE", spot, path, what, Some(fix));
        }
        ColumnKind::Float | ColumnKind::Double => {
            let what = format!("{described} is a part of `_id`, and fractions that look equal may differ");
            work.report.warning("W-KEY-TYPE", spot, path, what, None);
        }
        _ => {}
    }
}
