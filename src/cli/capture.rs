//! `rowfold capture`: the half of `run` that writes changes into Redis, as a process of its own.
//!
//! Owns: running that half alone. Does not own: capturing (`stream::publisher`), which servers fit (`connect`).

use std::path::Path;
use std::sync::Arc;

use super::connect::{self, CaptureHalf};
use super::wiring::Capture;
use super::{DONE, commands};
use crate::edge::clock::SystemClock;
use crate::error::Result;
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::stream::publisher::Standby;

/// Captures until it is stopped. Stopped before it began is no failure either: there is nothing to go on with.
pub(super) async fn run(job: &Path, shutdown: &Shutdown) -> Result<u8> {
    let CaptureHalf { stream, tables, server, streams } = tokio::select! {
        half = connect::capture_half(job) => half?,
        () = shutdown.requested() => return Ok(DONE),
    };
    let clock = Arc::new(SystemClock::default());
    let capture = Capture {
        store: Arc::new(streams),
        settings: stream,
        server: Arc::new(server),
        tables: tables.into_iter().collect(),
        owner: commands::owner(&*clock),
        clock,
        progress: Arc::new(Progress::default()),
    };
    capture.run(Standby::Refuse, shutdown).await?;
    eprintln!("rowfold: stopped in order; start it again to go on");
    Ok(DONE)
}
