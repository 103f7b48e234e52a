//! Whole SELECT statements over a projection: rows of a node, chunk bounds, roots that reach a row. Pure.
//!
//! Owns: the shape of each statement and the kinds of what it returns. Does not own: literals and conditions (`sql`),
//! running them (`rows`, `snapshot`).
//!
//! Expressions and filters of a job are written over the unqualified columns of one table, so each stands in a scope
//! in which only that table is visible: the FROM of a statement without joins, or a derived table. MySQL merges such a
//! derived table into the statement, so that its indexes stay usable.

use super::indexes::IndexHints;
use super::server::commas;
use super::sql::{self, KeyColumn};
use crate::model::plan::{Extra, JobPlan, JoinPlan, NodePlan, ProjectionPlan, Through};
use crate::model::schema::{ColumnKind, TableName};
use crate::model::value::Key;
use crate::ports::Selection;

/// A statement and what its columns hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) kinds: Vec<ColumnKind>,
}

/// Statements over one projection of a plan.
pub(super) struct Queries<'a> {
    plan: &'a JobPlan,
    projection: &'a ProjectionPlan,
    hints: &'a IndexHints,
}

impl<'a> Queries<'a> {
    pub(super) fn new(plan: &'a JobPlan, projection: usize, hints: &'a IndexHints) -> Self {
        Self { plan, projection: &plan.projections[projection], hints }
    }

    /// Rows of a node, the columns of its layout. Without a statement if nothing can match.
    pub(super) fn select(&self, node: usize, selection: Selection<'_>) -> (Option<String>, Vec<ColumnKind>) {
        let plan = &self.projection.nodes[node];
        let layout = self.projection.layout(node);
        let kinds = self.layout_kinds(node, &layout.extras);
        let through = plan.join.as_ref().and_then(|join| Some((join, join.through.as_ref()?)));
        // The columns that are compared with the selection's keys, and their table.
        let (table, key) = match (&plan.join, through) {
            (None, _) => (&plan.table, self.root_key("")),
            (Some(join), None) => (&plan.table, self.child_columns(join, &plan.table, "")),
            (Some(join), Some((_, through))) => (&through.table, self.child_columns(join, &through.table, "l.")),
        };
        let condition = match selection {
            Selection::Range { after, up_to } => sql::range(&key, after, up_to),
            Selection::All => None,
            Selection::Keys(keys) => match sql::any_of(&key, keys) {
                Some(condition) => Some(condition),
                None => return (None, kinds),
            },
        };
        let names: Vec<&str> = match &plan.join {
            None => self.projection.id.iter().map(|id| id.column.as_str()).collect(),
            Some(join) => join.pairs.iter().map(|pair| pair.child_column.as_str()).collect(),
        };
        let hint = match (&condition, selection) {
            (None, _) | (_, Selection::All) => String::new(),
            (_, Selection::Range { .. }) => self.hints.ranging(table, &names),
            (_, Selection::Keys(_)) => self.hints.finding(table, &names),
        };
        let statement = match through {
            Some((join, through)) => self.select_through(node, (join, through), &layout.extras, condition, &hint, &key),
            None => self.select_plain(node, &layout.extras, condition, &hint, &key),
        };
        (Some(statement), kinds)
    }

    fn select_plain(
        &self,
        node: usize,
        extras: &[Extra],
        condition: Option<String>,
        hint: &str,
        key: &[KeyColumn],
    ) -> String {
        let plan = &self.projection.nodes[node];
        let columns = plan.columns.iter().map(|column| column.sql.clone());
        let extras = extras.iter().map(|extra| match extra {
            Extra::ChildWeight { pair } => {
                let pair = &join_of(plan).pairs[*pair];
                let position = pair.child_position.expect("a weight of the node's own column has its position");
                sql::weight(&plan.columns[position].sql, &pair.equality)
            }
            Extra::ParentWeight { child, pair } => self.parent_weight(plan, *child, *pair),
            Extra::Link { .. } | Extra::LinkWeight { .. } => unreachable!("a node without a link table"),
        });
        let list = commas(columns.chain(extras));
        let filter = plan.filter.as_ref().map(|filter| format!("({filter})"));
        // One row per parent needs no order; an array's order holds within each parent, and the parents' order in front
        // of it is what an index over both gives without sorting.
        let order = match &plan.join {
            None => sql::names(key),
            Some(_) if plan.order_by.is_empty() => String::new(),
            Some(_) => format!("{}, {}", sql::names(key), plan.order_by.join(", ")),
        };
        format!(
            "SELECT {list} FROM {}{hint}{}{}",
            sql::table(&plan.table),
            clause(" WHERE ", all_of([condition, filter])),
            clause(" ORDER BY ", order)
        )
    }

