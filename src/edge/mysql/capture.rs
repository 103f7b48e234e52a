//! MySQL as what capture reads: whole rows of any tables.
//!
//! Owns: `ports::CaptureSource` for [`MySqlServer`], and what a job's source asks of the binlog likewise. Does not own: the log
//! itself (`binlog`), definitions (`schema`).

use super::binlog::{MySqlLog, Rows};
use super::failure::Doing;
use super::fence::{self, gtid_set};
use super::flavor::Flavor;
use super::server::{MySqlServer, STATEMENT_LIMIT, Session, text};
use super::sql;
use crate::error::{Error, Result};
use crate::model::change::SourceState;
use crate::model::position::GtidSet;
use crate::model::schema::{Table, TableName};
use crate::ports::CaptureSource;

impl MySqlServer {
    /// Who answers, and what it has executed.
    pub(super) async fn executed(&self) -> Result<SourceState> {
        let flavor = self.flavor().await?;
        let mut session = self.session().await?;
        // First: what is purged meanwhile shows the next time.
        let purged = purged(&mut session, flavor).await?;
        let fence::Opened { executed, server } = fence::look(&mut session, flavor).await?;
        session.give_back();
        Ok(SourceState { server_uuid: server, executed, purged })
    }

    /// Fails with `Halt` if the binlog does not hold everything after `from` any more.
    pub(super) async fn must_reach_back_to(&self, from: &GtidSet) -> Result<()> {
        let flavor = self.flavor().await?;
        let mut session = self.session().await?;
        let gone = purged(&mut session, flavor).await?.minus(from);
        session.give_back();
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

/// What the binlog does not hold any more. MariaDB: what was before the oldest file.
async fn purged(session: &mut Session, flavor: Flavor) -> Result<GtidSet> {
    let what = "reading the purged GTIDs";
    let mut ask = async |sql: &str| session.query(Doing::Read, what, sql, STATEMENT_LIMIT).await;
    let found = match flavor {
        Flavor::MySql => ask("SELECT @@GLOBAL.gtid_purged").await?,
        Flavor::MariaDb => {
            let files = ask("SHOW BINARY LOGS").await?;
            let oldest = files.first().map(|row| text(row, 0)).unwrap_or_default();
            // Its list of GTIDs stands at its beginning.
            ask(&format!("SELECT BINLOG_GTID_POS({}, 4)", sql::text_literal(&oldest))).await?
        }
    };
    gtid_set(&found.first().map(|row| text(row, 0)).unwrap_or_default())
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
