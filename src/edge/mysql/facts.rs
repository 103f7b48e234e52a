//! What `check` asks of the server besides definitions: variables, grants, replicas, kinds of expressions, duplicates.
//!
//! Owns: [`SourceFacts`] as read, kinds of result columns. Does not own: judging them (`config::resolve`).

use std::collections::BTreeMap;

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{Column, Row};

use super::failure::Doing;
use super::flavor::Flavor;
use super::server::{MySqlServer, READ_LIMIT, STATEMENT_LIMIT, commas, number, text};
use super::sql;
use crate::error::{Kind, Result};
use crate::model::schema::{ColumnKind, SourceFacts, TableName};

/// The variables in [`SourceFacts::variables`].
const VARIABLES: [&str; 19] = [
    "binlog_expire_logs_seconds",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "binlog_transaction_compression",
    "enforce_gtid_consistency",
    "gtid_mode",
    "gtid_slave_pos",
    "gtid_strict_mode",
    "innodb_flush_log_at_trx_commit",
    "innodb_native_foreign_keys",
    "log_bin",
    "log_slave_updates",
    "lower_case_table_names",
    "server_id",
    "server_uuid",
    "sync_binlog",
    "version",
];

/// The character set number of binary strings.
const BINARY: u16 = 63;

impl MySqlServer {
    /// The server's own settings and state.
    pub async fn facts(&self) -> Result<SourceFacts> {
        let names = commas(VARIABLES.map(sql::text_literal));
        let statement = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})");
        let variables: BTreeMap<String, String> = self
            .query(Doing::Setup, "reading variables", &statement, STATEMENT_LIMIT)
            .await?
            .iter()
            .map(|row| (text(row, 0).to_lowercase(), text(row, 1)))
            .collect();
        let replicas = match self.flavor().await? {
            Flavor::MySql => "SHOW REPLICAS",
            Flavor::MariaDb => "SHOW SLAVE HOSTS",
        };
        let grants = self.query(Doing::Setup, "reading grants", "SHOW GRANTS", STATEMENT_LIMIT).await?;
        Ok(SourceFacts {
            version: variables.get("version").cloned().unwrap_or_default(),
            variables,
            grants: grants.iter().map(|row| text(row, 0)).collect(),
            replica_ids: self
                .if_allowed("reading replicas", replicas)
                .await?
                .map(|rows| rows.iter().filter_map(|row| u32::try_from(number(row, 0)).ok()).collect()),
            open_xa: self.if_allowed("reading open XA transactions", "XA RECOVER").await?.map(|rows| rows.len()),
        })
    }

    /// `@@version`.
    pub async fn version(&self) -> Result<String> {
        let rows = self.query(Doing::Setup, "reading the version", "SELECT @@version", STATEMENT_LIMIT).await?;
        Ok(rows.first().map(|row| text(row, 0)).unwrap_or_default())
    }

    /// Runs a statement that needs a privilege of its own; `None` if the account lacks it.
    async fn if_allowed(&self, what: &str, statement: &str) -> Result<Option<Vec<Row>>> {
        match self.query(Doing::Setup, what, statement, STATEMENT_LIMIT).await {
            Ok(rows) => Ok(Some(rows)),
            Err(error) if error.kind() == Kind::Config => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What SQL expressions over a table's columns hold. The error is MySQL's own.
    pub async fn describe(&self, table: &TableName, expressions: &[String]) -> Result<Vec<ColumnKind>> {
        if expressions.is_empty() {
            return Ok(Vec::new());
        }
        let list = commas(expressions.iter().map(|expression| format!("({expression})")));
        let statement = format!("SELECT {list} FROM {} LIMIT 0", sql::table(table));
        let mut session = self.session().await?;
        let mut conn = session.take()?;
        let what = format!("preparing expressions over {table}");
        // For the sake of the message: without a default database an unknown function is "No database selected".
        let default = conn.query_drop(format!("USE {}", sql::name(&table.database)));
        session.wait(Doing::Setup, &what, STATEMENT_LIMIT, default).await?;
        let prepared = session.wait(Doing::Setup, &what, STATEMENT_LIMIT, conn.prep(statement)).await?;
        let kinds = prepared.columns().iter().map(result_kind).collect();
        session.wait(Doing::Setup, &what, STATEMENT_LIMIT, conn.close(prepared)).await?;
        session.put(conn);
        session.give_back();
        Ok(kinds)
    }

    /// Whether two rows agree in all of the given columns (rows with a NULL there aside). Scans the table.
    pub async fn duplicates(&self, table: &TableName, columns: &[String]) -> Result<bool> {
        let names: Vec<String> = columns.iter().map(|column| sql::name(column)).collect();
        let not_null = names.iter().map(|name| format!("{name} IS NOT NULL")).collect::<Vec<_>>().join(" AND ");
        let statement = format!(
            "SELECT 1 FROM {} WHERE {not_null} GROUP BY {} HAVING COUNT(*) > 1 LIMIT 1",
            sql::table(table),
            commas(&names)
        );
        let what = format!("looking for duplicates in {table}");
        Ok(!self.query(Doing::Setup, &what, &statement, READ_LIMIT).await?.is_empty())
    }
}

/// What a column of a result holds, by its metadata (MySQL internals, "Column Definition").
fn result_kind(column: &Column) -> ColumnKind {
    use ColumnType::*;
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let int = |bits| ColumnKind::Int { bits, unsigned };
    let fsp = column.decimals().min(6);
    let length = column.column_length();
    match column.column_type() {
        MYSQL_TYPE_TINY => int(8),
        MYSQL_TYPE_SHORT => int(16),
        MYSQL_TYPE_INT24 => int(24),
        MYSQL_TYPE_LONG => int(32),
        MYSQL_TYPE_LONGLONG => int(64),
        MYSQL_TYPE_YEAR => ColumnKind::Year,
        MYSQL_TYPE_DECIMAL | MYSQL_TYPE_NEWDECIMAL => {
            // The length counts the point and the sign.
            let scale = column.decimals().min(30);
            let beside_digits = u32::from(scale > 0) + u32::from(!unsigned);
            ColumnKind::Decimal { precision: length.saturating_sub(beside_digits).clamp(1, 65) as u8, scale }
        }
        MYSQL_TYPE_FLOAT => ColumnKind::Float,
        MYSQL_TYPE_DOUBLE => ColumnKind::Double,
        MYSQL_TYPE_BIT => ColumnKind::Bit { length: length.clamp(1, 64) as u8 },
        MYSQL_TYPE_DATE | MYSQL_TYPE_NEWDATE => ColumnKind::Date,
        MYSQL_TYPE_DATETIME | MYSQL_TYPE_DATETIME2 => ColumnKind::DateTime { fsp },
        MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2 => ColumnKind::Timestamp { fsp },
        MYSQL_TYPE_TIME | MYSQL_TYPE_TIME2 => ColumnKind::Time { fsp },
        MYSQL_TYPE_JSON => ColumnKind::Json,
        MYSQL_TYPE_VARCHAR
        | MYSQL_TYPE_VAR_STRING
        | MYSQL_TYPE_STRING
        | MYSQL_TYPE_ENUM
        | MYSQL_TYPE_SET
        | MYSQL_TYPE_TINY_BLOB
        | MYSQL_TYPE_MEDIUM_BLOB
        | MYSQL_TYPE_LONG_BLOB
        | MYSQL_TYPE_BLOB => {
            if column.character_set() == BINARY {
                ColumnKind::Binary
            } else {
                ColumnKind::Text
            }
        }
        MYSQL_TYPE_GEOMETRY => ColumnKind::Other("geometry".into()),
        MYSQL_TYPE_VECTOR => ColumnKind::Other("vector".into()),
        other => ColumnKind::Other(format!("{other:?}").trim_start_matches("MYSQL_TYPE_").to_lowercase()),
    }
}
