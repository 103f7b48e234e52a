//! Changes that left no row events.
//!
//! Owns: whom they concern and what follows: nothing, or the end of the line. Does not own: finding them
//! (`edge::mysql::statement`, `logic::envelope`).

use super::Context;
use crate::error::{Error, Result};
use crate::model::change::Unlogged;
use crate::model::position::{Gtid, GtidSet};
use crate::model::schema::TableName;
use crate::ports::{Clock, Source};

/// Whether a followed build reads the table and does not contain the transaction yet.
pub(super) fn concerns_somebody<S, D, R, C>(
    context: &Context<S, D, R, C>,
    applied: &[Option<GtidSet>],
    gtid: &Gtid,
    table: &TableName,
) -> bool {
    context.plan.projections.iter().zip(applied).any(|(projection, applied)| {
        applied.as_ref().is_some_and(|applied| !applied.contains(gtid)) && projection.reads(table)
    })
}

/// A change without row events: fine if no used column is touched, else the end of the line.
pub(super) async fn react<S: Source, D, R, C: Clock>(
    context: &Context<S, D, R, C>,
    gtid: &Gtid,
    table: &TableName,
    what: Unlogged,
) -> Result<()> {
    let reason = match what {
        Unlogged::Definition => {
            context.source.verify_definitions().await?;
            tracing::warn!(%table, %gtid, "the table's definition changed; the used columns are as they were, new ones are ignored until the job starts over");
            return Ok(());
        }
        Unlogged::Rows => "its rows became other ones without being logged (TRUNCATE, DROP, RENAME or partition DDL)",
        Unlogged::UsedColumns => {
            // Names the column and both definitions, if the table still shows it.
            context.source.verify_definitions().await?;
            "a used column was added, dropped, renamed or changed without its rows being logged"
        }
        Unlogged::Statement => {
            "a statement changed rows without row events (a session with binlog_format other than ROW)"
        }
    };
    Err(Error::halt(format!(
        "{table}, transaction {gtid}: {reason}; its documents can only be made right by copying again: run with --start-over"
    )))
}
