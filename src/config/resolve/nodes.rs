//! The nested nodes of a projection as one list, self-references spelled out.
//!
//! Owns: [`Draft`], the order of nodes, cycles and `max_depth`, whether a table can be read at all. Does not own: a
//! node's columns, joins and order (`columns`, `joins`, `order`).

use std::collections::BTreeMap;

use crate::model::plan::{JoinPlan, NodeColumn, WriteAs};
use crate::model::schema::Table;

use super::super::job::{NodeFile, ProjectionFile, Shows};
use super::super::problem::{At, Spot};
use super::{Work, sql};

/// The most nodes of one projection, self-references spelled out.
const NODES_MAX: usize = 500;
/// The most levels of a document; a BSON document may have 100, and JSON columns bring their own.
const LEVELS_MAX: usize = 80;

/// One node on its way to a plan.
pub struct Draft<'a> {
    /// What it shows.
    pub shows: &'a Shows,
    /// Its table, if it exists.
    pub table: Option<&'a Table>,
    /// Where the table is named.
    pub table_at: &'a At<String>,
    /// The nested node in the file; `None` for the root.
    pub nested: Option<&'a NodeFile>,
    /// The key that leads to it.
    pub path: String,
    /// Where it begins.
    pub spot: Spot,
    /// The parent's position.
    pub parent: Option<usize>,
    /// The field in the parent's document.
    pub field: String,
    /// Where that field is named.
    pub field_spot: Spot,
    /// An array, not a sub-document.
    pub many: bool,
    /// Levels of the document down to here.
    pub levels: usize,
    /// What is read from a row.
    pub columns: Vec<NodeColumn>,
    /// Table columns and where they stand in `columns`.
    pub plain: BTreeMap<usize, usize>,
    /// The shown columns and fields: their positions in `columns`, and where they are named.
    pub shown: Vec<(usize, Spot)>,
    /// Used table columns, and whether they route.
    pub used: BTreeMap<usize, bool>,
    /// The position of the column whose values make the array.
    pub value: Option<usize>,
    /// The condition.
    pub filter: Option<String>,
    /// How it finds its parent.
    pub join: Option<JoinPlan>,
    /// The link table with its used columns.
    pub link: Option<(&'a Table, BTreeMap<usize, bool>)>,
    /// Order of the array.
    pub order_by: Vec<String>,
}

impl Draft<'_> {
    /// The position of a table column among what is read; added unseen if it is not shown.
    pub fn position_of(&mut self, column: usize) -> Option<usize> {
        let table = self.table?;
        if let Some(&position) = self.plain.get(&column) {
            return Some(position);
        }
        let position = self.columns.len();
        let described = &table.columns[column];
        let (sql, kind) = (sql::quoted(&described.name), described.kind.clone());
        self.columns.push(NodeColumn { sql, kind, field: None, write: WriteAs::Plain });
        self.plain.insert(column, position);
        Some(position)
    }

    /// Notes that a table column is used, and whether it routes.
    pub fn uses(&mut self, column: usize, routes: bool) {
        *self.used.entry(column).or_insert(false) |= routes;
    }
}

/// The root and all nested nodes, every parent before its children.
pub fn flatten<'a>(file: &'a ProjectionFile, work: &mut Work<'a>) -> Vec<Draft<'a>> {
    let path = format!("{}.root", file.path);
    let table = readable(&file.root, &path, work);
    let mut drafts = vec![draft(&file.shows, table, &file.root, None, &file.path, file.root.spot)];
    descend(&mut drafts, 0, work);
    drafts
}

fn draft<'a>(
    shows: &'a Shows,
    table: Option<&'a Table>,
    table_at: &'a At<String>,
    nested: Option<&'a NodeFile>,
    path: &str,
    spot: Spot,
) -> Draft<'a> {
    Draft {
        shows,
        table,
        table_at,
        nested,
        path: path.to_string(),
        spot,
        parent: None,
        field: String::new(),
        field_spot: spot,
        many: false,
        levels: 1,
        columns: Vec::new(),
        plain: BTreeMap::new(),
        shown: Vec::new(),
        used: BTreeMap::new(),
        value: None,
        filter: None,
        join: None,
        link: None,
        order_by: Vec::new(),
    }
}

/// A table that exists and gives consistent reads.
fn readable<'a>(at: &'a At<String>, path: &str, work: &mut Work<'a>) -> Option<&'a Table> {
    let table = work.table(at, path)?;
    if !table.engine.eq_ignore_ascii_case("InnoDB") {
        let what = format!("table {} uses the engine {}, which gives no consistent read", table.name, table.engine);
        let fix = format!("ALTER TABLE {} ENGINE=InnoDB;", sql::quoted_table(&table.name));
        work.report.error("E-ENGINE", at.spot, path, what, Some(fix));
    }
    Some(table)
}

