//! Discharges marks: reads the marked roots in snapshots that contain their events, and replaces their documents.
//!
//! Owns: the fence (invariant I2), looking up the roots above nested rows in the source (I1), handing each root to one
//! worker only, and what a read that lacks a root means (its document is removed). Does not own: the guard and the
//! deadline of creates (`edge::mongo::writer`).
//!
//! A root key is looked for as it was spelled in the event. If MySQL returns a row under another spelling (a
//! case-insensitive key), that row's document is written and the one under the event's spelling removed: so a key
//! changed from `a` to `A` moves its document.
//!
//! Two spellings of one key may be in two hands, for only MySQL can tell that they are equal. Both then write the document
//! under the spelling that they read. Where their snapshots differ in it, the one that lags can bring back a document under a
//! spelling that is gone; but the change that the other has seen already is in no batch before the next, which removes it.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Context, Followed};
use crate::error::{Error, Kind, Result};
use crate::logic::assembly::RowSet;
use crate::logic::backoff;
use crate::logic::conversion::id_document;
use crate::logic::routing::{Entry, MarkSet};
use crate::model::build::{BuildRecord, ParkedRecord};
use crate::model::plan::ProjectionPlan;
use crate::model::position::{GtidSet, Version};
use crate::model::value::Key;
use crate::ops::failpoint;
use crate::ops::progress::Progress;
use crate::ports::{Clock, DocumentStore, RecordStore, Selection, Snapshot, Source, Write};
use crate::reading::{KEYS_PER_QUERY, Lookups, Read, read_rows};

/// How long one wait for the source to show a transaction lasts.
const FENCE_WAIT: Duration = Duration::from_secs(10);
/// Waits after which the session starts again.
const FENCE_WAITS_MAX: u32 = 30;
/// Reads of the same keys after passing failures, before the session starts again.
const READ_ATTEMPTS_MAX: u32 = 4;
/// Arrow bytes of one worker's read.
const READ_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Keys in one lookup of roots.
const LOOKUP_KEYS: usize = 500;
/// Roots for which a worker of its own is worth while.
const ROOTS_PER_WORKER_MIN: usize = 50;

/// Marked roots with the hint whether they are new.
type Roots = HashMap<Key, bool>;

/// Discharges all marks. Returns when every document is durable or parked.
pub(super) async fn apply<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    context: &Arc<Context<S, D, R, C>>,
    followed: &[Option<Followed>],
    marks: MarkSet,
    fence: &GtidSet,
) -> Result<()> {
    let fence = Arc::new(fence.clone());
    let (roots, lookups) = marks.into_parts();
    let mut waves: HashMap<usize, Roots> = roots.into_iter().collect();
    for (entry, keys) in lookups {
        let keys: Vec<Key> = keys.into_iter().collect();
        for keys in keys.chunks(LOOKUP_KEYS) {
            look_up(context, followed, entry, keys, &fence, &mut waves).await?;
        }
    }
    for (projection, wave) in waves {
        flush(context, followed, projection, wave, &fence).await?;
    }
    Ok(())
}

/// Adds the roots above some nested rows to the wave, page by page: a lookup row in a million documents must not be
/// held in memory. A page may be read in a later snapshot than the one before: a root that came under the row in
/// between has an event of its own.
async fn look_up<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    context: &Arc<Context<S, D, R, C>>,
    followed: &[Option<Followed>],
    entry: Entry,
    keys: &[Key],
    fence: &Arc<GtidSet>,
    waves: &mut HashMap<usize, Roots>,
) -> Result<()> {
    let page_roots = context.limits.batch * context.limits.workers;
    let mut after: Option<Key> = None;
    loop {
        let mut attempt = 0;
        let page = loop {
            match page_of_roots(context, followed, entry, keys, after.as_ref(), fence).await {
                Ok(page) => break page,
                Err(error) => before_retry(context, &mut attempt, error).await?,
            }
        };
        failpoint::hit("stream.resolved").await;
        let complete = page.len() < page_roots;
        after = page.last().cloned();
        let wave = waves.entry(entry.projection).or_default();
        for key in page {
            wave.entry(key).or_insert(false);
        }
        if wave.len() >= page_roots {
            let wave = std::mem::take(wave);
            flush(context, followed, entry.projection, wave, fence).await?;
        }
        if complete {
            return Ok(());
        }
    }
}

