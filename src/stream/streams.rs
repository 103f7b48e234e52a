//! The streams of one prefix, as a job uses them.
//!
//! Owns: their names and those of a job's builds there, and one look whoever writes them. Does not own: reading them
//! (`reader`), what a look means (`logic::following`).

use std::sync::Arc;
use std::time::Duration;

use crate::config::Capture;
use crate::error::{Error, Result};
use crate::logic::envelope::foreign::{self, OffsetError};
use crate::model::build::BuildRecord;
use crate::model::plan::JobPlan;
use crate::model::position::GtidSet;
use crate::model::schema::TableName;
use crate::model::stream::{Member, foreign_stream_key, stream_key};
use crate::ports::{ForeignLook, Look, StreamStore};

/// The streams of one prefix, and what a job has to know of them.
#[derive(Debug)]
pub struct Streams<T> {
    /// Where they are.
    pub store: Arc<T>,
    /// Streams are `<prefix>.<database>.<table>`.
    pub prefix: String,
    /// Who writes them.
    pub capture: Capture,
    /// The hash in which a Debezium Server keeps its offsets.
    pub offsets_key: String,
    /// For how long a Debezium Server may be silent.
    pub silence_max: Option<Duration>,
    /// The target database's name, a part of [`member_id`].
    pub database: String,
}

/// The Redis key of a table's stream, whoever writes it.
pub fn key_of(capture: Capture, prefix: &str, table: &TableName) -> String {
    match capture {
        Capture::Rowfold => stream_key(prefix, table),
        Capture::Debezium => foreign_stream_key(prefix, table),
    }
}

/// A build's name in `<prefix>.__meta` and in its bookmarks: unique among jobs that have different targets.
pub fn member_id(database: &str, build: &BuildRecord) -> String {
    format!("{database}/{}", build.id())
}

impl<T: StreamStore> Streams<T> {
    /// The Redis keys of all streams of a job, in the order of its tables.
    pub fn keys(&self, plan: &JobPlan) -> Vec<String> {
        plan.tables.iter().map(|table| self.key(&table.name)).collect()
    }

    /// The Redis key of a table's stream.
    pub fn key(&self, table: &TableName) -> String {
        key_of(self.capture, &self.prefix, table)
    }

    /// What the record says of one of the job's builds.
    pub fn member(&self, plan: &JobPlan, projection: usize) -> Member {
        let reads = |table: &&TableName| plan.projections[projection].reads(table);
        let tables = plan.tables.iter().map(|table| &table.name).filter(reads).cloned().collect();
        Member { job: plan.name.clone(), tables }
    }

    /// The transactions that a Debezium Server has written whole, by its offset. Empty if it keeps that elsewhere or while
    /// its first snapshot is not complete: then what is applied is known by positions alone.
    ///
    /// # Errors
    /// `Config` if the offset cannot be used.
    pub fn offset(&self, seen: &ForeignLook) -> Result<GtidSet> {
        match foreign::offset(&self.prefix, &seen.offsets) {
            Ok(offset) if offset.snapshot_running => Ok(GtidSet::default()),
            Ok(offset) => Ok(offset.gtids),
            Err(OffsetError::Missing) => Ok(GtidSet::default()),
            Err(error) => Err(Error::config(format!("E-STREAM-OFFSET: {error}"))),
        }
    }

    /// Looks at the streams: C and how far each is filled, as a Debezium Server or our own capture tells it.
    pub(super) async fn look(&self, keys: &[String]) -> Result<(Look, Option<GtidSet>)> {
        match self.capture {
            Capture::Rowfold => Ok((self.store.look(keys).await?, None)),
            Capture::Debezium => {
                let seen = self.store.look_foreign(keys, &self.offsets_key).await?;
                let captured = self.offset(&seen)?;
                let look = Look { now_ms: seen.now_ms, meta: None, streams: seen.streams };
                Ok((look, Some(captured)))
            }
        }
    }
}
