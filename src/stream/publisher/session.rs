//! One session of capture: from the change log to the streams.
//!
//! Owns: what is gathered into one MULTI, C with it, and when to look at the record. Does not own: waiting for room and
//! trimming (`super::room`).
//!
//! A transaction is in C only with its last entry. What was gathered and not appended is in no C: the next session reads
//! it again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt;

use super::opening::Opened;
use super::room::Room;
use super::{Encoded, Ended, Publisher};
use crate::error::{Error, Result};
use crate::logic::capturing::{Numbering, Standing, standing};
use crate::model::change::{LogEvent, Origin, RowChange, Transaction, Unlogged};
use crate::model::position::{Gtid, GtidSet};
use crate::model::schema::{Table, TableName};
use crate::model::stream::{EntryId, Epoch, Member, RawEntry, stream_key};
use crate::ops::failpoint;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Append, Appended, CaptureSource, ChangeLog, Clock, StreamStore};

/// Entries in one MULTI.
const ENTRIES_MAX: usize = 2_000;
/// Bytes of entries in one MULTI, but for the last entry.
const BYTES_MAX: u64 = 4 << 20;
/// The same, as a part of what the streams may take: so that one MULTI does not go far beyond it.
const BOUND_PARTS: u64 = 16;
/// Events of the log that are taken at once, entries or not.
const EVENTS_MAX: usize = 2_000;
/// Transactions without entries move C this often.
const MOVE_EVERY: Duration = Duration::from_millis(200);
/// Without any, there is a sign of life this often. It renews the lease.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// The record is looked at this often.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What everybody has read is trimmed this often.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// What will be appended next.
#[derive(Default)]
struct Batch {
    entries: Vec<(String, RawEntry)>,
    bytes: u64,
    /// Whether C or the open transaction moved.
    moved: bool,
}

pub(super) struct Session<'a, T, S: CaptureSource, C> {
    pub(super) owner: &'a Publisher<T, S, C>,
    pub(super) generation: String,
    pub(super) epoch: u64,
    pub(super) record: Epoch,
    /// By their index in the log's changes.
    pub(super) tables: Vec<Table>,
    /// The last ID of each table's stream.
    pub(super) last: Vec<EntryId>,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) room: Room,
    log: S::Log,
    numbering: Numbering,
    batch: Batch,
    /// C and the open transaction with everything that was gathered. What the streams hold is in `record`.
    captured: GtidSet,
    open: Option<Gtid>,
    /// A definition changed: after this transaction the next session reads it.
    redefined: bool,
    /// The log's end, to be told after everything before it was appended.
    failed: Option<Error>,
    appended: bool,
    tried_at_ms: u64,
    looked_at_ms: u64,
    pub(super) trimmed_at_ms: u64,
}

impl<'a, T: StreamStore, S: CaptureSource, C: Clock> Session<'a, T, S, C> {
    /// Opens the log.
    pub(super) async fn start(owner: &'a Publisher<T, S, C>, opened: Opened) -> Result<Self> {
        let Opened { generation, epoch, record, tables, members, last } = opened;
        let log = owner.source.row_log(&record.from, &tables).await?;
        let now_ms = owner.clock.monotonic_ms();
        Ok(Self {
            owner,
            generation,
            epoch,
            captured: record.captured.clone(),
            record,
            tables,
            last,
            members,
            room: Room::default(),
            log,
            numbering: Numbering::new(epoch),
            batch: Batch::default(),
            open: None,
            redefined: false,
            failed: None,
            appended: false,
            tried_at_ms: now_ms,
            looked_at_ms: now_ms,
            trimmed_at_ms: now_ms,
        })
    }

    /// Whether anything was appended.
    pub(super) fn has_appended(&self) -> bool {
        self.appended
    }

    /// Runs until another session has to begin, or it is asked to stop.
    pub(super) async fn run(&mut self, stop: &Shutdown) -> Result<Ended> {
        loop {
            let wait = self.idle_for();
            let event = tokio::select! {
                biased;
                () = stop.requested() => return self.finish(Ended::Stopped).await,
                event = self.log.next() => Some(event),
                () = self.owner.clock.sleep(wait) => None,
            };
            if let Some(event) = event
                && let Some(ended) = self.gather(event, stop).await?
            {
                return Ok(ended);
            }
            let tried = self.since(self.tried_at_ms);
            let due = tried >= if self.batch.moved { MOVE_EVERY } else { BEAT_EVERY };
            if (due || !self.batch.entries.is_empty())
                && let Some(ended) = self.append(stop).await?
            {
                return Ok(ended);
            }
            if let Some(error) = self.failed.take() {
                self.finish(Ended::Renew).await?;
                return Err(error);
            }
            if self.redefined && self.open.is_none() {
                return self.finish(Ended::Renew).await;
            }
            if self.look_if_due().await? {
                return self.finish(Ended::Renew).await;
            }
            if self.since(self.trimmed_at_ms) >= TRIM_EVERY {
                self.trim().await?;
            }
        }
    }

