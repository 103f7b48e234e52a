//! How each shown column is written: `values` of the job, and `as` of its node.
//!
//! Owns: which type can be written as what, and warnings of what is lost. Does not own: the words (`config::values`), writing
//! (`logic::conversion`).

use crate::model::plan::{NodeColumn, WriteAs, ZeroDates};
use crate::model::row::DECIMAL128_DIGITS_MAX;
use crate::model::schema::{ColumnKind, Table};
use crate::model::zone::Zone;

use super::super::fields::below;
use super::super::problem::{At, Spot};
use super::super::suggest::did_you_mean;
use super::super::values::{AsKind, DecimalForm, GeometryForm, JsonForm, ValuesFile};
use super::nodes::Draft;
use super::{Work, sql};

/// Decimal digits that every double keeps.
const DOUBLE_DIGITS: u8 = 15;

/// Decides for every shown column, and warns of what the documents will lack.
pub fn resolve(draft: &mut Draft<'_>, table: &Table, work: &mut Work<'_>) {
    for (position, _) in &draft.shown {
        let column = &mut draft.columns[*position];
        column.write = usual(&column.kind, &work.values);
    }
    chosen(draft, table, work);
    for (position, spot) in &draft.shown {
        let column = &draft.columns[*position];
        if let Some((code, what)) = lost(column) {
            let (named, path) = named(draft, table, *position);
            work.report.warning(code, *spot, &path, format!("{named} {what}"), None);
        }
    }
}

/// A shown column as messages name it, and the key that leads to it.
fn named(draft: &Draft<'_>, table: &Table, position: usize) -> (String, String) {
    match draft.plain.iter().find(|(_, at)| **at == position) {
        Some((column, _)) => (sql::describe(table, &table.columns[*column]), draft.path.clone()),
        None => {
            let column = &draft.columns[position];
            let field = column.field.as_deref().unwrap_or_default();
            let path = below(&below(&draft.path, "fields"), field);
            (format!("the field `{field}` ({})", type_name(&column.kind)), path)
        }
    }
}

/// What the job's options make of a type.
fn usual(kind: &ColumnKind, values: &ValuesFile) -> WriteAs {
    match kind {
        ColumnKind::Json if values.json == JsonForm::String => WriteAs::Text,
        ColumnKind::Geometry if values.geometry == GeometryForm::Wkb => WriteAs::Wkb,
        ColumnKind::Decimal { .. } => match values.decimal {
            DecimalForm::Decimal128 => WriteAs::Plain,
            DecimalForm::String => WriteAs::Text,
            DecimalForm::Double => WriteAs::Double,
        },
        ColumnKind::DateTime { .. } => moment(values.time_zone.clone(), values.zero_dates),
        ColumnKind::Date | ColumnKind::Timestamp { .. } => moment(Zone::Utc, values.zero_dates),
        _ => WriteAs::Plain,
    }
}

/// One form for one meaning: an option that changes nothing does not change the stored mapping either.
fn moment(zone: Zone, zero_dates: ZeroDates) -> WriteAs {
    match (&zone, zero_dates) {
        (Zone::Utc, ZeroDates::Null) => WriteAs::Plain,
        _ => WriteAs::Moment { zone, zero_dates },
    }
}

/// What a word makes of a type; `None` if it cannot be.
fn written(kind: &ColumnKind, word: AsKind) -> Option<WriteAs> {
    use ColumnKind::{
        Binary, Bit, Date, DateTime, Decimal, Double, Enum, FixedBinary, Float, Geometry, Inet4, Inet6, Int, Json,
        Other, Set, Text, Time, Timestamp, Uuid, Vector, Year,
    };
    match (word, kind) {
        (AsKind::Bool, Int { .. } | Bit { .. }) => Some(WriteAs::Bool),
        (AsKind::String, Text | Enum(_) | Time { .. } | Inet4 | Inet6) => Some(WriteAs::Plain),
        (AsKind::String, Int { .. } | Year | Decimal { .. } | Float | Double | Bit { .. }) => Some(WriteAs::Text),
        (AsKind::String, Set(_) | Date | DateTime { .. } | Timestamp { .. } | Json | Uuid) => Some(WriteAs::Text),
        (AsKind::String, Binary | FixedBinary { .. } | Geometry | Vector | Other(_)) => None,
        (AsKind::Double, Int { .. } | Decimal { .. }) => Some(WriteAs::Double),
        (AsKind::Decimal128, Decimal { precision, .. }) if *precision <= DECIMAL128_DIGITS_MAX => Some(WriteAs::Plain),
        (AsKind::Json, Json) => Some(WriteAs::Plain),
        (AsKind::Json, Text) => Some(WriteAs::Json),
        (AsKind::Uuid, FixedBinary { length: 16 }) => Some(WriteAs::Uuid),
        (AsKind::Geojson, Geometry) => Some(WriteAs::Plain),
        (AsKind::Wkb, Geometry) => Some(WriteAs::Wkb),
        _ => None,
    }
}

