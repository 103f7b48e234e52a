//! What a document shows of its row: columns, expressions, the names of fields.
//!
//! Owns: `columns`, `exclude`, `rename`, `fields`, `where`, `value`, and which field names are fine. Does not own: whether an
//! expression is deterministic (`expressions`), how values are written (`options`).

use std::collections::HashMap;

use crate::model::plan::{NodeColumn, WriteAs};
use crate::model::schema::{Column, ColumnKind, Table};

use super::super::fields::below;
use super::super::job::Entries;
use super::super::problem::{At, Report, Spot};
use super::nodes::Draft;
use super::{Work, expressions, options, sql};

/// Fields that rowfold writes itself.
const RESERVED: &[&str] = &["_id", "_rf"];

/// Works out the shown columns of the node at `at`, then its condition.
pub fn show<'a>(drafts: &mut [Draft<'a>], at: usize, work: &mut Work<'a>) {
    let mut names = Names::new(at == 0);
    let draft = &mut drafts[at];
    let (shows, path) = (draft.shows, draft.path.clone());
    if let Some(value) = draft.nested.and_then(|file| file.value.as_ref()) {
        only_value(draft, value, work);
    } else {
        if let Some(table) = draft.table {
            shown_columns(draft, table, &mut names, work);
            computed(draft, table, &mut names, work);
        }
        for (key, entries) in [("one", &shows.one), ("many", &shows.many)] {
            for (name, _) in entries {
                let path = below(&below(&path, key), &name.value);
                names.take(&name.value, name.spot, &path, &mut work.report);
            }
        }
    }
    // The same node below itself, under the same name.
    let again = drafts.iter().find(|child| {
        child.parent == Some(at)
            && drafts[at].nested.is_some_and(|file| child.nested.is_some_and(|c| std::ptr::eq(c, file)))
    });
    if let Some(again) = again {
        names.take(&again.field, again.field_spot, &path, &mut work.report);
    }
    let draft = &mut drafts[at];
    if let (Some(table), Some(filter)) = (draft.table, &shows.filter) {
        let path = below(&path, "where");
        if let Some((text, _)) = expression(draft, table, filter, &path, work) {
            draft.filter = Some(text);
        }
    }
    if let Some(table) = draft.table {
        options::resolve(draft, table, work);
    }
}

/// The field names of one document.
pub struct Names {
    root: bool,
    taken: HashMap<String, String>,
}

impl Names {
    /// No names yet. The root's documents have fields of rowfold's own.
    pub fn new(root: bool) -> Self {
        Self { root, taken: HashMap::new() }
    }

    /// Takes a name that was checked before.
    pub fn keep(&mut self, name: &str, path: &str) {
        self.taken.insert(name.to_string(), path.to_string());
    }

    /// Takes a name, or reports what is wrong with it.
    pub fn take(&mut self, name: &str, spot: Spot, path: &str, report: &mut Report) {
        self.take_or(name, spot, path, report, None);
    }

    /// As [`Names::take`], for the name of a column of `table` that is shown as it is.
    fn take_column(&mut self, name: &str, table: &Table, spot: Spot, path: &str, report: &mut Report) {
        let better: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let mut better =
            Some(better.trim_matches('_')).filter(|better| !better.is_empty()).unwrap_or("field").to_string();
        while table.column(&better).is_some() {
            better.push('_');
        }
        self.take_or(
            name,
            spot,
            path,
            report,
            Some(format!("rename: {{{}: {}}}", yaml_text(name), yaml_text(&better))),
        );
    }

