//! Pieces of SQL text: names, literals, conditions over keys, weight strings. Pure.
//!
//! Owns: quoting, and the forms of conditions that MySQL's range optimizer uses. Does not own: whole statements
//! (`queries`).

use crate::model::address::uuid_text;
use crate::model::plan::Equality;
use crate::model::schema::{ColumnKind, TableName};
use crate::model::time::{Civil, time_text};
use crate::model::value::{Key, Value};

/// A quoted name.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A quoted `database`.`table`.
pub(super) fn table(table: &TableName) -> String {
    format!("{}.{}", name(&table.database), name(&table.table))
}

/// Text as a literal that needs no escapes and does not depend on the session.
pub(super) fn text_literal(text: &str) -> String {
    format!("_utf8mb4 X'{}'", hex(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// A value as a literal that equals the column it was read from. `kind` is the column's, where it is known.
pub(super) fn literal(value: &Value, kind: Option<&ColumnKind>) -> String {
    match value {
        Value::Null => "NULL".to_string(),
        // A YEAR takes 1 to 99 for years of two digits: no year that is stored equals them.
        Value::Int(number) if kind == Some(&ColumnKind::Year) && !is_year(*number) => "NULL".to_string(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        // The shortest text that reads back as the same double, which MySQL's parser guarantees as well.
        Value::Double(bits) => format!("{:e}", f64::from_bits(*bits)),
        Value::Decimal(text) => text.clone(),
        Value::Text(text) => text_literal(text),
        Value::Bytes(bytes) => match (kind, <&[u8; 16]>::try_from(&bytes[..])) {
            (Some(ColumnKind::Uuid), Ok(uuid)) => format!("'{}'", uuid_text(uuid)),
            _ => format!("X'{}'", hex(bytes)),
        },
        Value::Civil(packed) => {
            let civil = Civil::unpack(*packed);
            let text = if kind == Some(&ColumnKind::Date) { civil.date_text() } else { civil.datetime_text(6) };
            format!("'{text}'")
        }
        // A plain text would be compared with a TIME as text where several columns are compared at once.
        Value::Time(micros) => format!("TIME'{}'", time_text(*micros, 6)),
    }
}

fn is_year(number: i64) -> bool {
    number == 0 || (1901..=2155).contains(&number)
}

/// A column of a key in a condition: how it is written, and what it holds.
#[derive(Clone, Debug)]
pub(super) struct KeyColumn {
    /// Quoted, with its table's alias where the statement has several tables.
    pub(super) sql: String,
    /// See [`literal`].
    pub(super) kind: Option<ColumnKind>,
    /// Text in another character set than that of literals.
    pub(super) recoded: bool,
}

impl KeyColumn {
    /// The column and the value as they are compared in the order of the key. MySQL sorts ENUM and SET by number but
    /// compares them with text as text.
    fn ordered(&self, value: &Value) -> (String, String) {
        let Some(number) = self.kind.as_ref().and_then(|kind| label_number(kind, value)) else {
            return (self.sql.clone(), literal(value, self.kind.as_ref()));
        };
        (format!("({} + 0)", self.sql), number.to_string())
    }
}

/// The number behind a label of an ENUM, or behind the labels of a SET.
fn label_number(kind: &ColumnKind, value: &Value) -> Option<u64> {
    let Value::Text(text) = value else {
        return None;
    };
    match kind {
        // The value '' that stands for an invalid one has number 0.
        ColumnKind::Enum(labels) => {
            Some(labels.iter().position(|label| label == text).map_or(0, |position| position as u64 + 1))
        }
        ColumnKind::Set(labels) => Some(text.split(',').fold(0, |bits, one| {
            bits | labels.iter().position(|label| label == one).map_or(0, |position| 1 << position)
        })),
        _ => None,
    }
}

/// `after < key <= up_to`, or `None` if neither bound is given. Expanded (`a > x OR (a = x AND b > y)`), because MySQL
/// finds no range in a comparison of row constructors; equal leading values become plain equalities, and a redundant
/// bound on the first column helps where the optimizer gives up on the rest.
pub(super) fn range(columns: &[KeyColumn], after: Option<&Key>, up_to: Option<&Key>) -> Option<String> {
    let equal = match (after, up_to) {
        (Some(after), Some(up_to)) => after.0.iter().zip(&up_to.0).take_while(|(low, high)| low == high).count(),
        _ => 0,
    }
    .min(columns.len().saturating_sub(1));
    let mut terms: Vec<String> = Vec::new();
    if let Some(key) = after {
        for (column, value) in columns.iter().zip(&key.0).take(equal) {
            let (left, right) = column.ordered(value);
            terms.push(format!("{left} = {right}"));
        }
    }
    for (key, beyond, last, outer) in [(after, ">", ">", ">="), (up_to, "<", "<=", "<=")] {
        let Some(key) = key else {
            continue;
        };
        let (columns, values) = (&columns[equal..], &key.0[equal.min(key.0.len())..]);
        terms.push(bound(columns, values, beyond, last));
        if let (true, Some(column), Some(value)) = (columns.len() > 1, columns.first(), values.first()) {
            let (left, right) = column.ordered(value);
            terms.push(format!("{left} {outer} {right}"));
        }
    }
    (!terms.is_empty()).then(|| terms.join(" AND "))
}

fn bound(columns: &[KeyColumn], values: &[Value], beyond: &str, last: &str) -> String {
    let (Some((column, columns)), Some((value, values))) = (columns.split_first(), values.split_first()) else {
        return "TRUE".to_string();
    };
    let (left, right) = column.ordered(value);
    if columns.is_empty() {
        return format!("{left} {last} {right}");
    }
    format!("({left} {beyond} {right} OR ({left} = {right} AND {}))", bound(columns, values, beyond, last))
}

/// The key equals one of `keys`, or `None` if nothing can: a NULL equals nothing.
pub(super) fn any_of(columns: &[KeyColumn], keys: &[Key]) -> Option<String> {
    let keys: Vec<Vec<String>> = keys.iter().filter(|key| !key.has_null()).map(|key| literals(columns, key)).collect();
    if keys.is_empty() {
        return None;
    }
    if let [column] = columns {
        return Some(format!("{} IN ({})", column.sql, keys.concat().join(", ")));
    }
    if columns.iter().any(|column| column.recoded) {
        // In a list of rows MariaDB does not find it. (Three times slower than a list, so not for all.)
        let equal = |key: &Vec<String>| {
            let pairs = columns.iter().zip(key).map(|(column, value)| format!("{} = {value}", column.sql));
            format!("({})", pairs.collect::<Vec<_>>().join(" AND "))
        };
        return Some(format!("({})", keys.iter().map(equal).collect::<Vec<_>>().join(" OR ")));
    }
    let rows: Vec<String> = keys.iter().map(|key| format!("({})", key.join(", "))).collect();
    Some(format!("({}) IN ({})", names(columns), rows.join(", ")))
}

fn literals(columns: &[KeyColumn], key: &Key) -> Vec<String> {
    columns.iter().zip(&key.0).map(|(column, value)| literal(value, column.kind.as_ref())).collect()
}

/// The columns of a key, with commas.
pub(super) fn names(columns: &[KeyColumn]) -> String {
    super::server::commas(columns.iter().map(|column| &column.sql))
}

/// What stands for a text in a comparison outside MySQL: equal texts have equal weight strings, and others other ones.
/// Under PAD SPACE once what spaces weigh is cut off at the end. (`WEIGHT_STRING(... AS CHAR(n))` pads by characters: texts
/// that are equal with different numbers of them, such as `ss` and a sharp s, then differ.)
pub fn weight(sql: &str, equality: &Equality) -> String {
    match equality {
        Equality::Collated { collation, pads: true } => {
            let charset = collation.split('_').next().unwrap_or_default();
            let space = format!("CONVERT(' ' USING {charset}) COLLATE {collation}");
            format!("TRIM(TRAILING WEIGHT_STRING({space}) FROM WEIGHT_STRING({sql}))")
        }
        _ => format!("WEIGHT_STRING({sql})"),
    }
}

/// An ordering term without its direction, and the direction (with a leading space) or nothing.
pub(super) fn split_direction(term: &str) -> (&str, &'static str) {
    let term = term.trim();
    for (word, direction) in [("DESC", " DESC"), ("ASC", "")] {
        if let Some(head) = term.len().checked_sub(word.len()).filter(|at| term.is_char_boundary(*at)) {
            let (column, tail) = term.split_at(head);
            if tail.eq_ignore_ascii_case(word) && column.ends_with(|c: char| c.is_whitespace() || c == '`' || c == ')')
            {
                return (column.trim_end(), direction);
            }
        }
    }
    (term, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> KeyColumn {
        KeyColumn { sql: super::name(name), kind: None, recoded: false }
    }

    fn key(values: &[i64]) -> Key {
        Key(values.iter().copied().map(Value::Int).collect())
    }

    #[test]
    fn names_and_literals_are_quoted() {
        assert_eq!(table(&TableName::new("a`b", "c")), "`a``b`.`c`");
        let text = |value: Value| literal(&value, None);
        assert_eq!(text(Value::Int(-5)), "-5");
        assert_eq!(text(Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(text(Value::Decimal("-12.30".into())), "-12.30");
        assert_eq!(text(Value::Text("a'ö".into())), "_utf8mb4 X'6127C3B6'");
        assert_eq!(text(Value::Bytes(vec![0, 255])), "X'00FF'");
        assert_eq!(text(Value::Double(0.1f64.to_bits())), "1e-1");
        assert_eq!(text(Value::Time(-1)), "TIME'-00:00:00.000001'");
        let day = Value::from_civil(Civil { year: 2024, month: 2, day: 30, ..Civil::default() });
        assert_eq!(literal(&day, Some(&ColumnKind::Date)), "'2024-02-30'");
        let uuid = literal(&Value::Bytes(vec![0xab; 16]), Some(&ColumnKind::Uuid));
        assert_eq!(uuid, "'abababab-abab-abab-abab-abababababab'");
        assert_eq!(literal(&day, None), "'2024-02-30 00:00:00.000000'");
    }

    #[test]
    fn ranges_are_expanded() {
        let columns = [column("a"), column("b")];
        assert_eq!(range(&columns, None, None), None);
        assert_eq!(range(&columns[..1], Some(&key(&[1])), Some(&key(&[4]))).as_deref(), Some("`a` > 1 AND `a` <= 4"));
        assert_eq!(
            range(&columns, Some(&key(&[1, 2])), Some(&key(&[3, 4]))).as_deref(),
            Some(
                "(`a` > 1 OR (`a` = 1 AND `b` > 2)) AND `a` >= 1 AND (`a` < 3 OR (`a` = 3 AND `b` <= 4)) AND `a` <= 3"
            )
        );
        assert_eq!(
            range(&columns, Some(&key(&[1, 2])), Some(&key(&[1, 4]))).as_deref(),
            Some("`a` = 1 AND `b` > 2 AND `b` <= 4")
        );
        assert_eq!(
            range(&columns, Some(&key(&[1, 2])), Some(&key(&[1, 2]))).as_deref(),
            Some("`a` = 1 AND `b` > 2 AND `b` <= 2")
        );
    }

    #[test]
    fn enums_are_ranged_by_number_and_found_by_label() {
        let kind = Some(ColumnKind::Enum(vec!["big".into(), "tiny".into()]));
        let columns = [KeyColumn { kind, ..column("e") }];
        let tiny = Key(vec![Value::Text("tiny".into())]);
        assert_eq!(range(&columns, Some(&tiny), None).as_deref(), Some("(`e` + 0) > 2"));
        assert_eq!(any_of(&columns, &[tiny]).as_deref(), Some("`e` IN (_utf8mb4 X'74696E79')"));
    }

    #[test]
    fn lists_leave_nulls_out() {
        let columns = [column("a"), column("b")];
        let null = Key(vec![Value::Int(1), Value::Null]);
        assert_eq!(any_of(&columns, std::slice::from_ref(&null)), None);
        assert_eq!(
            any_of(&columns, &[key(&[1, 2]), null, key(&[3, 4])]).as_deref(),
            Some("(`a`, `b`) IN ((1, 2), (3, 4))")
        );
    }

    #[test]
    fn recoded_texts_are_compared_one_by_one() {
        let columns = [KeyColumn { recoded: true, ..column("t") }, column("n")];
        let keys =
            [Key(vec![Value::Text("a".into()), Value::Int(1)]), Key(vec![Value::Text("b".into()), Value::Int(2)])];
        assert_eq!(
            any_of(&columns, &keys).as_deref(),
            Some("((`t` = _utf8mb4 X'61' AND `n` = 1) OR (`t` = _utf8mb4 X'62' AND `n` = 2))")
        );
    }

    #[test]
    fn no_year_has_two_digits() {
        let text = |number| literal(&Value::Int(number), Some(&ColumnKind::Year));
        assert_eq!([0, 5, 70, 1901, 2155, 2156].map(text), ["0", "NULL", "NULL", "1901", "2155", "NULL"]);
    }

    #[test]
    fn directions_are_split_off() {
        assert_eq!(split_direction("`qty` DESC"), ("`qty`", " DESC"));
        assert_eq!(split_direction("`desc`"), ("`desc`", ""));
        assert_eq!(split_direction("`a` asc "), ("`a`", ""));
        assert_eq!(split_direction("wasc"), ("wasc", ""));
    }
}
