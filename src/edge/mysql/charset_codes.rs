//! The characters of a set that is not Unicode, as the server itself maps them.
//!
//! Owns: [`Codes`], asking for them, and decoding by them. Does not own: when they are needed (`charset`).
//!
//! The server is asked to convert every sequence of bytes that can be a character of the set. What is no single character
//! of the set is not in the answer; a character that Unicode does not have is in it as `?`, which is what SELECT gives too.

use super::failure::Doing;
use super::server::{MySqlServer, STATEMENT_LIMIT, number, text};
use crate::error::{Error, Result};

/// Stands for "no character".
const NONE: u32 = u32::MAX;
/// Characters of four bytes (gb18030) before those that no plane but the first has: from 81308130 on, counted.
const QUADS: usize = 39_420;
/// Where the other planes begin in that count (90308130), and with which character.
const QUADS_BEYOND: (u32, u32) = (189_000, 0x1_0000);

/// Characters by their bytes. [`Default`] has none.
#[derive(Debug, Default)]
pub(super) struct Codes {
    /// By the one byte.
    single: Vec<u32>,
    /// Of two bytes, the first 0x80 or more: by both.
    pairs: Vec<u32>,
    /// Of three bytes, the first 0x8f and the others 0x80 or more: by the others' lower seven bits.
    triples: Vec<u32>,
    /// Of four bytes, of which the second and fourth are digits.
    quads: Vec<u32>,
}

impl Codes {
    /// Asks the server.
    pub(super) async fn read(server: &MySqlServer, set: &str) -> Result<Self> {
        let what = format!("reading the character set {set}");
        let longest =
            format!("SELECT MAXLEN FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME = '{set}'");
        let found = server.query(Doing::Setup, &what, &longest, STATEMENT_LIMIT).await?;
        let longest = found.first().map_or(0, |row| number(row, 0));
        let mut codes = Self { single: vec![NONE; 256], ..Self::default() };
        let ask = async |table: &mut Vec<u32>, size: usize, bytes: &str, from: &str| -> Result<()> {
            table.resize(size, NONE);
            for row in server.query(Doing::Setup, &what, &question(set, bytes, from), STATEMENT_LIMIT).await? {
                let converted = text(&row, 1);
                let mut chars = converted.chars();
                let (Some(character), None) = (chars.next(), chars.next()) else { continue };
                if let Some(place) = table.get_mut(number(&row, 0) as usize) {
                    *place = character.into();
                }
            }
            Ok(())
        };
        ask(&mut codes.single, 256, "n, CHAR(n USING binary)", "d").await?;
        if longest > 1 {
            let bytes = "(a.n - 128) * 256 + b.n, CHAR(a.n, b.n USING binary)";
            ask(&mut codes.pairs, 1 << 15, bytes, "d a, d b WHERE a.n > 127").await?;
        }
        if longest == 3 {
            let bytes = "(a.n - 128) * 128 + b.n - 128, CHAR(0x8F, a.n, b.n USING binary)";
            ask(&mut codes.triples, 1 << 14, bytes, "d a, d b WHERE a.n > 127 AND b.n > 127").await?;
        }
        if longest == 4 {
            let bytes =
                "q, CHAR(129 + q DIV 12600, 48 + q DIV 1260 % 10, 129 + q DIV 10 % 126, 48 + q % 10 USING binary)";
            let from = format!("(SELECT a.n * 256 + b.n q FROM d a, d b) every WHERE q < {QUADS}");
            ask(&mut codes.quads, QUADS, bytes, &from).await?;
        }
        if codes.single[usize::from(b'a')] == NONE {
            return Err(Error::halt(format!("{} does not convert its character set {set}", server.place())));
        }
        Ok(codes)
    }

    /// The text, or `None` if the bytes are none in this set.
    pub(super) fn decode(&self, mut bytes: &[u8]) -> Option<String> {
        let mut text = String::with_capacity(bytes.len());
        while let [first, rest @ ..] = bytes {
            let (character, used) = self.wide(*first, rest).or_else(|| {
                let single = *self.single.get(usize::from(*first))?;
                (single != NONE).then_some((single, 1))
            })?;
            text.push(char::from_u32(character)?);
            bytes = bytes.get(used..)?;
        }
        Some(text)
    }

