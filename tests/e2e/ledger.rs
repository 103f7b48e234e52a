//! What the engine has written down about its copy, read from the target as an operator could.
//! Owns: counting chunks that were started more than once. Does not own: the records (`_rowfold.chunks`).

use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Database;
use std::collections::BTreeMap;

/// How often each chunk was started.
#[derive(Clone, Debug, Default)]
pub struct Ledger(BTreeMap<String, i64>);

impl Ledger {
    pub async fn read(database: &Database) -> Ledger {
        let chunks = database.collection::<Document>("_rowfold.chunks");
        let mut cursor = chunks.find(doc! {}).await.expect("the ledger can be read");
        let mut attempts = BTreeMap::new();
        while let Some(chunk) = cursor.try_next().await.expect("the ledger can be read") {
            let count = match chunk.get("attempts") {
                Some(Bson::Int32(n)) => i64::from(*n),
                Some(Bson::Int64(n)) => *n,
                other => panic!("attempts of a chunk are {other:?}: {chunk}"),
            };
            attempts.insert(chunk.get("_id").map(Bson::to_string).unwrap_or_default(), count);
        }
        Ledger(attempts)
    }

    pub fn chunks(&self) -> usize {
        self.0.len()
    }

    pub fn attempts(&self) -> i64 {
        self.0.values().sum()
    }

    /// Starts beyond the first of each chunk that happened after `earlier` was read.
    pub fn redone_since(&self, earlier: &Ledger) -> i64 {
        let again = |(id, now): (&String, &i64)| match earlier.0.get(id) {
            Some(before) if *before > 0 => now - before,
            _ => (now - 1).max(0),
        };
        self.0.iter().map(again).sum()
    }
}