/// Adds what is nested in the node at `parent`, depth first.
fn descend<'a>(drafts: &mut Vec<Draft<'a>>, parent: usize, work: &mut Work<'a>) {
    let shows = drafts[parent].shows;
    // A self-reference that may go deeper stands in its own documents too, after its siblings of the same shape.
    let repeats = drafts[parent].nested.filter(|_| repeats(drafts, parent));
    let again = |many: bool| {
        repeats.filter(|_| drafts[parent].many == many).map(|file| (drafts[parent].field.clone(), parent, file))
    };
    let (again_one, again_many) = (again(false), again(true));
    for (entries, again, many) in [(&shows.one, again_one, false), (&shows.many, again_many, true)] {
        for (name, file) in entries {
            add(drafts, parent, &name.value, name.spot, file, many, work);
        }
        if let Some((field, from, file)) = again {
            let spot = drafts[from].field_spot;
            add(drafts, parent, &field, spot, file, many, work);
        }
    }
}

fn add<'a>(
    drafts: &mut Vec<Draft<'a>>,
    parent: usize,
    field: &str,
    field_spot: Spot,
    file: &'a NodeFile,
    many: bool,
    work: &mut Work<'a>,
) {
    let levels = drafts[parent].levels + if many { 2 } else { 1 };
    if drafts.len() >= NODES_MAX || levels > LEVELS_MAX {
        let what = format!("the documents nest too deep (over {LEVELS_MAX} levels or {NODES_MAX} nodes in all)");
        let fix = "lower `max_depth`".to_string();
        work.report.error("E-DEPTH", file.spot, &file.path, what, Some(fix));
        return;
    }
    let table = readable(&file.table, &format!("{}.table", file.path), work);
    let mut draft = draft(&file.shows, table, &file.table, Some(file), &file.path, file.spot);
    draft.parent = Some(parent);
    draft.field = field.to_string();
    draft.field_spot = field_spot;
    draft.many = many;
    draft.levels = levels;
    if let Some(through) = &file.through {
        let path = format!("{}.table", through.path);
        draft.link = readable(&through.table, &path, work).map(|table| (table, BTreeMap::new()));
        if !many {
            let what = "`through` gives any number of rows, so it stands under `many`";
            work.report.error("E-JOIN", file.spot, &through.path, what, None);
        }
    }
    drafts.push(draft);
    let at = drafts.len() - 1;
    if cycle(drafts, at, work) {
        return;
    }
    descend(drafts, at, work);
}

/// Whether the node at `at` nests in itself once more.
fn repeats(drafts: &[Draft<'_>], at: usize) -> bool {
    let draft = &drafts[at];
    let (Some(file), Some(parent)) = (draft.nested, draft.parent) else { return false };
    let Some(max) = &file.max_depth else { return false };
    let same = |a: &Draft<'_>, b: &Draft<'_>| a.table.is_some() && a.table.map(|t| &t.name) == b.table.map(|t| &t.name);
    if !same(draft, &drafts[parent]) {
        return false;
    }
    let mut depth = 1;
    let mut above = parent;
    while drafts[above].nested.is_some_and(|other| std::ptr::eq(other, file)) {
        depth += 1;
        match drafts[above].parent {
            Some(parent) => above = parent,
            None => break,
        }
    }
    depth < max.value
}

/// Reports a table that stands below itself without `max_depth`.
fn cycle(drafts: &[Draft<'_>], at: usize, work: &mut Work<'_>) -> bool {
    let draft = &drafts[at];
    let (Some(file), Some(table)) = (draft.nested, draft.table) else { return false };
    if file.max_depth.is_some() {
        return false;
    }
    let mut names = vec![table.name.to_string()];
    let mut above = draft.parent;
    while let Some(ancestor) = above {
        let name = drafts[ancestor].table.map_or_else(|| "?".to_string(), |table| table.name.to_string());
        let found = name == names[0];
        names.push(name);
        if found {
            names.reverse();
            let what = format!("table {} stands below itself: {}", table.name, names.join(" > "));
            let fix = "set `max_depth` on this node: how deep it may nest".to_string();
            work.report.error("E-CYCLE", file.table.spot, &draft.path, what, Some(fix));
            return true;
        }
        above = drafts[ancestor].parent;
    }
    false
}
