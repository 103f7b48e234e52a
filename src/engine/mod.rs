//! The job as a whole: owns the builds from nothing to live, and follows them.
//!
//! Owns: sessions. A session takes the lease, brings every build forward, follows changes, and gives the lease back. Any
//! passing failure ends the session; the next one starts from the records, as after a crash: there is one way to
//! recover. Does not own: bringing one build forward (`forward`), following while others are copied (`streaming`), the
//! paths themselves (`backfill`, `stream`).

mod builds;
mod forward;
mod lease;
mod streaming;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::assembling::Pool;
use crate::config::Settings;
use crate::error::{Kind, Result};
use crate::logic::backoff;
use crate::model::build::{BuildRecord, CheckpointRecord, Phase};
use crate::model::plan::JobPlan;
use crate::model::position::GtidSet;
use crate::ops::ownership::Ownership;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source, StreamStore};
use crate::stream::{Context, Followed, Follower, Paused, Streams};

/// How long passing failures are met with new sessions before the engine gives up, counted from the last success.
pub const RETRY_FOR: Duration = Duration::from_secs(600);

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Copy, replay up to a position read after the last chunk, stop.
    Snapshot,
    /// The same, then follow until stopped.
    Run,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done(Vec<Summary>),
    /// It was asked to stop; starting it again goes on.
    Interrupted {
        /// Whether every projection was live already.
        live: bool,
    },
}

/// What was made of one projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The collection.
    pub collection: String,
    /// Documents and source rows of the copy.
    pub documents: u64,
    /// See `documents`.
    pub rows: u64,
    /// Documents that could not be written.
    pub parked: u64,
    /// The documents contain exactly these transactions, or later states.
    pub applied: GtidSet,
}

