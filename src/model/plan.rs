//! A job after it was proved against the live schema: what to read, how it nests, what comes out.
//!
//! Owns: [`JobPlan`] and its parts. Does not own: making one (`config::resolve`), SQL text of whole queries
//! (`edge::mysql::sql`), routing (`logic::routing`).

use serde::{Deserialize, Serialize};

use super::schema::{Column, ColumnKind, Table, TableName};
use super::zone::Zone;

/// A whole job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    /// The job's name; it scopes leases and builds.
    pub name: String,
    /// One for each target collection.
    pub projections: Vec<ProjectionPlan>,
    /// Every table that some projection reads, each once.
    pub tables: Vec<TableUse>,
}

/// A table with the columns by which its events are routed and filtered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableUse {
    /// Its name.
    pub name: TableName,
    /// The used columns: mapped, joined, ordered by, part of the id, or named in an expression. An event's image holds
    /// exactly these, in this order ([`crate::model::change::Image`]).
    pub columns: Vec<UsedColumn>,
}

impl TableUse {
    /// A table of which every column's value is used.
    pub fn whole(table: &Table) -> Self {
        let used = |column: &Column| UsedColumn {
            name: column.name.clone(),
            kind: column.kind.clone(),
            declared: column.declared.clone(),
            collation: column.collation.clone(),
            routes: true,
        };
        Self { name: table.name.clone(), columns: table.columns.iter().map(used).collect() }
    }
}

/// One used column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedColumn {
    /// Its name.
    pub name: String,
    /// What it holds; frozen for the life of a build.
    pub kind: ColumnKind,
    /// The declared type as MySQL prints it; frozen too.
    pub declared: String,
    /// The collation of a text column; frozen too.
    pub collation: Option<String>,
    /// Whether its exact value is needed to route an event (id and join columns). Of the others only equality matters.
    pub routes: bool,
}

/// One target collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectionPlan {
    /// The name that readers use.
    pub collection: String,
    /// The tree of tables, the root first, every parent before its children, siblings in document order.
    pub nodes: Vec<NodePlan>,
    /// The root's key: positions in `nodes[0].columns`, and the names under which they stand in a sub-document `_id`.
    pub id: Vec<IdColumn>,
    /// Indexes to build after the copy.
    pub indexes: Vec<IndexPlan>,
    /// The mapping as canonical text; a build stores it, so that an edited job file is noticed.
    pub mapping: String,
}

/// One column of the root's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdColumn {
    /// Position in the root node's columns.
    pub position: usize,
    /// The column's name in the root table.
    pub column: String,
    /// The field's name in a sub-document `_id`.
    pub field: String,
    /// The zone of a DATETIME.
    pub zone: Zone,
}

/// One table in a document's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// The table.
    pub table: TableName,
    /// The parent's index in [`ProjectionPlan::nodes`]; `None` for the root.
    pub parent: Option<usize>,
    /// The field in the parent's document; empty for the root.
    pub field: String,
    /// One sub-document, or an array.
    pub shape: Shape,
    /// What is read from a row, in this order: first what the document shows, then what only joins need.
    pub columns: Vec<NodeColumn>,
    /// How rows find their parent; `None` for the root.
    pub join: Option<JoinPlan>,
    /// A condition over the row's own columns, SQL.
    pub filter: Option<String>,
    /// Columns by which an array is ordered, as SQL terms over the table's own columns (`` `line` `` or `` `qty` DESC``),
    /// made total by the primary key.
    pub order_by: Vec<String>,
    /// Leave a field out when it is NULL, instead of writing null.
    pub omit_nulls: bool,
}

/// How a node's rows stand in the parent's document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// The document itself.
    Root,
    /// N:1, a sub-document or null.
    One,
    /// 1:N or N:M, an array of sub-documents.
    Many,
    /// An array of the scalars of one column (its position in [`NodePlan::columns`]).
    Values(usize),
}

/// One thing that is read from each row of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeColumn {
    /// A quoted column (`` `no` ``) or an expression over the table's own columns.
    pub sql: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// The field it becomes, or `None` if only a join needs it.
    pub field: Option<String>,
    /// How it is written, every option resolved.
    pub write: WriteAs,
}

/// How a column is written into documents. `_id` does not depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteAs {
    /// What the table of `logic::conversion` says first.
    #[default]
    Plain,
    /// An integer or a BIT as a boolean: false for 0.
    Bool,
    /// The text that MySQL prints.
    Text,
    /// A number as a double.
    Double,
    /// A text that holds JSON as a document, array or scalar.
    Json,
    /// Sixteen bytes as a UUID.
    Uuid,
    /// A geometry as its SRID and WKB.
    Wkb,
    /// A date in another way than the usual: in a zone, or with something else for a zero or impossible one.
    Moment {
        /// The zone of a DATETIME.
        zone: Zone,
        /// What becomes of zero and impossible dates.
        zero_dates: ZeroDates,
    },
}

/// What becomes of a zero or impossible date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZeroDates {
    /// null, counted.
    #[default]
    Null,
    /// The text that MySQL prints.
    Text,
    /// The document is parked.
    Park,
}

/// How a node's rows find their parents: `parent[i] = child[i]` for every pair, or through a link table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinPlan {
    /// The pairs. With `through`, the child side is the link table.
    pub pairs: Vec<JoinPair>,
    /// The link table of an N:M join.
    pub through: Option<Through>,
    /// Whether the pairs' child columns are exactly the root's key in its order with the same types: then a range of
    /// root keys is also a range of this table (or link table), read in one ordered scan.
    pub follows_root_key: bool,
}

