//! How a node's rows find their parents.
//!
//! Owns: join pairs, link tables, whether a join follows the root's key, indexes and uniqueness that joins need. Does not
//! own: which types can be compared (`equality` below decides, MySQL compares), cycles (`nodes`).

use crate::model::plan::{IdColumn, JoinPair, JoinPlan, Through};
use crate::model::schema::{Column, Table};

use super::super::fields::below;
use super::super::job::{Entries, NodeFile};
use super::super::problem::{At, Spot};
use super::nodes::Draft;
use super::{Work, equality, sql};

/// Two columns that are joined, by position in their tables.
struct Pair {
    parent: usize,
    child: usize,
    spot: Spot,
}

/// One side of a join, for messages and checks.
struct Side<'a> {
    table: &'a Table,
    path: String,
    spot: Spot,
    allow_scan: bool,
}

/// Works out the join of the node at `at`.
pub fn resolve<'a>(drafts: &mut [Draft<'a>], at: usize, id: &[IdColumn], work: &mut Work<'a>) {
    let (Some(file), Some(parent)) = (drafts[at].nested, drafts[at].parent) else { return };
    let parent_table = drafts[parent].table;
    match &file.through {
        None => direct(drafts, at, parent, parent_table, file, id, work),
        Some(_) => linked(drafts, at, parent, parent_table, file, id, work),
    }
}

fn direct<'a>(
    drafts: &mut [Draft<'a>],
    at: usize,
    parent: usize,
    parent_table: Option<&'a Table>,
    file: &'a NodeFile,
    id: &[IdColumn],
    work: &mut Work<'a>,
) {
    let Some(table) = drafts[at].table else { return };
    let path = below(&file.path, "join");
    let mut pairs = pairs(parent_table, table, &file.join, &path, work);
    let Some(parent_table) = parent_table else { return };
    if pairs.len() != file.join.len() || pairs.is_empty() {
        return;
    }
    let side = Side { table, path, spot: spot_of(&file.join), allow_scan: file.allow_scan };
    let columns: Vec<usize> = pairs.iter().map(|pair| pair.child).collect();
    needs_index(&side, &columns, work);
    finds_parents(&side, parent_table, &pairs.iter().map(|pair| pair.parent).collect::<Vec<_>>(), work);
    if !drafts[at].many && !unique(table, &columns) {
        lookup(&side, &columns, work);
    }
    let follows_root_key = parent == 0 && follows(&mut pairs, parent_table, table, id);
    let mut plan = JoinPlan { pairs: Vec::new(), through: None, follows_root_key };
    for pair in &pairs {
        let (left, right) = (&parent_table.columns[pair.parent], &table.columns[pair.child]);
        let Some(equality) = equality::of((parent_table, left), (table, right), pair.spot, &side.path, work) else {
            continue;
        };
        drafts[parent].uses(pair.parent, true);
        drafts[at].uses(pair.child, true);
        let parent_position = drafts[parent].position_of(pair.parent).unwrap_or_default();
        let child_position = drafts[at].position_of(pair.child);
        plan.pairs.push(joined(left, parent_position, right, child_position, equality));
    }
    drafts[at].join = Some(plan);
}