/// Starts capturing into the streams, until it is asked to stop.
pub type Capturing = Box<dyn Fn(Shutdown) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Everything an engine works with.
pub struct Engine<S, D, R, C, T> {
    /// The job, proved against the live schema.
    pub plan: Arc<JobPlan>,
    /// Its bounds.
    pub settings: Arc<Settings>,
    /// The source.
    pub source: Arc<S>,
    /// The target's collections.
    pub documents: Arc<D>,
    /// rowfold's own records.
    pub records: Arc<R>,
    /// Time.
    pub clock: Arc<C>,
    /// Where documents are assembled.
    pub pool: Pool,
    /// Figures.
    pub progress: Arc<Progress>,
    /// Host, process and a random word: who we are in leases.
    pub owner: String,
    /// The streams through which changes come; `None`: from the source's log directly.
    pub streams: Option<Arc<Streams<T>>>,
    /// Capture in this process, with streams.
    pub capturing: Option<Capturing>,
}

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore> Engine<S, D, R, C, T> {
    /// Runs the job. `start_over` drops its builds first.
    ///
    /// # Errors
    /// `Config` before anything was written; `Halt` when going on would lose data; `Retry` when failures did not pass
    /// within [`RETRY_FOR`]; `Fenced` when another engine owns the job.
    pub async fn run(&self, mode: Mode, start_over: bool, shutdown: &Shutdown) -> Result<Outcome> {
        let mut failures = 0;
        let mut failing_since_ms = self.clock.monotonic_ms();
        let mut start_over = start_over;
        loop {
            let progress = self.durable_progress();
            let error = match self.session(mode, &mut start_over, shutdown).await {
                Ok(Outcome::Interrupted { live: false }) => {
                    return Ok(Outcome::Interrupted { live: self.was_live().await? });
                }
                Ok(outcome) => return Ok(outcome),
                Err(error) => error,
            };
            let now_ms = self.clock.monotonic_ms();
            if self.durable_progress() > progress {
                failures = 0;
                failing_since_ms = now_ms;
            }
            failures += 1;
            let passing = matches!(error.kind(), Kind::Retry | Kind::Fenced);
            let left_ms = (RETRY_FOR.as_millis() as u64).saturating_sub(now_ms - failing_since_ms);
            if !passing || left_ms == 0 || shutdown.is_requested() {
                return Err(error);
            }
            let wait = backoff::delay(failures, now_ms);
            tracing::warn!(wait_ms = wait.as_millis() as u64, giving_up_in_s = left_ms / 1000, error = %error.chain(), "the session failed, will be started again");
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = shutdown.requested() => return Err(error),
            }
        }
    }

    /// Grows with every chunk, document and transaction that was made durable.
    fn durable_progress(&self) -> u64 {
        let progress = &self.progress;
        [&progress.documents, &progress.transactions, &progress.reread].map(Progress::get).iter().sum()
    }

    /// Whether every projection is live by the records, for a session that was stopped before it looked.
    async fn was_live(&self) -> Result<bool> {
        let builds = self.records.builds(Some(&self.plan.name)).await?;
        Ok(!builds.is_empty() && builds.iter().all(|build| build.phase == Phase::Live))
    }

    /// One session: from taking the lease to giving it back. After a failure the lease is left to run out: a write may
    /// still be under way, and the next owner (we, mostly) has to wait for its deadline.
    async fn session(&self, mode: Mode, start_over: &mut bool, shutdown: &Shutdown) -> Result<Outcome> {
        let Some(ownership) = lease::acquire(self, shutdown).await? else {
            return Ok(Outcome::Interrupted { live: false });
        };
        let outcome = tokio::select! {
            outcome = self.drive(mode, start_over, &ownership, shutdown) => outcome,
            error = lease::keep(self, &ownership) => Err(error),
        };
        if let Err(error) = &outcome
            && error.kind() == Kind::Halt
        {
            builds::note_halt(self, &ownership, &error.chain()).await;
        }
        if outcome.is_ok()
            && let Err(error) = self.records.release_lease(&ownership.lease()).await
        {
            tracing::warn!(error = %error.chain(), "the lease could not be given back; it will run out");
        }
        outcome
    }

    /// Brings every build forward until it can be followed, then follows all of them.
    async fn drive(
        &self,
        mode: Mode,
        start_over: &mut bool,
        ownership: &Arc<Ownership>,
        shutdown: &Shutdown,
    ) -> Result<Outcome> {
        let state = self.source.state().await?;
        let mut builds = builds::prepare(self, ownership, &state, *start_over).await?;
        *start_over = false;
        if let Some(streams) = &self.streams {
            return streaming::drive(self, streams, mode, builds, ownership, shutdown).await;
        }
        for (projection, build) in builds.iter_mut().enumerate() {
            match self.bring_forward(projection, build.clone(), ownership, shutdown).await? {
                Some(forward) => *build = forward,
                None => return Ok(Outcome::Interrupted { live: false }),
            }
        }
        self.follow(mode, builds, ownership, shutdown).await
    }

    /// Follows all builds; gives each its name when it has caught up.
    async fn follow(
        &self,
        mode: Mode,
        mut builds: Vec<BuildRecord>,
        ownership: &Arc<Ownership>,
        shutdown: &Shutdown,
    ) -> Result<Outcome> {
        self.bring_up_to_now(mode, &mut builds).await?;
        let mut waiting = to_wait_for(mode, &builds);
        let followed = self.followed(&builds).await?;
        let mut follower = Follower::start(self.context(ownership), followed, None::<Arc<Streams<T>>>)?;
        loop {
            let activity = if waiting.is_empty() { "live" } else { "catchup" };
            self.progress.set_activity(activity);
            match follower.run(&waiting, shutdown, &Shutdown::default()).await? {
                Paused::Asked => {
                    follower.stop().await;
                    return Ok(Outcome::Interrupted { live: waiting.is_empty() });
                }
                Paused::CaughtUp(projections) => {
                    for projection in projections {
                        let build = self.publish(projection, builds[projection].clone(), ownership).await?;
                        follower.replace_build(projection, build.clone());
                        builds[projection] = build;
                        waiting.retain(|at| *at != projection);
                    }
                }
            }
            if mode == Mode::Snapshot && waiting.is_empty() {
                follower.stop().await;
                return Ok(Outcome::Done(self.summaries(&builds).await?));
            }
        }
    }

    /// For a snapshot, what is live already is brought up to now.
    async fn bring_up_to_now(&self, mode: Mode, builds: &mut [BuildRecord]) -> Result<()> {
        if mode == Mode::Snapshot {
            let executed = self.to_reach().await?;
            for build in builds.iter_mut().filter(|build| build.phase == Phase::Live) {
                build.caught_up_at = executed.clone();
            }
        }
        Ok(())
    }

    /// The builds with their stored checkpoints, those that have begun to be copied.
    async fn followed(&self, builds: &[BuildRecord]) -> Result<Vec<Option<Followed>>> {
        let mut followed = Vec::new();
        for build in builds {
            if build.phase == Phase::Init {
                followed.push(None);
                continue;
            }
            let stored = self.records.checkpoint(build).await?;
            let fresh = CheckpointRecord { applied: build.start.clone(), ..CheckpointRecord::default() };
            followed.push(Some(Followed { build: build.clone(), checkpoint: stored.unwrap_or(fresh) }));
            let parked = self.records.parked_count(build).await?;
            Progress::set(&self.progress.parked, Progress::get(&self.progress.parked).max(parked));
        }
        Ok(followed)
    }

    fn context(&self, ownership: &Arc<Ownership>) -> Arc<Context<S, D, R, C>> {
        Arc::new(Context {
            plan: self.plan.clone(),
            limits: self.settings.apply.clone(),
            source: self.source.clone(),
            documents: self.documents.clone(),
            records: self.records.clone(),
            clock: self.clock.clone(),
            pool: self.pool.clone(),
            ownership: ownership.clone(),
            progress: self.progress.clone(),
        })
    }

    async fn summaries(&self, builds: &[BuildRecord]) -> Result<Vec<Summary>> {
        let mut summaries = Vec::new();
        for build in builds {
            let applied = self.records.checkpoint(build).await?.map(|stored| stored.applied);
            summaries.push(Summary {
                collection: build.collection.clone(),
                documents: build.documents,
                rows: build.rows,
                parked: self.records.parked_count(build).await?,
                applied: applied.unwrap_or_else(|| build.start.clone()),
            });
        }
        Ok(summaries)
    }
}

/// The projections that have to catch up before the run has done its part.
fn to_wait_for(mode: Mode, builds: &[BuildRecord]) -> Vec<usize> {
    let waits = |build: &BuildRecord| {
        mode == Mode::Snapshot && build.phase == Phase::Live || matches!(build.phase, Phase::Catchup | Phase::Publish)
    };
    (0..builds.len()).filter(|at| waits(&builds[*at])).collect()
}
