//! The column types that generated schemas use: their DDL, random values, and the values of a key space.
//! Owns: SQL literals. Does not own: what a value looks like in a document (`oracle::leaf`).

use crate::rng::Rng;

/// How two strings of a column are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collation {
    /// 'a' = 'A' = 'á', trailing spaces count.
    AiCi,
    /// 'a' = 'A', and trailing spaces do not count.
    PadCi,
    /// Byte for byte, but trailing spaces do not count.
    Bin,
}

impl Collation {
    pub fn name(self) -> &'static str {
        match self {
            // Each server takes its own of the two comments.
            Collation::AiCi => "/*!80000 utf8mb4_0900_ai_ci *//*M!100000 utf8mb4_uca1400_nopad_ai_ci */",
            Collation::PadCi => "utf8mb4_general_ci",
            Collation::Bin => "utf8mb4_bin",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    Int {
        bytes: u8,
        unsigned: bool,
    },
    /// TINYINT(1): stays a number.
    Tiny1,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Varchar {
        len: u16,
        coll: Collation,
    },
    Char {
        len: u16,
        coll: Collation,
    },
    Text,
    Enum(Vec<&'static str>),
    Date,
    DateTime(u8),
    Double,
    VarBinary(u16),
    Binary(u16),
    Bit1,
    Year,
}

pub const REGIONS: [&str; 4] = ["north", "east", "west", "south"];
const WORDS: [&str; 14] = [
    "pear",
    "Über",
    "x",
    "",
    "o'clock",
    "back\\slash",
    "tab\tand\nline",
    "日本",
    "😀 smile",
    "$set",
    "a.b",
    "\"quoted\"",
    "trailing ",
    "ñandú",
];

/// A string as a literal that no escaping rule can touch.
pub fn text_literal(s: &str) -> String {
    if s.is_empty() { "_utf8mb4''".to_owned() } else { format!("_utf8mb4 0x{}", hex(s.as_bytes())) }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

fn binary_literal(bytes: &[u8]) -> String {
    if bytes.is_empty() { "_binary''".to_owned() } else { format!("0x{}", hex(bytes)) }
}

impl Ty {
    pub fn sql(&self) -> String {
        match self {
            Ty::Int { bytes, unsigned } => {
                let name = match bytes {
                    1 => "TINYINT",
                    2 => "SMALLINT",
                    3 => "MEDIUMINT",
                    4 => "INT",
                    _ => "BIGINT",
                };
                format!("{name}{}", if *unsigned { " UNSIGNED" } else { "" })
            }
            Ty::Tiny1 => "TINYINT(1)".into(),
            Ty::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
            Ty::Varchar { len, coll } => format!("VARCHAR({len}) COLLATE {}", coll.name()),
            // A CHAR has no spaces at its end, and MariaDB's are refused where spaces would count.
            Ty::Char { len, coll } => format!("CHAR({len}) COLLATE {}", coll.name().replace("_nopad", "")),
            Ty::Text => "TEXT".into(),
            Ty::Enum(values) => {
                let list: Vec<String> = values.iter().map(|v| format!("'{v}'")).collect();
                format!("ENUM({})", list.join(","))
            }
            Ty::Date => "DATE".into(),
            Ty::DateTime(0) => "DATETIME".into(),
            Ty::DateTime(fsp) => format!("DATETIME({fsp})"),
            Ty::Double => "DOUBLE".into(),
            Ty::VarBinary(n) => format!("VARBINARY({n})"),
            Ty::Binary(n) => format!("BINARY({n})"),
            Ty::Bit1 => "BIT(1)".into(),
            Ty::Year => "YEAR".into(),
        }
    }

    /// Sorting by such columns, and equal in all of them, means that the rows show the same values.
    pub fn equal_means_identical(&self) -> bool {
        !matches!(self, Ty::Varchar { .. } | Ty::Char { .. } | Ty::Text | Ty::Double)
    }

    fn int_range(bytes: u8, unsigned: bool) -> (i128, i128) {
        let bits = u32::from(bytes) * 8;
        if unsigned { (0, (1i128 << bits) - 1) } else { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) }
    }

    /// A random value, edges included.
    pub fn literal(&self, rng: &mut Rng) -> String {
        match self {
            Ty::Int { bytes, unsigned } => {
                let (low, high) = Self::int_range(*bytes, *unsigned);
                match rng.below(8) {
                    0 => low.to_string(),
                    1 => high.to_string(),
                    2 => "0".into(),
                    3..=5 => (low.max(-50) + i128::from(rng.below(100))).to_string(),
                    _ => (low + (i128::from(rng.next()) << 1) % (high - low + 1)).to_string(),
                }
            }
            Ty::Tiny1 => rng.below(2).to_string(),
            Ty::Decimal { precision, scale } => {
                let digits = rng.between(1, u64::from(*precision)) as usize;
                let mut text: String = (0..digits).map(|_| char::from(b'0' + rng.below(10) as u8)).collect();
                let scale = usize::from(*scale);
                while text.len() <= scale {
                    text.insert(0, '0');
                }
                let point = text.len() - scale;
                let number = if scale == 0 { text } else { format!("{}.{}", &text[..point], &text[point..]) };
                if rng.percent(40) { format!("-{number}") } else { number }
            }
            Ty::Varchar { len, .. } | Ty::Char { len, .. } => text_literal(&random_text(rng, usize::from(*len))),
            Ty::Text => text_literal(&random_text(rng, 120)),
            Ty::Enum(values) => format!("'{}'", rng.pick(values)),
            Ty::Date => match rng.below(12) {
                0 => "'1000-01-01'".into(),
                1 => "'9999-12-31'".into(),
                2 => "'1969-12-31'".into(),
                _ => format!("'{:04}-{:02}-{:02}'", rng.between(1950, 2060), rng.between(1, 12), rng.between(1, 28)),
            },
            Ty::DateTime(fsp) => {
                let base = format!(
                    "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
                    rng.between(1930, 2070),
                    rng.between(1, 12),
                    rng.between(1, 28),
                    rng.below(24),
                    rng.below(60),
                    rng.below(60)
                );
                match fsp {
                    0 => format!("'{base}'"),
                    n => format!("'{base}.{:0width$}'", rng.below(10u64.pow(u32::from(*n))), width = usize::from(*n)),
                }
            }
            Ty::Double => match rng.below(6) {
                0 => "0".into(),
                1 => format!("{}e{}", rng.below(1_000_000_007) as f64 / 7.0, rng.between(0, 200)),
                2 => format!("-{}e-{}", rng.below(1_000_000_007) as f64 / 3.0, rng.between(0, 200)),
                _ => format!("{}e0", (rng.next() >> 11) as f64 / 1e9),
            },
            Ty::VarBinary(n) => binary_literal(&random_bytes(rng, u64::from(*n), false)),
            Ty::Binary(n) => binary_literal(&random_bytes(rng, u64::from(*n), true)),
            Ty::Bit1 => format!("b'{}'", rng.below(2)),
            Ty::Year => {
                if rng.percent(5) {
                    "0".into()
                } else {
                    rng.between(1901, 2155).to_string()
                }
            }
        }
    }

    /// How many different values `key(i)` can give.
    pub fn key_capacity(&self) -> u64 {
        match self {
            Ty::Int { bytes: 1, .. } => 200,
            Ty::Int { bytes: 2, .. } => 60_000,
            Ty::Enum(values) => values.len() as u64,
            Ty::Date => 20_000,
            _ => 1_000_000,
        }
    }

    /// The `i`-th value of a key space: the same `i` is always the same value, and neighbours are meant to be awkward
    /// (edges of the type, 'a' next to 'A', a zero byte at the end).
    pub fn key(&self, i: u64) -> String {
        match self {
            Ty::Int { bytes, unsigned } => {
                let (low, high) = Self::int_range(*bytes, *unsigned);
                let n = i128::from(i);
                match i {
                    0 => low.to_string(),
                    1 => high.to_string(),
                    _ if *bytes == 1 => (low + n).to_string(),
                    // Sparse on purpose: boundaries must not be computed by arithmetic.
                    _ if *bytes == 8 && i.is_multiple_of(3) => (high - n * 1_000_003).to_string(),
                    _ if *unsigned => (n + n / 100 * 50).min(high - 1).to_string(),
                    _ if i.is_multiple_of(2) => (-n / 2 - 1).to_string(),
                    _ => (n / 2).to_string(),
                }
            }
            Ty::Varchar { coll, .. } | Ty::Char { coll, .. } => text_literal(&key_text(i, *coll)),
            Ty::Enum(values) => format!("'{}'", values[(i % values.len() as u64) as usize]),
            Ty::Date => format!("DATE_ADD('1960-03-01', INTERVAL {i} DAY)"),
            Ty::DateTime(_) => {
                format!("DATE_ADD('1969-12-31 23:59:00', INTERVAL {} SECOND)", i * 7)
            }
            Ty::Decimal { scale, .. } => {
                let n = i as i64 - 40;
                if *scale == 0 { n.to_string() } else { format!("{n}.{}", i % 10) }
            }
            Ty::Binary(n) => {
                // Ends in a zero byte half of the time: the binlog strips those.
                let mut bytes = vec![0u8; usize::from(*n)];
                bytes[0] = (i >> 8) as u8 ^ 0x80;
                bytes[1] = i as u8;
                if i.is_multiple_of(2) {
                    *bytes.last_mut().expect("not empty") = 0xFF;
                }
                binary_literal(&bytes)
            }
            Ty::VarBinary(_) => {
                let mut bytes = vec![(i >> 8) as u8, i as u8];
                bytes.resize(2 + (i % 3) as usize, 0);
                binary_literal(&bytes)
            }
            other => panic!("{other:?} is not used as a key"),
        }
    }
}

fn random_text(rng: &mut Rng, limit: usize) -> String {
    let mut text = String::new();
    for _ in 0..rng.between(1, 4) {
        text.push_str(rng.pick::<&str>(&WORDS));
        if rng.percent(30) {
            text.push_str(&rng.below(1000).to_string());
        }
    }
    text.chars().take(limit).collect()
}

fn random_bytes(rng: &mut Rng, limit: u64, zero_tail: bool) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..rng.between(u64::from(zero_tail), limit)).map(|_| rng.next() as u8).collect();
    if rng.percent(30)
        && let Some(last) = bytes.last_mut()
    {
        *last = 0;
    }
    bytes
}

/// Indexes 2j and 2j+1 are the same word in two cases: one key where case does not count, two where it does.
fn key_text(i: u64, coll: Collation) -> String {
    let word = i / 2;
    let stem = match word % 7 {
        0 => "k",
        1 => "é",
        2 => "a.b$",
        3 => "zz ",
        4 => "-",
        5 => "日",
        _ => "m_%",
    };
    let mut text = format!("{stem}{word}q");
    if i % 2 == 1 {
        text = text.to_uppercase();
        if coll != Collation::AiCi && word.is_multiple_of(5) {
            text.push(' '); // counts for nothing under PAD SPACE
        }
    }
    text
}
