//! Reads the change log and queues what matters.
//!
//! Owns: opening the log again after a failure, dropping changes of unused columns. Does not own: the reaction to changes
//! that left no row events (`unlogged`), decoding (`edge::mysql::binlog`), routing (`logic::routing`).

use std::sync::Arc;

use super::{Context, queue, unlogged};
use crate::error::{Kind, Result};
use crate::logic::backoff;
use crate::logic::routing::is_relevant;
use crate::model::change::LogEvent;
use crate::model::position::GtidSet;
use crate::ops::shutdown::Shutdown;
use crate::ports::{ChangeLog, Clock, Source};

/// Failures in a row after which the engine starts its session again.
const FAILURES_MAX: u32 = 10;

/// Captures after what all followed builds have applied (by projection, as it was when following began) until it is asked to stop or cannot go on.
pub(super) async fn run<S: Source, D, R, C: Clock>(
    context: Arc<Context<S, D, R, C>>,
    applied: Vec<Option<GtidSet>>,
    queue: queue::Sender,
    stop: Shutdown,
) -> Result<()>
where
    D: Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    let mut captured = GtidSet::common(applied.iter().flatten());
    let mut failures = 0;
    loop {
        let before = captured.count();
        let ended = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            ended = capture(&context, &applied, &mut captured, &queue) => ended,
        };
        let error = match ended {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        failures = if captured.count() > before { 1 } else { failures + 1 };
        if error.kind() != Kind::Retry || failures >= FAILURES_MAX {
            return Err(error);
        }
        let wait = backoff::delay(failures, context.clock.monotonic_ms());
        tracing::warn!(failures, wait_ms = wait.as_millis() as u64, error = %error.chain(), "the change log broke off, will be opened again");
        tokio::select! {
            () = context.clock.sleep(wait) => {}
            () = stop.requested() => return Ok(()),
        }
    }
}

/// One opened log. `captured` grows with every whole transaction that was queued; parts of one that broke off come again.
async fn capture<S: Source, D, R, C: Clock>(
    context: &Context<S, D, R, C>,
    applied: &[Option<GtidSet>],
    captured: &mut GtidSet,
    queue: &queue::Sender,
) -> Result<()> {
    let mut log = context.source.log(captured).await?;
    loop {
        let mut event = log.next().await?;
        let done = match &mut event {
            LogEvent::Part { changes, .. } => {
                changes.retain(is_relevant);
                None
            }
            LogEvent::Commit(transaction) => {
                transaction.changes.retain(is_relevant);
                Some((transaction.gtid.clone(), transaction.also.clone()))
            }
            LogEvent::Unlogged { gtid, table, what, .. } => {
                if unlogged::concerns_somebody(context, applied, gtid, table) {
                    unlogged::react(context, gtid, table, *what).await?;
                }
                continue;
            }
            LogEvent::Passed(_) | LogEvent::Heartbeat => continue,
        };
        if !queue.send(event).await {
            return Ok(());
        }
        if let Some((gtid, also)) = done {
            captured.insert(&gtid);
            captured.extend(&also);
        }
    }
}
