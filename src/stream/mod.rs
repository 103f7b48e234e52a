//! Path B: changes to documents. Only connects its stages; each is in a file of its own.
//!
//! `capture` (change log -> relevant changes), or `reader` (streams -> relevant changes) -> `queue` (bounded in bytes) ->
//! `consumer` (coalesced marks) -> `applier` (fenced re-read, guarded write), then the checkpoint. An event carries no
//! content into a document: it only says which roots to read again. While a build is being copied its marks are kept
//! (`marking`) and drained afterwards.

mod applier;
mod capture;
mod consumer;
mod entries;
mod marking;
pub mod publisher;
mod queue;
mod reader;
mod streams;
mod unlogged;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::assembling::Pool;
use crate::config::ApplySettings;
use crate::error::{Error, Result};
use crate::logic::routing::Routes;
use crate::model::build::{BuildRecord, CheckpointRecord};
use crate::model::plan::JobPlan;
use crate::model::position::GtidSet;
use crate::model::stream::StreamCheckpoint;
use crate::ops::failpoint;
use crate::ops::ownership::Ownership;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source, StreamStore};
use consumer::Batch;

pub use streams::{Streams, member_id};

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
    /// The build. Before the phase `catchup`, only with streams: its marks are kept.
    pub build: BuildRecord,
    /// How far it is. Always what is stored, or ahead of it by what is durable already.
    pub checkpoint: CheckpointRecord,
}

/// Why following paused.
#[derive(Debug, PartialEq, Eq)]
pub enum Paused {
    /// These projections have reached the end of their catch-up. Nothing is being written now.
    CaughtUp(Vec<usize>),
    /// It was asked to pause, or to stop. Nothing is being written now, and the checkpoint is stored.
    Asked,
}

/// Follows the changes of a job for all of its builds.
pub struct Follower<S: Source, D, R, C> {
    context: Arc<Context<S, D, R, C>>,
    routes: Routes,
    /// By projection; `None` for one that is not followed.
    followed: Vec<Option<Followed>>,
    /// By projection: whether marks of its copy are still kept.
    undrained: Vec<bool>,
    queue: queue::Receiver,
    /// What fills the queue.
    feed: JoinHandle<Result<()>>,
    stop_feed: Shutdown,
    /// Tells the feed what has been stored.
    stored: watch::Sender<Stored>,
    saved_at_ms: u64,
    unsaved: bool,
}

