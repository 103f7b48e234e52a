//! How a root table is cut into chunks, and what of them is left to do.
//!
//! Owns: the size of a chunk, numbering, and the plan's state after a restart. Does not own: the boundary keys, which
//! only MySQL can find and compare (`backfill::planner`).

use crate::model::build::{ChunkRecord, ChunkState};
use crate::model::value::Key;

/// Fewest and most root rows of a chunk, whatever the estimate says.
const ROWS_MIN: u64 = 4;
/// See [`ROWS_MIN`].
const ROWS_MAX: u64 = 50_000;

/// Root rows of a chunk that should hold about `chunk_bytes`, when a document takes `document_bytes` of source rows.
pub fn rows_per_chunk(chunk_bytes: usize, document_bytes: u64) -> u64 {
    (chunk_bytes as u64 / document_bytes.max(1)).clamp(ROWS_MIN, ROWS_MAX)
}

/// Where planning goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanFrom {
    /// After this key (from the start with `None`), with the next chunk's number.
    Key {
        /// The last planned chunk's upper bound.
        after: Option<Key>,
        /// The next number.
        number: u32,
    },
    /// The open last chunk is there.
    Complete,
}

/// Where planning goes on after the chunks that are recorded already, which must be in order.
///
/// # Panics
/// If the recorded chunks have a gap: copying on would lose rows.
pub fn plan_from(chunks: &[ChunkRecord]) -> PlanFrom {
    let mut from = PlanFrom::Key { after: None, number: 0 };
    for chunk in chunks {
        let PlanFrom::Key { after, number } = from else { panic!("a chunk after the open last one") };
        assert!(chunk.number == number && chunk.after == after, "the recorded chunks have a gap at number {number}");
        from = match &chunk.up_to {
            Some(up_to) => PlanFrom::Key { after: Some(up_to.clone()), number: number + 1 },
            None => PlanFrom::Complete,
        };
    }
    from
}

/// The next chunk: up to `boundary`, or open without one.
pub fn next_chunk(after: Option<Key>, number: u32, boundary: Option<Key>) -> ChunkRecord {
    ChunkRecord {
        number,
        after,
        up_to: boundary,
        state: ChunkState::Planned,
        executed: None,
        attempts: 0,
        documents: 0,
        rows: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Value;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(rows_per_chunk(8 << 20, 1000), 8388);
        assert_eq!(rows_per_chunk(1, 1000), ROWS_MIN);
        assert_eq!(rows_per_chunk(usize::MAX, 0), ROWS_MAX);
    }

    proptest! {
        /// Whatever the boundaries and wherever a crash cut the plan off, the chunks cover every key once.
        #[test]
        fn chunks_cover_the_keys_once(mut bounds in proptest::collection::btree_set(0i64..1000, 0..20), crash in 0usize..25, key in -5i64..1005) {
            let mut chunks: Vec<ChunkRecord> = Vec::new();
            let mut crashes = vec![crash];
            while let PlanFrom::Key { after, number } = plan_from(&chunks) {
                let boundary = bounds.pop_first().map(|bound| Key(vec![Value::Int(bound)]));
                let chunk = next_chunk(after, number, boundary.clone());
                if crashes.last() == Some(&chunks.len()) {
                    // The plan of this chunk was lost with the process: it is asked for again.
                    crashes.pop();
                    if let Some(Key(values)) = boundary && let [Value::Int(bound)] = values[..] {
                        bounds.insert(bound);
                    }
                    continue;
                }
                chunks.push(chunk);
            }
            let key = Key(vec![Value::Int(key)]);
            let holding = chunks.iter().filter(|chunk| {
                chunk.after.as_ref().is_none_or(|after| key > *after) && chunk.up_to.as_ref().is_none_or(|up_to| key <= *up_to)
            });
            prop_assert_eq!(holding.count(), 1);
        }
    }
}
