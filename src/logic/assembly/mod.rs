//! Rows to documents: the same function for the copy, for the stream and for verification.
//!
//! Owns: nesting, the order of fields, `_id` and `_rf`. Does not own: reading rows (`reading`), single values
//! (`logic::conversion`), finding a parent's rows (`logic::grouping`).
//!
//! A document is: `_id`, the root's fields, then its nested nodes in plan order (each built the same way), then
//! `_rf: {v, b}`.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::RecordBatch;

use super::conversion::{CellWriter, Written, write_id};
use super::grouping::{Groups, RowRef, encode_key};
use crate::error::{Error, Result};
use crate::model::document::{BsonWriter, Document, array_index};
use crate::model::plan::{Layout, NodePlan, ProjectionPlan, Shape};
use crate::model::position::Version;
use crate::model::row::value_at;
use crate::model::value::Key;

/// The largest document that MongoDB stores, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a read of some roots gave: for every node of the projection its rows.
#[derive(Debug, Default)]
pub struct RowSet {
    /// By node index.
    pub nodes: Vec<NodeRows>,
}

impl RowSet {
    /// What a read gives that finds no root.
    pub fn nothing(plan: &ProjectionPlan) -> Self {
        Self { nodes: plan.nodes.iter().map(|_| NodeRows::Read(Vec::new())).collect() }
    }
}

/// The rows of one node.
#[derive(Debug, Clone)]
pub enum NodeRows {
    /// Read for these roots, in reading order.
    Read(Vec<RecordBatch>),
    /// A lookup table that is held in memory, whole.
    Held(Arc<HeldRows>),
}

/// A lookup table in memory, indexed once.
#[derive(Debug)]
pub struct HeldRows {
    batches: Vec<RecordBatch>,
    groups: Groups,
}

impl HeldRows {
    /// Indexes the rows of a lookup node.
    pub fn new(plan: &ProjectionPlan, node: usize, batches: Vec<RecordBatch>) -> Self {
        let groups = Groups::new(&batches, &plan.layout(node).to_parent);
        Self { batches, groups }
    }
}

impl NodeRows {
    /// The batches, whoever holds them.
    pub fn batches(&self) -> &[RecordBatch] {
        match self {
            Self::Read(batches) => batches,
            Self::Held(held) => &held.batches,
        }
    }
}

impl RowSet {
    /// Rows that were read for this set; those of tables held in memory are not counted again.
    pub fn rows(&self) -> u64 {
        let read = |rows: &NodeRows| match rows {
            NodeRows::Read(batches) => batches.iter().map(|batch| batch.num_rows() as u64).sum(),
            NodeRows::Held(_) => 0,
        };
        self.nodes.iter().map(read).sum()
    }
}

/// The documents of a read.
#[derive(Debug, Default)]
pub struct Assembled {
    /// In the order of the root rows.
    pub documents: Vec<Document>,
    /// Roots whose document cannot be written, with the reason (no row value in it).
    pub parked: Vec<(Key, String)>,
    /// Zero and impossible dates that became null.
    pub zero_dates: u64,
}