/// By projection, where each build stands in the streams by its stored checkpoint.
type Stored = Vec<Option<StreamCheckpoint>>;

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock> Follower<S, D, R, C> {
    /// Starts to read after what all of the builds have applied: the streams, or else the source's change log.
    pub fn start<T: StreamStore>(
        context: Arc<Context<S, D, R, C>>,
        followed: Vec<Option<Followed>>,
        streams: Option<Arc<Streams<T>>>,
    ) -> Result<Self> {
        let routes = Routes::new(&context.plan)?;
        let (sender, queue) = queue::bounded(context.limits.queue_bytes);
        let stop_feed = Shutdown::default();
        let (stored, watched) = watch::channel(stored(&followed));
        let feed = match streams {
            Some(streams) => {
                let reader = reader::Reader::new(context.clone(), streams, &followed);
                tokio::spawn(reader.run(sender, watched, stop_feed.clone()))
            }
            None => {
                let applied = followed.iter().map(|one| Some(one.as_ref()?.checkpoint.applied.clone())).collect();
                tokio::spawn(capture::run(context.clone(), applied, sender, stop_feed.clone()))
            }
        };
        let saved_at_ms = context.clock.monotonic_ms();
        let drains = |one: &Option<Followed>| one.as_ref().is_some_and(|one| !one.is_marking() && one.has_marks());
        let undrained = followed.iter().map(drains).collect();
        Ok(Self { context, routes, followed, undrained, queue, feed, stop_feed, stored, saved_at_ms, unsaved: false })
    }

    /// A followed build was given its name: goes on under it.
    pub fn replace_build(&mut self, projection: usize, build: BuildRecord) {
        if let Some(followed) = &mut self.followed[projection] {
            followed.build = build;
        }
    }

    /// Applies changes until a build of `waiting` catches up, or until it is asked to stop or to pause. The log's end, if
    /// it fails, is reported after everything before it was applied.
    pub async fn run(&mut self, waiting: &[usize], shutdown: &Shutdown, pause: &Shutdown) -> Result<Paused> {
        loop {
            let caught_up = self.caught_up(waiting);
            if !caught_up.is_empty() {
                self.save(true).await?;
                return Ok(Paused::CaughtUp(caught_up));
            }
            let idle = if self.drain().await? { Duration::ZERO } else { CHECKPOINT_EVERY };
            let batch = tokio::select! {
                biased;
                () = shutdown.requested() => {
                    self.save(true).await?;
                    return Ok(Paused::Asked);
                }
                () = pause.requested() => {
                    self.save(true).await?;
                    return Ok(Paused::Asked);
                }
                batch = consumer::gather(&mut self.queue, &self.context, &self.routes, &self.followed, idle) => batch?,
            };
            match batch {
                Some(batch) => self.apply(batch).await?,
                None => return Err(self.feed_error().await),
            }
            self.save(false).await?;
        }
    }

    /// Stops reading.
    pub async fn stop(mut self) {
        self.stop_feed.request();
        // The task ends by itself; its result is of no interest any more.
        let _ = (&mut self.feed).await;
    }

    /// Drains a page of kept marks of each build that has some. False if none has.
    async fn drain(&mut self) -> Result<bool> {
        for projection in 0..self.undrained.len() {
            if !self.undrained[projection] {
                continue;
            }
            if !marking::drain_page(&self.context, &self.followed, projection).await? {
                self.undrained[projection] = false;
                if let Some(followed) = &mut self.followed[projection] {
                    followed.checkpoint.marked = GtidSet::default();
                    self.unsaved = true;
                }
            }
        }
        Ok(self.undrained.contains(&true))
    }

    async fn apply(&mut self, mut batch: Batch) -> Result<()> {
        let context = &self.context;
        let marking: Vec<bool> =
            self.followed.iter().map(|one| one.as_ref().is_some_and(Followed::is_marking)).collect();
        if marking.contains(&true) {
            let kept = batch.marks.split_off(&marking);
            if !kept.is_empty() {
                marking::keep(context, &self.followed, kept).await?;
                for followed in self.followed.iter_mut().flatten().filter(|followed| followed.is_marking()) {
                    followed.checkpoint.marked.extend(&batch.fence);
                }
            }
        }
        if !batch.marks.is_empty() {
            applier::apply(context, &self.followed, batch.marks, &batch.fence).await?;
            failpoint::hit("stream.written").await;
        }
        let captured = batch.passed.as_ref().map_or(0, |passed| {
            let applied = self.followed.iter().flatten().map(|followed| &followed.checkpoint.applied);
            applied.map(|applied| passed.captured.minus(applied).count()).max().unwrap_or(0)
        });
        // I4: only now, with every mark of these transactions durable as a document or a record, is their position passed.
        for followed in self.followed.iter_mut().flatten() {
            followed.checkpoint.applied.extend(&batch.also);
            for gtid in &batch.settled {
                followed.checkpoint.applied.insert(gtid);
            }
            if let Some(passed) = &batch.passed {
                followed.checkpoint.applied.extend(&passed.captured);
                followed.checkpoint.streams = Some(passed.streams.clone());
            }
            followed.checkpoint.events += batch.changes;
            followed.checkpoint.committed_unix_ms = followed.checkpoint.committed_unix_ms.max(batch.committed_unix_ms);
        }
        self.unsaved |= !batch.settled.is_empty() || batch.passed.is_some();
        Progress::add(&context.progress.changes, batch.changes);
        Progress::add(&context.progress.transactions, batch.settled.len() as u64 + captured);
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
        let drained = waiting.iter().copied().filter(|at| !self.undrained[*at]);
        drained.filter(|at| self.followed[*at].as_ref().is_some_and(is_there)).collect()
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
        // Only now may the streams be trimmed up to here.
        self.stored.send_replace(stored(&self.followed));
        self.saved_at_ms = at_ms;
        self.unsaved = false;
        Ok(())
    }

    /// The queue is closed: what filled it ended, and says why.
    async fn feed_error(&mut self) -> Error {
        match (&mut self.feed).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::retry("reading changes ended"),
            Err(panic) => Error::halt("reading changes panicked").because(panic),
        }
    }
}

impl<S: Source, D, R, C> Drop for Follower<S, D, R, C> {
    /// A session that failed leaves no reader behind: the next one opens its own.
    fn drop(&mut self) {
        self.stop_feed.request();
    }
}

fn stored(followed: &[Option<Followed>]) -> Stored {
    followed.iter().map(|one| one.as_ref()?.checkpoint.streams.clone()).collect()
}
