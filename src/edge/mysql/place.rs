//! Where in the binlog the current event stands.
//!
//! Owns: [`Place`]: the file, and positions beyond what an event's header can say. Does not own: what events mean
//! (`transaction`).
//!
//! A header holds the last 32 bits of the position behind its event, or nothing. A file is longer than 4 GiB only by a transaction
//! that is larger than that itself, and of a transaction every event comes; so counting the sizes tells which 4 GiB is meant.

use super::cursor::{Cursor, Truncated};
use super::event::kind;
use crate::model::change::Spot;

/// The header flag of events that stand in no file: the server made them up for the reader.
const ARTIFICIAL_FLAG: u16 = 0x20;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Place {
    file: String,
    /// Where the current event begins, and where it ends.
    start: u64,
    end: u64,
    /// How many rows the current event had so far.
    rows: u32,
}

impl Place {
    /// The next event; `log_pos` and `size` are those of its header.
    pub(super) fn arrive(&mut self, kind: u8, flags: u16, log_pos: u32, size: u32) {
        let made_up = flags & ARTIFICIAL_FLAG != 0 || matches!(kind, kind::HEARTBEAT | kind::HEARTBEAT_V2);
        if made_up || kind == kind::FORMAT_DESCRIPTION && log_pos == 0 {
            return;
        }
        let behind = self.end + u64::from(size);
        // Transactions that the reader has are left out in between.
        let left_out = if log_pos == 0 { 0 } else { log_pos.wrapping_sub(behind as u32) };
        self.end = behind + u64::from(left_out);
        self.start = self.end - u64::from(size);
        self.rows = 0;
    }

    /// The same event will arrive once more.
    pub(super) fn again(&mut self) {
        self.end = self.start;
    }

    /// A ROTATE event: what follows stands in another file.
    pub(super) fn rotate(&mut self, data: &[u8]) -> Result<(), Truncated> {
        let mut cursor = Cursor(data);
        let position = cursor.little(8)?;
        self.file = String::from_utf8_lossy(cursor.0).into_owned();
        (self.start, self.end) = (position, position);
        Ok(())
    }

    /// The file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// The place of the current event's next row.
    pub(super) fn spot(&mut self) -> Spot {
        self.rows += 1;
        Spot { pos: self.start, row: self.rows - 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: &mut Place) -> (u64, u32) {
        let spot = place.spot();
        (spot.pos, spot.row)
    }

    fn rotated() -> Place {
        let mut place = Place::default();
        place.rotate(&[&[4, 0, 0, 0, 0, 0, 0, 0][..], b"log.000007"].concat()).expect("a rotate event");
        assert_eq!(place.file(), "log.000007");
        place
    }

    #[test]
    fn rows_are_counted_from_where_their_event_begins() {
        let mut place = rotated();
        place.arrive(kind::FORMAT_DESCRIPTION, 0, 0, 100);
        place.arrive(kind::FORMAT_DESCRIPTION, 0, 124, 120);
        place.arrive(30, 0, 1000, 100);
        assert_eq!((at(&mut place), at(&mut place)), ((900, 0), (900, 1)));
        place.arrive(kind::HEARTBEAT, 0, 700, 40);
        place.arrive(kind::ROTATE, ARTIFICIAL_FLAG, 0, 40);
        place.arrive(30, 0, 1100, 100);
        assert_eq!(at(&mut place), (1000, 0));
        place.arrive(30, 0, 0, 50);
        assert_eq!(at(&mut place), (1100, 0));
        place.arrive(30, 0, 1200, 50);
        place.again();
        place.arrive(30, 0, 1200, 50);
        assert_eq!(at(&mut place), (1150, 0));
        assert!(rotated().rotate(&[1, 2]).is_err());
    }

    #[test]
    fn positions_go_on_beyond_what_headers_hold() {
        let mut place = rotated();
        let mut end = 4u64;
        for size in [u32::MAX - 100, 96, 1, 100, u32::MAX, 50] {
            end += u64::from(size);
            place.arrive(30, 0, end as u32, size);
            assert_eq!(at(&mut place), (end - u64::from(size), 0));
        }
        // Something is left out behind the first 4 GiB; and a header without position.
        place.arrive(30, 0, (end + 1000) as u32, 10);
        assert_eq!(at(&mut place).0, end + 990);
        place.arrive(30, 0, 0, 10);
        assert_eq!(at(&mut place).0, end + 1000);
    }
}
