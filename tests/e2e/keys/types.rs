//! Every type that can be a key: awkward values of it, and what they look like in a document and in `_id`, as SQL.
//! Owns: the table of types. Does not own: tables and rows of them (`tables`).

use crate::schema::types::text_literal;

/// What a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    Int32,
    Int64,
    /// An integer of 64 bits without sign.
    UInt64,
    Decimal,
    Double,
    Text,
    Bytes,
    Bool,
    Labels,
    /// Milliseconds; in `_id` only if nothing is lost.
    Moment {
        id_is_text: bool,
    },
}

#[derive(Clone, Debug)]
pub struct KeyType {
    /// A part of the names of its tables.
    pub name: &'static str,
    pub sql: &'static str,
    /// Literals; some of them equal to MySQL.
    pub values: Vec<String>,
    pub shows: Shows,
}

impl KeyType {
    /// A value of a column as JSON: text that carries its BSON type.
    pub fn json(&self, x: &str) -> String {
        match self.shows {
            Shows::Labels => format!(
                "IF({x} IS NULL, 'null', CONCAT('[', IF({x} = '', '', CONCAT('\"s:', REPLACE({x}, ',', '\",\"s:'), '\"')), ']'))"
            ),
            _ => format!("IFNULL(JSON_QUOTE({}), 'null')", self.leaf(x)),
        }
    }

    /// The same as it stands in `_id`.
    pub fn id(&self, x: &str) -> String {
        let text = format!("CONCAT('s:', {x})");
        let leaf = match self.shows {
            Shows::Labels | Shows::Moment { id_is_text: true } => text,
            Shows::Moment { id_is_text: false } => format!("COALESCE({}, {text})", self.leaf(x)),
            Shows::Double => format!("CONCAT('f64:', IF({x} = 0, 0, CAST({x} AS DOUBLE)))"),
            _ => self.leaf(x),
        };
        format!("JSON_QUOTE({leaf})")
    }

    fn leaf(&self, x: &str) -> String {
        match self.shows {
            Shows::Int32 => format!("CONCAT('i32:', {x} + 0)"),
            Shows::Int64 => format!("CONCAT('i64:', {x} + 0)"),
            Shows::UInt64 => {
                format!("IF({x} + 0 > 9223372036854775807, CONCAT('d128:', {x} + 0), CONCAT('i64:', {x} + 0))")
            }
            Shows::Decimal => format!("CONCAT('d128:', {x})"),
            Shows::Double => format!("CONCAT('f64:', CAST({x} AS DOUBLE))"),
            Shows::Text => format!("CONCAT('s:', CONVERT({x} USING utf8mb4))"),
            Shows::Bytes => format!("CONCAT('x:', HEX({x}))"),
            Shows::Bool => format!("CONCAT('bool:', {x} + 0)"),
            Shows::Labels => unreachable!("an array"),
            Shows::Moment { .. } => format!(
                "IF(MONTH({x}) = 0 OR DAYOFMONTH({x}) = 0 OR DAYOFMONTH({x}) > \
                 DAYOFMONTH(LAST_DAY(CONCAT(DATE_FORMAT({x}, '%Y-%m'), '-01'))), NULL, \
                 CONCAT('t:', FLOOR(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', {x}) / 1000)))"
            ),
        }
    }
}

/// Case, accents, spaces at the end, expansions, NUL.
const WORDS: [&str; 16] =
    ["a", "A", "á", "a ", "b", "ß", "ss", "SS", "e", "é", "E ", "", " ", "a\0", "o\u{308}", "日本"];
const LATIN: [&str; 13] = ["a", "A", "á", "a ", "b", "ß", "ss", "e", "é", "E ", "", " ", "a\0"];

