//! The order of an array's elements, made total.
//!
//! Owns: `order_by` and its default. Does not own: sorting (MySQL does).

use crate::model::schema::{ColumnKind, Table};

use super::super::fields::below;
use super::super::problem::At;
use super::nodes::Draft;
use super::{Work, id, sql};

/// Works out an array's order.
pub fn resolve<'a>(draft: &mut Draft<'a>, work: &mut Work<'a>) {
    let (Some(table), Some(file)) = (draft.table, draft.nested) else { return };
    let mut terms: Vec<(usize, bool)> = Vec::new();
    if let Some(names) = &file.order_by {
        let path = below(&draft.path, "order_by");
        if !draft.many {
            let what = "`order_by` orders an array, so it stands under `many`";
            work.report.error("E-VALUE", file.spot, &path, what, Some("remove it".to_string()));
        }
        for name in names {
            let Some((column, descending)) = term(table, name, &path, work) else { continue };
            if terms.iter().any(|(other, _)| *other == column) {
                let what = format!("`order_by` names the column `{}` twice", table.columns[column].name);
                work.report.error("E-VALUE", name.spot, &path, what, Some("remove one of them".to_string()));
            } else {
                terms.push((column, descending));
            }
        }
    }
    if !draft.many {
        return;
    }
    let rest: Vec<usize> = match id::key_of(table) {
        // Rows without a key are told apart by all that can be compared; rows that agree in all of it look the same.
        [] => (0..table.columns.len()).filter(|&at| comparable(&table.columns[at].kind)).collect(),
        key => key.to_vec(),
    };
    for column in rest {
        if terms.iter().all(|(other, _)| *other != column) {
            terms.push((column, false));
        }
    }
    for (column, descending) in terms {
        draft.uses(column, false);
        draft.position_of(column);
        let direction = if descending { " DESC" } else { "" };
        draft.order_by.push(format!("{}{direction}", sql::quoted(&table.columns[column].name)));
    }
}

fn comparable(kind: &ColumnKind) -> bool {
    !matches!(kind, ColumnKind::Json | ColumnKind::Geometry | ColumnKind::Vector | ColumnKind::Other(_))
}

/// `column`, `column asc` or `column desc`.
fn term(table: &Table, name: &At<String>, path: &str, work: &mut Work<'_>) -> Option<(usize, bool)> {
    let written = name.value.trim();
    let split = written.rsplit_once(char::is_whitespace).and_then(|(column, direction)| {
        match direction.to_ascii_lowercase().as_str() {
            "asc" => Some((column.trim(), false)),
            "desc" => Some((column.trim(), true)),
            _ => None,
        }
    });
    // A column may be called `price desc`.
    let split = split.filter(|_| table.column(written).is_none());
    let (column, descending) = split.unwrap_or((written, false));
    let quoted =
        column.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).filter(|_| table.column(column).is_none());
    let column = quoted.map_or_else(|| column.to_string(), |name| name.replace("``", "`"));
    let column = work.column(table, &At { value: column, spot: name.spot }, path)?;
    if !comparable(&table.columns[column].kind) {
        let what = format!("an array cannot be ordered by {}", sql::describe(table, &table.columns[column]));
        work.report.error("E-VALUE", name.spot, path, what, None);
    }
    Some((column, descending))
}