/// Builds the document of every root row. `version` and `build` go into `_rf`.
///
/// # Errors
/// `Halt` if a batch does not fit the plan. What is wrong with one document only is in [`Assembled::parked`].
pub fn assemble(plan: &ProjectionPlan, rows: &RowSet, version: Version, build: i32) -> Result<Assembled> {
    let nodes: Vec<Node<'_>> = (0..plan.nodes.len()).map(|node| Node::new(plan, rows, node)).collect::<Result<_>>()?;
    let mut assembled = Assembled::default();
    let mut capacity = 256;
    for (batch, root_rows) in rows.nodes[0].batches().iter().enumerate() {
        for row in 0..root_rows.num_rows() {
            let key = root_key(plan, root_rows, row);
            let mut work =
                Work { nodes: &nodes, writer: BsonWriter::with_capacity(capacity), zero_dates: 0, key: Vec::new() };
            write_id(&mut work.writer, plan, &key);
            let written = work.row(0, RowRef { batch: batch as u32, row: row as u32 });
            let zero_dates = work.zero_dates;
            match written {
                Ok(()) => {
                    let bytes = finish(work.writer, version, build);
                    if bytes.len() > DOCUMENT_BYTES_MAX {
                        assembled.parked.push((key, too_large(bytes.len()).chain()));
                    } else {
                        capacity = capacity.max(bytes.len() + bytes.len() / 8);
                        assembled.zero_dates += zero_dates;
                        assembled.documents.push(Document { key, bytes });
                    }
                }
                Err(error) if error.kind() == crate::error::Kind::Park => assembled.parked.push((key, error.chain())),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(assembled)
}

fn too_large(bytes: usize) -> Error {
    Error::park(format!("the document has {bytes} bytes or more; MongoDB stores at most {DOCUMENT_BYTES_MAX}"))
}

/// The root key of a row.
pub fn root_key(plan: &ProjectionPlan, batch: &RecordBatch, row: usize) -> Key {
    let root = plan.root();
    let value = |position: usize| value_at(batch.column(position), &root.columns[position].kind, row).in_key();
    Key(plan.id.iter().map(|id| value(id.position)).collect())
}

fn finish(mut writer: BsonWriter, version: Version, build: i32) -> Vec<u8> {
    writer.begin_document("_rf");
    writer.int64("v", version.0);
    writer.int32("b", build);
    writer.end();
    writer.finish()
}

/// A node made ready: its cell writers per batch and its rows by parent.
struct Node<'a> {
    plan: &'a NodePlan,
    batches: &'a [RecordBatch],
    /// Per batch, per shown column.
    cells: Vec<Vec<(&'a str, CellWriter<'a>)>>,
    /// Rows by parent key; `None` for the root.
    groups: Option<Cow<'a, Groups>>,
    /// Child nodes with the positions of the key that finds their rows.
    children: Vec<(usize, Vec<usize>)>,
}

impl<'a> Node<'a> {
    fn new(plan: &'a ProjectionPlan, rows: &'a RowSet, node: usize) -> Result<Self> {
        let layout: Layout = plan.layout(node);
        let node_plan = &plan.nodes[node];
        let batches = rows.nodes[node].batches();
        let columns = node_plan.columns.len() + layout.extras.len();
        if batches.iter().any(|batch| batch.num_columns() != columns) {
            return Err(Error::halt(format!(
                "a read of {} did not return the {columns} planned columns",
                node_plan.table
            )));
        }
        let mut cells = Vec::new();
        for batch in batches {
            let mut writers = Vec::new();
            for (position, column) in node_plan.columns.iter().enumerate() {
                let field = match node_plan.shape {
                    Shape::Values(shown) if shown == position => Some(""),
                    Shape::Values(_) => None,
                    _ => column.field.as_deref(),
                };
                if let Some(field) = field {
                    writers.push((field, CellWriter::new(batch.column(position), column)?));
                }
            }
            cells.push(writers);
        }
        let groups = match &rows.nodes[node] {
            _ if node_plan.parent.is_none() => None,
            NodeRows::Held(held) => Some(Cow::Borrowed(&held.groups)),
            NodeRows::Read(_) => Some(Cow::Owned(Groups::new(batches, &layout.to_parent))),
        };
        Ok(Self { plan: node_plan, batches, cells, groups, children: layout.to_children })
    }
}

/// One document under construction.
struct Work<'a> {
    nodes: &'a [Node<'a>],
    writer: BsonWriter,
    zero_dates: u64,
    key: Vec<u8>,
}

impl Work<'_> {
    /// The fields and nested nodes of one row, into the innermost open document.
    fn row(&mut self, node: usize, row: RowRef) -> Result<()> {
        // One lookup row in very many array elements makes a document far larger than its rows: stop early.
        if self.writer.len() > DOCUMENT_BYTES_MAX {
            return Err(too_large(self.writer.len()));
        }
        let nodes = self.nodes;
        let this = &nodes[node];
        for (field, cell) in &this.cells[row.batch as usize] {
            if this.plan.omit_nulls && cell.is_null(row.row as usize) {
                continue;
            }
            self.cell(field, cell, row)?;
        }
        for (child, positions) in &this.children {
            let mut key = std::mem::take(&mut self.key);
            key.clear();
            let joins = encode_key(&this.batches[row.batch as usize], positions, row.row as usize, &mut key);
            let nested = self.nested(*child, joins.then_some(&key[..]));
            self.key = key;
            nested?;
        }
        Ok(())
    }

    /// The rows of a child node under their parent's key; `None` when a NULL in it joins nothing.
    fn nested(&mut self, child: usize, key: Option<&[u8]>) -> Result<()> {
        let nodes = self.nodes;
        let node = &nodes[child];
        // Every node but the root has groups.
        let rows = || key.zip(node.groups.as_ref()).into_iter().flat_map(|(key, groups)| groups.rows(key));
        let field = &node.plan.field;
        match node.plan.shape {
            Shape::Root => return Err(Error::halt("the root cannot be nested")),
            Shape::One => {
                let mut found = rows();
                match (found.next(), found.next()) {
                    (None, _) if node.plan.omit_nulls => {}
                    (None, _) => self.writer.null(field),
                    (Some(row), None) => {
                        self.writer.begin_document(field);
                        self.row(child, row)?;
                        self.writer.end();
                    }
                    (Some(_), Some(_)) => {
                        let table = &node.plan.table;
                        return Err(Error::park(format!(
                            "field {field}: more than one row of {table} matches; use `many`"
                        )));
                    }
                }
            }
            Shape::Many | Shape::Values(_) => {
                self.writer.begin_array(field);
                let mut scratch = String::new();
                for (index, row) in rows().enumerate() {
                    let name = array_index(index, &mut scratch);
                    if node.plan.shape == Shape::Many {
                        self.writer.begin_document(name);
                        self.row(child, row)?;
                        self.writer.end();
                    } else {
                        let (_, cell) = &node.cells[row.batch as usize][0];
                        self.cell(name, cell, row)?;
                    }
                }
                self.writer.end();
            }
        }
        Ok(())
    }

    fn cell(&mut self, field: &str, cell: &CellWriter<'_>, row: RowRef) -> Result<()> {
        if cell.write(&mut self.writer, field, row.row as usize)? == Written::ZeroDate {
            self.zero_dates += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
