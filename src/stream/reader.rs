//! Reads the streams of a job's tables and queues what matters.
//!
//! Owns: the order of looking and reading, parking what is no entry, asking for what is missing, moving bookmarks, and
//! saying that capture is silent. Does not own: whether something is missing (`logic::following`), what an entry says
//! (`logic::envelope`), Redis (`edge::redis`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::entries::{Read, Sink};
use super::streams::{Streams, member_id};
use super::{Context, Followed, Stored, queue};
use crate::config::Capture;
use crate::error::{Error, Kind, Result};
use crate::logic::backoff;
use crate::logic::envelope::decode::Producer;
use crate::logic::following::{Tracker, Verdict};
use crate::model::change::{LogEvent, Passed};
use crate::model::position::GtidSet;
use crate::model::schema::TableName;
use crate::model::stream::{Member, Meta, StreamCheckpoint};
use crate::ops::failpoint;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, Look, RecordStore, Source, StreamStore};

/// How often the streams are looked at: how late `applied` may be, not how late documents are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same while nothing arrives.
const LOOK_EVERY_IDLE: Duration = Duration::from_millis(500);
/// How often it is looked whether capture brings what is missing.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// After so long without a sign of life capture is reported as silent, and again each time it has passed.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Entries in one answer, per stream.
const ENTRIES_PER_READ: usize = 1_000;
/// Failures in a row after which the engine starts its session again.
const FAILURES_MAX: u32 = 10;

