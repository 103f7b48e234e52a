//! MySQL as what capture reads: whole rows of any tables.
//!
//! Owns: `ports::CaptureSource` for [`MySqlServer`], and what a job's source asks of the binlog likewise. Does not own: the log
//! itself (`binlog`), definitions (`schema`).

use super::binlog::{MySqlLog, Rows};
use super::failure::Doing;
use super::server::{MySqlServer, STATEMENT_LIMIT, text};
use super::snapshot::gtid_set;
use crate::error::{Error, Result};
use crate::model::change::SourceState;
use crate::model::position::GtidSet;
use crate::model::schema::{Table, TableName};
use crate::ports::CaptureSource;

impl MySqlServer {
    /// Who answers, and what it has executed.
    pub(super) async fn executed(&self) -> Result<SourceState> {
        let what = "reading the executed GTIDs";
        let ask = "SELECT @@server_uuid, @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged";
        let found = self.query(Doing::Read, what, ask, STATEMENT_LIMIT).await?;
        let row = found.first().ok_or_else(|| Error::retry(format!("{what}: no answer")))?;
        Ok(SourceState {
            server_uuid: text(row, 0),
            executed: gtid_set(&text(row, 1))?,
            purged: gtid_set(&text(row, 2))?,
        })
    }

    /// Fails with `Halt` if the binlog does not hold everything after `from` any more.
    pub(super) async fn must_reach_back_to(&self, from: &GtidSet) -> Result<()> {
        let gone = self.executed().await?.purged.minus(from);
        if gone.is_empty() {
            return Ok(());
        }
        Err(Error::halt(format!(
            "the binlog of {} no longer reaches back: {} transactions that are still needed were purged ({gone}); \
             keep it longer (binlog_expire_logs_seconds) and run with --start-over",
            self.place(),
            gone.count()
        )))
    }
}

impl CaptureSource for MySqlServer {
    type Log = MySqlLog;

    async fn state(&self) -> Result<SourceState> {
        self.executed().await
    }

    async fn tables(&self, names: &[TableName]) -> Result<Vec<Table>> {
        MySqlServer::tables(self, names).await
    }

    async fn row_log(&self, from: &GtidSet, tables: &[Table]) -> Result<MySqlLog> {
        self.must_reach_back_to(from).await?;
        MySqlLog::open(self, Rows::Whole(tables), from).await
    }
}
