//! `rowfold position show`: what each collection contains, and how far it is in each stream.
//!
//! Owns: the text and the JSON form. Does not own: the records, Redis.

use std::path::Path;

use serde::Serialize;

use crate::cli::streams::{self, CaptureStatus, StreamPosition};
use crate::cli::{DONE, FAILED, connect, status};
use crate::error::Result;
use crate::ports::RecordStore;

/// The JSON form. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Positions {
    job: String,
    /// `None` with the queue inside the program.
    capture: Option<CaptureStatus>,
    projections: Vec<ProjectionPosition>,
}

#[derive(Debug, Serialize)]
struct ProjectionPosition {
    collection: String,
    build: i32,
    /// Every transaction that the documents contain.
    applied: String,
    /// The life of the streams that was read, and its newest session of capture.
    generation: Option<String>,
    epoch: Option<u64>,
    streams: Vec<StreamPosition>,
}

/// Shows the positions.
pub(super) async fn run(job: &Path, json: bool) -> Result<u8> {
    let loaded = connect::load(job)?;
    let target = connect::target(&loaded.settings.target).await?;
    let mut found = Vec::new();
    for build in status::newest(target.builds(Some(&loaded.settings.name)).await?) {
        let checkpoint = target.checkpoint(&build).await?.unwrap_or_default();
        found.push((build, checkpoint));
    }
    let (seen, capture) = connect::look(&loaded).await;
    let projections = found
        .into_iter()
        .map(|(build, checkpoint)| {
            let applied = if checkpoint.applied.is_empty() { &build.start } else { &checkpoint.applied };
            let streams = checkpoint.streams.as_ref();
            ProjectionPosition {
                applied: applied.to_string(),
                generation: streams.map(|streams| streams.generation.clone()),
                epoch: streams.map(|streams| streams.epoch),
                streams: streams.map(|streams| seen.positions(streams)).unwrap_or_default(),
                collection: build.collection,
                build: build.number,
            }
        })
        .collect();
    let positions = Positions { job: loaded.settings.name, capture, projections };
    if json {
        crate::cli::show(format_args!("{}\n", serde_json::to_string(&positions).unwrap_or_default()));
    } else {
        crate::cli::show(format_args!("{}", text(&positions)));
    }
    Ok(if positions.projections.is_empty() { FAILED } else { DONE })
}

fn text(positions: &Positions) -> String {
    let mut text = format!("job {}", positions.job);
    text += if positions.projections.is_empty() { ": was never started\n" } else { "\n" };
    if let Some(capture) = &positions.capture {
        text += &streams::text(capture);
    }
    let gone = match positions.capture.as_ref().and_then(|capture| capture.error.as_ref()) {
        Some(_) => "lag not known",
        None => "what was read is gone from Redis",
    };
    for one in &positions.projections {
        text += &format!("\n{} (build {})\n  applied  {}\n", one.collection, one.build, one.applied);
        for at in &one.streams {
            let lag = at.lag.map_or(gone.to_string(), |lag| format!("{lag} entries behind"));
            text += &format!("  {}  {} entries applied, up to {}; {lag}\n", at.stream, at.count, at.id);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(lag: Option<u64>, error: Option<&str>) -> Positions {
        let stream = StreamPosition { stream: "cdc.shop.order".into(), id: "7-1".into(), count: 12, lag };
        let capture = CaptureStatus {
            place: "h:6379".into(),
            prefix: "cdc".into(),
            by: "rowfold",
            error: error.map(str::to_string),
            ..CaptureStatus::default()
        };
        let one = ProjectionPosition {
            collection: "orders".into(),
            build: 1,
            applied: "u:1-5".into(),
            generation: Some("g".into()),
            epoch: Some(3),
            streams: vec![stream],
        };
        Positions { job: "shop".into(), capture: Some(capture), projections: vec![one] }
    }

    #[test]
    fn the_json_form_is_an_interface() {
        let json = serde_json::to_string(&positions(Some(3), None)).expect("JSON");
        assert_eq!(
            json,
            r#"{"job":"shop","capture":{"place":"h:6379","prefix":"cdc","by":"rowfold","owner":null,"beat_age_ms":null,"generation":"","epoch":0,"captured":null,"error":null},"projections":[{"collection":"orders","build":1,"applied":"u:1-5","generation":"g","epoch":3,"streams":[{"stream":"cdc.shop.order","id":"7-1","count":12,"lag":3}]}]}"#
        );
    }

    #[test]
    fn a_lag_that_cannot_be_known_is_said_with_its_reason() {
        let shown = text(&positions(Some(3), None));
        assert!(shown.contains("cdc.shop.order  12 entries applied, up to 7-1; 3 entries behind"), "{shown}");
        assert!(text(&positions(None, None)).contains("what was read is gone from Redis"));
        assert!(text(&positions(None, Some("no answer"))).contains("lag not known"));
    }
}
