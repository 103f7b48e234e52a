//! One MySQL value as it was read, and keys made of them.
//!
//! Owns: [`Value`] and [`Key`]. Does not own: how equality under a collation is decided (MySQL alone knows), SQL text
//! (`edge::mysql::sql`), or BSON (`logic::conversion`).

use serde::{Deserialize, Serialize};

use super::time::Civil;

/// One value of a column that is a key, a join column or the bound of a chunk. Exact: two values are equal only if
/// MySQL holds the same bytes. Never log one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Every integer, YEAR and BIT that fits; an unsigned one up to 2^63-1 too, so that equal numbers are equal values.
    Int(i64),
    /// An unsigned integer or BIT above 2^63-1.
    UInt(u64),
    /// FLOAT or DOUBLE, as the bits of a double.
    Double(u64),
    /// DECIMAL as MySQL prints it, with its scale: `-12.30`.
    Decimal(String),
    /// CHAR, VARCHAR, TEXT, ENUM (its label), SET (its labels with commas), JSON (its text), INET4 and INET6 (as the
    /// server prints them).
    Text(String),
    /// BINARY (padded to its length), VARBINARY, BLOB, GEOMETRY, VECTOR, UUID.
    Bytes(Vec<u8>),
    /// DATE, DATETIME, TIMESTAMP (UTC), packed by [`Civil::pack`].
    Civil(i64),
    /// TIME in microseconds, may be negative.
    Time(i64),
}

impl Value {
    /// An unsigned integer in its one canonical form.
    pub fn from_u64(number: u64) -> Self {
        i64::try_from(number).map_or(Self::UInt(number), Self::Int)
    }

    /// A date and time.
    pub fn from_civil(civil: Civil) -> Self {
        Self::Civil(civil.pack())
    }

    /// The form in which it stands in a key: -0 and 0 are one number to MySQL, and to MongoDB.
    #[must_use]
    pub fn in_key(self) -> Self {
        match self {
            Self::Double(bits) if f64::from_bits(bits) == 0.0 => Self::Double(0),
            other => other,
        }
    }

    /// Whether this is SQL NULL, which equals nothing in a join.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// How many bytes this value holds in memory, roughly; for the bounds of queues.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Decimal(text) | Self::Text(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
                _ => 0,
            }
    }
}

/// Prints the type only, so that no row value reaches a log by accident.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Int(_) => "Int",
            Self::UInt(_) => "UInt",
            Self::Double(_) => "Double",
            Self::Decimal(_) => "Decimal",
            Self::Text(_) => "Text",
            Self::Bytes(_) => "Bytes",
            Self::Civil(_) => "Civil",
            Self::Time(_) => "Time",
        })
    }
}

/// The values of a key's columns, in the key's order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(pub Vec<Value>);

impl Key {
    /// Whether a column is NULL: such a key joins nothing.
    pub fn has_null(&self) -> bool {
        self.0.iter().any(Value::is_null)
    }

    /// How many bytes this key holds in memory, roughly.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.iter().map(Value::bytes).sum::<usize>()
    }
}
