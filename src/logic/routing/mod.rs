//! Which roots a row change may have touched (invariant I1).
//!
//! Owns: [`Routes`] (made once from the plan), [`Routes::marks`] and [`MarkSet`]. Does not own: looking up the roots
//! above a nested row: that happens in the source, in a snapshot that contains the event (`stream::applier`), never in
//! the target.
//!
//! A change marks the roots of its row by the image before *and* the image after: a row that moves to another parent
//! changes two documents. An update in which no used column changed marks nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Error, Result};
use crate::model::change::{Cell, Image, RowChange};
use crate::model::plan::{JobPlan, ProjectionPlan, TableUse};
use crate::model::schema::TableName;
use crate::model::value::{Key, Value};

/// Where a lookup of roots starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// Index of the projection.
    pub projection: usize,
    /// Index of the node.
    pub node: usize,
    /// Whether the key is of the far side of a link table (the node's own `to` columns), not of the join itself.
    pub linked: bool,
}

/// How the changes of one table reach roots in one place of one projection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    entry: Entry,
    /// The key's columns, as positions in the table's images.
    cells: Vec<usize>,
    /// The key is the root's own key: no lookup is needed.
    direct: bool,
}

/// All routes of a job, per table of [`JobPlan::tables`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    tables: Vec<Vec<Route>>,
}

impl Routes {
    /// The routes of a plan.
    ///
    /// # Errors
    /// `Halt` if the plan joins by a column that its table does not list as used.
    pub fn new(plan: &JobPlan) -> Result<Self> {
        let mut tables = vec![Vec::new(); plan.tables.len()];
        for (projection, projection_plan) in plan.projections.iter().enumerate() {
            for node in 0..projection_plan.nodes.len() {
                node_routes(plan, projection_plan, projection, node, &mut tables)?;
            }
        }
        Ok(Self { tables })
    }

    /// Adds the marks of one change to `marks`, for the projections for which `wanted` is true.
    ///
    /// # Errors
    /// `Halt` if the images lack a column that is needed to find the roots (`binlog_row_image` is not FULL).
    pub fn marks(&self, plan: &JobPlan, change: &RowChange, wanted: &[bool], marks: &mut MarkSet) -> Result<()> {
        if !is_relevant(change) {
            return Ok(());
        }
        for route in self.tables[change.table].iter().filter(|route| wanted[route.entry.projection]) {
            let before = change.before.as_ref().map(|image| key_of(image, None, &route.cells));
            let after = change.after.as_ref().map(|image| key_of(image, change.before.as_ref(), &route.cells));
            for key in [before, after].into_iter().flatten() {
                let key = key.ok_or_else(|| incomplete_image(&plan.tables[change.table]))?;
                if key.has_null() {
                    continue;
                }
                if route.direct {
                    let inserted = change.before.is_none() && route.entry.node == 0;
                    marks.add_root(route.entry.projection, key, inserted);
                } else {
                    marks.add_lookup(route.entry, key);
                }
            }
        }
        Ok(())
    }
}

/// Whether a used column changed (or may have).
pub fn is_relevant(change: &RowChange) -> bool {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            before.0.iter().zip(&after.0).any(|(before, after)| before != after || *after == Cell::Absent)
        }
        _ => true,
    }
}

/// The key in an image. A column that is absent from the image after is unchanged: it is taken from the one before.
fn key_of(image: &Image, before: Option<&Image>, cells: &[usize]) -> Option<Key> {
    let value = |cell: &usize| match (&image.0[*cell], before.map(|before| &before.0[*cell])) {
        (Cell::Value(value), _) | (Cell::Absent, Some(Cell::Value(value))) => Some(value.clone().in_key()),
        _ => None,
    };
    cells.iter().map(value).collect::<Option<Vec<Value>>>().map(Key)
}

