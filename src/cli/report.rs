//! What a person sees while a job runs.
//!
//! Owns: log setup, the progress bar on a terminal, and otherwise a line every few seconds. Does not own: the figures
//! (`ops::progress`).
#![allow(clippy::disallowed_methods, reason = "what is shown, and how often, decides nothing")]

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::EnvFilter;

use crate::ops::progress::Progress;

/// A bar is redrawn this often.
const BAR_EVERY: Duration = Duration::from_millis(250);
/// Without a terminal, a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Sends logs to stderr. `directives` as in `RUST_LOG`; drivers stay at warnings unless named.
pub(super) fn init_logs(directives: &str, json: bool) {
    let filter = if directives.contains('=') || directives.contains(',') {
        directives.to_string()
    } else {
        format!("warn,rowfold={directives}")
    };
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("warn,rowfold=info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second initialization (in tests) keeps the first.
    let _ =
        if json { builder.json().try_init() } else { builder.with_ansi(std::io::stderr().is_terminal()).try_init() };
}

/// Shows progress until it is aborted.
pub(super) async fn show(progress: Arc<Progress>) {
    if std::io::stderr().is_terminal() { bar(&progress).await } else { lines(&progress).await }
}

async fn bar(progress: &Progress) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let copying = ProgressStyle::with_template("{spinner} {prefix} [{bar:30}] {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let following =
        ProgressStyle::with_template("{spinner} {prefix} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let mut rate = Rate::default();
    loop {
        let activity = progress.activity();
        if activity.starts_with("copy") {
            bar.set_style(copying.clone());
            bar.set_length(Progress::get(&progress.roots_estimate).max(Progress::get(&progress.documents)));
            bar.set_position(Progress::get(&progress.documents));
        } else {
            bar.set_style(following.clone());
        }
        bar.set_prefix(activity);
        bar.set_message(figures(progress, &mut rate));
        bar.tick();
        tokio::time::sleep(BAR_EVERY).await;
    }
}

async fn lines(progress: &Progress) {
    let mut rate = Rate::default();
    loop {
        tokio::time::sleep(LINE_EVERY).await;
        tracing::info!("{}: {}", progress.activity(), figures(progress, &mut rate));
    }
}

/// The figures of what is being done now, in one line.
fn figures(progress: &Progress, rate: &mut Rate) -> String {
    if progress.activity().starts_with("copy") {
        let rows = Progress::get(&progress.rows);
        format!(
            "{} of about {} documents, {rows} rows, {:.0} rows/s, chunks {}/{}",
            Progress::get(&progress.documents),
            Progress::get(&progress.roots_estimate),
            rate.of(rows),
            Progress::get(&progress.chunks_done),
            Progress::get(&progress.chunks_planned),
        )
    } else {
        let changes = Progress::get(&progress.changes);
        let parked = Progress::get(&progress.parked);
        let parked = if parked > 0 { format!(", {parked} parked") } else { String::new() };
        format!(
            "{changes} changes applied, {:.0}/s, {} documents re-read, lag {} ms{parked}",
            rate.of(changes),
            Progress::get(&progress.reread),
            Progress::get(&progress.lag_ms),
        )
    }
}

/// A rate since the last look.
#[derive(Default)]
struct Rate {
    last: Option<(Instant, u64)>,
    shown: f64,
}

impl Rate {
    fn of(&mut self, count: u64) -> f64 {
        let now = Instant::now();
        match self.last {
            Some((then, before)) if now - then >= Duration::from_secs(1) => {
                self.shown = count.saturating_sub(before) as f64 / (now - then).as_secs_f64();
                self.last = Some((now, count));
            }
            None => self.last = Some((now, count)),
            Some(_) => {}
        }
        self.shown
    }
}
