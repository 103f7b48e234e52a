//! Indexes of the target collection: whether the paths they name can exist.
//!
//! Owns: [`IndexPlan`]s. Does not own: building them (`edge::mongo::collections`).

use std::collections::BTreeSet;

use crate::model::plan::{IdColumn, IndexPlan};
use crate::model::schema::ColumnKind;

use super::super::fields::below;
use super::super::job::ProjectionFile;
use super::super::problem::{At, Report};
use super::super::suggest::did_you_mean;
use super::nodes::Draft;

/// The indexes of a projection.
pub fn resolve(file: &ProjectionFile, drafts: &[Draft<'_>], id: &[IdColumn], report: &mut Report) -> Vec<IndexPlan> {
    let mut plans: Vec<IndexPlan> = Vec::new();
    for index in &file.indexes {
        let path = below(&index.path, "keys");
        let mut arrays: BTreeSet<Vec<usize>> = BTreeSet::new();
        for (name, _) in &index.keys {
            arrays.extend(walk(drafts, id, name, &path, report));
        }
        let longest = arrays.iter().max_by_key(|path| path.len()).cloned().unwrap_or_default();
        if let (Some((name, _)), true) = (index.keys.first(), arrays.iter().any(|path| !longest.starts_with(path))) {
            let what = "an index cannot hold two arrays that are not nested in each other";
            report.error("E-INDEX", name.spot, &path, what, Some("make an index for each".to_string()));
        }
        let keys: Vec<(String, i32)> = index.keys.iter().map(|(name, way)| (name.value.clone(), *way)).collect();
        if let (Some((name, _)), true) = (index.keys.first(), plans.iter().any(|plan| plan.keys == keys)) {
            let what = "another index has the same keys";
            report.error("E-INDEX", name.spot, &path, what, Some("remove one of them".to_string()));
        }
        plans.push(IndexPlan { keys, unique: index.unique });
    }
    plans
}

/// The arrays on a field's path, as node indices, outermost first.
fn walk(
    drafts: &[Draft<'_>],
    id: &[IdColumn],
    name: &At<String>,
    path: &str,
    report: &mut Report,
) -> Option<Vec<usize>> {
    let mut arrays = Vec::new();
    let mut node = 0;
    let mut parts = name.value.split('.');
    while let Some(part) = parts.next() {
        let children = |node| drafts.iter().enumerate().filter(move |(_, draft)| draft.parent == Some(node));
        if node == 0 && part == "_rf" {
            return Some(arrays);
        }
        if node == 0 && part == "_id" {
            let field = parts.next();
            if field.is_none_or(|field| id.len() > 1 && id.iter().any(|id| id.field == field)) {
                return Some(arrays);
            }
        } else if let Some((child, draft)) = children(node).find(|(_, draft)| draft.field == part) {
            if draft.many {
                arrays.push(child);
            }
            node = child;
            if draft.value.is_none() {
                continue;
            }
        }
        let column = drafts[node].columns.iter().find(|column| column.field.as_deref() == Some(part));
        let scalars = drafts[node].value.is_some();
        // A JSON column may hold any path; without its table a node's fields are not known.
        if drafts[node].table.is_none() || column.is_some_and(|column| column.kind == ColumnKind::Json) {
            return Some(arrays);
        }
        let own_key = node == 0 && part == "_id";
        if column.is_some() || scalars || own_key {
            let Some(rest) = (if own_key { name.value.split('.').nth(1) } else { parts.next() }) else {
                return Some(arrays);
            };
            let fields = if own_key && id.len() > 1 { id.iter().map(|id| id.field.as_str()).collect() } else { vec![] };
            let what = format!("the index names `{}`, and `{part}` has no field `{rest}`", name.value);
            report.error("E-INDEX", name.spot, path, what, did_you_mean(rest, fields));
            return None;
        }
        let fields = drafts[node].columns.iter().filter_map(|column| column.field.as_deref());
        let nested = children(node).map(|(_, draft)| draft.field.as_str());
        let what = format!("the index names `{}`, and the documents have no field `{part}` there", name.value);
        report.error("E-INDEX", name.spot, path, what, did_you_mean(part, fields.chain(nested)));
        return None;
    }
    Some(arrays)
}
