//! Path A: tables to documents. Only connects its stages; each is in a file of its own.
//!
//! `planner` (chunks) -> `reader` (rows, one snapshot a chunk) -> `assembling` (documents, on the CPU pool) -> `writer`
//! (bulk inserts), then the chunk is done. Chunks pass the stages independently, at most
//! [`crate::config::BackfillSettings::readers`] at a time, which also bounds what a crash makes us redo.

mod planner;
mod reader;
mod writer;

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::assembling::Pool;
use crate::config::BackfillSettings;
use crate::error::{Error, Kind, Result};
use crate::logic::assembly::Assembled;
use crate::logic::backoff;
use crate::model::build::{BuildRecord, ChunkRecord, ChunkState};
use crate::model::plan::JobPlan;
use crate::ops::failpoint;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source};
use crate::reading::Lookups;
use reader::Part;

/// Times that a chunk is tried before its error is the job's.
const CHUNK_ATTEMPTS_MAX: u32 = 8;

/// All that the copy of one build needs.
pub struct Copy<S, D, R, C> {
    /// The job.
    pub plan: Arc<JobPlan>,
    /// Which of its projections.
    pub projection: usize,
    /// The build, in the phase `copy`, under this owner's name.
    pub build: BuildRecord,
    /// Bounds.
    pub limits: BackfillSettings,
    /// Where rows come from.
    pub source: Arc<S>,
    /// Where documents go.
    pub documents: Arc<D>,
    /// Where chunks are recorded.
    pub records: Arc<R>,
    /// Time.
    pub clock: Arc<C>,
    /// Where documents are assembled.
    pub pool: Pool,
    /// Lookup tables held in memory; empty until [`run`] reads them.
    pub lookups: Lookups,
    /// Figures.
    pub progress: Arc<Progress>,
}

/// What a finished copy amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Documents in all chunks.
    pub documents: u64,
    /// Source rows in all chunks.
    pub rows: u64,
}

/// Copies every chunk that is not done. `None` if it was asked to stop before the end; what is done stays done.
pub async fn run<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    mut copy: Copy<S, D, R, C>,
    shutdown: &Shutdown,
) -> Result<Option<Copied>> {
    copy.lookups = reader::lookups(&copy).await?;
    let copy = Arc::new(copy);
    let recorded = copy.records.chunks(&copy.build).await?;
    let progress = &copy.progress;
    Progress::set(&progress.chunks_planned, recorded.len() as u64);
    Progress::set(
        &progress.chunks_done,
        recorded.iter().filter(|chunk| chunk.state == ChunkState::Done).count() as u64,
    );
    Progress::set(&progress.documents, recorded.iter().map(|chunk| chunk.documents).sum());
    Progress::set(&progress.rows, recorded.iter().map(|chunk| chunk.rows).sum());

    // A failing task asks the others to stop; the caller's wish to stop reaches them too.
    let stop = shutdown.child();
    let (send, receive) = mpsc::channel::<ChunkRecord>(copy.limits.readers);
    let receive = Arc::new(Mutex::new(receive));
    let writes = Arc::new(Semaphore::new(copy.limits.writers));
    let mut tasks = JoinSet::new();
    tasks.spawn(planner::run(copy.clone(), recorded, send, stop.clone()));
    for _ in 0..copy.limits.readers {
        tasks.spawn(chunks(copy.clone(), receive.clone(), writes.clone(), stop.clone()));
    }
    let mut failed = None;
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|panic| Err(Error::halt("a task of the copy panicked").because(panic)));
        if let Err(error) = ended {
            stop.request();
            failed = failed.or(Some(error));
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let chunks = copy.records.chunks(&copy.build).await?;
    let done = chunks.iter().all(|chunk| chunk.state == ChunkState::Done)
        && chunks.last().is_some_and(|chunk| chunk.up_to.is_none());
    let documents = chunks.iter().map(|chunk| chunk.documents).sum();
    let rows = chunks.iter().map(|chunk| chunk.rows).sum();
    Ok(done.then_some(Copied { documents, rows }))
}

/// Takes chunks until there are none, or until it is asked to stop.
async fn chunks<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    copy: Arc<Copy<S, D, R, C>>,
    receive: Arc<Mutex<mpsc::Receiver<ChunkRecord>>>,
    writes: Arc<Semaphore>,
    stop: Shutdown,
) -> Result<()> {
    loop {
        let next = async { receive.lock().await.recv().await };
        let chunk = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            chunk = next => match chunk {
                Some(chunk) => chunk,
                None => return Ok(()),
            },
        };
        copy_with_retries(&copy, &chunk, &writes, &stop).await?;
    }
}

async fn copy_with_retries<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    copy: &Copy<S, D, R, C>,
    chunk: &ChunkRecord,
    writes: &Semaphore,
    stop: &Shutdown,
) -> Result<()> {
    if chunk.attempts > 0 {
        tracing::info!(chunk = chunk.number, attempts = chunk.attempts, "chunk redone");
    }
    let mut attempt = 0;
    loop {
        let error = match copy_chunk(copy, chunk, writes).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        attempt += 1;
        if error.kind() != Kind::Retry || attempt >= CHUNK_ATTEMPTS_MAX || stop.is_requested() {
            return Err(error);
        }
        let wait = backoff::delay(attempt, copy.clock.monotonic_ms() ^ u64::from(chunk.number));
        tracing::warn!(chunk = chunk.number, attempt, wait_ms = wait.as_millis() as u64, error = %error.chain(), "chunk failed, will be redone");
        tokio::select! {
            () = copy.clock.sleep(wait) => {}
            () = stop.requested() => return Err(error),
        }
    }
}

/// One chunk through all stages.
async fn copy_chunk<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    copy: &Copy<S, D, R, C>,
    chunk: &ChunkRecord,
    writes: &Semaphore,
) -> Result<()> {
    let mut open = reader::open(copy, chunk).await?;
    failpoint::hit("chunk.started").await;
    let (mut documents, mut rows) = (0, 0);
    while let Some(part) = open.next_part(copy).await? {
        failpoint::hit("chunk.read").await;
        let (part_rows, assembled) = match part {
            Part::Rows(rows) => {
                let plan = copy.plan.clone();
                (rows.rows(), copy.pool.assemble(plan, copy.projection, rows, open.version, copy.build.number).await?)
            }
            Part::Unreadable(key, reason) => (0, Assembled { parked: vec![(key, reason)], ..Assembled::default() }),
        };
        Progress::add(&copy.progress.zero_dates, assembled.zero_dates);
        documents += writer::write(copy, assembled, open.version, writes).await?;
        rows += part_rows;
        Progress::add(&copy.progress.rows, part_rows);
        failpoint::hit("chunk.written").await;
    }
    open.close().await;
    copy.records.finish_chunk(&copy.build, chunk.number, documents, rows).await?;
    Progress::add(&copy.progress.chunks_done, 1);
    failpoint::hit("chunk.done").await;
    Ok(())
}
