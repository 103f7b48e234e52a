//! Tables as the source describes them.
//!
//! Owns: [`Table`], [`Column`], [`ColumnKind`]. Does not own: reading them (`edge::mysql::schema`), what a job makes of
//! them (`config::resolve`).

use serde::{Deserialize, Serialize};

/// A table's full name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The database (schema).
    pub database: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// A name from its two parts.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> Self {
        Self { database: database.into(), table: table.into() }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", Shown(&self.database), Shown(&self.table))
    }
}

/// A name as SQL takes it: in backticks unless it needs none behind or before a `.`.
pub struct Shown<'a>(pub &'a str);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
        if self.0.chars().all(plain) && !self.0.starts_with(|c: char| c.is_ascii_digit()) && !self.0.is_empty() {
            f.write_str(self.0)
        } else {
            write!(f, "`{}`", self.0.replace('`', "``"))
        }
    }
}

/// What a column or an expression holds. Decides its Arrow type (`model::row`) and its BSON (`logic::conversion`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColumnKind {
    /// TINYINT to BIGINT. `bits` is 8, 16, 24, 32 or 64.
    Int {
        /// Width.
        bits: u8,
        /// UNSIGNED.
        unsigned: bool,
    },
    /// YEAR.
    Year,
    /// DECIMAL(precision, scale).
    Decimal {
        /// Digits in all, up to 65.
        precision: u8,
        /// Digits after the point, up to 30.
        scale: u8,
    },
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// BIT(length).
    Bit {
        /// 1 to 64.
        length: u8,
    },
    /// CHAR, VARCHAR, TEXT.
    Text,
    /// ENUM with its labels; index 1 is the first.
    Enum(Vec<String>),
    /// SET with its labels; bit 0 is the first.
    Set(Vec<String>),
    /// BINARY(n): padded with zero bytes to `n`.
    FixedBinary {
        /// Bytes.
        length: u16,
    },
    /// VARBINARY, BLOB.
    Binary,
    /// DATE.
    Date,
    /// DATETIME(fsp).
    DateTime {
        /// Digits of a second, 0 to 6.
        fsp: u8,
    },
    /// TIMESTAMP(fsp), UTC.
    Timestamp {
        /// Digits of a second, 0 to 6.
        fsp: u8,
    },
    /// TIME(fsp).
    Time {
        /// Digits of a second, 0 to 6.
        fsp: u8,
    },
    /// JSON. On MariaDB a LONGTEXT that is checked to be JSON.
    Json,
    /// GEOMETRY, POINT and the other spatial types: four bytes of SRID, the lowest first, and the WKB.
    Geometry,
    /// VECTOR: floats of four bytes, each its lowest byte first.
    Vector,
    /// MariaDB's UUID: its sixteen bytes in the order of its text.
    Uuid,
    /// MariaDB's INET4: the text that the server prints.
    Inet4,
    /// MariaDB's INET6: the text that the server prints.
    Inet6,
    /// Anything else, by MySQL's name for it. Not readable: `check` refuses a mapped column of this kind.
    Other(String),
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name as declared.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Collation of a column of text or labels, else `None`.
    pub collation: Option<String>,
    /// Longest text in characters (or binary in bytes), where the type has such a bound.
    pub length_max: Option<u64>,
    /// The declared type as MySQL prints it (`decimal(12,2) unsigned`), for messages and for freezing a build's columns.
    pub declared: String,
}

/// One index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name; `PRIMARY` for the primary key.
    pub name: String,
    /// Positions of its columns in [`Table::columns`], in index order. Ends before the first expression or prefix part.
    pub columns: Vec<usize>,
    /// Whether two rows cannot agree in all its columns (NULLs aside), and no part is an expression or a prefix.
    pub unique: bool,
}

/// One foreign key, as declared on the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Constraint name.
    pub name: String,
    /// Columns of this table.
    pub columns: Vec<String>,
    /// The parent table.
    pub parent: TableName,
    /// Columns of the parent table.
    pub parent_columns: Vec<String>,
    /// Whether ON DELETE or ON UPDATE changes rows here (CASCADE, SET NULL, SET DEFAULT).
    pub changes_rows: bool,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its columns in table order, virtual and invisible ones included: binlog rows hold these, in this order.
    pub columns: Vec<Column>,
    /// Its indexes, the primary key first.
    pub indexes: Vec<Index>,
    /// Its foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// `InnoDB`, `MyISAM`, ...
    pub engine: String,
    /// The optimizer's estimate of its rows.
    pub rows_estimate: u64,
    /// The optimizer's estimate of one row's bytes.
    pub row_bytes_estimate: u64,
}

impl Table {
    /// The position of a column by its name; MySQL's column names ignore case.
    pub fn column(&self, name: &str) -> Option<usize> {
        let folded = name.to_lowercase();
        self.columns.iter().position(|column| column.name.to_lowercase() == folded)
    }

    /// The columns of the primary key, empty without one.
    pub fn primary_key(&self) -> &[usize] {
        self.indexes.iter().find(|index| index.name == "PRIMARY").map_or(&[], |index| &index.columns)
    }
}

/// Whether a server's `@@version` is one of MariaDB and not of MySQL.
pub fn is_mariadb(version: &str) -> bool {
    version.to_ascii_lowercase().contains("mariadb")
}

/// What `check` asks of the source server itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFacts {
    /// `@@version`.
    pub version: String,
    /// Server variables by their name in lower case (`binlog_format`, `gtid_mode`, ...), as MySQL prints them; a variable
    /// that the server does not know is absent.
    pub variables: std::collections::BTreeMap<String, String>,
    /// The lines of SHOW GRANTS for the account in use.
    pub grants: Vec<String>,
    /// `server_id`s of replicas that read the binlog now; `None` if the account may not ask.
    pub replica_ids: Option<Vec<u32>>,
    /// XA transactions that are prepared and neither committed nor rolled back; `None` if the account may not ask.
    pub open_xa: Option<usize>,
}

impl SourceFacts {
    /// Whether the server is MariaDB and not MySQL.
    pub fn is_mariadb(&self) -> bool {
        is_mariadb(&self.version)
    }

    /// A server variable by its name in lower case.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_sql_takes_them() {
        for (database, table, shown) in [
            ("shop", "order", "shop.order"),
            ("shop", "Größe_$1", "shop.Größe_$1"),
            ("my.shop", "a b", "`my.shop`.`a b`"),
            ("1st", "2", "`1st`.`2`"),
            ("a`b", "%", "`a``b`.`%`"),
        ] {
            assert_eq!(TableName::new(database, table).to_string(), shown);
        }
    }
}
