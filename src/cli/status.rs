//! `rowfold status`: how far a job is, read from the records in the target, from any terminal.
//!
//! Owns: the text and the JSON form. Does not own: the records (`edge::mongo`). Works whether or not an engine runs.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::streams::{self, CaptureStatus, Seen};
use super::{DONE, FAILED, connect};
use crate::config::Loaded;
use crate::error::Result;
use crate::model::build::{BuildRecord, CheckpointRecord, Phase};
use crate::ops::shutdown::Shutdown;
use crate::ports::RecordStore;

/// An engine that has not been heard of for this long is not running.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// `--watch` shows again this often.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The JSON form. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Status {
    job: String,
    /// Host and process of the engine that runs now.
    running: Option<String>,
    projections: Vec<ProjectionStatus>,
    /// The capture half; `None` with the queue inside the program.
    capture: Option<CaptureStatus>,
}

#[derive(Debug, Serialize)]
struct ProjectionStatus {
    collection: String,
    /// `init`, `copy`, `seal`, `index`, `catchup`, `publish`, `live`, or `halted`.
    phase: &'static str,
    build: i32,
    /// Where the documents are now.
    stored_in: String,
    chunks_done: u64,
    chunks_planned: u64,
    /// Documents of the finished copy, or of its finished chunks.
    documents: u64,
    rows: u64,
    /// Row changes applied since the build began.
    events: u64,
    /// Every transaction that the documents contain.
    applied: String,
    lag_ms: u64,
    parked: u64,
    error: Option<String>,
    /// Entries of its streams that wait to be applied; `None` if that is not known.
    waiting: Option<u64>,
}

/// Shows the status once, or again and again.
pub(super) async fn run(job: &Path, json: bool, watch: bool, shutdown: &Shutdown) -> Result<u8> {
    let loaded = connect::load(job)?;
    let target = connect::target(&loaded.settings.target).await?;
    loop {
        let status = read(&loaded, &target).await?;
        if json {
            super::show(format_args!("{}\n", serde_json::to_string(&status).unwrap_or_default()));
        } else {
            if watch {
                // Clears the terminal and goes to its first line.
                super::show(format_args!("\x1b[2J\x1b[H"));
            }
            super::show(format_args!("{}", text(&status)));
        }
        if status.projections.is_empty() {
            return Ok(FAILED);
        }
        if !watch {
            return Ok(DONE);
        }
        tokio::select! {
            () = connect::pause(WATCH_EVERY) => {}
            () = shutdown.requested() => return Ok(DONE),
        }
    }
}

async fn read(loaded: &Loaded, target: &impl RecordStore) -> Result<Status> {
    let name = &loaded.settings.name;
    let (seen, capture) = connect::look(loaded).await;
    let word = target.status(name).await?;
    let running = word.filter(|(_, age)| *age < SILENT_AFTER).map(|(word, _)| word);
    let mut projections = Vec::new();
    for build in newest(target.builds(Some(name)).await?) {
        let (planned, done) = target.chunk_counts(&build).await?;
        let (mut documents, mut rows) = (build.documents, build.rows);
        if build.phase <= Phase::Copy {
            let chunks = target.chunks(&build).await?;
            documents = chunks.iter().map(|chunk| chunk.documents).sum();
            rows = chunks.iter().map(|chunk| chunk.rows).sum();
        }
        let checkpoint = target.checkpoint(&build).await?;
        let applied = checkpoint.as_ref().map_or(&build.start, |checkpoint| &checkpoint.applied);
        projections.push(ProjectionStatus {
            phase: if build.halted.is_some() { "halted" } else { build.phase.name() },
            build: build.number,
            chunks_done: done,
            chunks_planned: planned,
            documents,
            rows,
            events: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.events),
            applied: applied.to_string(),
            lag_ms: running.as_ref().map_or(0, |word| word.lag_ms),
            parked: target.parked_count(&build).await?,
            error: build.halted.clone(),
            waiting: checkpoint.as_ref().and_then(|checkpoint| waiting(&seen, checkpoint)),
            stored_in: build.stored_in,
            collection: build.collection,
        });
    }
    Ok(Status { job: name.clone(), running: running.map(|word| word.owner), projections, capture })
}

/// Entries in all streams of a build that it has not applied.
fn waiting(seen: &Seen, checkpoint: &CheckpointRecord) -> Option<u64> {
    seen.positions(checkpoint.streams.as_ref()?).iter().map(|position| position.lag).sum()
}

/// The newest build of every collection.
pub(super) fn newest(mut builds: Vec<BuildRecord>) -> Vec<BuildRecord> {
    builds.sort_by(|a, b| a.collection.cmp(&b.collection).then(b.number.cmp(&a.number)));
    builds.dedup_by(|a, b| a.collection == b.collection);
    builds
}

fn text(status: &Status) -> String {
    let mut text = format!("job {}: ", status.job);
    text += &match &status.running {
        Some(owner) => format!("run by {owner}\n"),
        None if status.projections.is_empty() => "was never started\n".to_string(),
        None => "not running\n".to_string(),
    };
    if let Some(capture) = &status.capture {
        text += &streams::text(capture);
    }
    for one in &status.projections {
        text += &format!("\n{} (build {}): {}\n", one.collection, one.build, one.phase);
        if let Some(error) = &one.error {
            text += &format!("  stopped because: {error}\n");
        }
        text += &format!("  chunks     {} of {} done\n", one.chunks_done, one.chunks_planned);
        text += &format!("  copied     {} documents from {} rows\n", one.documents, one.rows);
        if one.stored_in != one.collection {
            text += &format!("  stored in  {} until it is caught up\n", one.stored_in);
        }
        text += &format!("  applied    {} changes, up to {}\n", one.events, one.applied);
        if status.running.is_some() {
            text += &format!("  lag        {} ms\n", one.lag_ms);
        }
        if let Some(waiting) = one.waiting {
            text += &format!("  waiting    {waiting} entries in its streams\n");
        }
        if one.parked > 0 {
            text += &format!("  parked     {} documents could not be written\n", one.parked);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_form_is_an_interface() {
        let projection = ProjectionStatus {
            collection: "orders".into(),
            phase: "copy",
            build: 1,
            stored_in: "orders__b1_c1".into(),
            chunks_done: 3,
            chunks_planned: 10,
            documents: 30,
            rows: 90,
            events: 0,
            applied: String::new(),
            lag_ms: 0,
            parked: 0,
            error: None,
            waiting: Some(7),
        };
        let status = Status { job: "shop".into(), running: None, projections: vec![projection], capture: None };
        assert_eq!(
            serde_json::to_string(&status).expect("JSON"),
            r#"{"job":"shop","running":null,"projections":[{"collection":"orders","phase":"copy","build":1,"stored_in":"orders__b1_c1","chunks_done":3,"chunks_planned":10,"documents":30,"rows":90,"events":0,"applied":"","lag_ms":0,"parked":0,"error":null,"waiting":7}],"capture":null}"#
        );
        let text = text(&status);
        assert!(text.contains("orders (build 1): copy") && text.contains("3 of 10 done"), "{text}");
        assert!(text.contains("7 entries in its streams"), "{text}");
    }
}
