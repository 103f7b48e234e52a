//! Reads the rows of some roots, all nodes of a projection, in one snapshot.
//!
//! Owns: the order of the reads and the keys by which nested rows are asked for. Does not own: SQL (`edge::mysql`),
//! documents (`logic::assembly`). Copy, stream and verification read through here, so that they read the same.
//!
//! One query per node and batch of keys, never one per root: the root by range or keys; a node whose join follows the
//! root's key by the same range; every other node by the distinct join keys of the parent rows just read.

use std::collections::HashSet;

use arrow_array::RecordBatch;

use crate::error::Result;
use crate::logic::assembly::RowSet;
use crate::logic::grouping::encode_key;
use crate::model::plan::{JoinPlan, ProjectionPlan};
use crate::model::row::value_at;
use crate::model::value::Key;
use crate::ports::{Selected, Selection, Snapshot};

/// Keys in one query.
const KEYS_PER_QUERY: usize = 1000;

/// Rows of some roots, or word that they are too many.
#[derive(Debug)]
pub enum Read {
    /// All rows.
    Rows(RowSet),
    /// They take more than the allowed bytes: ask for fewer roots.
    TooLarge,
}

/// Reads the selected roots with all nested rows, holding at most `bytes_max` of Arrow data.
pub async fn read_rows<S: Snapshot>(
    snapshot: &mut S,
    plan: &ProjectionPlan,
    projection: usize,
    selection: Selection<'_>,
    bytes_max: usize,
) -> Result<Read> {
    let mut rows = RowSet::default();
    let mut bytes = 0;
    for (node, node_plan) in plan.nodes.iter().enumerate() {
        let mut batches = Vec::new();
        let by_range = matches!(selection, Selection::Range { .. });
        let keys;
        let selections: Vec<Selection<'_>> = match (&node_plan.join, node_plan.parent) {
            (Some(join), Some(parent)) if !(by_range && parent == 0 && join.follows_root_key) => {
                keys = parent_keys(plan, join, parent, node, &rows.nodes[parent]);
                keys.chunks(KEYS_PER_QUERY).map(Selection::Keys).collect()
            }
            (Some(_), _) if rows.nodes[0].iter().all(|batch| batch.num_rows() == 0) => Vec::new(),
            _ => match selection {
                Selection::Keys(keys) => keys.chunks(KEYS_PER_QUERY).map(Selection::Keys).collect(),
                range => vec![range],
            },
        };
        for selection in selections {
            let Selected::Rows(batch) = snapshot.select(projection, node, selection, bytes_max - bytes).await? else {
                return Ok(Read::TooLarge);
            };
            bytes += batch.get_array_memory_size();
            if bytes >= bytes_max {
                return Ok(Read::TooLarge);
            }
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        rows.nodes.push(batches);
    }
    Ok(Read::Rows(rows))
}

/// The distinct keys by which the rows of `node` are found under the given parent rows. Keys that are equal to MySQL
/// appear once: in two queries they would bring the same rows twice.
fn parent_keys(
    plan: &ProjectionPlan,
    join: &JoinPlan,
    parent: usize,
    node: usize,
    parents: &[RecordBatch],
) -> Vec<Key> {
    let layout = plan.layout(parent);
    let positions = layout.to_children.iter().find(|(child, _)| *child == node).map(|(_, positions)| &positions[..]);
    let columns = &plan.nodes[parent].columns;
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    let mut encoded = Vec::new();
    for batch in parents {
        for row in 0..batch.num_rows() {
            encoded.clear();
            if !encode_key(batch, positions.unwrap_or_default(), row, &mut encoded) || seen.contains(&encoded) {
                continue;
            }
            seen.insert(encoded.clone());
            let value = |position: usize| value_at(batch.column(position), &columns[position].kind, row);
            keys.push(Key(join.pairs.iter().map(|pair| value(pair.parent_position)).collect()));
        }
    }
    keys
}