    /// How long nothing has to be done if the log is silent.
    fn idle_for(&self) -> Duration {
        let left = |every: Duration, at_ms: u64| every.saturating_sub(self.since(at_ms));
        let append = if self.batch.moved { MOVE_EVERY } else { BEAT_EVERY };
        left(append, self.tried_at_ms)
            .min(left(LOOK_EVERY, self.looked_at_ms))
            .min(left(TRIM_EVERY, self.trimmed_at_ms))
            .max(Duration::from_millis(1))
    }

    pub(super) fn since(&self, at_ms: u64) -> Duration {
        Duration::from_millis(self.owner.clock.monotonic_ms().saturating_sub(at_ms))
    }

    /// Takes an event and those that are there without waiting, up to what one MULTI may hold.
    async fn gather(&mut self, first: Result<LogEvent>, stop: &Shutdown) -> Result<Option<Ended>> {
        let mut next = Some(first);
        for _ in 0..EVENTS_MAX {
            match next.take().or_else(|| self.log.next().now_or_never()) {
                Some(Ok(event)) => {
                    if let Some(ended) = self.take(event, stop).await? {
                        return Ok(Some(ended));
                    }
                }
                Some(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                None => break,
            }
            // What follows a new definition is read with it.
            if self.is_full() || (self.redefined && self.open.is_none()) {
                break;
            }
        }
        failpoint::hit("capture.read").await;
        Ok(None)
    }

    fn is_full(&self) -> bool {
        let bytes_max = self.owner.max_bytes.map_or(BYTES_MAX, |max| BYTES_MAX.min(max / BOUND_PARTS));
        self.batch.entries.len() >= ENTRIES_MAX || self.batch.bytes >= bytes_max
    }

    async fn take(&mut self, event: LogEvent, stop: &Shutdown) -> Result<Option<Ended>> {
        match event {
            LogEvent::Part { gtid, changes, origin } => return self.changes(&gtid, &origin, &changes, stop).await,
            LogEvent::Commit(transaction) => {
                let Transaction { gtid, also, changes, origin, .. } = transaction;
                if let Some(ended) = self.changes(&gtid, &origin, &changes, stop).await? {
                    return Ok(Some(ended));
                }
                self.open = None;
                self.captured.insert(&gtid);
                self.captured.extend(&also);
                self.batch.moved = true;
            }
            LogEvent::Unlogged { gtid, table, what, origin, spot } => {
                let Some(at) = self.tables.iter().position(|known| known.name == table) else { return Ok(None) };
                let encoder = self.owner.encoder.unlogged;
                let now_ms = self.owner.clock.unix_ms();
                let encoded = encoder(&self.owner.prefix, &table, &gtid, &origin, spot, what, now_ms);
                self.open = Some(gtid);
                self.entries(at, &origin, spot.pos, vec![encoded])?;
                self.redefined |= matches!(what, Unlogged::Definition | Unlogged::UsedColumns);
            }
            LogEvent::Passed(_) | LogEvent::Heartbeat => {}
        }
        Ok(None)
    }

    /// Gathers changes of a transaction. Until its last part it is open.
    async fn changes(
        &mut self,
        gtid: &Gtid,
        origin: &Origin,
        changes: &[RowChange],
        stop: &Shutdown,
    ) -> Result<Option<Ended>> {
        for change in changes {
            if self.is_full()
                && let Some(ended) = self.append(stop).await?
            {
                return Ok(Some(ended));
            }
            let table =
                self.tables.get(change.table).ok_or_else(|| Error::halt("a change of a table that is not captured"))?;
            let encoder = self.owner.encoder.change;
            let encoded = encoder(&self.owner.prefix, table, gtid, origin, change, self.owner.clock.unix_ms());
            self.open = Some(gtid.clone());
            self.entries(change.table, origin, change.spot.pos, encoded)?;
        }
        Ok(None)
    }

    fn entries(&mut self, table: usize, origin: &Origin, pos: u64, encoded: Encoded) -> Result<()> {
        let stream = stream_key(&self.owner.prefix, &self.tables[table].name);
        for (key, value) in encoded {
            let id = self.numbering.next(&origin.file, pos)?;
            self.batch.bytes += (key.len() + value.len()) as u64;
            self.batch.moved = true;
            self.batch.entries.push((stream.clone(), RawEntry { id, fields: vec![(key, value)] }));
            self.last[table] = id;
        }
        Ok(())
    }

    /// Appends what was gathered, when there is room for it; without entries, C alone.
    async fn append(&mut self, stop: &Shutdown) -> Result<Option<Ended>> {
        let batch = std::mem::take(&mut self.batch);
        let append = self.with(batch.entries, self.captured.clone(), self.open.clone());
        let mut full = false;
        loop {
            if !append.entries.is_empty()
                && let Some(ended) = self.make_room(batch.bytes, full, stop).await?
            {
                return Ok(Some(ended));
            }
            failpoint::hit("capture.appending").await;
            if self.try_append(&append).await? {
                break;
            }
            if append.entries.is_empty() {
                // A full Redis takes no sign of life either. C moves with the next try.
                self.batch.moved = batch.moved;
                return Ok(None);
            }
            full = true;
        }
        failpoint::hit("capture.appended").await;
        if append.open.is_some() {
            failpoint::hit("capture.part").await;
        }
        self.appended |= batch.moved;
        self.room.appended(batch.bytes);
        Progress::add(&self.owner.progress.appended, append.entries.len() as u64);
        (self.record.captured, self.record.open) = (append.captured, append.open);
        Ok(None)
    }

    /// A sign of life that changes nothing else.
    pub(super) async fn beat_if_due(&mut self) -> Result<()> {
        if self.since(self.tried_at_ms) >= BEAT_EVERY {
            let beat = self.with(Vec::new(), self.record.captured.clone(), self.record.open.clone());
            self.try_append(&beat).await?;
        }
        Ok(())
    }

    fn with(&self, entries: Vec<(String, RawEntry)>, captured: GtidSet, open: Option<Gtid>) -> Append {
        let (generation, epoch, lease) = (self.generation.clone(), self.epoch, self.owner.lease);
        Append { generation, epoch, entries, captured, open, lease }
    }

    /// False if Redis is full.
    async fn try_append(&mut self, append: &Append) -> Result<bool> {
        self.tried_at_ms = self.owner.clock.monotonic_ms();
        match self.owner.streams.append(append).await? {
            Appended::Done => Ok(true),
            Appended::Full => Ok(false),
            Appended::Lost(reason) => Err(Error::retry(format!("{}: {reason}", self.owner.what()))),
            Appended::Superseded => Err(self.owner.superseded()),
            Appended::Refused(stream) => Err(self.refused(stream).await?),
        }
    }

    /// Somebody else writes to a stream: a later session, or one of whose record nothing is left; else it is no capture.
    async fn refused(&self, stream: String) -> Result<Error> {
        let look = self.owner.streams.look(std::slice::from_ref(&stream)).await?;
        let last = look.streams.first().copied().flatten().map(|at| at.id.epoch());
        let newest = look.meta.map(|meta| meta.epoch).max(last);
        if newest.is_some_and(|newest| newest > self.epoch) {
            return Ok(self.owner.superseded());
        }
        Ok(Error::halt(format!(
            "{}: stream {stream} refused an entry, because it holds one with a higher ID: something that is not rowfold \
             writes to it; stop that, or choose another stream.prefix",
            self.owner.what()
        )))
    }

    /// Looks at the record, if it is time. True if another session has to begin.
    pub(super) async fn look_if_due(&mut self) -> Result<bool> {
        if self.since(self.looked_at_ms) < LOOK_EVERY {
            return Ok(false);
        }
        self.looked_at_ms = self.owner.clock.monotonic_ms();
        let meta = self.owner.streams.look(&[]).await?.meta;
        let standing = standing(meta.as_ref(), &self.generation, self.epoch, &self.record.tables);
        if let Some(meta) = meta {
            self.members = meta.members;
        }
        match standing {
            Standing::Current => Ok(false),
            Standing::Outgrown => Ok(true),
            Standing::Superseded => Err(self.owner.superseded()),
            Standing::Lost => Err(self.owner.lost()),
        }
    }

    /// Moves C over what was gathered without entries; entries were appended as they came.
    async fn finish(&mut self, ended: Ended) -> Result<Ended> {
        if self.batch.moved && self.batch.entries.is_empty() {
            let append = self.with(Vec::new(), self.captured.clone(), self.open.clone());
            self.appended |= self.try_append(&append).await?;
        }
        Ok(ended)
    }

    /// The tables with the last IDs of their streams.
    pub(super) fn streams(&self) -> Vec<(&TableName, EntryId)> {
        self.tables.iter().map(|table| &table.name).zip(self.last.iter().copied()).collect()
    }
}