/// One pair of joined columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinPair {
    /// The parent's column name, and its position in the parent node's columns.
    pub parent_column: String,
    /// See `parent_column`.
    pub parent_position: usize,
    /// The child's (or link table's) column name.
    pub child_column: String,
    /// Position in the child node's columns; with `through`, `None`: the link's columns are appended to each row in the
    /// order of the pairs.
    pub child_position: Option<usize>,
    /// What both sides hold.
    pub kind: ColumnKind,
    /// How equality is decided outside MySQL.
    pub equality: Equality,
}

/// How two join values are compared when rows are grouped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Equality {
    /// Equal values are equal: numbers, dates, binary strings.
    Exact,
    /// Text under a collation: both sides are read together with their weight string from MySQL.
    Collated {
        /// The collation of both sides.
        collation: String,
        /// Whether spaces at the end do not count (PAD SPACE).
        pads: bool,
    },
}

/// The link table of an N:M join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Through {
    /// The link table.
    pub table: TableName,
    /// Its columns and the node's: `link.0 = node.1` for every pair.
    pub to: Vec<(String, String)>,
    /// What the link's join columns hold, in the order of [`JoinPlan::pairs`].
    pub kinds: Vec<ColumnKind>,
}

/// One index of the target collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPlan {
    /// Field paths with their direction, 1 or -1.
    pub keys: Vec<(String, i32)>,
    /// Whether two documents cannot agree in it.
    pub unique: bool,
}

impl ProjectionPlan {
    /// The root node.
    pub fn root(&self) -> &NodePlan {
        &self.nodes[0]
    }

    /// The kinds of the root's key columns, in key order.
    pub fn key_kinds(&self) -> Vec<ColumnKind> {
        self.id.iter().map(|id| self.nodes[0].columns[id.position].kind.clone()).collect()
    }

    /// Whether a table is read for this projection's documents.
    pub fn reads(&self, table: &TableName) -> bool {
        self.nodes.iter().any(|node| {
            let through = node.join.as_ref().and_then(|join| join.through.as_ref());
            node.table == *table || through.is_some_and(|through| through.table == *table)
        })
    }

    /// What a read of one node returns, column by column; see [`Layout`].
    pub fn layout(&self, node: usize) -> Layout {
        let plan = &self.nodes[node];
        let mut layout = Layout { extras: Vec::new(), to_parent: Vec::new(), to_children: Vec::new() };
        let push = |extras: &mut Vec<Extra>, extra: Extra| {
            extras.push(extra);
            plan.columns.len() + extras.len() - 1
        };
        if let Some(join) = &plan.join {
            for (at, pair) in join.pairs.iter().enumerate() {
                let collated = matches!(pair.equality, Equality::Collated { .. });
                let position = match (pair.child_position, collated) {
                    (Some(position), false) => position,
                    (Some(_), true) => push(&mut layout.extras, Extra::ChildWeight { pair: at }),
                    (None, false) => push(&mut layout.extras, Extra::Link { pair: at }),
                    (None, true) => push(&mut layout.extras, Extra::LinkWeight { pair: at }),
                };
                layout.to_parent.push(position);
            }
        }
        for (child, child_plan) in self.children(node) {
            let mut positions = Vec::new();
            for (at, pair) in child_plan.join.iter().flat_map(|join| join.pairs.iter().enumerate()) {
                positions.push(match pair.equality {
                    Equality::Exact => pair.parent_position,
                    Equality::Collated { .. } => push(&mut layout.extras, Extra::ParentWeight { child, pair: at }),
                });
            }
            layout.to_children.push((child, positions));
        }
        layout
    }

    /// The children of a node, in document order.
    pub fn children(&self, parent: usize) -> impl Iterator<Item = (usize, &NodePlan)> {
        self.nodes.iter().enumerate().filter(move |(_, node)| node.parent == Some(parent))
    }
}

/// The columns of a read of one node: first [`NodePlan::columns`], then `extras`. A pure function of the plan, so that
/// whoever reads rows and whoever assembles them agree without talking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What follows the node's own columns, in this order.
    pub extras: Vec<Extra>,
    /// Positions of the cells that find this row's parent, in the order of the join's pairs; empty for the root. Equal
    /// keys are byte for byte equal cells here (weight strings stand in for text).
    pub to_parent: Vec<usize>,
    /// For each child node (its index) the positions of the cells by which its rows find this row.
    pub to_children: Vec<(usize, Vec<usize>)>,
}

/// A column that is read only to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extra {
    /// The link table's column of one of this node's own join pairs.
    Link {
        /// Index into [`JoinPlan::pairs`].
        pair: usize,
    },
    /// Its weight string (Binary).
    LinkWeight {
        /// Index into [`JoinPlan::pairs`].
        pair: usize,
    },
    /// The weight string of this node's own column in one of its join pairs.
    ChildWeight {
        /// Index into [`JoinPlan::pairs`].
        pair: usize,
    },
    /// The weight string of this node's column in a join pair of one of its children.
    ParentWeight {
        /// The child's node index.
        child: usize,
        /// Index into the child's [`JoinPlan::pairs`].
        pair: usize,
    },
}
