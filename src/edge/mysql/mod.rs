//! MySQL and MariaDB as a source: snapshots, definitions, and the binlog.
//!
//! Owns: [`MySqlSource`], the implementation of `ports::Source`. Connections are in `server`, snapshots in `snapshot`,
//! the binlog in `binlog`. Does not own: what is read when (`backfill`, `stream`), what becomes of rows
//! (`logic::assembly`).

mod binlog;
mod capture;
mod charset;
mod charset_codes;
mod column;
mod compressed;
mod cursor;
mod decode;
mod decode_value;
mod dump;
mod event;
mod facts;
mod failure;
mod fence;
mod flavor;
mod held;
mod indexes;
mod json;
mod mariadb;
mod needs;
mod place;
mod queries;
#[doc(hidden)]
pub mod replay;
mod rows;
mod schema;
mod server;
mod snapshot;
mod sql;
mod statement;
mod table_map;
mod tables;
mod transaction;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::binlog::Rows;
use self::failure::Doing;
use self::flavor::Flavor;
use self::indexes::IndexHints;
use self::queries::Queries;
use self::server::text;
use crate::config::SourceSettings;
use crate::error::{Error, Result};
use crate::model::change::SourceState;
use crate::model::plan::{JobPlan, ProjectionPlan, Shape};
use crate::model::position::GtidSet;
use crate::model::schema::{Table, TableName};
use crate::model::value::Key;
use crate::ports::Source;

pub use self::binlog::MySqlLog;
pub use self::server::MySqlServer;
pub use self::snapshot::MySqlSnapshot;
pub use self::sql::weight as text_weight;

/// How much longer than asked for the server's answer to a wait may take.
const WAIT_SLACK: Duration = Duration::from_secs(10);

/// A MySQL server as the source of one job.
#[derive(Clone)]
pub struct MySqlSource {
    server: MySqlServer,
    plan: Arc<JobPlan>,
    /// The tables' definitions as they were last read, for estimates and index hints. Emptied when an index that they
    /// name is gone.
    definitions: Arc<Mutex<Option<Definitions>>>,
}

#[derive(Clone)]
struct Definitions {
    tables: Arc<Vec<Table>>,
    hints: Arc<IndexHints>,
}

impl MySqlSource {
    /// The source of a job. Connects to nothing yet.
    pub fn new(settings: &SourceSettings, plan: Arc<JobPlan>) -> Result<Self> {
        Ok(Self::on(MySqlServer::new(settings)?, plan))
    }

    /// The source of a job on a server that was opened before.
    pub fn on(server: MySqlServer, plan: Arc<JobPlan>) -> Self {
        Self { server, plan, definitions: Arc::default() }
    }

    /// The server, for what `check` asks.
    pub fn server(&self) -> &MySqlServer {
        &self.server
    }

    fn table_names(&self) -> Vec<TableName> {
        self.plan.tables.iter().map(|table| table.name.clone()).collect()
    }

    async fn definitions(&self) -> Result<Definitions> {
        let known = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let tables = self.server.tables(&self.table_names()).await?;
        let read = Definitions { hints: Arc::new(IndexHints::of(&tables)), tables: Arc::new(tables) };
        *self.definitions.lock().unwrap_or_else(PoisonError::into_inner) = Some(read.clone());
        Ok(read)
    }

    fn forget_definitions(&self) {
        *self.definitions.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// After a failed read the next one begins with fresh definitions: an index that they name may be gone.
    fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.inspect_err(|_| self.forget_definitions())
    }
}

impl Source for MySqlSource {
    type Snapshot = MySqlSnapshot;
    type Log = MySqlLog;

    async fn state(&self) -> Result<SourceState> {
        self.server.executed().await
    }

    async fn wait_for(&self, gtids: &GtidSet, timeout: Duration) -> Result<bool> {
        if self.server.flavor().await? == Flavor::MariaDb {
            let mut session = self.server.session().await?;
            let visible = fence::wait_for_visible(&mut session, gtids, timeout).await?;
            session.give_back();
            return Ok(visible);
        }
        let ask = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{gtids}', {:.3})", timeout.as_secs_f64().max(0.001));
        let found = self.server.query(Doing::Read, "waiting for GTIDs", &ask, timeout + WAIT_SLACK).await?;
        Ok(found.first().is_some_and(|row| text(row, 0) == "0"))
    }