fn linked<'a>(
    drafts: &mut [Draft<'a>],
    at: usize,
    parent: usize,
    parent_table: Option<&'a Table>,
    file: &'a NodeFile,
    id: &[IdColumn],
    work: &mut Work<'a>,
) {
    let (Some(through), Some((link, _))) = (&file.through, drafts[at].link.as_ref()) else { return };
    let link: &'a Table = link;
    let (join_path, to_path) = (below(&through.path, "join"), below(&through.path, "to"));
    let mut pairs = pairs(parent_table, link, &through.join, &join_path, work);
    let Some(table) = drafts[at].table else { return };
    let to = self::pairs(Some(link), table, &through.to, &to_path, work);
    let Some(parent_table) = parent_table else { return };
    if pairs.len() != through.join.len() || to.len() != through.to.len() || pairs.is_empty() || to.is_empty() {
        return;
    }
    let side = |table, path: &str, entries| Side {
        table,
        path: path.to_string(),
        spot: spot_of(entries),
        allow_scan: file.allow_scan,
    };
    let (link_side, node_side) = (side(link, &join_path, &through.join), side(table, &to_path, &through.to));
    needs_index(&link_side, &pairs.iter().map(|pair| pair.child).collect::<Vec<_>>(), work);
    finds_parents(&link_side, parent_table, &pairs.iter().map(|pair| pair.parent).collect::<Vec<_>>(), work);
    needs_index(&node_side, &to.iter().map(|pair| pair.child).collect::<Vec<_>>(), work);
    finds_parents(&node_side, link, &to.iter().map(|pair| pair.parent).collect::<Vec<_>>(), work);
    let follows_root_key = parent == 0 && follows(&mut pairs, parent_table, link, id);
    let mut plan = JoinPlan { pairs: Vec::new(), through: None, follows_root_key };
    let mut link_used = Vec::new();
    for pair in &pairs {
        let (left, right) = (&parent_table.columns[pair.parent], &link.columns[pair.child]);
        let Some(equality) = equality::of((parent_table, left), (link, right), pair.spot, &join_path, work) else {
            continue;
        };
        drafts[parent].uses(pair.parent, true);
        link_used.push(pair.child);
        let parent_position = drafts[parent].position_of(pair.parent).unwrap_or_default();
        plan.pairs.push(joined(left, parent_position, right, None, equality));
    }
    let mut names = Vec::new();
    for pair in &to {
        let (left, right) = (&link.columns[pair.parent], &table.columns[pair.child]);
        equality::of((link, left), (table, right), pair.spot, &to_path, work);
        link_used.push(pair.parent);
        drafts[at].uses(pair.child, true);
        drafts[at].position_of(pair.child);
        names.push((left.name.clone(), right.name.clone()));
    }
    let kinds = pairs.iter().map(|pair| link.columns[pair.child].kind.clone()).collect();
    plan.through = Some(Through { table: link.name.clone(), to: names, kinds });
    drafts[at].join = Some(plan);
    if let Some((_, used)) = &mut drafts[at].link {
        used.extend(link_used.into_iter().map(|column| (column, true)));
    }
}

fn joined(
    left: &Column,
    parent_position: usize,
    right: &Column,
    child_position: Option<usize>,
    equality: crate::model::plan::Equality,
) -> JoinPair {
    JoinPair {
        parent_column: left.name.clone(),
        parent_position,
        child_column: right.name.clone(),
        child_position,
        kind: left.kind.clone(),
        equality,
    }
}

fn spot_of(entries: &Entries<At<String>>) -> Spot {
    entries.first().map_or_else(Spot::default, |(name, _)| name.spot)
}

/// The pairs whose columns exist on both sides. Without the parent's table only the child's are looked up.
fn pairs(
    parent: Option<&Table>,
    child: &Table,
    entries: &Entries<At<String>>,
    path: &str,
    work: &mut Work<'_>,
) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for (left, right) in entries {
        let found = (parent.map(|table| work.column(table, left, path)), work.column(child, right, path));
        let (Some(Some(parent)), Some(column)) = found else { continue };
        if pairs.iter().any(|pair| pair.child == column) {
            let what = format!("the column `{}` of {} is joined twice", right.value, child.name);
            work.report.error("E-JOIN", right.spot, path, what, Some("remove one of them".to_string()));
            continue;
        }
        pairs.push(Pair { parent, child: column, spot: left.spot });
    }
    pairs
}