fn incomplete_image(table: &TableUse) -> Error {
    Error::halt(format!(
        "a change of {} was logged without the columns that lead to its documents (a session with binlog_row_image other \
         than FULL): set binlog_row_image=FULL for every session, then start over",
        table.name
    ))
}

fn node_routes(
    plan: &JobPlan,
    projection_plan: &ProjectionPlan,
    projection: usize,
    node: usize,
    tables: &mut [Vec<Route>],
) -> Result<()> {
    let mut add = |name: &TableName, columns: Vec<&str>, linked: bool, direct: bool| -> Result<()> {
        let missing = || Error::halt(format!("the plan does not list the columns by which {name} is joined"));
        let table = plan.tables.iter().position(|table| table.name == *name).ok_or_else(missing)?;
        let position =
            |column: &str| plan.tables[table].columns.iter().position(|used| used.name == column && used.routes);
        let cells = columns.into_iter().map(position).collect::<Option<Vec<usize>>>().ok_or_else(missing)?;
        tables[table].push(Route { entry: Entry { projection, node, linked }, cells, direct });
        Ok(())
    };
    let node_plan = &projection_plan.nodes[node];
    let Some(join) = &node_plan.join else {
        return add(&node_plan.table, projection_plan.id.iter().map(|id| id.column.as_str()).collect(), false, true);
    };
    let child_columns = join.pairs.iter().map(|pair| pair.child_column.as_str()).collect();
    let direct = node_plan.parent == Some(0) && join.follows_root_key;
    match &join.through {
        None => add(&node_plan.table, child_columns, false, direct),
        Some(through) => {
            add(&through.table, child_columns, false, direct)?;
            add(&node_plan.table, through.to.iter().map(|(_, own)| own.as_str()).collect(), true, false)
        }
    }
}

/// Roots that may have changed, coalesced: each root and each lookup once, however many events named it.
#[derive(Debug, Default)]
pub struct MarkSet {
    /// Per projection the marked roots, and whether the root row was inserted (a hint for the writer).
    roots: BTreeMap<usize, HashMap<Key, bool>>,
    /// Keys of nested rows whose roots have to be looked up in the source.
    lookups: BTreeMap<Entry, HashSet<Key>>,
    bytes: usize,
    count: usize,
}

impl MarkSet {
    /// Marks a root.
    pub fn add_root(&mut self, projection: usize, key: Key, inserted: bool) {
        let bytes = key.bytes();
        let marked = self.roots.entry(projection).or_default();
        if let Some(hint) = marked.get_mut(&key) {
            *hint |= inserted;
        } else {
            marked.insert(key, inserted);
            self.bytes += bytes;
            self.count += 1;
        }
    }

    /// Notes that the roots above a nested row have to be looked up.
    pub fn add_lookup(&mut self, entry: Entry, key: Key) {
        let bytes = key.bytes();
        if self.lookups.entry(entry).or_default().insert(key) {
            self.bytes += bytes;
            self.count += 1;
        }
    }

    /// Takes out what marks the projections for which `taken` is true.
    pub fn split_off(&mut self, taken: &[bool]) -> Self {
        let (roots, lookups) = std::mem::take(self).into_parts();
        let mut split = Self::default();
        for (projection, keys) in roots {
            let half = if taken[projection] { &mut split } else { &mut *self };
            keys.into_iter().for_each(|(key, inserted)| half.add_root(projection, key, inserted));
        }
        for (entry, keys) in lookups {
            let half = if taken[entry.projection] { &mut split } else { &mut *self };
            keys.into_iter().for_each(|key| half.add_lookup(entry, key));
        }
        split
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Distinct roots and lookups held.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes it apart: marked roots per projection, and keys to look up.
    #[expect(clippy::type_complexity, reason = "both halves go straight into the loops of the applier")]
    pub fn into_parts(self) -> (BTreeMap<usize, HashMap<Key, bool>>, BTreeMap<Entry, HashSet<Key>>) {
        (self.roots, self.lookups)
    }
}

#[cfg(test)]
mod tests;
