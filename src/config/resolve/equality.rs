//! Which columns can be joined, and how their equality is decided outside MySQL.
//!
//! Owns: classes of types, collations and their padding. Does not own: comparing values (`logic::assembly`).

use crate::model::plan::Equality;
use crate::model::row::DECIMAL128_DIGITS_MAX;
use crate::model::schema::{Column, ColumnKind, Table};

use super::super::problem::Spot;
use super::{Work, sql};

/// The longest text that can be joined, in characters: what an index key can hold.
const TEXT_MAX: u64 = 3072;

/// How values of two columns are compared, or a problem.
pub fn of(
    (left_table, left): (&Table, &Column),
    (right_table, right): (&Table, &Column),
    spot: Spot,
    path: &str,
    work: &mut Work<'_>,
) -> Option<Equality> {
    let (shown_left, shown_right) = (sql::describe(left_table, left), sql::describe(right_table, right));
    if !same_class(&left.kind, &right.kind) {
        let what = format!("the join compares {shown_left} with {shown_right}, and their types differ");
        let fix = "join columns of the same type, or change one of them".to_string();
        work.report.error("E-JOIN-TYPE", spot, path, what, Some(fix));
        return None;
    }
    if left.collation != right.collation {
        let what = format!("the join compares {shown_left} with {shown_right}, and their collations differ");
        let collation = left.collation.as_deref().unwrap_or("binary");
        let fix = sql::change_collation(right_table, right, collation);
        work.report.error("E-JOIN-TYPE", spot, path, what, Some(fix));
        return None;
    }
    if let ColumnKind::Float | ColumnKind::Double = &left.kind {
        let what = format!("the join compares {shown_left} with {shown_right}; fractions that look equal may differ");
        work.report.warning("W-KEY-TYPE", spot, path, what, None);
    }
    if left.kind != ColumnKind::Text {
        return Some(Equality::Exact);
    }
    let collation = left.collation.clone().unwrap_or_default();
    // Compared code point by code point, without padding: the same bytes.
    if collation.ends_with("_0900_bin") {
        return Some(Equality::Exact);
    }
    if !decided_by_weight(&collation) {
        let what = format!(
            "the join compares {shown_left} with {shown_right}, and what is equal under {collation} cannot be told outside \
             MySQL"
        );
        let fix = "give both columns another collation, such as utf8mb4_0900_ai_ci".to_string();
        work.report.error("E-JOIN-TYPE", spot, path, what, Some(fix));
        return None;
    }
    let length = left.length_max.zip(right.length_max).map(|(a, b)| a.max(b));
    if length.is_none_or(|length| length > TEXT_MAX) {
        let what =
            format!("the join compares {shown_left} with {shown_right}; over {TEXT_MAX} characters are too long");
        let fix = format!("join by a VARCHAR of at most {TEXT_MAX} characters, or by a key");
        work.report.error("E-JOIN-TYPE", spot, path, what, Some(fix));
        return None;
    }
    let pads = pads(&collation);
    Some(Equality::Collated { collation, pads })
}

/// Whether texts are equal exactly if their weight strings (without trailing spaces' weights under PAD SPACE) are. Not so
/// where weights of several levels follow each other and spaces are padded in each, nor where characters that differ weigh
/// the same: `tests/mysql/collations.rs` tries every collation of a server.
fn decided_by_weight(collation: &str) -> bool {
    let collation = collation.to_ascii_lowercase();
    let sensitive = collation.contains("_uca1400_")
        && !collation.ends_with("_ai_ci")
        && (collation.ends_with("_ai_cs") || !collation.contains("_nopad_"));
    let levels = sensitive || collation.ends_with("_thai_520_w2") || collation == "cp1250_czech_cs";
    let blurred = ["tis620_thai_", "gb18030_chinese_", "big5_chinese_", "latin7_estonian_", "latin7_general_"];
    !levels && !blurred.iter().any(|name| collation.starts_with(name))
}