    fn take_or(&mut self, name: &str, spot: Spot, path: &str, report: &mut Report, mend: Option<String>) {
        let wrong = if name.is_empty() {
            Some("a field needs a name".to_string())
        } else if self.root && RESERVED.contains(&name) {
            Some(format!("the field `{name}` is rowfold's own"))
        } else if name.starts_with('$') {
            Some(format!("the field `{name}` begins with `$`, which MongoDB reads as an operator"))
        } else if name.contains('.') {
            Some(format!("the field `{name}` has a `.` in it, which MongoDB reads as a path"))
        } else if name.contains('\0') {
            Some("a field's name has a NUL in it".to_string())
        } else {
            None
        };
        let fix = "`rename` the column, or call the field something else".to_string();
        if let Some(what) = wrong {
            report.error("E-FIELD", spot, path, what, Some(mend.unwrap_or(fix)));
        } else if let Some(other) = self.taken.get(name) {
            let what = format!("two fields of one document are called `{name}` (the other: {other})");
            report.error("E-FIELD", spot, path, what, Some(fix));
        } else {
            self.keep(name, path);
        }
    }
}

/// A name as a key in a job file.
fn yaml_text(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(plain) {
        return name.to_string();
    }
    // JSON's strings are YAML's, too.
    serde_json::Value::from(name).to_string()
}

fn shown_columns<'a>(draft: &mut Draft<'a>, table: &'a Table, names: &mut Names, work: &mut Work<'a>) {
    let (shows, path) = (draft.shows, draft.path.clone());
    if let (Some(_), Some(exclude)) = (&shows.columns, &shows.exclude) {
        let spot = exclude.first().map_or(draft.spot, |at| at.spot);
        let what = "a node has either `columns` or `exclude`";
        work.report.error("E-VALUE", spot, &below(&path, "exclude"), what, Some("remove one of them".to_string()));
    }
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let listed = shows.columns.as_ref().map(|list| listed(table, list, &below(&path, "columns"), work));
    let hidden = shows.exclude.as_ref().map(|list| self::listed(table, list, &below(&path, "exclude"), work));
    let hidden: Vec<usize> = hidden.into_iter().flatten().map(|(column, _)| column).collect();
    let spots: HashMap<usize, Spot> = listed.iter().flatten().copied().collect();
    let shown: Vec<usize> = match &listed {
        Some(_) => all.into_iter().filter(|column| spots.contains_key(column)).collect(),
        None => all.into_iter().filter(|column| !hidden.contains(column)).collect(),
    };
    let renamed = renamed(table, &shows.rename, &shown, &path, work);
    for &at in &shown {
        let column = &table.columns[at];
        let spot = spots.get(&at).copied().unwrap_or(draft.table_at.spot);
        readable(table, column, spot, &path, work);
        let path = below(&path, &column.name);
        let field = match renamed.get(&at) {
            Some(name) => {
                names.take(&name.value, name.spot, &path, &mut work.report);
                name.value.clone()
            }
            None => {
                names.take_column(&column.name, table, spot, &path, &mut work.report);
                column.name.clone()
            }
        };
        push_plain(draft, at, column, field, spot);
    }
}

fn push_plain(draft: &mut Draft<'_>, at: usize, column: &Column, field: String, spot: Spot) {
    draft.plain.insert(at, draft.columns.len());
    draft.shown.push((draft.columns.len(), spot));
    draft.uses(at, false);
    let (sql, kind) = (sql::quoted(&column.name), column.kind.clone());
    draft.columns.push(NodeColumn { sql, kind, field: Some(field), write: WriteAs::Plain });
}

/// Columns by name, each once.
fn listed(table: &Table, list: &[At<String>], path: &str, work: &mut Work<'_>) -> Vec<(usize, Spot)> {
    let mut found: Vec<(usize, Spot)> = Vec::new();
    for name in list {
        let Some(column) = work.column(table, name, path) else { continue };
        if found.iter().any(|(other, _)| *other == column) {
            let what = format!("the column `{}` is listed twice", name.value);
            work.report.error("E-FIELD", name.spot, path, what, Some("remove one of them".to_string()));
        } else {
            found.push((column, name.spot));
        }
    }
    found
}

