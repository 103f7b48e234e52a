//! Room in Redis: waiting for it, and making it.
//!
//! Owns: when to measure, and what goes on while nothing can be appended: trimming, looks, signs of life. Does not own: the
//! bounds (`logic::capturing::shortage`). The binlog is the buffer meanwhile.

use std::time::Duration;

use super::session::Session;
use super::{Ended, Publisher};
use crate::error::Result;
use crate::logic::capturing::{Bookmarks, Filled, Shortage, held_by, shortage};
use crate::model::stream::stream_key;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{CaptureSource, Clock, StreamStore};

/// The streams are measured this often, if something is appended.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// They are measured again after this part of the bound was appended.
const MEASURE_PARTS: u64 = 16;
/// While waiting, what everybody has read is trimmed, and the streams are measured, this often.
const WAIT_EVERY: Duration = Duration::from_millis(200);
/// While there is no room, the reason is told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What is known of the room.
#[derive(Default)]
pub(super) struct Room {
    filled: Filled,
    /// `None` before the first time.
    measured_at_ms: Option<u64>,
    /// When a shortage was last told.
    told_at_ms: Option<u64>,
    /// When the streams were last trimmed, who had read how much.
    bookmarks: Vec<Bookmarks>,
}

impl Room {
    /// Notes what was appended.
    pub(super) fn appended(&mut self, bytes: u64) {
        self.filled.appended_bytes = self.filled.appended_bytes.saturating_add(bytes);
    }
}

impl<T: StreamStore, S: CaptureSource, C: Clock> Session<'_, T, S, C> {
    /// Waits until there is room for so many bytes; if Redis said that it is `full`, at least a little. Returns how the
    /// session ends, if it does so first.
    pub(super) async fn make_room(&mut self, bytes: u64, full: bool, stop: &Shutdown) -> Result<Option<Ended>> {
        self.measure_if_due().await?;
        let mut short = self.shortage(bytes, false);
        if short.is_none() && !full {
            return Ok(None);
        }
        loop {
            self.trim().await?;
            self.tell_if_due(short);
            if !self.owner.pause(WAIT_EVERY, stop).await {
                return Ok(Some(Ended::Stopped));
            }
            if self.look_if_due().await? {
                return Ok(Some(Ended::Renew));
            }
            self.beat_if_due().await?;
            self.measure().await?;
            short = self.shortage(bytes, true);
            if short.is_none() {
                return Ok(None);
            }
        }
    }

    fn shortage(&self, bytes: u64, waiting: bool) -> Option<Shortage> {
        let mut filled = self.room.filled;
        // An entry larger than the bound goes through all the same, when there is little else.
        let counted = self.owner.max_bytes.map_or(bytes, |max| bytes.min(max / MEASURE_PARTS));
        filled.appended_bytes = filled.appended_bytes.saturating_add(counted);
        shortage(filled, self.owner.max_bytes, waiting)
    }

    fn tell_if_due(&mut self, short: Option<Shortage>) {
        if self.room.told_at_ms.is_some_and(|at_ms| self.since(at_ms) < TELL_EVERY) {
            return;
        }
        self.room.told_at_ms = Some(self.owner.clock.monotonic_ms());
        let filled = self.room.filled;
        let used = Shortage { what: "server", bytes: filled.server_bytes, bytes_max: filled.server_bytes_max };
        let Shortage { what, bytes, bytes_max } = short.unwrap_or(used);
        tracing::warn!(
            what,
            bytes,
            bytes_max,
            stream_bytes = filled.stream_bytes,
            held_by = %held_by(&self.room.bookmarks),
            place = %self.owner.streams.place(),
            "no room in Redis; capture waits, the binlog is the buffer"
        );
    }

    async fn measure_if_due(&mut self) -> Result<()> {
        let much = self.owner.max_bytes.is_some_and(|max| self.room.filled.appended_bytes > max / MEASURE_PARTS);
        if much || self.room.measured_at_ms.is_none_or(|at_ms| self.since(at_ms) >= MEASURE_EVERY) {
            self.measure().await?;
        }
        Ok(())
    }

    async fn measure(&mut self) -> Result<()> {
        let keys: Vec<String> = self.tables.iter().map(|table| stream_key(&self.owner.prefix, &table.name)).collect();
        let usage = self.owner.streams.usage(&keys).await?;
        self.room.measured_at_ms = Some(self.owner.clock.monotonic_ms());
        self.room.filled = Filled {
            stream_bytes: usage.stream_bytes,
            appended_bytes: 0,
            server_bytes: usage.used_bytes,
            server_bytes_max: usage.max_bytes,
        };
        Progress::set(&self.owner.progress.queued_bytes, usage.stream_bytes);
        Ok(())
    }

    /// Trims, and notes who has read how much.
    pub(super) async fn trim(&mut self) -> Result<()> {
        self.trimmed_at_ms = self.owner.clock.monotonic_ms();
        let owner: &Publisher<T, S, C> = self.owner;
        self.room.bookmarks = owner.trim(&self.members, &self.streams()).await?;
        Ok(())
    }
}
