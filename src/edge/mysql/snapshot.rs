//! Consistent snapshots of the source, each on a connection of its own.
//!
//! Owns: [`MySqlSnapshot`]. Does not own: what it is proved to contain (`fence`), SQL text (`queries`), filling columns
//! (`rows`).

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;

use super::MySqlSource;
use super::failure::Doing;
use super::fence;
use super::indexes::IndexHints;
use super::queries::{Queries, Query};
use super::rows;
use super::server::{READ_LIMIT, Session, number};
use crate::error::{Error, Result};
use crate::model::position::GtidSet;
use crate::model::row::value_at;
use crate::model::schema::{ColumnKind, TableName};
use crate::model::value::Key;
use crate::ports::{Selected, Selection, Snapshot};

/// How long the end of a snapshot may take before its connection is given up.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of keys read at a time: far above what any caller asks for.
const KEY_BYTES_MAX: usize = 1 << 29;

/// One consistent snapshot.
pub struct MySqlSnapshot {
    session: Session,
    source: MySqlSource,
    hints: Arc<IndexHints>,
    executed: GtidSet,
    server_uuid: String,
}

impl MySqlSnapshot {
    pub(super) async fn open(mut session: Session, source: MySqlSource, hints: Arc<IndexHints>) -> Result<Self> {
        let flavor = source.server.flavor().await?;
        let fence::Opened { executed, server } = fence::open(&mut session, flavor).await?;
        Ok(Self { session, source, hints, executed, server_uuid: server })
    }

    fn queries(&self, projection: usize) -> Queries<'_> {
        Queries::new(&self.source.plan, projection, &self.hints)
    }

    /// Reads the keys that a statement returns.
    async fn keys(&mut self, what: &str, query: Option<Query>) -> Result<Vec<Key>> {
        match query {
            Some(query) => {
                let keys = read_keys(&mut self.session, what, &query).await;
                self.source.note(keys)
            }
            None => Ok(Vec::new()),
        }
    }

    fn table(&self, projection: usize, node: usize) -> &TableName {
        &self.source.plan.projections[projection].nodes[node].table
    }
}

/// Reads the keys that a statement returns.
pub(super) async fn read_keys(session: &mut Session, what: &str, query: &Query) -> Result<Vec<Key>> {
    match rows::select(session, what, &query.sql, &query.kinds, KEY_BYTES_MAX).await? {
        Selected::Rows(batch) => Ok(keys_of(&batch, &query.kinds)),
        Selected::TooLarge => Err(Error::halt(format!("{what}: the keys take more than {KEY_BYTES_MAX} bytes"))),
    }
}

fn keys_of(batch: &RecordBatch, kinds: &[ColumnKind]) -> Vec<Key> {
    let key = |row| {
        let values = batch.columns().iter().zip(kinds).map(|(column, kind)| value_at(column, kind, row));
        Key(values.collect())
    };
    (0..batch.num_rows()).map(key).collect()
}

impl Snapshot for MySqlSnapshot {
    fn executed(&self) -> &GtidSet {
        &self.executed
    }

    fn server_uuid(&self) -> &str {
        &self.server_uuid
    }

    async fn select(
        &mut self,
        projection: usize,
        node: usize,
        selection: Selection<'_>,
        bytes_max: usize,
    ) -> Result<Selected> {
        let what = format!("reading rows of {}", self.table(projection, node));
        let (statement, kinds) = self.queries(projection).select(node, selection);
        match statement {
            Some(sql) => {
                let selected = rows::select(&mut self.session, &what, &sql, &kinds, bytes_max).await;
                self.source.note(selected)
            }
            None => Ok(Selected::Rows(rows::empty(&kinds)?)),
        }
    }

    async fn roots(
        &mut self,
        projection: usize,
        node: usize,
        keys: &[Key],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>> {
        let what = format!("looking for roots above {}", self.table(projection, node));
        let query = self.queries(projection).roots(node, keys, after, limit);
        self.keys(&what, query).await
    }

    async fn roots_of_linked(
        &mut self,
        projection: usize,
        node: usize,
        keys: &[Key],
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Key>> {
        let what = format!("looking for roots linked to {}", self.table(projection, node));
        let query = self.queries(projection).roots_of_linked(node, keys, after, limit);
        self.keys(&what, query).await
    }

    async fn middle(&mut self, projection: usize, after: Option<&Key>, up_to: Option<&Key>) -> Result<Option<Key>> {
        let what = format!("cutting a chunk of {}", self.table(projection, 0));
        let count = self.queries(projection).count(after, up_to);
        let found = self.session.query(Doing::Read, &what, &count, READ_LIMIT).await?;
        let count = found.first().map_or(0, |row| number(row, 0));
        if count < 2 {
            return Ok(None);
        }
        let query = self.queries(projection).boundary(after, up_to, count / 2);
        Ok(self.keys(&what, Some(query)).await?.pop())
    }

    async fn first_key(&mut self, projection: usize, after: Option<&Key>, up_to: Option<&Key>) -> Result<Option<Key>> {
        let what = format!("looking for the first key of a range of {}", self.table(projection, 0));
        let query = self.queries(projection).boundary(after, up_to, 1);
        Ok(self.keys(&what, Some(query)).await?.pop())
    }

    async fn close(self) {
        let mut session = self.session;
        // On any failure the connection is dropped, which ends the snapshot too.
        if session.query(Doing::Read, "ending a snapshot", "COMMIT", CLOSE_LIMIT).await.is_ok() {
            session.give_back();
        }
    }
}
