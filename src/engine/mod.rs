//! The job as a whole: owns the builds from nothing to live, and follows them.
//!
//! Owns: sessions. A session takes the lease, brings every build forward, follows changes, and gives the lease back. Any
//! passing failure ends the session; the next one starts from the records, as after a crash: there is one way to
//! recover. Does not own: which phase follows which (`logic::lifecycle`), the paths themselves (`backfill`, `stream`).

mod builds;
mod lease;

use std::sync::Arc;
use std::time::Duration;

use crate::assembling::Pool;
use crate::backfill;
use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::logic::backoff;
use crate::logic::lifecycle::{Command, Done, after, next};
use crate::model::build::{BuildRecord, CheckpointRecord, Phase};
use crate::model::change::SourceState;
use crate::model::plan::{IndexPlan, JobPlan};
use crate::model::position::GtidSet;
use crate::ops::failpoint;
use crate::ops::ownership::Ownership;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source};
use crate::reading::Lookups;
use crate::stream::{Context, Followed, Follower, Paused};

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

/// Everything an engine works with.
pub struct Engine<S, D, R, C> {
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
}

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock> Engine<S, D, R, C> {
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
        for (projection, build) in builds.iter_mut().enumerate() {
            match self.bring_forward(projection, build.clone(), ownership, shutdown).await? {
                Some(forward) => *build = forward,
                None => return Ok(Outcome::Interrupted { live: false }),
            }
        }
        self.follow(mode, builds, ownership, shutdown).await
    }

    /// Takes a build through its phases up to the first in which it is followed. `None` if asked to stop on the way.
    async fn bring_forward(
        &self,
        projection: usize,
        mut build: BuildRecord,
        ownership: &Arc<Ownership>,
        shutdown: &Shutdown,
    ) -> Result<Option<BuildRecord>> {
        let epoch = ownership.lease().epoch;
        loop {
            if shutdown.is_requested() {
                return Ok(None);
            }
            self.progress.set_activity(format!("{} {}", build.phase.name(), build.collection));
            let done = match next(&build, epoch) {
                Command::Start => {
                    self.documents.create(&build.stored_in).await?;
                    let state = self.source.state().await?;
                    // P0. The log is captured from here on, so nothing falls between it and the copy.
                    Done::Started { start: state.executed, server_uuid: state.server_uuid }
                }
                Command::Rename { from, to } => {
                    build = builds::rename(self, build, ownership, &from, &to).await?;
                    continue;
                }
                Command::Copy => match self.copy(projection, &build, shutdown).await? {
                    None => return Ok(None),
                    Some(copied) => {
                        build.documents = copied.documents;
                        build.rows = copied.rows;
                        Done::Copied { caught_up_at: self.source.state().await?.executed }
                    }
                },
                Command::Advance => Done::Renamed,
                Command::BuildIndexes => {
                    // Unique ones come when the build has caught up: until then two documents may be of two moments.
                    let indexes = self.indexes_of(projection, false);
                    tokio::select! {
                        built = self.documents.create_indexes(&build.stored_in, &indexes) => built?,
                        () = shutdown.requested() => return Ok(None),
                    }
                    Done::Indexed
                }
                Command::Follow { .. } => return Ok(Some(build)),
            };
            let sealed = build.phase == Phase::Seal;
            build = after(build, done);
            self.records.save_build(&build).await?;
            tracing::info!(collection = %build.collection, phase = build.phase.name(), "phase");
            match build.phase {
                Phase::Copy => failpoint::hit("init.saved").await,
                Phase::Index if sealed => failpoint::hit("copy.sealed").await,
                Phase::Catchup => failpoint::hit("index.built").await,
                _ => {}
            }
        }
    }

    async fn copy(
        &self,
        projection: usize,
        build: &BuildRecord,
        shutdown: &Shutdown,
    ) -> Result<Option<backfill::Copied>> {
        let copy = backfill::Copy {
            plan: self.plan.clone(),
            projection,
            build: build.clone(),
            limits: self.settings.backfill.clone(),
            source: self.source.clone(),
            documents: self.documents.clone(),
            records: self.records.clone(),
            clock: self.clock.clone(),
            pool: self.pool.clone(),
            lookups: Lookups::default(),
            progress: self.progress.clone(),
        };
        backfill::run(copy, shutdown).await
    }

    /// Follows all builds; gives each its name when it has caught up.
    async fn follow(
        &self,
        mode: Mode,
        mut builds: Vec<BuildRecord>,
        ownership: &Arc<Ownership>,
        shutdown: &Shutdown,
    ) -> Result<Outcome> {
        if mode == Mode::Snapshot {
            // What is live already is brought up to now.
            let SourceState { executed, .. } = self.source.state().await?;
            for build in builds.iter_mut().filter(|build| build.phase == Phase::Live) {
                build.caught_up_at = executed.clone();
            }
        }
        let mut followed = Vec::new();
        for build in &builds {
            let stored = self.records.checkpoint(build).await?;
            let fresh = CheckpointRecord { applied: build.start.clone(), ..CheckpointRecord::default() };
            followed.push(Some(Followed { build: build.clone(), checkpoint: stored.unwrap_or(fresh) }));
            let parked = self.records.parked_count(build).await?;
            Progress::set(&self.progress.parked, Progress::get(&self.progress.parked).max(parked));
        }
        let context = Arc::new(Context {
            plan: self.plan.clone(),
            limits: self.settings.apply.clone(),
            source: self.source.clone(),
            documents: self.documents.clone(),
            records: self.records.clone(),
            clock: self.clock.clone(),
            pool: self.pool.clone(),
            ownership: ownership.clone(),
            progress: self.progress.clone(),
        });
        let mut waiting: Vec<usize> =
            (0..builds.len()).filter(|at| mode == Mode::Snapshot || builds[*at].phase != Phase::Live).collect();
        let mut follower = Follower::start(context, followed)?;
        loop {
            let activity = if waiting.is_empty() { "live" } else { "catchup" };
            self.progress.set_activity(activity);
            match follower.run(&waiting, shutdown).await? {
                Paused::Stopped => {
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

    /// Gives a caught-up build its name. Nothing is being written meanwhile.
    async fn publish(&self, projection: usize, mut build: BuildRecord, ownership: &Ownership) -> Result<BuildRecord> {
        let unique = self.indexes_of(projection, true);
        if build.phase == Phase::Catchup && !unique.is_empty() {
            let built = self.documents.create_indexes(&build.stored_in, &unique).await;
            // Documents of two moments can agree where their rows never did: that passes with a later try.
            built.map_err(|error| Error::retry("a unique index cannot be built yet").because(error))?;
        }
        if build.phase == Phase::Catchup {
            build = after(build, Done::CaughtUp);
            self.records.save_build(&build).await?;
        }
        let epoch = build.owner_epoch;
        while build.phase == Phase::Publish {
            if let Command::Rename { from, to } = next(&build, epoch) {
                build = builds::rename(self, build, ownership, &from, &to).await?;
                failpoint::hit("publish.renamed").await;
            } else {
                build = after(build, Done::Renamed);
                self.records.save_build(&build).await?;
                tracing::info!(collection = %build.collection, phase = build.phase.name(), "phase");
            }
        }
        Ok(build)
    }

    fn indexes_of(&self, projection: usize, unique: bool) -> Vec<IndexPlan> {
        let indexes = &self.plan.projections[projection].indexes;
        indexes.iter().filter(|index| index.unique == unique).cloned().collect()
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
