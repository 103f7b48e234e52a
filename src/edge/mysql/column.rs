//! One used column of a table, as an event's TABLE_MAP and the plan together say it is.
//!
//! Owns: [`Used`]: whether the two agree in everything that a value depends on, and which character set and labels it is read by.
//! Does not own: finding the column (`decode`), reading its values (`decode_value`).
//!
//! The TABLE_MAP is of the moment when the rows were written; the plan is of another one. Where they contradict each other
//! nobody knows what a value means, so it is not read.

use super::charset::{Charset, Charsets, Found};
use super::decode_value::fits;
use super::table_map::{TableMap, WireType, types};
use crate::model::plan::UsedColumn;
use crate::model::schema::ColumnKind;

/// The number of the collation `binary`, by which bytes are told from text.
const BINARY: u16 = 63;

/// A used column, and how its bytes are read.
#[derive(Debug)]
pub(super) struct Used {
    /// Position in [`crate::model::plan::TableUse::columns`].
    pub(super) cell: usize,
    pub(super) name: String,
    pub(super) kind: ColumnKind,
    pub(super) form: Form,
    pub(super) charset: Option<Charset>,
}

/// What becomes of a used column's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Only equality matters.
    Raw,
    /// The value, or an error.
    Exact,
    /// The value if there is one, of every type.
    Whole,
}

/// Why a column cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// What is wrong with it.
    Says(&'static str),
    /// The set of this name is needed first.
    Unread(String),
}

/// What is known of a column beside the plan.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) map: &'a TableMap,
    /// Its position in the event.
    pub(super) position: usize,
    /// Its collation by the definition of today, where the event does not name one.
    pub(super) collation_now: Option<&'a str>,
    pub(super) charsets: &'a Charsets,
}

impl Used {
    pub(super) fn new(cell: usize, column: &UsedColumn, form: Form, of: Evidence<'_>) -> Result<Self, Mismatch> {
        let mut used = Self { cell, name: column.name.clone(), kind: column.kind.clone(), form, charset: None };
        if form == Form::Raw {
            return Ok(used);
        }
        of.must_agree(&column.kind)?;
        let labels = match &column.kind {
            ColumnKind::Text => None,
            ColumnKind::Enum(now) | ColumnKind::Set(now) if of.map.labels.contains_key(&of.position) => Some(now),
            _ => return Ok(used),
        };
        let charset = match of.charset() {
            Found::Ready(charset) => charset,
            Found::Unread(set) => return Err(Mismatch::Unread(set)),
            Found::Unknown => return Err(Mismatch::Says("has a character set that the server does not tell")),
        };
        if let Some(now) = labels {
            let then = of.labels(&charset).ok_or(Mismatch::Says("has labels that cannot be read"))?;
            if form == Form::Whole {
                used.kind = if matches!(used.kind, ColumnKind::Enum(_)) {
                    ColumnKind::Enum(then)
                } else {
                    ColumnKind::Set(then)
                };
            } else if !then.iter().zip(now).all(|(then, now)| then == now) {
                // More of them behind the others change nothing that is stored.
                return Err(Mismatch::Says("has other labels than the build was made with"));
            }
        }
        used.charset = Some(charset);
        Ok(used)
    }
}

impl Evidence<'_> {
    fn charset(&self) -> Found {
        self.charsets.find(self.map.collations.get(&self.position).copied(), self.collation_now)
    }

    /// The labels of an ENUM or SET by the event, as text.
    fn labels(&self, charset: &Charset) -> Option<Vec<String>> {
        self.map.labels.get(&self.position)?.iter().map(|label| charset.decode(label)).collect()
    }

    /// Whether a column of this kind is what the event has.
    pub(super) fn must_agree(&self, kind: &ColumnKind) -> Result<(), Mismatch> {
        let wire =
            self.map.types.get(self.position).copied().unwrap_or(WireType { code: types::NULL, length: 0, extra: 0 });
        if !fits(kind, wire.plain().code) || !agrees(kind, wire) {
            return Err(Mismatch::Says("has another type than the build was made with"));
        }
        let collation = self.map.collations.get(&self.position).copied();
        let binary = collation.map(|collation| collation == BINARY);
        match (kind, self.map.unsigned.get(&self.position), binary) {
            (ColumnKind::Int { unsigned: false, .. }, Some(true), _) => {
                Err(Mismatch::Says("is UNSIGNED in the binlog, and was not when the build was made"))
            }
            (ColumnKind::Int { unsigned: true, .. }, Some(false), _) => {
                Err(Mismatch::Says("is not UNSIGNED in the binlog, and was when the build was made"))
            }
            (ColumnKind::Text, _, Some(true)) => {
                Err(Mismatch::Says("holds bytes in the binlog, and text in the build"))
            }
            (ColumnKind::Binary | ColumnKind::FixedBinary { .. }, _, Some(false)) => {
                Err(Mismatch::Says("holds text in the binlog, and bytes in the build"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the details of a type agree with a declaration, as far as an event has them. `fits` tells the type itself.
fn agrees(kind: &ColumnKind, wire: WireType) -> bool {
    let digits = |fsp: u8| match wire.code {
        // From before fractions of a second were stored.
        types::DATETIME | types::TIMESTAMP | types::TIME => fsp == 0,
        _ => wire.length == u32::from(fsp),
    };
    match kind {
        ColumnKind::Decimal { precision, scale } => (wire.length, wire.extra) == (u32::from(*precision), *scale),
        ColumnKind::Bit { length } => wire.length == u32::from(*length),
        ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp } | ColumnKind::Time { fsp } => digits(*fsp),
        ColumnKind::FixedBinary { length } => wire.code == types::STRING && wire.length == u32::from(*length),
        ColumnKind::Binary => wire.code != types::STRING,
        _ => true,
    }
}

#[cfg(test)]
#[path = "column_tests.rs"]
mod tests;
