//! Cuts the root table into chunks.
//!
//! Owns: asking MySQL for boundary keys and recording chunks before they are handed out. Does not own: their size
//! (`logic::chunks`), reading them (`backfill::reader`). Keys are compared by MySQL only: collations, signs and
//! composite keys are its business. Planning runs beside the copy, a few chunks ahead.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Copy;
use crate::error::{Error, Kind, Result};
use crate::logic::backoff;
use crate::logic::chunks::{PlanFrom, next_chunk, plan_from, rows_per_chunk};
use crate::model::build::{ChunkRecord, ChunkState};
use crate::model::value::Key;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source};

/// Chunks recorded in one write.
const RECORDED_AT_ONCE: usize = 16;
/// Times that a boundary is asked for before the error is the job's.
const ATTEMPTS_MAX: u32 = 8;

/// Hands out the recorded chunks that are not done, then plans on to the end of the table.
pub(super) async fn run<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    copy: Arc<Copy<S, D, R, C>>,
    recorded: Vec<ChunkRecord>,
    send: mpsc::Sender<ChunkRecord>,
    stop: Shutdown,
) -> Result<()> {
    let from = plan_from(&recorded);
    for chunk in recorded.into_iter().filter(|chunk| chunk.state != ChunkState::Done) {
        if !hand_out(&send, chunk, &stop).await {
            return Ok(());
        }
    }
    let (roots, document_bytes) = copy.source.size_estimate(copy.projection).await?;
    Progress::set(&copy.progress.roots_estimate, roots);
    let rows = rows_per_chunk(copy.limits.chunk_bytes, document_bytes);
    tracing::debug!(rows_per_chunk = rows, document_bytes, "planning chunks");
    let PlanFrom::Key { mut after, mut number } = from else { return Ok(()) };
    let mut complete = false;
    while !complete {
        let mut planned = Vec::new();
        while !complete && planned.len() < RECORDED_AT_ONCE {
            let boundary = boundary(&copy, after.as_ref(), rows, &stop).await?;
            let chunk = next_chunk(after, number, boundary.clone());
            planned.push(chunk);
            number =
                number.checked_add(1).ok_or_else(|| Error::config("more than 4 billion chunks: raise chunk_bytes"))?;
            complete = boundary.is_none();
            after = boundary;
        }
        copy.records.plan_chunks(&copy.build, &planned).await?;
        Progress::add(&copy.progress.chunks_planned, planned.len() as u64);
        for chunk in planned {
            if !hand_out(&send, chunk, &stop).await {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// False if the copy is stopping.
async fn hand_out(send: &mpsc::Sender<ChunkRecord>, chunk: ChunkRecord, stop: &Shutdown) -> bool {
    tokio::select! {
        biased;
        () = stop.requested() => false,
        sent = send.send(chunk) => sent.is_ok(),
    }
}

async fn boundary<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    copy: &Copy<S, D, R, C>,
    after: Option<&Key>,
    rows: u64,
    stop: &Shutdown,
) -> Result<Option<Key>> {
    let mut attempt = 0;
    loop {
        match copy.source.boundary(copy.projection, after, rows).await {
            Err(error) if error.kind() == Kind::Retry && attempt < ATTEMPTS_MAX && !stop.is_requested() => {
                attempt += 1;
                tracing::warn!(attempt, error = %error.chain(), "planning failed, will be tried again");
                copy.clock.sleep(backoff::delay(attempt, copy.clock.monotonic_ms())).await;
            }
            done => return done,
        }
    }
}