/// `as`: what the node says of single columns and computed fields.
fn chosen(draft: &mut Draft<'_>, table: &Table, work: &mut Work<'_>) {
    let path = below(&draft.path, "as");
    for (name, word) in &draft.shows.kinds {
        let path = below(&path, &name.value);
        let computed = draft.shows.fields.iter().any(|(field, _)| field.value == name.value);
        let position = if computed {
            draft.columns.iter().position(|column| column.field.as_deref() == Some(name.value.as_str()))
        } else {
            let Some(column) = work.column(table, name, &path) else { continue };
            draft.plain.get(&column).copied()
        };
        let Some(position) = position else {
            // An expression that failed has been reported.
            if !computed {
                let what = format!("`as` names the column `{}`, which is not shown", name.value);
                work.report.error("E-FIELD", name.spot, &path, what, Some("remove it, or show the column".to_string()));
            }
            continue;
        };
        match option(draft, table, position, word) {
            Ok(write) => draft.columns[position].write = write,
            Err((what, fix, spot)) => work.report.error("E-VALUE", spot, &path, what, Some(fix)),
        }
    }
}

/// What a word makes of a column, or what is wrong, the fix and the place.
fn option(
    draft: &Draft<'_>,
    table: &Table,
    position: usize,
    word: &At<String>,
) -> Result<WriteAs, (String, String, Spot)> {
    let kind = &draft.columns[position].kind;
    let possible: Vec<&str> =
        AsKind::ALL.into_iter().filter(|word| written(kind, *word).is_some()).map(AsKind::word).collect();
    let known = AsKind::ALL.into_iter().find(|known| known.word() == word.value);
    if let Some(write) = known.and_then(|known| written(kind, known)) {
        return Ok(write);
    }
    let (named, _) = named(draft, table, position);
    let what = match known {
        Some(_) => format!("{named} cannot be written as `{}`", word.value),
        None => format!("`as` cannot be `{}`; it stands at {named}", word.value),
    };
    let fix = match &possible[..] {
        [] => "remove it: this type is written in one way only".to_string(),
        possible => did_you_mean(&word.value, possible.iter().copied())
            .unwrap_or_else(|| format!("write one of {}", possible.join(", "))),
    };
    Err((what, fix, word.spot))
}

/// What the documents will lack of a column's values.
fn lost(column: &NodeColumn) -> Option<(&'static str, String)> {
    match (&column.kind, &column.write) {
        (ColumnKind::Decimal { precision, .. }, WriteAs::Plain) if *precision > DECIMAL128_DIGITS_MAX => {
            let what = format!("has more than {DECIMAL128_DIGITS_MAX} digits, so its values become text");
            Some(("W-DECIMAL", what))
        }
        (ColumnKind::Decimal { precision, .. }, WriteAs::Double) => {
            let digits = if *precision > DOUBLE_DIGITS {
                format!(", and what is beyond {DOUBLE_DIGITS} digits is rounded")
            } else {
                String::new()
            };
            let what = "becomes a double: few decimal fractions are exact there, zeros at the end are gone";
            Some(("W-DOUBLE", format!("{what}{digits}")))
        }
        (ColumnKind::Int { bits: 64, .. }, WriteAs::Double) => {
            Some(("W-DOUBLE", "becomes a double, which does not hold every number above 2^53".to_string()))
        }
        (ColumnKind::DateTime { fsp } | ColumnKind::Timestamp { fsp }, WriteAs::Plain | WriteAs::Moment { .. })
            if *fsp > 3 =>
        {
            Some(("W-FRACTION", "is finer than the milliseconds of a BSON date; the rest is cut off".to_string()))
        }
        _ => None,
    }
}

/// A type as its declaration begins, for what no table declares.
fn type_name(kind: &ColumnKind) -> String {
    let fraction = |name: &str, fsp: u8| if fsp == 0 { name.to_string() } else { format!("{name}({fsp})") };
    match kind {
        ColumnKind::Int { bits, unsigned } => {
            let name = match bits {
                8 => "tinyint",
                16 => "smallint",
                24 => "mediumint",
                32 => "int",
                _ => "bigint",
            };
            format!("{name}{}", if *unsigned { " unsigned" } else { "" })
        }
        ColumnKind::Year => "year".to_string(),
        ColumnKind::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnKind::Float => "float".to_string(),
        ColumnKind::Double => "double".to_string(),
        ColumnKind::Bit { length } => format!("bit({length})"),
        ColumnKind::Text => "text".to_string(),
        ColumnKind::Enum(_) => "enum".to_string(),
        ColumnKind::Set(_) => "set".to_string(),
        ColumnKind::FixedBinary { length } => format!("binary({length})"),
        ColumnKind::Binary => "blob".to_string(),
        ColumnKind::Date => "date".to_string(),
        ColumnKind::DateTime { fsp } => fraction("datetime", *fsp),
        ColumnKind::Timestamp { fsp } => fraction("timestamp", *fsp),
        ColumnKind::Time { fsp } => fraction("time", *fsp),
        ColumnKind::Json => "json".to_string(),
        ColumnKind::Geometry => "geometry".to_string(),
        ColumnKind::Vector => "vector".to_string(),
        ColumnKind::Uuid => "uuid".to_string(),
        ColumnKind::Inet4 => "inet4".to_string(),
        ColumnKind::Inet6 => "inet6".to_string(),
        ColumnKind::Other(name) => name.clone(),
    }
}
