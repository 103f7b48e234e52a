//! Text of the binlog, which is in the column's own character set, as UTF-8.
//!
//! Owns: [`Charset`]: how the bytes of one set become text; [`Charsets`]: which set a collation has. Does not own: which column
//! has which collation (`table_map`, `decode`), asking the server for a set's characters (`charset_codes`).
//!
//! Only the Unicode sets are decoded by rule. All others are mapped by the server's own tables, each read when a column
//! first needs it: MySQL's tables of East Asian sets differ from everybody else's in places, and so a text is what SELECT
//! gives, character by character.

use std::collections::HashMap;
use std::sync::Arc;

use super::charset_codes::Codes;
use super::failure::Doing;
use super::flavor::Flavor;
use super::server::{MySqlServer, STATEMENT_LIMIT, nullable_text, number, text};
use crate::error::Result;

/// How a column's bytes become text.
#[derive(Clone, Debug)]
pub(super) enum Charset {
    /// utf8mb4.
    Utf8,
    /// utf8mb3, which ends before the characters of four bytes.
    Utf8Mb3,
    /// utf16.
    Utf16,
    /// utf16le.
    Utf16Le,
    /// ucs2, which ends before the characters of four bytes.
    Ucs2,
    /// utf32.
    Utf32,
    /// Any other, by the server's own table.
    Codes(Arc<Codes>),
}

/// What is known of the set that a column has.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// It can be read.
    Ready(Charset),
    /// The server has to be asked for the set of this name first: see [`Charsets::put`].
    Unread(String),
    /// The server has no such collation, or nobody said which.
    Unknown,
}

/// The character set of each collation of one server.
#[derive(Debug, Default)]
pub(super) struct Charsets {
    /// The set's name by the collation's number, which TABLE_MAP events hold.
    by_number: HashMap<u16, Arc<str>>,
    /// The same by its name in information_schema.
    by_collation: HashMap<String, Arc<str>>,
    /// The sets of which the server's tables were read.
    read: HashMap<String, Charset>,
    /// Whether the server lists the collation of GEOMETRY columns too, as one of `binary`.
    pub(super) of_geometry: bool,
}

impl Charset {
    /// The sets that are decoded by rule.
    fn by_rule(name: &str) -> Option<Self> {
        Some(match name {
            "utf8mb4" => Self::Utf8,
            "utf8mb3" | "utf8" => Self::Utf8Mb3,
            "ucs2" => Self::Ucs2,
            "utf16" => Self::Utf16,
            "utf16le" => Self::Utf16Le,
            "utf32" => Self::Utf32,
            _ => return None,
        })
    }

    /// The text, or `None` if the bytes are none in this set.
    pub(super) fn decode(&self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_string),
            Self::Utf8Mb3 => {
                let text = std::str::from_utf8(bytes).ok()?;
                (!bytes.iter().any(|byte| *byte >= 0xf0)).then(|| text.to_string())
            }
            Self::Utf16 => utf16(bytes, u16::from_be_bytes),
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes),
            Self::Ucs2 => units(bytes)?.map(|unit| char::from_u32(u32::from(u16::from_be_bytes(unit)))).collect(),
            Self::Utf32 => {
                let (quads, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return None;
                }
                quads.iter().map(|quad| char::from_u32(u32::from_be_bytes(*quad))).collect()
            }
            Self::Codes(codes) => codes.decode(bytes),
        }
    }
}

fn units(bytes: &[u8]) -> Option<impl Iterator<Item = [u8; 2]>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().copied())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    char::decode_utf16(units(bytes)?.map(unit)).collect::<std::result::Result<_, _>>().ok()
}

impl Charsets {
    /// One collation, for tests.
    #[cfg(test)]
    pub(super) fn with(number: u16, set: &str) -> Self {
        Self { by_number: [(number, set.into())].into(), ..Self::default() }
    }

