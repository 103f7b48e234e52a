//! Gathers changes into batches of coalesced marks.
//!
//! Owns: the window, the bounds of a batch, and which transactions a batch settles. Does not own: routing
//! (`logic::routing`), applying (`stream::applier`).

use std::time::Duration;

use super::{Context, Followed, queue};
use crate::error::Result;
use crate::logic::routing::{MarkSet, Routes};
use crate::model::change::{LogEvent, Passed, RowChange};
use crate::model::position::{Gtid, GtidSet};
use crate::ops::progress::Progress;
use crate::ports::Clock;

/// Transactions in one batch, however few roots they mark.
const TRANSACTIONS_MAX: usize = 20_000;
/// Bytes of marks in one batch.
const MARK_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Changes that are applied together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What may have changed.
    pub(super) marks: MarkSet,
    /// Every transaction that has a mark here: what a read must contain to discharge them.
    pub(super) fence: GtidSet,
    /// Transactions that are complete with this batch.
    pub(super) settled: Vec<Gtid>,
    /// GTIDs that are settled with them.
    pub(super) also: GtidSet,
    /// The newest point in the streams behind which nothing is missing, with this batch.
    pub(super) passed: Option<Passed>,
    /// Row changes.
    pub(super) changes: u64,
    /// The newest commit time, milliseconds since 1970, 0 if unknown.
    pub(super) committed_unix_ms: u64,
}

/// The next batch; an empty one after `idle` without any event; `None` when capture has ended and nothing waits. What
/// was taken from the queue stays in the batch: dropping the future loses it, which is fine only when following ends.
pub(super) async fn gather<S, D, R, C: Clock>(
    queue: &mut queue::Receiver,
    context: &Context<S, D, R, C>,
    routes: &Routes,
    followed: &[Option<Followed>],
    idle: Duration,
) -> Result<Option<Batch>> {
    let mut batch = Batch::default();
    let first = tokio::select! {
        event = queue.next() => event,
        () = context.clock.sleep(idle) => return Ok(Some(batch)),
    };
    let Some(first) = first else { return Ok(None) };
    take(first, context, routes, followed, &mut batch)?;
    let marks_max = context.limits.batch * context.limits.workers;
    let window = context.clock.sleep(context.limits.window);
    tokio::pin!(window);
    while batch.marks.len() < marks_max
        && batch.marks.bytes() < MARK_BYTES_MAX
        && batch.settled.len() < TRANSACTIONS_MAX
    {
        let event = tokio::select! {
            biased;
            event = queue.next() => event,
            () = &mut window => break,
        };
        // What was gathered is applied first; the end of the queue is seen by the next call.
        let Some(event) = event else { break };
        take(event, context, routes, followed, &mut batch)?;
    }
    Progress::set(&context.progress.queued_bytes, queue.bytes());
    Ok(Some(batch))
}

fn take<S, D, R, C>(
    event: LogEvent,
    context: &Context<S, D, R, C>,
    routes: &Routes,
    followed: &[Option<Followed>],
    batch: &mut Batch,
) -> Result<()> {
    let (gtid, changes, complete) = match event {
        LogEvent::Part { gtid, changes, .. } => (gtid, changes, None),
        LogEvent::Commit(transaction) => {
            batch.committed_unix_ms = batch.committed_unix_ms.max(transaction.committed_unix_ms);
            (transaction.gtid, transaction.changes, Some(transaction.also))
        }
        LogEvent::Passed(passed) => {
            batch.committed_unix_ms = batch.committed_unix_ms.max(passed.committed_unix_ms);
            batch.passed = Some(*passed);
            return Ok(());
        }
        LogEvent::Unlogged { .. } | LogEvent::Heartbeat => return Ok(()),
    };
    mark(&gtid, &changes, context, routes, followed, batch)?;
    if let Some(also) = complete {
        batch.settled.push(gtid);
        batch.also.extend(&also);
    }
    Ok(())
}

fn mark<S, D, R, C>(
    gtid: &Gtid,
    changes: &[RowChange],
    context: &Context<S, D, R, C>,
    routes: &Routes,
    followed: &[Option<Followed>],
    batch: &mut Batch,
) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    // A build that has this transaction already (another one of the job lags behind) needs no marks of it.
    let wanted: Vec<bool> = followed
        .iter()
        .map(|followed| followed.as_ref().is_some_and(|followed| !followed.checkpoint.applied.contains(gtid)))
        .collect();
    for change in changes {
        routes.marks(&context.plan, change, &wanted, &mut batch.marks)?;
    }
    batch.changes += changes.len() as u64;
    batch.fence.insert(gtid);
    Ok(())
}
