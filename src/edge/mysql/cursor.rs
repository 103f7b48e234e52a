//! Reading numbers and slices from bytes without ever reading past their end.
//!
//! Owns: [`Cursor`]. Does not own: what the bytes mean.

/// The bytes end before what should be in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is shorter than it claims to be")]
pub(super) struct Truncated;

/// What is left of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Truncated> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number of `count` bytes, at most eight, the least significant first.
    #[inline]
    pub(super) fn little(&mut self, count: usize) -> Result<u64, Truncated> {
        debug_assert!(count <= 8);
        Ok(self.take(count)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// An unsigned number of `count` bytes, at most eight, the most significant first.
    #[inline]
    pub(super) fn big(&mut self, count: usize) -> Result<u64, Truncated> {
        debug_assert!(count <= 8);
        Ok(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A length-encoded number (MySQL internals, "Protocol::LengthEncodedInteger").
    pub(super) fn packed(&mut self) -> Result<u64, Truncated> {
        match self.byte()? {
            0xfc => self.little(2),
            0xfd => self.little(3),
            0xfe => self.little(8),
            0xfb | 0xff => Err(Truncated),
            small => Ok(u64::from(small)),
        }
    }

    /// A length-encoded number that counts things in memory.
    pub(super) fn packed_length(&mut self) -> Result<usize, Truncated> {
        usize::try_from(self.packed()?).map_err(|_| Truncated)
    }
}

/// Whether a bit is set in a bitmap whose first bit is the lowest of its first byte.
#[inline]
pub(super) fn bit(bitmap: &[u8], at: usize) -> bool {
    bitmap.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size() {
        let mut cursor = Cursor(&[1, 2, 3, 1, 2, 3, 0xfc, 5, 1, 7, 0xfe]);
        assert_eq!(cursor.little(3), Ok(0x030201));
        assert_eq!(cursor.big(3), Ok(0x010203));
        assert_eq!(cursor.packed(), Ok(0x0105));
        assert_eq!(cursor.packed(), Ok(7));
        assert_eq!(cursor.packed(), Err(Truncated));
        assert_eq!(cursor.take(1), Err(Truncated));
        assert!(bit(&[0, 2], 9) && !bit(&[0, 2], 8) && !bit(&[0, 2], 99));
    }
}
