//! Changes that cannot be handed on yet: those of XA transactions wait for their XA COMMIT.
//!
//! Owns: [`Held`], what it gives up to save memory, and cutting it into parts. Does not own: when it is handed on
//! (`transaction`).

use crate::model::change::{Cell, Image, RowChange};
use crate::model::position::{Gtid, GtidSet};
use crate::model::value::Value;

/// Changes of one transaction that are held before a part of it is handed on.
pub(super) const PART_BYTES: usize = 4 << 20;
/// Changes of prepared XA transactions that are held in all: they can be handed on with their XA COMMIT only.
pub(super) const HELD_BYTES_MAX: usize = 512 << 20;
/// InnoDB's longest key. What is longer identifies no row.
const KEY_BYTES_MAX: usize = 3072;

/// The changes of a prepared XA transaction.
pub(super) struct Held {
    /// That of its XA PREPARE.
    pub(super) gtid: Gtid,
    /// What is settled with it.
    pub(super) also: GtidSet,
    pub(super) changes: Vec<RowChange>,
    pub(super) bytes: usize,
}

/// Gives up the bytes that serve comparison only; such a cell counts as changed. Returns how many were saved.
pub(super) fn make_lean(changes: &mut [RowChange]) -> usize {
    let serves_comparison = |cell: &Cell| match cell {
        Cell::Raw(_) => true,
        Cell::Value(Value::Text(text)) => text.len() > KEY_BYTES_MAX,
        Cell::Value(Value::Bytes(bytes)) => bytes.len() > KEY_BYTES_MAX,
        Cell::Value(_) | Cell::Absent => false,
    };
    let mut saved = 0;
    for change in changes {
        let before = change.bytes();
        for Image(cells) in [&mut change.before, &mut change.after].into_iter().flatten() {
            cells.iter_mut().filter(|cell| serves_comparison(cell)).for_each(|cell| *cell = Cell::Absent);
        }
        saved += before - change.bytes();
    }
    saved
}

/// Cuts changes that were held back into parts; at least one, and none larger than [`PART_BYTES`] but for its last change.
pub(super) fn parts(changes: Vec<RowChange>) -> Vec<Vec<RowChange>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for change in changes {
        if bytes > PART_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += change.bytes();
        if let Some(part) = parts.last_mut() {
            part.push(change);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(cells: Vec<Cell>) -> RowChange {
        RowChange { table: 0, before: None, after: Some(Image(cells)), spot: Default::default() }
    }

    #[test]
    fn what_can_be_a_key_is_kept() {
        let long = vec![b'x'; KEY_BYTES_MAX + 1];
        let key = Cell::Value(Value::Bytes(vec![b'x'; KEY_BYTES_MAX]));
        let text = Cell::Value(Value::Text("x".repeat(KEY_BYTES_MAX + 1)));
        let mut changes =
            [change(vec![key.clone(), text, Cell::Raw(vec![1]), Cell::Value(Value::Bytes(long)), Cell::Absent])];
        let before = changes[0].bytes();
        let saved = make_lean(&mut changes);
        assert_eq!(changes[0], change(vec![key, Cell::Absent, Cell::Absent, Cell::Absent, Cell::Absent]));
        assert_eq!(before - saved, changes[0].bytes());
    }

    #[test]
    fn parts_hold_everything_in_order() {
        let large = |number| change(vec![Cell::Value(Value::Int(number)), Cell::Raw(vec![0; PART_BYTES / 2])]);
        let changes: Vec<RowChange> = (0..7).map(large).collect();
        let parts = parts(changes.clone());
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 1]);
        assert_eq!(parts.concat(), changes);
        assert_eq!(super::parts(Vec::new()), [[]]);
    }
}