fn renamed(
    table: &Table,
    rename: &Entries<At<String>>,
    shown: &[usize],
    path: &str,
    work: &mut Work<'_>,
) -> HashMap<usize, At<String>> {
    let path = below(path, "rename");
    let mut fields = HashMap::new();
    for (name, field) in rename {
        let Some(column) = work.column(table, name, &path) else { continue };
        if !shown.contains(&column) {
            let what = format!("`rename` names the column `{}`, which is not shown", name.value);
            work.report.error("E-FIELD", name.spot, &path, what, Some("remove it, or show the column".to_string()));
        }
        if fields.insert(column, field.clone()).is_some() {
            let what = format!("`rename` names the column `{}` twice", name.value);
            work.report.error("E-FIELD", name.spot, &path, what, Some("remove one of them".to_string()));
        }
    }
    fields
}

/// Refuses what cannot be read.
fn readable(table: &Table, column: &Column, spot: Spot, path: &str, work: &mut Work<'_>) {
    if let ColumnKind::Other(_) = &column.kind {
        let what = format!("the column {} has a type that rowfold cannot read", sql::describe(table, column));
        let fix = format!("exclude it: `exclude: [{}]`", column.name);
        work.report.error("E-COLUMN-TYPE", spot, path, what, Some(fix));
    }
}

fn computed<'a>(draft: &mut Draft<'a>, table: &'a Table, names: &mut Names, work: &mut Work<'a>) {
    let path = below(&draft.path, "fields");
    for (name, text) in &draft.shows.fields {
        let path = below(&path, &name.value);
        names.take(&name.value, name.spot, &path, &mut work.report);
        let Some((sql, kind)) = expression(draft, table, text, &path, work) else { continue };
        if let ColumnKind::Other(kind) = &kind {
            let what = format!("the expression gives a {kind}, which rowfold cannot read");
            work.report.error("E-COLUMN-TYPE", text.spot, &path, what, Some("CAST it to another type".to_string()));
        }
        draft.shown.push((draft.columns.len(), text.spot));
        draft.columns.push(NodeColumn { sql, kind, field: Some(name.value.clone()), write: WriteAs::Plain });
    }
}

/// An expression that may be used, with what it gives; its columns are noted as used.
fn expression<'a>(
    draft: &mut Draft<'a>,
    table: &'a Table,
    text: &At<String>,
    path: &str,
    work: &mut Work<'a>,
) -> Option<(String, ColumnKind)> {
    let sql = text.value.trim().to_string();
    match expressions::columns_of(&sql, table) {
        Ok(columns) => columns.into_iter().for_each(|column| draft.uses(column, false)),
        Err(faults) => {
            for fault in faults {
                work.report.error(fault.code, text.spot, path, fault.what, fault.fix);
            }
            return None;
        }
    }
    match work.kind_of(table, &sql)? {
        Ok(kind) => Some((sql, kind.clone())),
        Err(complaint) => {
            let what = format!("the source refuses the expression: {complaint}");
            work.report.error("E-EXPRESSION", text.spot, path, what, None);
            None
        }
    }
}

/// `value`: the array holds one column's values.
fn only_value<'a>(draft: &mut Draft<'a>, value: &At<String>, work: &mut Work<'a>) {
    let (shows, path) = (draft.shows, below(&draft.path, "value"));
    let others = [
        ("columns", shows.columns.is_some()),
        ("exclude", shows.exclude.is_some()),
        ("rename", !shows.rename.is_empty()),
        ("fields", !shows.fields.is_empty()),
        ("one", !shows.one.is_empty()),
        ("many", !shows.many.is_empty()),
    ];
    for (key, _) in others.iter().filter(|(_, there)| *there) {
        let what = format!("`value` makes an array of one column's values, so there is no room for `{key}`");
        work.report.error("E-VALUE", value.spot, &path, what, Some(format!("remove `value` or `{key}`")));
    }
    if !draft.many {
        let what = "`value` makes an array, so it stands under `many`";
        work.report.error("E-VALUE", value.spot, &path, what, None);
    }
    let Some(table) = draft.table else { return };
    let Some(at) = work.column(table, value, &path) else { return };
    let column = &table.columns[at];
    readable(table, column, value.spot, &path, work);
    push_plain(draft, at, column, column.name.clone(), value.spot);
    draft.value = Some(0);
}