    /// Asks the server for its collations.
    pub(super) async fn read(server: &MySqlServer) -> Result<Self> {
        let what = "reading collations";
        let ask = async |sql: &str| server.query(Doing::Setup, what, sql, STATEMENT_LIMIT).await;
        // Since 10.10 MariaDB has collations that serve several sets; one table says by which number and name each does.
        let shared = ask("SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'information_schema' \
             AND TABLE_NAME = 'COLLATION_CHARACTER_SET_APPLICABILITY' AND COLUMN_NAME = 'FULL_COLLATION_NAME'")
        .await?;
        let rows = if shared.first().is_some_and(|row| number(row, 0) > 0) {
            ask("SELECT ID, FULL_COLLATION_NAME, CHARACTER_SET_NAME \
                 FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY")
            .await?
        } else {
            ask("SELECT ID, COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATIONS").await?
        };
        let mut charsets = Self { of_geometry: server.flavor().await? == Flavor::MariaDb, ..Self::default() };
        for row in &rows {
            let Some(set) = nullable_text(row, 2) else { continue };
            let set: Arc<str> = set.into();
            if let Ok(number) = u16::try_from(number(row, 0)) {
                charsets.by_number.insert(number, set.clone());
            }
            charsets.by_collation.insert(text(row, 1), set);
        }
        Ok(charsets)
    }

    /// By the number in a TABLE_MAP event, or else by the name in information_schema.
    pub(super) fn find(&self, number: Option<u16>, collation: Option<&str>) -> Found {
        let by_number = || self.by_number.get(&number?);
        let by_name = || self.by_collation.get(collation?);
        let Some(name) = by_number().or_else(by_name) else {
            return Found::Unknown;
        };
        match Charset::by_rule(name).or_else(|| self.read.get(&**name).cloned()) {
            Some(charset) => Found::Ready(charset),
            None => Found::Unread(name.to_string()),
        }
    }

    /// Keeps the characters of a set that was [`Found::Unread`].
    pub(super) fn put(&mut self, name: &str, codes: Codes) {
        self.read.insert(name.to_string(), Charset::Codes(Arc::new(codes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_of_unicode() {
        assert_eq!(Charset::Utf8.decode("Kö😀".as_bytes()).as_deref(), Some("Kö😀"));
        assert_eq!(Charset::Utf8.decode(&[0xff]), None);
        assert_eq!(Charset::Utf8Mb3.decode("K水".as_bytes()).as_deref(), Some("K水"));
        assert_eq!(Charset::Utf8Mb3.decode("😀".as_bytes()), None);
        assert_eq!(Charset::Utf32.decode(&[0, 1, 0xf6, 0]).as_deref(), Some("😀"));
        assert_eq!(Charset::Utf32.decode(&[0, 1, 0xf6]), None);
        assert_eq!(Charset::Utf32.decode(&[0, 0, 0xd8, 0]), None);
        assert_eq!(Charset::Utf16.decode(&[0, b'a', 0x26, 0x05, 0xd8, 0x3d, 0xde, 0]).as_deref(), Some("a★😀"));
        assert_eq!(Charset::Utf16.decode(&[0xd8, 0x3d]), None);
        assert_eq!(Charset::Utf16Le.decode(&[b'a', 0, 0x3d, 0xd8, 0, 0xde]).as_deref(), Some("a😀"));
        assert_eq!(Charset::Utf16Le.decode(b"a"), None);
        assert_eq!(Charset::Ucs2.decode(&[0xff, 0xff, 0, b'a']).as_deref(), Some("\u{ffff}a"));
        assert_eq!(Charset::Ucs2.decode(&[0xd8, 0x3d, 0xde, 0]), None);
    }

    #[test]
    fn a_set_is_read_when_it_is_needed() {
        let mut charsets = Charsets::default();
        charsets.by_number.extend([(8, "latin1".into()), (255, "utf8mb4".into())]);
        charsets.by_collation.insert("latin1_bin".into(), "latin1".into());
        assert!(matches!(charsets.find(Some(255), None), Found::Ready(Charset::Utf8)));
        assert!(matches!(charsets.find(Some(8), None), Found::Unread(name) if name == "latin1"));
        assert!(matches!(charsets.find(None, Some("latin1_bin")), Found::Unread(_)));
        assert!(matches!(charsets.find(Some(9), Some("other")), Found::Unknown));
        charsets.put("latin1", Codes::default());
        assert!(matches!(charsets.find(None, Some("latin1_bin")), Found::Ready(Charset::Codes(_))));
    }
}
