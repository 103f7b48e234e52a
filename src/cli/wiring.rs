//! The stream path's parts, put together from connected servers.
//!
//! Owns: which settings go where. Does not own: proving that the servers fit (`connect`).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{Settings, StreamSettings};
use crate::edge::clock::SystemClock;
use crate::edge::mysql::MySqlServer;
use crate::edge::redis::RedisStreams;
use crate::engine::Capturing;
use crate::error::Result;
use crate::model::schema::TableName;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::stream::Streams;
use crate::stream::publisher::{Encoder, Publisher, Standby};

/// What capture is made of.
pub(super) struct Capture {
    pub(super) store: Arc<RedisStreams>,
    pub(super) settings: StreamSettings,
    pub(super) server: Arc<MySqlServer>,
    pub(super) tables: BTreeSet<TableName>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) owner: String,
    pub(super) progress: Arc<Progress>,
}

impl Capture {
    /// Captures until asked to stop.
    pub(super) async fn run(&self, standby: Standby, stop: &Shutdown) -> Result<()> {
        let publisher = Publisher {
            streams: self.store.clone(),
            source: self.server.clone(),
            clock: self.clock.clone(),
            encoder: Encoder::ENVELOPE,
            prefix: self.settings.prefix.clone(),
            tables: self.tables.clone(),
            max_bytes: self.settings.max_bytes,
            lease: self.settings.lease,
            owner: self.owner.clone(),
            progress: self.progress.clone(),
        };
        publisher.run(standby, stop).await
    }

    /// The half of `run` that captures: waits while another process does.
    pub(super) fn beside_applying(self) -> Capturing {
        let capture = Arc::new(self);
        Box::new(move |stop: Shutdown| {
            let capture = capture.clone();
            Box::pin(async move { capture.run(Standby::Wait, &stop).await })
        })
    }
}

/// The streams as a job reads them.
pub(super) fn streams(
    store: Arc<RedisStreams>,
    settings: &Settings,
    of: &StreamSettings,
) -> Arc<Streams<RedisStreams>> {
    Arc::new(Streams {
        store,
        prefix: of.prefix.clone(),
        capture: of.capture,
        offsets_key: of.offsets_key.clone(),
        silence_max: of.silence_max,
        database: settings.target.database.clone(),
    })
}