    /// A character of several bytes, and how many these are.
    fn wide(&self, first: u8, rest: &[u8]) -> Option<(u32, usize)> {
        if first < 0x80 {
            return None;
        }
        let known = |table: &[u32], at: usize| table.get(at).copied().filter(|character| *character != NONE);
        match rest {
            [second @ b'0'..=b'9', third @ 0x81..=0xfe, fourth @ b'0'..=b'9', ..] if !self.quads.is_empty() => {
                let digit = |byte: u8| u32::from(byte - b'0');
                let group = u32::from(first).checked_sub(0x81)? * 10 + digit(*second);
                let at = (group * 126 + u32::from(third - 0x81)) * 10 + digit(*fourth);
                let beyond = at.checked_sub(QUADS_BEYOND.0).map(|at| at + QUADS_BEYOND.1);
                let beyond = beyond.and_then(char::from_u32).map_or(u32::from('?'), u32::from);
                Some((known(&self.quads, at as usize).unwrap_or(beyond), 4))
            }
            [second, ..]
                if let Some(found) = known(&self.pairs, usize::from(first - 0x80) << 8 | usize::from(*second)) =>
            {
                Some((found, 2))
            }
            [second @ 0x80..=0xff, third @ 0x80..=0xff, ..] if first == 0x8f => {
                let at = usize::from(second - 0x80) << 7 | usize::from(third - 0x80);
                Some((known(&self.triples, at)?, 3))
            }
            _ => None,
        }
    }
}

/// Converts sequences of bytes and keeps those that are one character. `bytes` is each one's number and itself, `from` where
/// they come from; `d` holds the numbers of a byte.
fn question(set: &str, bytes: &str, from: &str) -> String {
    format!(
        "WITH RECURSIVE d AS (SELECT 0 n UNION ALL SELECT n + 1 FROM d WHERE n < 255), \
         code(at, bytes) AS (SELECT {bytes} FROM {from}), \
         converted AS (SELECT at, bytes, CONVERT(bytes USING {set}) t FROM code) \
         SELECT at, t FROM converted WHERE HEX(t) = HEX(bytes) AND CHAR_LENGTH(t) = 1"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(size: usize, characters: &[(usize, char)]) -> Vec<u32> {
        let mut table = vec![NONE; size];
        characters.iter().for_each(|(at, character)| table[*at] = u32::from(*character));
        table
    }

    #[test]
    fn characters_of_every_length() {
        let codes = Codes {
            single: some(256, &[(b'a'.into(), 'a'), (0, '\0'), (0xb1, 'ｱ')]),
            pairs: some(1 << 15, &[(0x0340, 'ァ'), (0x0f21, '?')]),
            triples: some(1 << 14, &[(0x21 << 7 | 0x22, '丂')]),
            quads: Vec::new(),
        };
        let decode = |bytes: &[u8]| codes.decode(bytes);
        assert_eq!(decode(&[b'a', 0x83, 0x40, 0xb1, 0x8f, 0xa1, 0xa2, 0]).as_deref(), Some("aァｱ丂\0"));
        assert_eq!(decode(&[0x8f, 0x21]).as_deref(), Some("?"));
        for broken in [&[0x83][..], &[0x83, 0x41], &[0x8f, 0xa1], &[0x8f, 0xa1, 0xa3], b"b", &[0xff]] {
            assert_eq!(decode(broken), None, "{broken:02x?}");
        }
        assert_eq!(Codes::default().decode(b"a"), None);
    }

    #[test]
    fn four_bytes_count_through_all_planes() {
        let codes = Codes { quads: some(QUADS, &[(0, '\u{80}'), (QUADS - 1, '\u{ffff}')]), ..Codes::default() };
        let decode = |bytes: &[u8]| codes.decode(bytes);
        assert_eq!(decode(&[0x81, 0x30, 0x81, 0x30]).as_deref(), Some("\u{80}"));
        assert_eq!(decode(&[0x84, 0x31, 0xa4, 0x39]).as_deref(), Some("\u{ffff}"));
        assert_eq!(decode(&[0x84, 0x31, 0xa5, 0x30]).as_deref(), Some("?"));
        assert_eq!(decode(&[0x90, 0x30, 0x81, 0x30]).as_deref(), Some("\u{10000}"));
        assert_eq!(decode(&[0xe3, 0x32, 0x9a, 0x35]).as_deref(), Some("\u{10ffff}"));
        assert_eq!(decode(&[0xe3, 0x32, 0x9a, 0x36]).as_deref(), Some("?"));
        assert_eq!(decode(&[0x90, 0x30, 0x81]), None);
    }
}
