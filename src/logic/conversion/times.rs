//! Dates and times: instants, texts, and what is no date at all.
//!
//! Owns: the instant of a date in its zone, and the way of zero and impossible dates. Does not own: zones (`model::zone`),
//! dates in `_id` (`ids`).

use super::Written;
use crate::error::{Error, Result};
use crate::model::document::BsonWriter;
use crate::model::plan::{NodeColumn, WriteAs, ZeroDates};
use crate::model::schema::ColumnKind;
use crate::model::time::Civil;
use crate::model::zone::{Zone, ZoneRules};

/// How the dates of one column are written.
pub(super) struct Dates {
    rules: ZoneRules,
    zero_dates: ZeroDates,
}

impl Dates {
    /// # Errors
    /// `Halt` if the zone is unknown here.
    pub(super) fn of(column: &NodeColumn) -> Result<Self> {
        let (zone, zero_dates) = match &column.write {
            WriteAs::Moment { zone, zero_dates } => (zone, *zero_dates),
            _ => (&Zone::Utc, ZeroDates::Null),
        };
        let zone = if matches!(column.kind, ColumnKind::DateTime { .. }) { zone } else { &Zone::Utc };
        let rules = zone.rules().ok_or_else(|| Error::halt(format!("this version knows no zone {zone:?}")))?;
        Ok(Self { rules, zero_dates })
    }

    pub(super) fn write(
        &self,
        writer: &mut BsonWriter,
        name: &str,
        civil: Civil,
        column: &NodeColumn,
    ) -> Result<Written> {
        match (self.rules.unix_ms(civil), self.zero_dates) {
            (Some(unix_ms), _) => writer.date(name, unix_ms),
            (None, ZeroDates::Null) => {
                writer.null(name);
                return Ok(Written::ZeroDate);
            }
            (None, ZeroDates::Text) => writer.string(name, &civil_text(civil, &column.kind)),
            (None, ZeroDates::Park) => {
                let what = "holds a zero or impossible date, and `zero_dates` is `error`";
                return Err(Error::park(format!("column {} {what}", column.sql)));
            }
        }
        Ok(Written::Value)
    }
}

/// A date as MySQL prints it.
pub(super) fn civil_text(civil: Civil, kind: &ColumnKind) -> String {
    match kind {
        ColumnKind::Date => civil.date_text(),
        ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp } => civil.datetime_text(*fsp),
        _ => civil.datetime_text(6),
    }
}