async fn page_of_roots<S: Source, D, R, C>(
    context: &Context<S, D, R, C>,
    followed: &[Option<Followed>],
    entry: Entry,
    keys: &[Key],
    after: Option<&Key>,
    fence: &GtidSet,
) -> Result<Vec<Key>> {
    let (mut snapshot, _) = fenced_snapshot(context, followed, entry.projection, fence).await?;
    let limit = context.limits.batch * context.limits.workers;
    let page = if entry.linked {
        snapshot.roots_of_linked(entry.projection, entry.node, keys, after, limit).await?
    } else {
        snapshot.roots(entry.projection, entry.node, keys, after, limit).await?
    };
    snapshot.close().await;
    Ok(page)
}

/// Reads and writes the marked roots, shared out among workers by the hash of their key: a root is in one hand.
async fn flush<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    context: &Arc<Context<S, D, R, C>>,
    followed: &[Option<Followed>],
    projection: usize,
    wave: Roots,
    fence: &Arc<GtidSet>,
) -> Result<()> {
    let Some(build) = followed[projection].as_ref().map(|followed| Arc::new(followed.build.clone())) else {
        return Ok(());
    };
    let workers = (wave.len() / ROOTS_PER_WORKER_MIN).clamp(1, context.limits.workers);
    let mut shards: Vec<Vec<(Key, bool)>> = vec![Vec::new(); workers];
    for (key, new) in wave {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        shards[(hasher.finish() % workers as u64) as usize].push((key, new));
    }
    let worker = Worker { context: context.clone(), build, projection, fence: fence.clone(), last_try: false };
    let mut tasks = JoinSet::new();
    for shard in shards.into_iter().filter(|shard| !shard.is_empty()) {
        tasks.spawn(worker.clone().run(shard));
    }
    let (mut failed, mut refused) = (None, Vec::new());
    // Every worker is waited for, also after a failure: when this returns, nothing is being written.
    while let Some(ended) = tasks.join_next().await {
        match ended.unwrap_or_else(|panic| Err(Error::halt("a worker panicked").because(panic))) {
            Ok(again) => refused.extend(again),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if !refused.is_empty() {
        // A unique value that moved from one document to another was refused while the first still had it.
        Worker { last_try: true, ..worker }.run(refused).await?;
    }
    Ok(())
}

/// A snapshot that contains every transaction of `fence`, and the version of reads in it.
async fn fenced_snapshot<S: Source, D, R, C>(
    context: &Context<S, D, R, C>,
    followed: &[Option<Followed>],
    projection: usize,
    fence: &GtidSet,
) -> Result<(S::Snapshot, Version)> {
    let build = followed[projection].as_ref().map(|followed| &followed.build);
    fenced(context, build.ok_or_else(|| Error::halt("a mark of a build that is not followed"))?, fence).await
}

async fn fenced<S: Source, D, R, C>(
    context: &Context<S, D, R, C>,
    build: &BuildRecord,
    fence: &GtidSet,
) -> Result<(S::Snapshot, Version)> {
    for _ in 0..FENCE_WAITS_MAX {
        let snapshot = context.source.snapshot().await?;
        if snapshot.server_uuid() != build.server_uuid {
            return Err(Error::retry("the source became another server"));
        }
        // I2: an event arrives before its row is visible to SELECT. Only E proves that it is inside.
        if fence.is_subset(snapshot.executed()) || failpoint::planted("no_fence") {
            let version = Version::of(build.version_epoch, snapshot.executed())
                .ok_or_else(|| Error::halt("more than 2^48 transactions: the version of a read cannot be counted"))?;
            return Ok((snapshot, version));
        }
        snapshot.close().await;
        context.source.wait_for(fence, FENCE_WAIT).await?;
    }
    Err(Error::retry("the source does not show transactions that its binlog delivered"))
}

/// Waits before a read is done again after a passing failure; any other error, or one too many, is handed back.
async fn before_retry<S, D, R, C: Clock>(context: &Context<S, D, R, C>, attempt: &mut u32, error: Error) -> Result<()> {
    if error.kind() != Kind::Retry || *attempt >= READ_ATTEMPTS_MAX {
        return Err(error);
    }
    *attempt += 1;
    tracing::warn!(attempt = *attempt, error = %error.chain(), "re-reading failed, will be tried again");
    context.clock.sleep(backoff::delay(*attempt, context.clock.monotonic_ms())).await;
    Ok(())
}

/// What a read gave.
enum Rows {
    /// All rows.
    Read(RowSet),
    /// Some row among them cannot be read, or they are too large. If one root was asked for: as which key it is there.
    Unreadable { reason: String, present: Vec<Key> },
}

/// Reads and writes the roots of one shard.
struct Worker<S, D, R, C> {
    /// What is refused now is parked; before, it is handed back to be tried again after all others.
    last_try: bool,
    context: Arc<Context<S, D, R, C>>,
    build: Arc<BuildRecord>,
    projection: usize,
    fence: Arc<GtidSet>,
}

impl<S, D, R, C> Clone for Worker<S, D, R, C> {
    fn clone(&self) -> Self {
        Self {
            last_try: self.last_try,
            context: self.context.clone(),
            build: self.build.clone(),
            projection: self.projection,
            fence: self.fence.clone(),
        }
    }
}

impl<S: Source, D: DocumentStore, R: RecordStore, C: Clock> Worker<S, D, R, C> {
    /// Returns the roots whose documents were refused, unless this is the last try.
    async fn run(self, shard: Vec<(Key, bool)>) -> Result<Vec<(Key, bool)>> {
        let mut refused = Vec::new();
        let mut slices: Vec<Vec<(Key, bool)>> =
            shard.chunks(self.context.limits.batch.clamp(1, KEYS_PER_QUERY)).map(<[(Key, bool)]>::to_vec).collect();
        while let Some(mut slice) = slices.pop() {
            let keys: Vec<Key> = slice.iter().map(|(key, _)| key.clone()).collect();
            let mut attempt = 0;
            let (read, version) = loop {
                match self.read(&keys).await {
                    Ok(read) => break read,
                    Err(error) => before_retry(&self.context, &mut attempt, error).await?,
                }
            };
            failpoint::hit("stream.read").await;
            // A slice in which one row cannot be read, or that is too large, is halved until that root is alone.
            match read {
                Rows::Read(rows) => refused.extend(self.write(slice, rows, version).await?),
                Rows::Unreadable { reason, present } => {
                    if slice.len() > 1 {
                        let half = slice.split_off(slice.len() / 2);
                        slices.extend([slice, half]);
                    } else {
                        self.unreadable(&keys[0], present, reason, version).await?;
                    }
                }
            }
        }
        Ok(refused)
    }

    /// The rows under these roots.
    async fn read(&self, keys: &[Key]) -> Result<(Rows, Version)> {
        let (mut snapshot, version) = fenced(&self.context, &self.build, &self.fence).await?;
        let plan = &self.context.plan.projections[self.projection];
        let (selection, lookups) = (Selection::Keys(keys), Lookups::default());
        let reason = match read_rows(&mut snapshot, plan, self.projection, selection, &lookups, READ_BYTES_MAX).await {
            Ok(Read::Rows(rows)) => {
                snapshot.close().await;
                return Ok((Rows::Read(rows), version));
            }
            Ok(Read::TooLarge) => format!("its rows take more than {READ_BYTES_MAX} bytes"),
            Err(error) if error.kind() == Kind::Park => error.chain(),
            Err(error) => return Err(error),
        };
        let present = match keys {
            [_] => match snapshot.present(self.projection, keys).await {
                Ok(present) => present,
                // It is the key itself that cannot be read.
                Err(error) if error.kind() == Kind::Park => keys.to_vec(),
                Err(error) => return Err(error),
            },
            _ => Vec::new(),
        };
        snapshot.close().await;
        Ok((Rows::Unreadable { reason, present }, version))
    }

    /// Parks the one root that was asked for. Its row may be there under another spelling of the key: then that is its key,
    /// and there is no document under the other.
    async fn unreadable(&self, asked: &Key, present: Vec<Key>, reason: String, version: Version) -> Result<()> {
        if !present.contains(asked) {
            self.write(vec![(asked.clone(), false)], RowSet::nothing(self.plan()), version).await?;
        }
        let failed: Vec<(Key, String)> = present.into_iter().map(|key| (key, reason.clone())).collect();
        if failed.is_empty() { Ok(()) } else { self.park(failed, version).await }
    }

    fn plan(&self) -> &ProjectionPlan {
        &self.context.plan.projections[self.projection]
    }

    async fn write(&self, asked: Vec<(Key, bool)>, rows: RowSet, version: Version) -> Result<Vec<(Key, bool)>> {
        let context = &self.context;
        let assembled =
            context.pool.assemble(context.plan.clone(), self.projection, rows, version, self.build.number).await?;
        Progress::add(&context.progress.zero_dates, assembled.zero_dates);
        let new: HashSet<&Key> = asked.iter().filter(|(_, new)| *new).map(|(key, _)| key).collect();
        let parked: HashSet<&Key> = assembled.parked.iter().map(|(key, _)| key).collect();
        let mut present: HashSet<Key> = HashSet::with_capacity(assembled.documents.len());
        let mut writes = Vec::with_capacity(asked.len());
        let mut keys = Vec::with_capacity(asked.len());
        for document in assembled.documents {
            let likely_new = new.contains(&document.key);
            present.insert(document.key.clone());
            keys.push(document.key.clone());
            writes.push(Write::Put { document, likely_new });
        }
        let plan = self.plan();
        for (key, _) in &asked {
            if !present.contains(key) && !parked.contains(key) {
                writes.push(Write::Delete { id: id_document(plan, key) });
                keys.push(key.clone());
            }
        }
        let create_until_ms = context.ownership.create_until_ms(context.clock.monotonic_ms())?;
        let report = context.documents.write(&self.build.stored_in, version, create_until_ms, &writes).await?;
        Progress::add(&context.progress.reread, writes.len() as u64);
        let refused: HashSet<usize> = report.refused.iter().map(|(at, _)| *at).collect();
        let mut failed = assembled.parked;
        let mut again = Vec::new();
        for (at, reason) in report.refused {
            if self.last_try {
                failed.push((keys[at].clone(), reason));
            } else {
                again.push((keys[at].clone(), false));
            }
        }
        if Progress::get(&context.progress.parked) > 0 {
            let written: Vec<Key> =
                keys.iter().enumerate().filter(|(at, _)| !refused.contains(at)).map(|(_, key)| key.clone()).collect();
            context.records.unpark(&self.build, &written).await?;
        }
        if !failed.is_empty() {
            self.park(failed, version).await?;
        }
        Ok(again)
    }

    /// The old documents stay; the reasons are durable before the position is passed.
    async fn park(&self, failed: Vec<(Key, String)>, version: Version) -> Result<()> {
        tracing::warn!(documents = failed.len(), reason = %failed[0].1, "documents parked");
        Progress::add(&self.context.progress.parked, failed.len() as u64);
        let parked: Vec<ParkedRecord> =
            failed.into_iter().map(|(key, reason)| ParkedRecord { key, entry: None, reason, version }).collect();
        self.context.records.park(&self.build, &parked).await
    }
}