pub fn all() -> Vec<KeyType> {
    let sql = |name, sql, values: &[&str], shows| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        KeyType { name, sql, values, shows }
    };
    let text = |name, sql, words: &[&str]| {
        let values = words.iter().map(|word| text_literal(word)).collect();
        KeyType { name, sql, values, shows: Shows::Text }
    };
    let fine = Shows::Moment { id_is_text: false };
    let finer = Shows::Moment { id_is_text: true };
    vec![
        sql("tiny", "TINYINT", &["-128", "127", "0", "1", "-1"], Shows::Int32),
        sql("utiny", "TINYINT UNSIGNED", &["255", "128", "0", "1"], Shows::Int32),
        sql("small", "SMALLINT", &["-32768", "32767", "0", "1", "-1"], Shows::Int32),
        sql("medium", "MEDIUMINT", &["-8388608", "8388607", "-1", "0", "1"], Shows::Int32),
        sql("umedium", "MEDIUMINT UNSIGNED", &["16777215", "8388608", "0", "1"], Shows::Int32),
        sql("int_", "INT", &["-2147483648", "2147483647", "-1", "0", "1"], Shows::Int32),
        sql("uint", "INT UNSIGNED", &["4294967295", "2147483648", "0", "1"], Shows::Int64),
        sql("big", "BIGINT", &["-9223372036854775808", "9223372036854775807", "-1", "0", "1"], Shows::Int64),
        sql(
            "ubig",
            "BIGINT UNSIGNED",
            &["18446744073709551615", "9223372036854775808", "9223372036854775807", "0", "1"],
            Shows::UInt64,
        ),
        sql("dec", "DECIMAL(12,4)", &["-0.0001", "0", "1.5", "-1.5", "99999999.9999"], Shows::Decimal),
        sql(
            "dec65",
            "DECIMAL(65,30)",
            &["-0.000000000000000000000000000001", "0", "99999999999999999999999999999999999.5", "1"],
            Shows::Text,
        ),
        sql("float_", "FLOAT", &["0", "-0e0", "1.1", "-1.1", "3.4028234e38", "1e-45"], Shows::Double),
        sql("double_", "DOUBLE", &["0", "-0e0", "0.1", "-0.1", "1.7976931348623157e308", "5e-324"], Shows::Double),
        sql("year_", "YEAR", &["0", "1901", "2155", "2005", "1970"], Shows::Int32),
        sql("date_", "DATE", &["'0000-00-00'", "'2024-00-00'", "'2024-02-30'", "'2024-02-28'", "'1969-12-31'"], fine),
        sql("dt0", "DATETIME", &["'0000-00-00 00:00:00'", "'1969-12-31 23:59:59'", "'2024-02-29 10:11:12'"], fine),
        sql(
            "dt3",
            "DATETIME(3)",
            &[
                "'0000-00-00 00:00:00'",
                "'2024-02-30 00:00:00.001'",
                "'2024-02-29 10:11:12.999'",
                "'2024-02-29 10:11:12'",
            ],
            fine,
        ),
        sql(
            "dt6",
            "DATETIME(6)",
            &[
                "'0000-00-00 00:00:00'",
                "'2024-02-29 10:11:12.000001'",
                "'2024-02-29 10:11:12.000002'",
                "'1969-12-31 1:2:3'",
            ],
            finer,
        ),
        sql("ts0", "TIMESTAMP", &["'0000-00-00 00:00:00'", "'1970-01-01 00:00:01'", "'2024-02-29 10:11:12'"], fine),
        sql(
            "ts6",
            "TIMESTAMP(6)",
            &["'0000-00-00 00:00:00'", "'2024-02-29 10:11:12.000001'", "'2024-02-29 10:11:12.000002'"],
            finer,
        ),
        sql("time0", "TIME", &["'00:00:00'", "'-00:00:01'", "'-838:59:59'", "'838:59:59'", "'11:12:13'"], Shows::Text),
        sql("time2", "TIME(2)", &["'00:00:00'", "'-00:00:00.01'", "'-244:58:27.4'", "'11:12:13.99'"], Shows::Text),
        sql("time6", "TIME(6)", &["'00:00:00'", "'-00:00:00.000001'", "'-838:59:59'", "'1:2:3.000001'"], Shows::Text),
        sql("bit1", "BIT(1)", &["0", "1"], Shows::Bool),
        sql("bit64", "BIT(64)", &["18446744073709551615", "9223372036854775808", "0", "5"], Shows::UInt64),
        sql("enum_", "ENUM('b','a','c d','ä')", &["'b'", "'a'", "'c d'", "'ä'"], Shows::Text),
        sql("set_", "SET('b','a','c d')", &["'b'", "'a,b'", "''", "'c d,a'", "'c d'"], Shows::Labels),
        sql("binary_", "BINARY(4)", &["X'61620000'", "X'00000000'", "X'61622020'", "X'FFFFFFFF'"], Shows::Bytes),
        sql("varbinary_", "VARBINARY(6)", &["X'6162'", "X'616200'", "X'61622020'", "''", "X'FF00'"], Shows::Bytes),
        text("ai_ci", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", &WORDS),
        text("as_cs", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_as_cs", &WORDS),
        text("bin", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", &WORDS),
        text("bin0900", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin", &WORDS),
        text("general", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", &WORDS),
        text("unicode", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci", &WORDS),
        text("latin", "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci", &LATIN),
        text("german", "CHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci", &LATIN),
        // MariaDB compares a CHAR in two ways where spaces count: it is refused there.
        text(
            "char_",
            "CHAR(20) CHARACTER SET utf8mb4 COLLATE /*!80000 utf8mb4_0900_ai_ci *//*M!100000 utf8mb4_uca1400_ai_ci */",
            &WORDS,
        ),
        text("utf16_", "CHAR(20) CHARACTER SET utf16 COLLATE utf16_unicode_ci", &WORDS),
    ]
}
