//! Values of MariaDB's columns with COMPRESSED, which the binlog holds as they are stored.
//!
//! Owns: [`plain`]. Does not own: compressed transactions and events (`binlog`).
//! Format: MariaDB source, `sql/field.cc` (`Field_longstr::uncompress`) and `sql/field_comp.cc`: nothing for an empty value; else one byte
//! (method in the upper half; below it whether zlib's own header is left out, and the size of the length), the length with its
//! most significant byte first, and the deflated bytes. Method 0 has neither length nor compression.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};

const STORED: u8 = 0;
const ZLIB: u8 = 8;
/// So many bytes are set aside for a value at once, whatever it claims to be.
const CLAIM_MAX: usize = 1 << 20;

/// The value itself; `None` if the bytes are none. Takes no more memory than the deflated bytes can amount to.
pub(super) fn plain(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some((head, rest)) = bytes.split_first() else {
        return Some(Cow::Borrowed(bytes));
    };
    match head >> 4 {
        STORED => Some(Cow::Borrowed(rest)),
        ZLIB => {
            let (length, deflated) = rest.split_at_checked(usize::from(head & 7))?;
            let length = length.iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
            let mut plain = Vec::with_capacity(usize::try_from(length).ok()?.min(CLAIM_MAX));
            let one_more = length.checked_add(1)?;
            let read = if head & 8 == 0 {
                ZlibDecoder::new(deflated).take(one_more).read_to_end(&mut plain)
            } else {
                DeflateDecoder::new(deflated).take(one_more).read_to_end(&mut plain)
            };
            (read.ok()? as u64 == length).then_some(Cow::Owned(plain))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::{DeflateEncoder, ZlibEncoder};

    #[test]
    fn every_form_of_a_value() {
        let text = b"abc".repeat(300);
        let length = 900u16.to_be_bytes();
        let (mut raw, mut wrapped) = (vec![0x8a, length[0], length[1]], vec![0x82, length[0], length[1]]);
        DeflateEncoder::new(&text[..], Compression::default()).read_to_end(&mut raw).expect("deflated");
        ZlibEncoder::new(&text[..], Compression::default()).read_to_end(&mut wrapped).expect("deflated");
        assert_eq!(plain(&raw).as_deref(), Some(&text[..]));
        assert_eq!(plain(&wrapped).as_deref(), Some(&text[..]));
        assert_eq!(plain(b"\0abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(plain(b"\0").as_deref(), Some(&b""[..]));
        assert_eq!(plain(b"").as_deref(), Some(&b""[..]));
        // What is damaged is no value: cut, of another length than it says, or of a method that is not there.
        for cut in 1..raw.len() {
            assert_eq!(plain(&raw[..cut]), None, "{cut}");
        }
        raw[2] -= 1;
        assert_eq!(plain(&raw), None);
        raw[2] += 2;
        assert_eq!(plain(&raw), None);
        assert_eq!(plain(b"\x10abc"), None);
        assert_eq!(plain(&[0x8f, 255, 255, 255, 255, 255, 255, 255, 3, 0]), None);
    }
}
