//! Internet addresses and UUIDs as MariaDB prints them.
//!
//! Owns: the texts of INET4, INET6 and UUID, and reading a UUID's. Does not own: what becomes of them in a document
//! (`logic::conversion`).
//! Format: MariaDB source, `plugin/type_inet/sql_type_inet.cc` (`Inet6::to_string`), `plugin/type_uuid`.

use std::fmt::Write as _;

/// `192.0.2.1`.
pub fn inet4_text(bytes: [u8; 4]) -> String {
    let [a, b, c, d] = bytes;
    format!("{a}.{b}.{c}.{d}")
}

/// `2001:db8::1`. The longest run of zero words, the first of several and be it a single one, becomes `::`. Behind six
/// zero words, or five and `ffff`, the rest is written as an INET4.
pub fn inet6_text(bytes: [u8; 16]) -> String {
    let words: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|word| u16::from_be_bytes(*word)).collect();
    let (mut gap, mut run) = (0..0, 0..0);
    for (at, word) in words.iter().enumerate() {
        run = if *word == 0 { run.start..at + 1 } else { at + 1..at + 1 };
        if run.len() > gap.len() {
            gap = run.clone();
        }
    }
    let mut text = String::with_capacity(39);
    let mut at = 0;
    while at < words.len() {
        if !gap.is_empty() && at == gap.start {
            text.push_str(if at == 0 { "::" } else { ":" });
            at = gap.end;
        } else if at == 6 && gap.start == 0 && (gap.end == 6 || gap.end == 5 && words[5] == 0xffff) {
            let [.., a, b, c, d] = bytes;
            text.push_str(&inet4_text([a, b, c, d]));
            break;
        } else {
            let colon = if at < 7 { ":" } else { "" };
            // Writing to a String cannot fail.
            let _ = write!(text, "{:x}{colon}", words[at]);
            at += 1;
        }
    }
    text
}

/// `00112233-4455-6677-8899-aabbccddeeff`.
pub fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}

/// The bytes of a UUID's text, with dashes or without, in capitals or not.
pub fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u32> = text.chars().filter(|c| *c != '-').map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| (high * 16 + low) as u8).collect();
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_mariadb_prints_them() {
        let text = |words: [u16; 8]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            inet6_text(bytes.try_into().expect("sixteen bytes"))
        };
        // From MariaDB 11.8: SELECT CAST(X'...' AS INET6).
        for (words, expected) in [
            ([0; 8], "::"),
            ([0, 0, 0, 0, 0, 0, 0, 1], "::1"),
            ([1, 0, 0, 0, 0, 0, 0, 0], "1::"),
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xff], "2001:db8::ff"),
            ([0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], "2001:db8::1:1:1:1:1"),
            ([0, 1, 1, 1, 1, 1, 1, 1], "::1:1:1:1:1:1:1"),
            ([1, 1, 1, 1, 1, 1, 1, 0], "1:1:1:1:1:1:1::"),
            ([1, 0, 0, 1, 1, 0, 0, 1], "1::1:1:0:0:1"),
            ([1, 0, 0, 1, 0, 0, 0, 1], "1:0:0:1::1"),
            ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x201], "::ffff:192.0.2.1"),
            ([0, 0, 0, 0, 0, 0, 0xc000, 0x201], "::192.0.2.1"),
            ([0, 0, 0, 0, 0, 0, 0x102, 0], "::1.2.0.0"),
            ([0, 0, 0, 0, 0xffff, 0, 1, 2], "::ffff:0:1:2"),
            ([0, 0, 0, 0, 0, 1, 2, 3], "::1:2:3"),
            ([0xffff; 8], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!(text(words), expected);
        }
        assert_eq!(inet4_text([192, 0, 2, 255]), "192.0.2.255");
    }

    #[test]
    fn uuids_go_there_and_back() {
        let bytes: [u8; 16] = std::array::from_fn(|at| at as u8 * 17);
        let text = "00112233-4455-6677-8899-aabbccddeeff";
        assert_eq!(uuid_text(&bytes), text);
        assert_eq!(uuid_bytes(text), Some(bytes));
        assert_eq!(uuid_bytes(&text.to_uppercase().replace('-', "")), Some(bytes));
        for wrong in ["", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeegg"] {
            assert_eq!(uuid_bytes(wrong), None);
        }
    }
}