    fn select_through(
        &self,
        node: usize,
        (join, through): (&JoinPlan, &Through),
        extras: &[Extra],
        condition: Option<String>,
        hint: &str,
        key: &[KeyColumn],
    ) -> String {
        let plan = &self.projection.nodes[node];
        let mut inner: Vec<String> =
            plan.columns.iter().enumerate().map(|(at, column)| format!("{} AS c{at}", column.sql)).collect();
        // Under their own names, for messages about a value. An expression's text may be too long for a name.
        let mut outer: Vec<String> = plan
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| match column.sql.strip_prefix('`') {
                Some(_) => format!("d.c{at} AS {}", column.sql),
                None => format!("d.c{at}"),
            })
            .collect();
        for (at, extra) in extras.iter().enumerate() {
            outer.push(match extra {
                Extra::Link { pair } => key[*pair].sql.clone(),
                Extra::LinkWeight { pair } => sql::weight(&key[*pair].sql, &join.pairs[*pair].equality),
                Extra::ParentWeight { child, pair } => {
                    inner.push(format!("{} AS e{at}", self.parent_weight(plan, *child, *pair)));
                    format!("d.e{at}")
                }
                Extra::ChildWeight { .. } => unreachable!("a node behind a link table joins by the link's columns"),
            });
        }
        let mut on = Vec::new();
        for (at, (link, own)) in through.to.iter().enumerate() {
            inner.push(format!("{} AS k{at}", sql::name(own)));
            on.push(format!("l.{} = d.k{at}", sql::name(link)));
        }
        let mut order = vec![sql::names(key)];
        for (at, term) in plan.order_by.iter().enumerate() {
            let (column, direction) = sql::split_direction(term);
            inner.push(format!("{column} AS o{at}"));
            order.push(format!("d.o{at}{direction}"));
        }
        if plan.order_by.is_empty() {
            order.clear();
        }
        // From the link's side: the other way round would read the whole table for a few keys.
        format!(
            "SELECT /*+ MERGE(d) */ {} FROM {} AS l{hint} STRAIGHT_JOIN (SELECT {} FROM {}{}) AS d ON {}{}{}",
            commas(outer),
            sql::table(&through.table),
            commas(inner),
            sql::table(&plan.table),
            clause(" WHERE ", plan.filter.as_ref().map(|filter| format!("({filter})")).unwrap_or_default()),
            on.join(" AND "),
            clause(" WHERE ", condition.unwrap_or_default()),
            clause(" ORDER BY ", order.join(", "))
        )
    }

    /// The key that ends the first `rows` rows of a range of root keys.
    pub(super) fn boundary(&self, after: Option<&Key>, up_to: Option<&Key>, rows: u64) -> Query {
        let key = self.root_key("");
        Query {
            sql: format!(
                "SELECT {0} FROM {1}{2} ORDER BY {0} LIMIT 1 OFFSET {3}",
                sql::names(&key),
                self.root_table(),
                clause(" WHERE ", sql::range(&key, after, up_to).unwrap_or_default()),
                rows.saturating_sub(1)
            ),
            kinds: self.projection.key_kinds(),
        }
    }

    /// Those of some root keys that are there.
    pub(super) fn present(&self, keys: &[Key]) -> Option<Query> {
        let key = self.root_key("");
        let condition = sql::any_of(&key, keys)?;
        let root = self.projection.root();
        let names: Vec<&str> = self.projection.id.iter().map(|id| id.column.as_str()).collect();
        let (table, hint) = (sql::table(&root.table), self.hints.finding(&root.table, &names));
        let sql = format!("SELECT {} FROM {table}{hint} WHERE {condition}", sql::names(&key));
        Some(Query { sql, kinds: self.projection.key_kinds() })
    }

    /// How many root rows a range of root keys holds.
    pub(super) fn count(&self, after: Option<&Key>, up_to: Option<&Key>) -> String {
        let range = sql::range(&self.root_key(""), after, up_to);
        format!("SELECT COUNT(*) FROM {}{}", self.root_table(), clause(" WHERE ", range.unwrap_or_default()))
    }

    fn root_table(&self) -> String {
        let root = self.projection.root();
        let names: Vec<&str> = self.projection.id.iter().map(|id| id.column.as_str()).collect();
        format!("{}{}", sql::table(&root.table), self.hints.ranging(&root.table, &names))
    }

    /// Root keys that reach a row of the node with one of these join keys, whether or not that row still exists: the
    /// walk begins at the parent. No filter applies on the way, because a row that no longer passes one changes
    /// documents too.
    pub(super) fn roots(&self, node: usize, keys: &[Key], after: Option<&Key>, limit: usize) -> Option<Query> {
        let plan = &self.projection.nodes[node];
        let (join, parent) = (plan.join.as_ref()?, plan.parent?);
        let names: Vec<&str> = join.pairs.iter().map(|pair| pair.parent_column.as_str()).collect();
        let table = &self.projection.nodes[parent].table;
        let columns = names.iter().map(|column| self.key_column(table, column, &format!("n{parent}.")));
        let found = sql::any_of(&columns.collect::<Vec<_>>(), keys)?;
        let from = format!("{} AS n{parent}{}", sql::table(table), self.hints.finding(table, &names));
        Some(self.walk_up(from, parent, found, after, limit))
    }

    /// As [`Queries::roots`], for a node behind a link table and the values of its own `to` columns.
    pub(super) fn roots_of_linked(
        &self,
        node: usize,
        keys: &[Key],
        after: Option<&Key>,
        limit: usize,
    ) -> Option<Query> {
        let plan = &self.projection.nodes[node];
        let (join, parent) = (plan.join.as_ref()?, plan.parent?);
        let through = join.through.as_ref()?;
        let names: Vec<&str> = through.to.iter().map(|(link, _)| link.as_str()).collect();
        let columns = names.iter().map(|column| self.key_column(&through.table, column, "l."));
        let found = sql::any_of(&columns.collect::<Vec<_>>(), keys)?;
        let on = join
            .pairs
            .iter()
            .map(|pair| format!("n{parent}.{} = l.{}", sql::name(&pair.parent_column), sql::name(&pair.child_column)));
        let from = format!(
            "{} AS l{} JOIN {} AS n{parent} ON {}",
            sql::table(&through.table),
            self.hints.finding(&through.table, &names),
            sql::table(&self.projection.nodes[parent].table),
            on.collect::<Vec<_>>().join(" AND ")
        );
        Some(self.walk_up(from, parent, found, after, limit))
    }

    /// Joins from a node to the root, in this order: the optimizer else likes to walk the root's key in order because of
    /// the LIMIT, testing every root.
    fn walk_up(&self, from: String, start: usize, found: String, after: Option<&Key>, limit: usize) -> Query {
        let mut from = from;
        let mut node = start;
        while let (Some(join), Some(parent)) = (&self.projection.nodes[node].join, self.projection.nodes[node].parent) {
            let mut child_side = format!("n{node}.");
            if let Some(through) = &join.through {
                let on = through
                    .to
                    .iter()
                    .map(|(link, own)| format!("l{node}.{} = n{node}.{}", sql::name(link), sql::name(own)));
                let on = on.collect::<Vec<_>>().join(" AND ");
                from.push_str(&format!(" JOIN {} AS l{node} ON {on}", sql::table(&through.table)));
                child_side = format!("l{node}.");
            }
            let on = join.pairs.iter().map(|pair| {
                format!("n{parent}.{} = {child_side}{}", sql::name(&pair.parent_column), sql::name(&pair.child_column))
            });
            let on = on.collect::<Vec<_>>().join(" AND ");
            from.push_str(&format!(" JOIN {} AS n{parent} ON {on}", sql::table(&self.projection.nodes[parent].table)));
            node = parent;
        }
        let key = self.root_key("n0.");
        let conditions = all_of([Some(found), sql::range(&key, after, None)]);
        Query {
            sql: format!(
                "SELECT STRAIGHT_JOIN DISTINCT {0} FROM {from} WHERE {conditions} ORDER BY {0} LIMIT {limit}",
                sql::names(&key)
            ),
            kinds: self.projection.key_kinds(),
        }
    }

    fn parent_weight(&self, parent: &NodePlan, child: usize, pair: usize) -> String {
        let pair = &join_of(&self.projection.nodes[child]).pairs[pair];
        sql::weight(&parent.columns[pair.parent_position].sql, &pair.equality)
    }

    fn root_key(&self, prefix: &str) -> Vec<KeyColumn> {
        let table = &self.projection.root().table;
        self.projection.id.iter().map(|id| self.key_column(table, &id.column, prefix)).collect()
    }

    fn child_columns(&self, join: &JoinPlan, table: &TableName, prefix: &str) -> Vec<KeyColumn> {
        join.pairs.iter().map(|pair| self.key_column(table, &pair.child_column, prefix)).collect()
    }

    /// A column of a used table with the kind that the plan knows for it.
    fn key_column(&self, table: &TableName, column: &str, prefix: &str) -> KeyColumn {
        let used = self.plan.tables.iter().find(|used| used.name == *table);
        let known = used.and_then(|used| used.columns.iter().find(|known| known.name == column));
        let collation = known.and_then(|known| known.collation.as_deref());
        KeyColumn {
            sql: format!("{prefix}{}", sql::name(column)),
            kind: known.map(|known| known.kind.clone()),
            recoded: collation.is_some_and(|collation| !collation.starts_with("utf8mb4_")),
        }
    }

    fn layout_kinds(&self, node: usize, extras: &[Extra]) -> Vec<ColumnKind> {
        let plan = &self.projection.nodes[node];
        let extras = extras.iter().map(|extra| match extra {
            Extra::Link { pair } => match plan.join.as_ref().and_then(|join| join.through.as_ref()) {
                Some(through) => through.kinds[*pair].clone(),
                None => unreachable!("a link column belongs to a node with a link table"),
            },
            Extra::LinkWeight { .. } | Extra::ChildWeight { .. } | Extra::ParentWeight { .. } => ColumnKind::Binary,
        });
        plan.columns.iter().map(|column| column.kind.clone()).chain(extras).collect()
    }
}

fn join_of(node: &NodePlan) -> &JoinPlan {
    node.join.as_ref().expect("every node but the root has a join")
}

fn all_of<const N: usize>(conditions: [Option<String>; N]) -> String {
    conditions.into_iter().flatten().collect::<Vec<_>>().join(" AND ")
}

fn clause(keyword: &str, text: String) -> String {
    if text.is_empty() { text } else { format!("{keyword}{text}") }
}
