//! One owner per job.
//!
//! Owns: taking the lease (and waiting out the last owner's writes), renewing it, and leaving word of our state. Does
//! not own: the clock that decides: that is the target server's.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::error::{Error, Kind, Result};
use crate::model::build::{EngineStatus, LeaseReply};
use crate::ops::ownership::Ownership;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Clock, DocumentStore, RecordStore, Source, StreamStore};

/// How often our state is told.
const STATUS_EVERY: Duration = Duration::from_millis(500);
/// A lease that is held is asked for again this often.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Takes the job's lease. A dead owner's lease runs out by itself; one that is renewed while we wait belongs to a living
/// one. `None` if asked to stop.
pub(super) async fn acquire<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    shutdown: &Shutdown,
) -> Result<Option<Arc<Ownership>>> {
    let target = &engine.settings.target;
    // Longer than any dead owner's lease can last; then the holder must be alive.
    let patience_ms = (target.lease + target.write_deadline).as_millis() as u64 * 3 / 2 + 1000;
    let began_ms = engine.clock.monotonic_ms();
    let mut told = false;
    let (lease, wait_ms, asked_at_ms) = loop {
        let asked_at_ms = engine.clock.monotonic_ms();
        let reply =
            engine.records.acquire_lease(&engine.plan.name, &engine.owner, target.lease, target.write_deadline).await?;
        match reply {
            LeaseReply::Taken { lease, wait_ms } => break (lease, wait_ms, asked_at_ms),
            LeaseReply::Held { holder, remaining_ms } => {
                if engine.clock.monotonic_ms() - began_ms > patience_ms {
                    return Err(Error::config(format!(
                        "E-LEASE: job {} is being run by {holder}; stop that engine first, or give this job another name",
                        engine.plan.name
                    )));
                }
                if !told {
                    tracing::info!(%holder, remaining_ms, "another engine holds the job's lease; waiting for it to end");
                    told = true;
                }
            }
        }
        tokio::select! {
            () = engine.clock.sleep(ASK_EVERY) => {}
            () = shutdown.requested() => return Ok(None),
        }
    };
    let ownership = Arc::new(Ownership::new(lease, asked_at_ms, target.lease));
    if wait_ms > 0 {
        tracing::info!(wait_ms, "the last engine did not end in order; waiting until its writes can no longer land");
        tokio::select! {
            () = engine.clock.sleep(Duration::from_millis(wait_ms)) => {}
            // Renewals must go on while we wait.
            error = keep(engine, &ownership) => return Err(error),
            () = shutdown.requested() => return Ok(None),
        }
    }
    Ok(Some(ownership))
}

/// Renews the lease and tells our state until renewing fails for good; the returned error says why.
pub(super) async fn keep<S: Source, D: DocumentStore, R: RecordStore, C: Clock, T: StreamStore>(
    engine: &Engine<S, D, R, C, T>,
    ownership: &Ownership,
) -> Error {
    let target = &engine.settings.target;
    let renew_every_ms = (target.lease / 3).as_millis() as u64;
    let mut renewed_at_ms = engine.clock.monotonic_ms();
    loop {
        engine.clock.sleep(STATUS_EVERY.min(target.lease / 3)).await;
        let asked_at_ms = engine.clock.monotonic_ms();
        if asked_at_ms - renewed_at_ms >= renew_every_ms {
            match engine.records.renew_lease(&ownership.lease(), target.lease, target.write_deadline).await {
                Ok(lease) => {
                    ownership.renewed(lease, asked_at_ms, target.lease);
                    renewed_at_ms = asked_at_ms;
                }
                Err(error) if error.kind() == Kind::Retry => {
                    tracing::warn!(error = %error.chain(), "the lease could not be renewed, will be tried again");
                    if let Err(ended) = ownership.create_until_ms(engine.clock.monotonic_ms()) {
                        return ended.because(error);
                    }
                    continue;
                }
                Err(error) => return error,
            }
        }
        let status = EngineStatus {
            owner: engine.owner.clone(),
            chunks_planned: Progress::get(&engine.progress.chunks_planned),
            lag_ms: Progress::get(&engine.progress.lag_ms),
        };
        if let Err(error) = engine.records.save_status(&engine.plan.name, &status).await {
            tracing::debug!(error = %error.chain(), "the state could not be told");
        }
    }
}