    async fn snapshot(&self) -> Result<MySqlSnapshot> {
        let definitions = self.definitions().await?;
        MySqlSnapshot::open(self.server.session().await?, self.clone(), definitions.hints).await
    }

    async fn boundary(&self, projection: usize, after: Option<&Key>, rows: u64) -> Result<Option<Key>> {
        let definitions = self.definitions().await?;
        let query = Queries::new(&self.plan, projection, &definitions.hints).boundary(after, None, rows);
        let what = format!("planning chunks of {}", self.plan.projections[projection].root().table);
        let mut session = self.server.session().await?;
        let keys = snapshot::read_keys(&mut session, &what, &query).await;
        session.give_back();
        Ok(self.note(keys)?.pop())
    }

    async fn size_estimate(&self, projection: usize) -> Result<(u64, u64)> {
        self.forget_definitions();
        let definitions = self.definitions().await?;
        Ok(size_estimate(&self.plan.projections[projection], &definitions.tables))
    }

    async fn table_bytes_estimate(&self, projection: usize, node: usize) -> Result<u64> {
        let definitions = self.definitions().await?;
        let name = &self.plan.projections[projection].nodes[node].table;
        let table = definitions.tables.iter().find(|table| table.name == *name);
        Ok(table.map_or(u64::MAX, |table| table.rows_estimate.saturating_mul(table.row_bytes_estimate.max(1))))
    }

    async fn log(&self, from: &GtidSet) -> Result<MySqlLog> {
        self.server.must_reach_back_to(from).await?;
        MySqlLog::open(&self.server, Rows::Used(self.plan.clone()), from).await
    }

    async fn verify_definitions(&self) -> Result<()> {
        self.forget_definitions();
        let definitions = self.definitions().await?;
        for used in &self.plan.tables {
            let Some(table) = definitions.tables.iter().find(|table| table.name == used.name) else {
                return Err(Error::halt(format!(
                    "table {} is gone from {}; bring it back or take it out of the job, then run with --start-over",
                    used.name,
                    self.server.place()
                )));
            };
            for column in &used.columns {
                let Some(position) = table.column(&column.name) else {
                    return Err(Error::halt(format!(
                        "column {} is gone from {}; take it out of the job where that names it, then run with --start-over",
                        column.name, used.name
                    )));
                };
                let now = &table.columns[position];
                if (&now.kind, &now.declared, &now.collation) != (&column.kind, &column.declared, &column.collation) {
                    return Err(Error::halt(format!(
                        "column {} of {} is now {} and was {} when the copy was made: run with --start-over",
                        column.name,
                        used.name,
                        shown(&now.declared, now.collation.as_deref()),
                        shown(&column.declared, column.collation.as_deref())
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A column's definition, for messages.
fn shown(declared: &str, collation: Option<&str>) -> String {
    collation.map_or_else(|| declared.to_string(), |collation| format!("{declared} COLLATE {collation}"))
}

/// Root rows, and bytes of source rows per document: per node its rows per document times the bytes of one.
fn size_estimate(projection: &ProjectionPlan, tables: &[Table]) -> (u64, u64) {
    let facts = |name: &TableName| {
        let table = tables.iter().find(|table| table.name == *name);
        table.map_or((1.0, 1.0), |table| (table.rows_estimate.max(1) as f64, table.row_bytes_estimate.max(1) as f64))
    };
    let root_rows = tables.iter().find(|table| table.name == projection.root().table).map_or(0, |t| t.rows_estimate);
    let mut per_document: Vec<f64> = Vec::with_capacity(projection.nodes.len());
    let mut bytes = 0.0;
    for node in &projection.nodes {
        let (rows, row_bytes) = facts(&node.table);
        let parents = node.parent.map_or(1.0, |parent| per_document[parent]);
        let many = !matches!(node.shape, Shape::One | Shape::Root);
        let per_parent = match (many, node.parent, node.join.as_ref().and_then(|join| join.through.as_ref())) {
            (true, Some(parent), through) => {
                let links = through.map_or(rows, |through| facts(&through.table).0);
                links / facts(&projection.nodes[parent].table).0
            }
            _ => 1.0,
        };
        let here = parents * per_parent;
        bytes += here * row_bytes;
        per_document.push(here);
    }
    (root_rows, bytes.ceil() as u64)
}