/// Whether the pairs join the root's whole key, in an order in which an index of the child can be read; they are put
/// into the key's order then. The types have to be the same: a child's value is taken as a root's key then, and one that
/// does not fit the root's type would be cut to the key of another root.
fn follows(pairs: &mut [Pair], parent: &Table, child: &Table, id: &[IdColumn]) -> bool {
    let key: Vec<usize> = id.iter().filter_map(|id| parent.column(&id.column)).collect();
    if key.is_empty() || key.len() != pairs.len() || !pairs.iter().all(|pair| key.contains(&pair.parent)) {
        return false;
    }
    if pairs.iter().any(|pair| parent.columns[pair.parent].kind != child.columns[pair.child].kind) {
        return false;
    }
    let place = |pair: &Pair| key.iter().position(|column| *column == pair.parent);
    let mut places: Vec<_> = pairs.iter().filter_map(place).collect();
    places.sort_unstable();
    places.dedup();
    if places.len() != pairs.len() {
        return false;
    }
    pairs.sort_by_key(place);
    let columns: Vec<usize> = pairs.iter().map(|pair| pair.child).collect();
    child.indexes.iter().any(|index| index.columns.starts_with(&columns))
}

/// Whether one row at most has given values in these columns.
fn unique(table: &Table, columns: &[usize]) -> bool {
    let covers = |index: &[usize]| !index.is_empty() && index.iter().all(|column| columns.contains(column));
    table.indexes.iter().any(|index| index.unique && covers(&index.columns))
}

/// Whether an index finds the rows that have given values in these columns.
fn indexed(table: &Table, columns: &[usize]) -> bool {
    unique(table, columns)
        || table.indexes.iter().any(|index| {
            index.columns.len() >= columns.len()
                && index.columns[..columns.len()].iter().all(|column| columns.contains(column))
        })
}

fn needs_index(side: &Side<'_>, columns: &[usize], work: &mut Work<'_>) {
    if side.allow_scan || indexed(side.table, columns) {
        return;
    }
    let list = sql::plain_list(side.table, columns);
    let (name, rows) = (&side.table.name, side.table.rows_estimate);
    let what = format!(
        "table {name} has no index on the join columns {list}; each read would scan it (about {rows} rows; `allow_scan: true` allows that)"
    );
    let fix = sql::create_index("INDEX", side.table, columns);
    work.report.error("E-NO-INDEX", side.spot, &side.path, what, Some(fix));
}

/// A changed row finds the documents it stands in through the parent's join columns.
fn finds_parents(side: &Side<'_>, parent: &Table, columns: &[usize], work: &mut Work<'_>) {
    if side.allow_scan || indexed(parent, columns) {
        return;
    }
    let list = sql::plain_list(parent, columns);
    let (name, rows) = (&parent.name, parent.rows_estimate);
    let what = format!(
        "table {name} has no index on the join columns {list}; each change of a row of {} would scan it (about {rows} rows; `allow_scan: true` allows that)",
        side.table.name
    );
    let fix = sql::create_index("INDEX", parent, columns);
    work.report.error("E-NO-INDEX", side.spot, &side.path, what, Some(fix));
}

/// A `one` join that no unique index keeps from giving two rows.
fn lookup(side: &Side<'_>, columns: &[usize], work: &mut Work<'_>) {
    let names = columns.iter().map(|&at| side.table.columns[at].name.clone()).collect();
    let Some(shared) = work.duplicates(&side.table.name, names) else { return };
    let (name, list) = (&side.table.name, sql::plain_list(side.table, columns));
    let index = sql::create_index("UNIQUE INDEX", side.table, columns);
    let (what, fix) = if shared {
        let what = format!("`one` joins table {name} by {list}, which is not unique: several rows agree in it");
        (what, "nest it under `many`, or join by a unique key".to_string())
    } else {
        let what =
            format!("`one` joins table {name} by {list}, which no unique index keeps unique (no rows agree in it now)");
        (what, format!("{index}\nor nest it under `many`"))
    };
    work.report.error("E-LOOKUP-DUP", side.spot, &side.path, what, Some(fix));
}