/// Whether trailing spaces do not count under a collation.
pub fn pads(collation: &str) -> bool {
    let collation = collation.to_ascii_lowercase();
    !(collation.contains("_0900_") || collation.contains("nopad") || collation == "binary")
}

/// Whether equal values of the two are equal as `model::value` holds them.
fn same_class(left: &ColumnKind, right: &ColumnKind) -> bool {
    use ColumnKind::{
        Binary, Bit, Date, DateTime, Decimal, Double, Enum, FixedBinary, Float, Inet4, Inet6, Int, Set, Text, Time,
        Timestamp, Uuid, Year,
    };
    match (left, right) {
        (Int { .. } | Year, Int { .. } | Year)
        | (Bit { .. }, Bit { .. })
        | (Float, Float)
        | (Double, Double)
        | (Text, Text)
        | (FixedBinary { .. } | Binary, FixedBinary { .. } | Binary)
        | (Uuid, Uuid)
        | (Inet4, Inet4)
        | (Inet6, Inet6)
        | (Date, Date)
        | (DateTime { .. }, DateTime { .. })
        | (Timestamp { .. }, Timestamp { .. })
        | (Time { .. }, Time { .. }) => true,
        (Decimal { precision: left, scale: a }, Decimal { precision: right, scale: b }) => {
            // Longer ones travel as text.
            a == b && (*left > DECIMAL128_DIGITS_MAX) == (*right > DECIMAL128_DIGITS_MAX)
        }
        (Enum(left), Enum(right)) | (Set(left), Set(right)) => left == right,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations_pad_unless_they_say_so() {
        for (collation, padded) in [
            ("utf8mb4_0900_ai_ci", false),
            ("utf8mb4_bin", true),
            ("utf8mb4_general_ci", true),
            ("latin1_swedish_ci", true),
            ("utf8mb4_nopad_bin", false),
            ("binary", false),
        ] {
            assert_eq!(pads(collation), padded, "{collation}");
        }
    }

    #[test]
    fn numbers_of_any_width_join_and_texts_and_numbers_do_not() {
        let int = |bits, unsigned| ColumnKind::Int { bits, unsigned };
        let decimal = |precision, scale| ColumnKind::Decimal { precision, scale };
        let labels = |labels: &[&str]| ColumnKind::Enum(labels.iter().map(ToString::to_string).collect());
        assert!(same_class(&int(8, false), &int(64, true)));
        assert!(same_class(&ColumnKind::Year, &int(16, false)));
        assert!(same_class(&ColumnKind::Binary, &ColumnKind::FixedBinary { length: 16 }));
        assert!(same_class(&decimal(10, 2), &decimal(12, 2)));
        assert!(!same_class(&decimal(10, 2), &decimal(10, 3)));
        assert!(!same_class(&decimal(34, 2), &decimal(35, 2)));
        assert!(!same_class(&int(64, false), &ColumnKind::Text));
        assert!(!same_class(&int(64, false), &decimal(20, 0)));
        assert!(!same_class(&ColumnKind::Float, &ColumnKind::Double));
        assert!(same_class(&labels(&["a", "b"]), &labels(&["a", "b"])));
        assert!(!same_class(&labels(&["a", "b"]), &labels(&["b", "a"])));
        assert!(same_class(&ColumnKind::Uuid, &ColumnKind::Uuid));
        assert!(!same_class(&ColumnKind::Uuid, &ColumnKind::FixedBinary { length: 16 }));
        assert!(!same_class(&ColumnKind::Inet4, &ColumnKind::Inet6));
        assert!(!same_class(&ColumnKind::Geometry, &ColumnKind::Geometry));
        assert!(!same_class(&ColumnKind::Json, &ColumnKind::Json));
        assert!(!same_class(&ColumnKind::DateTime { fsp: 0 }, &ColumnKind::Timestamp { fsp: 0 }));
    }
}
