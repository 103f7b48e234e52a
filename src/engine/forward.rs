//! One build, from one phase to the next.
//!
//! Owns: doing what each phase asks, storing the next phase before it is acted on, and publishing. Does not own: which
//! phase follows which (`logic::lifecycle`), following changes (`stream`).

use std::sync::Arc;

use super::{Engine, builds, streaming};
use crate::backfill;
use crate::error::{Error, Result};
use crate::logic::lifecycle::{Command, Done, after, next};
use crate::model::build::{BuildRecord, Phase};
use crate::model::plan::IndexPlan;
use crate::model::position::GtidSet;
use crate::ops::failpoint;
use crate::ops::ownership::Ownership;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source, StreamStore};
use crate::reading::Lookups;

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore> Engine<S, D, R, C, T> {
    /// Takes a build through its phases up to the first in which it is followed. `None` if asked to stop on the way.
    pub(super) async fn bring_forward(
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
                    let state = match &self.streams {
                        None => self.source.state().await?,
                        Some(streams) => match streaming::join(self, streams, projection, &build, shutdown).await? {
                            Some(state) => state,
                            None => return Ok(None),
                        },
                    };
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
                        Done::Copied { caught_up_at: self.to_reach().await? }
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
            if build.phase == Phase::Copy && self.streams.is_some() {
                // From now on its marks have to be kept.
                return Ok(Some(build));
            }
        }
    }

    /// What a build has to contain before its collection gets its name, as of now.
    pub(super) async fn to_reach(&self) -> Result<GtidSet> {
        match &self.streams {
            Some(streams) => streaming::to_reach(self, streams).await,
            None => Ok(self.source.state().await?.executed),
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

    /// Gives a caught-up build its name. Nothing is being written meanwhile.
    pub(super) async fn publish(
        &self,
        projection: usize,
        mut build: BuildRecord,
        ownership: &Ownership,
    ) -> Result<BuildRecord> {
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
}