/// Reads on for all followed builds of a job.
pub(super) struct Reader<S, D, R, C, T> {
    context: Arc<Context<S, D, R, C>>,
    streams: Arc<Streams<T>>,
    keys: Vec<String>,
    members: BTreeMap<usize, (String, Member)>,
    tracker: Tracker,
    sink: Sink<S, D, R, C>,
    /// What was said last to have been delivered.
    said: Option<(GtidSet, StreamCheckpoint)>,
    /// Whether no look was taken yet.
    is_new: bool,
    /// When the last complaint was made, by the monotonic clock.
    complained_at_ms: u64,
    /// When something arrived last, by the monotonic clock.
    heard_at_ms: u64,
}

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore> Reader<S, D, R, C, T> {
    pub(super) fn new(
        context: Arc<Context<S, D, R, C>>,
        streams: Arc<Streams<T>>,
        followed: &[Option<Followed>],
    ) -> Self {
        let mut keys = streams.keys(&context.plan);
        let producer = match streams.capture {
            Capture::Rowfold => Producer::Rowfold,
            Capture::Debezium => {
                // Where a Debezium Server tells of definitions that changed.
                keys.push(streams.prefix.clone());
                Producer::Debezium
            }
        };
        let present = followed.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?)));
        let members = present
            .map(|(at, one)| (at, (member_id(&streams.database, &one.build), streams.member(&context.plan, at))))
            .collect();
        let covered = GtidSet::common(followed.iter().flatten().map(|one| &one.checkpoint.applied));
        let tables: BTreeSet<TableName> = context.plan.tables.iter().map(|table| table.name.clone()).collect();
        let tracker = Tracker::new(keys.clone(), tables, covered, lowest(followed).as_ref());
        let sink = Sink::new(context.clone(), producer, followed);
        let now_ms = context.clock.monotonic_ms();
        let (said, is_new) = (None, true);
        Self {
            context,
            streams,
            keys,
            members,
            tracker,
            sink,
            said,
            is_new,
            complained_at_ms: now_ms,
            heard_at_ms: now_ms,
        }
    }

    /// Reads until it is asked to stop or cannot go on. `stored` says how far the checkpoints are.
    pub(super) async fn run(
        mut self,
        queue: queue::Sender,
        mut stored: watch::Receiver<Stored>,
        stop: Shutdown,
    ) -> Result<()> {
        let mut failures = 0;
        loop {
            let before = self.tracker.covered().count();
            let error = tokio::select! {
                biased;
                () = stop.requested() => break,
                ended = self.follow(&queue, &mut stored) => match ended {
                    Ok(()) => break,
                    Err(error) => error,
                },
            };
            failures = if self.tracker.covered().count() > before { 1 } else { failures + 1 };
            if error.kind() != Kind::Retry || failures >= FAILURES_MAX {
                return Err(error);
            }
            let wait = backoff::delay(failures, self.context.clock.monotonic_ms());
            tracing::warn!(failures, wait_ms = wait.as_millis() as u64, error = %error.chain(), "reading the streams broke off, will be tried again");
            tokio::select! {
                () = self.context.clock.sleep(wait) => {}
                () = stop.requested() => break,
            }
        }
        // The last word: without it, others would keep for us what is applied already.
        self.move_bookmarks(&mut stored).await
    }

    /// Looks and reads in turn. Ends without error when nobody listens any more.
    async fn follow(&mut self, queue: &queue::Sender, stored: &mut watch::Receiver<Stored>) -> Result<()> {
        let mut idle = false;
        loop {
            if stored.has_changed().unwrap_or(false) {
                self.move_bookmarks(stored).await?;
            }
            let (look, foreign) = self.streams.look(&self.keys).await?;
            failpoint::hit("reader.looked").await;
            if self.is_new {
                // A refusal is of an earlier session: whoever started this one may have removed its reason.
                self.forgive(look.meta.as_ref()).await?;
                self.is_new = false;
            } else {
                self.refuse(look.meta.as_ref())?;
            }
            self.register(look.meta.as_ref()).await?;
            let verdict = match foreign {
                None => self.tracker.look(look.meta.as_ref(), &look.streams),
                Some(captured) => self.tracker.look_foreign(captured, &look.streams),
            };
            match verdict {
                Verdict::Follow => {}
                Verdict::Rebased => tracing::info!("capture brings the missing changes"),
                Verdict::Lost(reason) => {
                    self.ask(&reason, look.meta.as_ref()).await?;
                    continue;
                }
                Verdict::Wait => {
                    self.wait(look.meta.as_ref(), look.now_ms).await?;
                    continue;
                }
            }
            self.listen(&look);
            if let Read::Closed = self.read_up(queue, &mut idle).await? {
                return Ok(());
            }
        }
    }

    /// Reads up to the last look, says so, and goes on reading until it is time for the next.
    async fn read_up(&mut self, queue: &queue::Sender, idle: &mut bool) -> Result<Read> {
        let began_ms = self.context.clock.monotonic_ms();
        loop {
            let (behind, unread) = self.tracker.unread();
            if !behind && !self.pass(queue).await? {
                return Ok(Read::Closed);
            }
            let passed_ms = self.context.clock.monotonic_ms().saturating_sub(began_ms);
            let every = if *idle { LOOK_EVERY_IDLE } else { LOOK_EVERY };
            let left = every.saturating_sub(Duration::from_millis(passed_ms));
            if !behind && left.is_zero() {
                return Ok(Read::Open);
            }
            let wait = if behind { Duration::ZERO } else { left };
            let from: Vec<_> = unread.iter().map(|(at, id)| (self.keys[*at].clone(), *id)).collect();
            let found = self.streams.store.read(&from, ENTRIES_PER_READ, wait).await?;
            failpoint::hit("reader.read").await;
            if found.is_empty() {
                if behind {
                    return self.missing(&self.tracker.vanished()).await;
                }
                *idle = true;
                return Ok(Read::Open);
            }
            *idle = false;
            self.heard_at_ms = self.context.clock.monotonic_ms();
            for (asked, entries) in found {
                let at = unread[asked].0;
                for entry in &entries {
                    if let Err(reason) = self.tracker.entry(at, entry.id) {
                        return self.missing(&reason).await;
                    }
                }
                if let Read::Closed = self.sink.take(at, &self.keys[at], &entries, queue).await? {
                    return Ok(Read::Closed);
                }
            }
        }
    }

    /// Entries were found missing while reading.
    async fn missing(&mut self, reason: &str) -> Result<Read> {
        let (look, _) = self.streams.look(&self.keys).await?;
        self.tracker.lose(reason, look.meta.as_ref());
        self.ask(reason, look.meta.as_ref()).await?;
        Ok(Read::Open)
    }

    /// Says what has been delivered, if that is more than before. False if nobody listens any more.
    async fn pass(&mut self, queue: &queue::Sender) -> Result<bool> {
        let Some((captured, streams)) = self.tracker.passed() else {
            return Ok(true);
        };
        let word = (captured, streams);
        if self.said.as_ref() == Some(&word) {
            return Ok(true);
        }
        self.said = Some(word.clone());
        let (captured, streams) = word;
        let passed = Passed { captured, streams, committed_unix_ms: self.sink.committed_unix_ms() };
        Ok(queue.send(LogEvent::Passed(Box::new(passed))).await)
    }

    /// Enters our builds into the record where they are missing. Nothing is written otherwise: it works while Redis is full.
    async fn register(&self, meta: Option<&Meta>) -> Result<()> {
        if self.streams.capture == Capture::Debezium {
            return Ok(());
        }
        for (id, member) in self.members.values() {
            if meta.and_then(|meta| meta.members.get(id)) != Some(member) {
                self.streams.store.register(id, member).await?;
            }
        }
        Ok(())
    }

    async fn move_bookmarks(&self, stored: &mut watch::Receiver<Stored>) -> Result<()> {
        let passed = stored.borrow_and_update().clone();
        for (projection, (id, member)) in &self.members {
            let Some(place) = passed.get(*projection).and_then(Option::as_ref) else { continue };
            let key = |table| self.streams.key(table);
            let known = |key: String| place.positions.get(&key).map(|position| (key, *position));
            let read = member.tables.iter().map(key).filter_map(known);
            let positions: Vec<_> = read.filter(|(_, position)| position.count > 0).collect();
            self.streams.store.bookmark(id, &positions).await?;
        }
        Ok(())
    }

    async fn forgive(&self, meta: Option<&Meta>) -> Result<()> {
        for (id, member) in self.members.values() {
            if meta.is_some_and(|meta| meta.refused.contains_key(id)) {
                self.streams.store.register(id, member).await?;
            }
        }
        Ok(())
    }

    /// Capture has said that it cannot serve one of our builds.
    fn refuse(&self, meta: Option<&Meta>) -> Result<()> {
        let said = self.members.values().find_map(|(id, _)| meta?.refused.get(id));
        said.map_or(Ok(()), |reason| Err(Error::halt(reason.clone())))
    }

    /// Asks capture to append again what was not delivered.
    async fn ask(&mut self, reason: &str, meta: Option<&Meta>) -> Result<()> {
        let prefix = &self.streams.prefix;
        if self.streams.capture == Capture::Debezium {
            return Err(Error::halt(format!(
                "E-STREAM-LOST: the streams of {prefix} are not whole: {reason}; what a Debezium Server wrote cannot be had \
                 again: run with --start-over, and keep entries until rowfold has passed them (its consumer groups show \
                 how far it is)"
            )));
        }
        tracing::warn!(
            prefix,
            reason,
            "entries of the streams are missing; capture is asked to append all changes after the applied ones again"
        );
        self.said = None;
        self.request(meta).await
    }

    /// Asks, unless the same was asked already.
    async fn request(&self, meta: Option<&Meta>) -> Result<()> {
        let Some((id, _)) = self.members.values().next() else { return Ok(()) };
        if meta.and_then(|meta| meta.requests.get(id)) == Some(self.tracker.covered()) {
            return Ok(());
        }
        self.streams.store.request(id, self.tracker.covered()).await
    }

    /// Waits for capture; asks again if the request was lost too.
    async fn wait(&mut self, meta: Option<&Meta>, now_ms: u64) -> Result<()> {
        self.request(meta).await?;
        let at_ms = self.context.clock.monotonic_ms();
        if at_ms.saturating_sub(self.complained_at_ms) >= SILENCE_MAX.as_millis() as u64 {
            self.complained_at_ms = at_ms;
            let held = meta.is_some_and(|meta| meta.until_ms > now_ms);
            let who = meta.filter(|_| held).map_or("nobody", |meta| meta.owner.as_str());
            tracing::warn!(prefix = %self.streams.prefix, captures = who, "waiting for capture to bring missing changes; start `rowfold run` or `rowfold capture` if nobody captures");
        }
        self.context.clock.sleep(ASK_EVERY).await;
        Ok(())
    }

    /// Tells idle from dead.
    fn listen(&mut self, look: &Look) {
        let at_ms = self.context.clock.monotonic_ms();
        let (silent_ms, max) = match &look.meta {
            Some(meta) => (look.now_ms.saturating_sub(meta.beat_ms), Some(SILENCE_MAX)),
            None => (at_ms.saturating_sub(self.heard_at_ms), self.streams.silence_max),
        };
        let Some(max_ms) = max.map(|max| max.as_millis() as u64) else { return };
        if silent_ms > max_ms && at_ms.saturating_sub(self.complained_at_ms) > max_ms {
            self.complained_at_ms = at_ms;
            let owner = look.meta.as_ref().map_or("a Debezium Server", |meta| meta.owner.as_str());
            tracing::warn!(prefix = %self.streams.prefix, owner, silent_s = silent_ms / 1000, "capture is silent: no change arrives any more; documents fall behind the source");
        }
    }
}

/// The lowest place of several builds in the streams: what one of them has read already, it reads again. `None` if one of
/// them has no place, or they are of different lives of the streams.
fn lowest(followed: &[Option<Followed>]) -> Option<StreamCheckpoint> {
    let mut places = followed.iter().flatten().map(|one| one.checkpoint.streams.as_ref());
    let mut lowest = places.next()??.clone();
    for place in places {
        let place = place?;
        if place.generation != lowest.generation {
            return None;
        }
        lowest.epoch = lowest.epoch.min(place.epoch);
        for (stream, position) in &place.positions {
            let known = lowest.positions.entry(stream.clone()).or_insert(*position);
            if position.id < known.id {
                *known = *position;
            }
        }
    }
    Some(lowest)
}
