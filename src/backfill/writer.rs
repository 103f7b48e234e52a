//! Writes a chunk's documents.
//!
//! Owns: batches, plain inserts into the copy's own collection, and the guarded replace of what was there already (a
//! redone chunk). Does not own: commands (`edge::mongo`). Returns only when everything is durable.

use tokio::sync::Semaphore;

use super::Copy;
use crate::error::{Error, Result};
use crate::logic::assembly::Assembled;
use crate::model::build::ParkedRecord;
use crate::model::document::Document;
use crate::model::position::Version;
use crate::ops::progress::Progress;
use crate::ports::{DocumentStore, NO_DEADLINE_MS, RecordStore, Source, Write};

/// Documents in one insert.
const DOCUMENTS_PER_BATCH: usize = 1000;
/// Bytes in one insert, one large document aside.
const BYTES_PER_BATCH: usize = 8 * 1024 * 1024;

/// Writes the documents and parks what cannot be written. Returns how many were written.
pub(super) async fn write<S: Source, D: DocumentStore, R: RecordStore, C>(
    copy: &Copy<S, D, R, C>,
    assembled: Assembled,
    version: Version,
    writes: &Semaphore,
) -> Result<u64> {
    let mut written = 0;
    let mut parked: Vec<ParkedRecord> =
        assembled.parked.into_iter().map(|(key, reason)| ParkedRecord { key, entry: None, reason, version }).collect();
    for batch in batches(&assembled.documents) {
        let permit = writes.acquire().await.map_err(|_| Error::halt("the copy's writers are gone"))?;
        let report = copy.documents.insert(&copy.build.stored_in, batch).await?;
        let mut refused = report.refused;
        if !report.newer.is_empty() {
            // A redone chunk: these came with an attempt that did not end. No deadline is needed: the collection is
            // renamed before anybody else writes (`logic::lifecycle`).
            let again: Vec<Write> =
                report.newer.iter().map(|at| Write::Put { document: batch[*at].clone(), likely_new: false }).collect();
            let replaced = copy.documents.write(&copy.build.stored_in, version, NO_DEADLINE_MS, &again).await?;
            refused.extend(replaced.refused.into_iter().map(|(at, reason)| (report.newer[at], reason)));
        }
        drop(permit);
        written += (batch.len() - refused.len()) as u64;
        Progress::add(&copy.progress.documents, (batch.len() - refused.len()) as u64);
        parked.extend(refused.into_iter().map(|(at, reason)| ParkedRecord {
            entry: None,
            key: batch[at].key.clone(),
            reason,
            version,
        }));
    }
    if !parked.is_empty() {
        Progress::add(&copy.progress.parked, parked.len() as u64);
        tracing::warn!(documents = parked.len(), reason = %parked[0].reason, "documents parked");
        copy.records.park(&copy.build, &parked).await?;
    }
    Ok(written)
}

/// Slices of bounded count and bytes.
fn batches(documents: &[Document]) -> impl Iterator<Item = &[Document]> {
    let mut rest = documents;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(DOCUMENTS_PER_BATCH).take_while(|document| {
            bytes += document.bytes.len();
            bytes <= BYTES_PER_BATCH
        });
        let count = fits.count().max(1).min(rest.len());
        let (batch, after) = rest.split_at(count);
        rest = after;
        (!batch.is_empty()).then_some(batch)
    })
}
