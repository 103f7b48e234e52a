//! `snapshot`, `run`, `apply` and `check`.
//!
//! Owns: building the engine from connected servers, and printing what came of it. Does not own: the engine.

use std::path::Path;
use std::sync::Arc;

use super::connect::{self, Role};
use super::{DONE, INTERRUPTED, RunArgs, report, wiring};
use crate::assembling::Pool;
use crate::config::Capture;
use crate::edge::clock::SystemClock;
use crate::engine::{Engine, Mode, Outcome, Summary};
use crate::error::{Error, Result};
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::Clock;

/// Which halves of the stream path run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halves {
    /// Capture (unless another process has the prefix), and applying.
    Both,
    /// Applying alone.
    Apply,
}

/// Runs a job.
pub(super) async fn work(args: &RunArgs, mode: Mode, halves: Halves, shutdown: &Shutdown) -> Result<u8> {
    let start_over = args.start_over;
    let role = if halves == Halves::Apply { Role::Applier } else { Role::Engine };
    let connected = tokio::select! {
        connected = connect::connect(&args.job, role) => connected?,
        () = shutdown.requested() => return Ok(INTERRUPTED),
    };
    if halves == Halves::Apply && connected.streams.is_none() {
        return Err(Error::config(
            "E-STREAM: the job has no `stream` section, so there is nothing to apply from; add one, or use `rowfold run`",
        ));
    }
    let clock = Arc::new(SystemClock::default());
    let progress = Arc::new(Progress::default());
    let target = Arc::new(connected.target);
    let owner = owner(&*clock);
    let through = connected.settings.stream.as_ref().zip(connected.streams).map(|(of, store)| {
        let store = Arc::new(store);
        let capture = wiring::Capture {
            store: store.clone(),
            settings: of.clone(),
            server: Arc::new(connected.source.server().clone()),
            tables: connected.plan.tables.iter().map(|table| table.name.clone()).collect(),
            clock: clock.clone(),
            owner: owner.clone(),
            progress: progress.clone(),
        };
        let captures = of.capture == Capture::Rowfold && halves == Halves::Both;
        let capturing = captures.then(|| capture.beside_applying());
        (wiring::streams(store, &connected.settings, of), capturing)
    });
    let (streams, capturing) = through.map_or((None, None), |(streams, capturing)| (Some(streams), capturing));
    let engine = Engine {
        plan: connected.plan,
        settings: Arc::new(connected.settings),
        source: Arc::new(connected.source),
        documents: target.clone(),
        records: target,
        clock: clock.clone(),
        pool: Pool::new()?,
        progress: progress.clone(),
        owner,
        streams,
        capturing,
    };
    let began_ms = clock.monotonic_ms();
    let shown = tokio::spawn(report::show(progress.clone()));
    let outcome = engine.run(mode, start_over, shutdown).await;
    shown.abort();
    let seconds = (clock.monotonic_ms() - began_ms) as f64 / 1000.0;
    match outcome? {
        Outcome::Done(summaries) => {
            for summary in &summaries {
                super::show(format_args!("{}", summary_text(summary, seconds)));
            }
            warn_of_zero_dates(&progress);
            Ok(DONE)
        }
        Outcome::Interrupted { live } => {
            warn_of_zero_dates(&progress);
            eprintln!("rowfold: stopped in order; start it again to go on");
            Ok(if live { DONE } else { INTERRUPTED })
        }
    }
}

fn warn_of_zero_dates(progress: &Progress) {
    let zero_dates = Progress::get(&progress.zero_dates);
    if zero_dates > 0 {
        eprintln!("rowfold: {zero_dates} zero or impossible dates became null");
    }
}

fn summary_text(summary: &Summary, seconds: f64) -> String {
    let mut text = format!(
        "{}: {} documents from {} rows in {seconds:.1} s\n",
        summary.collection, summary.documents, summary.rows
    );
    if summary.parked > 0 {
        text += &format!("  {} documents could not be written: see `_rowfold.parked`\n", summary.parked);
    }
    text + &format!("  true for the transactions {}\n", summary.applied)
}

/// Host, process and a word that another process does not have.
pub(super) fn owner(clock: &impl Clock) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown host".into());
    format!("{} process {} since {}", host.trim(), std::process::id(), clock.unix_ms())
}

/// Checks a job against the live servers and says what it would do.
pub(super) async fn check(job: &Path) -> Result<u8> {
    let connected = connect::connect(job, Role::Engine).await?;
    let plan = &connected.plan;
    super::show(format_args!("job {}: ready\n", plan.name));
    if let Some(stream) = &connected.settings.stream {
        let by = super::streams::word(stream.capture);
        super::show(format_args!(
            "  changes pass through Redis at {}, streams {}.<database>.<table>, written by {by}\n",
            stream.place(),
            stream.prefix
        ));
    }
    for (at, projection) in plan.projections.iter().enumerate() {
        use crate::ports::Source;
        let (roots, bytes) = connected.source.size_estimate(at).await?;
        let rows = crate::logic::chunks::rows_per_chunk(connected.settings.backfill.chunk_bytes, bytes);
        super::show(format_args!(
            "  {}: about {roots} documents from {} tables, {bytes} source bytes each, {} chunks of {rows} rows\n",
            projection.collection,
            projection.nodes.len(),
            roots.div_ceil(rows).max(1),
        ));
    }
    Ok(DONE)
}
