//! Reads the rows of some roots, all nodes of a projection, in one snapshot.
//!
//! Owns: the order of the reads and the keys by which nested rows are asked for. Does not own: SQL (`edge::mysql`),
//! documents (`logic::assembly`). Copy, stream and verification read through here, so that they read the same.
//!
//! One query per node and batch of keys, never one per root: the root by range or keys; a node whose join follows the
//! root's key by the same range; every other node by the distinct join keys of the parent rows just read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::error::{Kind, Result};
use crate::logic::assembly::{HeldRows, NodeRows, RowSet};
use crate::logic::grouping::encode_key;
use crate::model::plan::{JoinPlan, ProjectionPlan, Shape};
use crate::model::position::Version;
use crate::model::row::value_at;
use crate::model::value::Key;
use crate::ports::{Selected, Selection, Snapshot, Source};

/// Keys in one query. Roots are asked for by at most as many, so that keys which MySQL holds equal (`a`, `A`) are in one
/// query and bring their row once.
pub const KEYS_PER_QUERY: usize = 1000;

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
    lookups: &Lookups,
    bytes_max: usize,
) -> Result<Read> {
    let mut rows = RowSet::default();
    let mut bytes = 0;
    for (node, node_plan) in plan.nodes.iter().enumerate() {
        if let Some(held) = lookups.held.get(&node) {
            rows.nodes.push(NodeRows::Held(held.clone()));
            continue;
        }
        let mut batches = Vec::new();
        let by_range = matches!(selection, Selection::Range { .. });
        let keys;
        let selections: Vec<Selection<'_>> = match (&node_plan.join, node_plan.parent) {
            (Some(join), Some(parent)) if !(by_range && parent == 0 && join.follows_root_key) => {
                keys = parent_keys(plan, join, parent, node, rows.nodes[parent].batches());
                keys.chunks(KEYS_PER_QUERY).map(Selection::Keys).collect()
            }
            (Some(_), _) if rows.nodes[0].batches().iter().all(|batch| batch.num_rows() == 0) => Vec::new(),
            _ => match selection {
                // One query, see above.
                Selection::Keys(keys) => {
                    assert!(keys.len() <= KEYS_PER_QUERY, "too many roots in one read");
                    vec![selection]
                }
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
        rows.nodes.push(NodeRows::Read(batches));
    }
    Ok(Read::Rows(rows))
}

/// Lookup tables held in memory, for the copy only: each is read once instead of key by key for every chunk.
///
/// They are read in one snapshot with the position c0. A document assembled with them contains of *every* table only
/// what is both in its chunk's E and in c0, so its version is the smaller of the two. (A rule that distinguished tables
/// is wrong: a lookup's event passes while no root points at its row, then a root moves to it inside E and is assembled
/// from the older copy.)
#[derive(Debug, Default)]
pub struct Lookups {
    held: HashMap<usize, Arc<HeldRows>>,
    /// c0 as a version; `None` while nothing is held.
    pub version: Option<Version>,
    /// Rows held.
    pub rows: u64,
}

impl Lookups {
    /// Reads the N:1 tables of a projection that fit into `bytes_max` together. The caller has checked that the
    /// snapshot contains P0.
    pub async fn load<S: Source>(
        source: &S,
        snapshot: &mut S::Snapshot,
        version: Version,
        plan: &ProjectionPlan,
        projection: usize,
        bytes_max: usize,
    ) -> Result<Self> {
        let mut lookups = Self::default();
        let mut left = bytes_max;
        // Children first: a node with a child that is read by key cannot be held, or the child's rows would be asked for
        // under every row of the table.
        for (node, node_plan) in plan.nodes.iter().enumerate().rev().filter(|(_, node)| node.shape == Shape::One) {
            let complete = plan.children(node).all(|(child, _)| lookups.held.contains_key(&child));
            if !complete {
                continue;
            }
            if source.table_bytes_estimate(projection, node).await? > left as u64 {
                continue;
            }
            // An estimate can be far off: then the rows are asked for by key, as those of a large table are.
            let batch = match snapshot.select(projection, node, Selection::All, left).await {
                Ok(Selected::Rows(batch)) => batch,
                Ok(Selected::TooLarge) => continue,
                // One row that cannot be read: it parks the documents that show it, when they are read by key.
                Err(error) if error.kind() == Kind::Park => continue,
                Err(error) => return Err(error),
            };
            // The index by key takes about as much again.
            left = left.saturating_sub(batch.get_array_memory_size() * 2);
            tracing::debug!(table = %node_plan.table, rows = batch.num_rows(), "lookup held in memory");
            lookups.rows += batch.num_rows() as u64;
            lookups.held.insert(node, Arc::new(HeldRows::new(plan, node, vec![batch])));
            lookups.version = Some(version);
        }
        Ok(lookups)
    }
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
