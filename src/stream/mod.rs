//! Path B: changes to documents. Only connects its stages; each is in a file of its own.
//!
//! `capture` (change log -> relevant changes) -> `queue` (bounded in bytes) -> `consumer` (coalesced marks) -> `applier`
//! (fenced re-read, guarded write), then the checkpoint. An event carries no content into a document: it only says
//! which roots to read again.

mod applier;
mod capture;
mod consumer;
pub mod publisher;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::assembling::Pool;
use crate::config::ApplySettings;
use crate::error::{Error, Result};
use crate::logic::routing::Routes;
use crate::model::build::{BuildRecord, CheckpointRecord};
use crate::model::plan::JobPlan;
use crate::ops::failpoint;
use crate::ops::ownership::Ownership;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source};
use consumer::Batch;

/// A checkpoint is stored at most this often; a crash repeats what came since, which is harmless.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(200);

/// What the stages share.
pub struct Context<S, D, R, C> {
    /// The job.
    pub plan: Arc<JobPlan>,
    /// Bounds.
    pub limits: ApplySettings,
    /// Where rows come from.
    pub source: Arc<S>,
    /// Where documents go.
    pub documents: Arc<D>,
    /// Where checkpoints go.
    pub records: Arc<R>,
    /// Time.
    pub clock: Arc<C>,
    /// Where documents are assembled.
    pub pool: Pool,
    /// The right to write.
    pub ownership: Arc<Ownership>,
    /// Figures.
    pub progress: Arc<Progress>,
}

/// One followed build.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The build, in the phase `catchup` or `live`.
    pub build: BuildRecord,
    /// How far it is. Always what is stored, or ahead of it by what is durable already.
    pub checkpoint: CheckpointRecord,
}

/// Why following paused.
#[derive(Debug, PartialEq, Eq)]
pub enum Paused {
    /// These projections have reached the end of their catch-up. Nothing is being written now.
    CaughtUp(Vec<usize>),
    /// It was asked to stop. Nothing is being written now, and the checkpoint is stored.
    Stopped,
}

/// Follows the changes of a job for all of its builds.
pub struct Follower<S: Source, D, R, C> {
    context: Arc<Context<S, D, R, C>>,
    routes: Routes,
    /// By projection; `None` for one that is not followed.
    followed: Vec<Option<Followed>>,
    queue: queue::Receiver,
    capture: JoinHandle<Result<()>>,
    stop_capture: Shutdown,
    saved_at_ms: u64,
    unsaved: bool,
}

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock> Follower<S, D, R, C> {
    /// Starts to capture after what all of the builds have applied.
    pub fn start(context: Arc<Context<S, D, R, C>>, followed: Vec<Option<Followed>>) -> Result<Self> {
        let routes = Routes::new(&context.plan)?;
        let applied = followed.iter().map(|one| one.as_ref().map(|one| one.checkpoint.applied.clone())).collect();
        let (sender, queue) = queue::bounded(context.limits.queue_bytes);
        let stop_capture = Shutdown::default();
        let capture = tokio::spawn(capture::run(context.clone(), applied, sender, stop_capture.clone()));
        let saved_at_ms = context.clock.monotonic_ms();
        Ok(Self { context, routes, followed, queue, capture, stop_capture, saved_at_ms, unsaved: false })
    }

    /// A followed build was given its name: goes on under it.
    pub fn replace_build(&mut self, projection: usize, build: BuildRecord) {
        if let Some(followed) = &mut self.followed[projection] {
            followed.build = build;
        }
    }

    /// Applies changes until a build of `waiting` catches up, or until it is asked to stop. The log's end, if it fails,
    /// is reported after everything before it was applied.
    pub async fn run(&mut self, waiting: &[usize], shutdown: &Shutdown) -> Result<Paused> {
        loop {
            let caught_up = self.caught_up(waiting);
            if !caught_up.is_empty() {
                self.save(true).await?;
                return Ok(Paused::CaughtUp(caught_up));
            }
            let batch = tokio::select! {
                biased;
                () = shutdown.requested() => {
                    self.save(true).await?;
                    return Ok(Paused::Stopped);
                }
                batch = consumer::gather(&mut self.queue, &self.context, &self.routes, &self.followed, CHECKPOINT_EVERY) => batch?,
            };
            match batch {
                Some(batch) => self.apply(batch).await?,
                None => return Err(self.capture_error().await),
            }
            self.save(false).await?;
        }
    }

    /// Stops capturing.
    pub async fn stop(mut self) {
        self.stop_capture.request();
        // The task ends by itself; its result is of no interest any more.
        let _ = (&mut self.capture).await;
    }

    async fn apply(&mut self, batch: Batch) -> Result<()> {
        let context = &self.context;
        if !batch.marks.is_empty() {
            applier::apply(context, &self.followed, batch.marks, &batch.fence).await?;
            failpoint::hit("stream.written").await;
        }
        // I4: only now, with every mark of these transactions durable as a document, is their position passed.
        for followed in self.followed.iter_mut().flatten() {
            for gtid in &batch.settled {
                followed.checkpoint.applied.insert(gtid);
            }
            followed.checkpoint.events += batch.changes;
            followed.checkpoint.committed_unix_ms = followed.checkpoint.committed_unix_ms.max(batch.committed_unix_ms);
        }
        self.unsaved |= !batch.settled.is_empty();
        Progress::add(&context.progress.changes, batch.changes);
        Progress::add(&context.progress.transactions, batch.settled.len() as u64);
        let lag = if self.queue.is_empty() || batch.committed_unix_ms == 0 {
            0
        } else {
            context.clock.unix_ms().saturating_sub(batch.committed_unix_ms)
        };
        Progress::set(&context.progress.lag_ms, lag);
        Ok(())
    }

    fn caught_up(&self, waiting: &[usize]) -> Vec<usize> {
        let is_there = |followed: &Followed| followed.build.caught_up_at.is_subset(&followed.checkpoint.applied);
        waiting.iter().copied().filter(|at| self.followed[*at].as_ref().is_some_and(is_there)).collect()
    }

    async fn save(&mut self, now: bool) -> Result<()> {
        let at_ms = self.context.clock.monotonic_ms();
        let due = now || at_ms.saturating_sub(self.saved_at_ms) >= CHECKPOINT_EVERY.as_millis() as u64;
        if !self.unsaved || !due {
            return Ok(());
        }
        for followed in self.followed.iter().flatten() {
            self.context.records.save_checkpoint(&followed.build, &followed.checkpoint).await?;
        }
        failpoint::hit("stream.checkpointed").await;
        self.saved_at_ms = at_ms;
        self.unsaved = false;
        Ok(())
    }

    /// The queue is closed: capture ended, and says why.
    async fn capture_error(&mut self) -> Error {
        match (&mut self.capture).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::retry("capture ended"),
            Err(panic) => Error::halt("capture panicked").because(panic),
        }
    }
}

impl<S: Source, D, R, C> Drop for Follower<S, D, R, C> {
    /// A session that failed leaves no capture behind: the next one opens its own.
    fn drop(&mut self) {
        self.stop_capture.request();
    }
}
