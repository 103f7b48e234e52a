//! Text of the binlog, which is in the column's own character set, as UTF-8.
//!
//! Owns: [`Charsets`], by collation number. Does not own: which column has which collation (`table_map`, `decode`).
//!
//! Single-byte sets are mapped by the server's own tables, read once; so a text is what SELECT gives, byte by byte.

use std::collections::HashMap;
use std::sync::Arc;

use encoding_rs::Encoding;

use super::failure::Doing;
use super::server::{MySqlServer, STATEMENT_LIMIT, commas, number, text};
use crate::error::Result;

/// How a column's bytes become text.
#[derive(Clone, Debug)]
pub(super) enum Charset {
    /// utf8mb4, utf8mb3, ascii.
    Utf8,
    /// One byte, one character.
    Table(Arc<[char]>),
    /// East Asian sets and UTF-16.
    Encoded(&'static Encoding),
    /// utf32.
    Utf32,
}

/// The character set of each collation of one server.
#[derive(Debug, Default)]
pub(super) struct Charsets {
    by_number: HashMap<u16, Charset>,
    by_collation: HashMap<String, Charset>,
}

impl Charset {
    /// The text, or `None` if the bytes are none in this set.
    pub(super) fn decode(&self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_string),
            Self::Table(table) => bytes.iter().map(|byte| table.get(usize::from(*byte)).copied()).collect(),
            Self::Encoded(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
            }
            Self::Utf32 => {
                let (quads, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return None;
                }
                quads.iter().map(|quad| char::from_u32(u32::from_be_bytes(*quad))).collect()
            }
        }
    }
}

impl Charsets {
    /// Asks the server for its collations and for the tables of its single-byte character sets.
    pub(super) async fn read(server: &MySqlServer) -> Result<Self> {
        let what = "reading character sets";
        let ask = async |sql: &str| server.query(Doing::Setup, what, sql, STATEMENT_LIMIT).await;
        let single = ask("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS WHERE MAXLEN = 1").await?;
        let names: Vec<String> =
            single.iter().map(|row| text(row, 0)).filter(|name| name != "binary" && name != "ascii").collect();
        let mut known: HashMap<String, Charset> = HashMap::new();
        if !names.is_empty() {
            let bytes: String = (0..=255).map(|byte| format!("{byte:02X}")).collect();
            let list = commas(names.iter().map(|name| format!("CONVERT(_{name} X'{bytes}' USING utf8mb4)")));
            for row in ask(&format!("SELECT {list}")).await? {
                for (at, name) in names.iter().enumerate() {
                    let table: Arc<[char]> = text(&row, at).chars().collect();
                    if table.len() == 256 {
                        known.insert(name.clone(), Charset::Table(table));
                    }
                }
            }
        }
        let mut charsets = Self::default();
        // Since MariaDB 10.10 some collations have a number per character set, and none of their own.
        let collations = "SELECT /*M!101000 ID, FULL_COLLATION_NAME, CHARACTER_SET_NAME \
             FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY UNION ALL SELECT */ \
             ID, COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL";
        for row in ask(collations).await? {
            let set = text(&row, 2);
            if let Some(charset) = known.get(&set).cloned().or_else(|| Self::wide(&set)) {
                charsets.by_number.insert(number(&row, 0) as u16, charset.clone());
                charsets.by_collation.insert(text(&row, 1), charset);
            }
        }
        Ok(charsets)
    }

    fn wide(name: &str) -> Option<Charset> {
        Some(match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Charset::Utf8,
            "gbk" | "gb2312" => Charset::Encoded(encoding_rs::GBK),
            "gb18030" => Charset::Encoded(encoding_rs::GB18030),
            "big5" => Charset::Encoded(encoding_rs::BIG5),
            "sjis" | "cp932" => Charset::Encoded(encoding_rs::SHIFT_JIS),
            "ujis" | "eucjpms" => Charset::Encoded(encoding_rs::EUC_JP),
            "euckr" => Charset::Encoded(encoding_rs::EUC_KR),
            "ucs2" | "utf16" => Charset::Encoded(encoding_rs::UTF_16BE),
            "utf16le" => Charset::Encoded(encoding_rs::UTF_16LE),
            "utf32" => Charset::Utf32,
            _ => return None,
        })
    }

    /// By the number in a TABLE_MAP event.
    pub(super) fn by_number(&self, collation: u16) -> Option<Charset> {
        self.by_number.get(&collation).cloned()
    }

    /// By the name in information_schema.
    pub(super) fn by_collation(&self, collation: &str) -> Option<Charset> {
        self.by_collation.get(collation).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_of_set_is_decoded() {
        assert_eq!(Charset::Utf8.decode("Kö".as_bytes()).as_deref(), Some("Kö"));
        assert_eq!(Charset::Utf8.decode(&[0xff]), None);
        let table: Arc<[char]> = (0..=255u8).map(char::from).collect();
        assert_eq!(Charset::Table(table).decode(&[0xe9]).as_deref(), Some("é"));
        assert_eq!(Charset::Utf32.decode(&[0, 1, 0xf6, 0]).as_deref(), Some("😀"));
        assert_eq!(Charset::Utf32.decode(&[0, 1, 0xf6]), None);
        assert_eq!(Charset::Encoded(encoding_rs::SHIFT_JIS).decode(&[0x83, 0x65]).as_deref(), Some("テ"));
        assert_eq!(Charset::Encoded(encoding_rs::UTF_16BE).decode(&[0, b'a', 0x26, 0x05]).as_deref(), Some("a★"));
    }
}
