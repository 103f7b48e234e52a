//! The streams of a job as Redis shows them now.
//!
//! Owns: what `status` and `position show` say about capture, and how far the builds are behind it. Does not own: Redis
//! (`edge::redis`), what follows from a loss (the engine).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::{Capture, StreamSettings};
use crate::error::Result;
use crate::model::stream::{DEBEZIUM, Meta, Position, StreamCheckpoint};
use crate::ports::StreamStore;

/// All that one look showed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By Redis' clock.
    now_ms: u64,
    meta: Option<Meta>,
    /// The streams that exist.
    filled: BTreeMap<String, Position>,
}

/// The capture half. Fields are only ever added.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct CaptureStatus {
    /// Host and port of Redis.
    pub(super) place: String,
    pub(super) prefix: String,
    /// `rowfold` or `debezium`.
    pub(super) by: &'static str,
    /// Host and process of the capture whose lease lasts.
    pub(super) owner: Option<String>,
    /// Since capture showed that it is alive; with a Debezium Server since its newest entry.
    pub(super) beat_age_ms: Option<u64>,
    pub(super) generation: String,
    pub(super) epoch: u64,
    /// Every transaction that the streams contain, or contained.
    pub(super) captured: Option<String>,
    /// Why the rest is not known.
    pub(super) error: Option<String>,
}

/// How far a build is in one stream.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct StreamPosition {
    /// The stream's Redis key.
    pub(super) stream: String,
    /// The last applied entry.
    pub(super) id: String,
    /// How many entries had been added with it.
    pub(super) count: u64,
    /// Entries that wait to be applied; `None` if the stream that was read is gone.
    pub(super) lag: Option<u64>,
}

impl Seen {
    /// Looks at these streams.
    pub(super) async fn look(store: &impl StreamStore, settings: &StreamSettings, keys: &[String]) -> Result<Self> {
        let (now_ms, meta, streams) = match settings.capture {
            Capture::Rowfold => {
                let look = store.look(keys).await?;
                (look.now_ms, look.meta, look.streams)
            }
            Capture::Debezium => {
                let look = store.look_foreign(keys, &settings.offsets_key).await?;
                (look.now_ms, None, look.streams)
            }
        };
        let filled = keys.iter().zip(streams).filter_map(|(key, at)| Some((key.clone(), at?))).collect();
        Ok(Self { now_ms, meta, filled })
    }

    /// What is to be said about capture.
    pub(super) fn capture(&self, settings: &StreamSettings) -> CaptureStatus {
        let age = |at_ms: u64| (at_ms > 0).then(|| self.now_ms.saturating_sub(at_ms));
        let status = CaptureStatus {
            place: settings.place(),
            prefix: settings.prefix.clone(),
            by: word(settings.capture),
            ..CaptureStatus::default()
        };
        if settings.capture == Capture::Debezium {
            // Redis made the entries' IDs, of its own clock.
            let newest_ms = self.filled.values().map(|at| at.id.high).max().unwrap_or(0);
            return CaptureStatus { beat_age_ms: age(newest_ms), ..status };
        }
        let Some(meta) = self.meta.as_ref().filter(|meta| !meta.generation.is_empty()) else { return status };
        CaptureStatus {
            owner: owner(meta, self.now_ms).map(str::to_string),
            beat_age_ms: age(meta.beat_ms),
            generation: meta.generation.clone(),
            epoch: meta.epoch,
            captured: meta.epochs.get(&meta.epoch).map(|epoch| epoch.captured.to_string()),
            ..status
        }
    }

    /// How far a build with this checkpoint is.
    pub(super) fn positions(&self, checkpoint: &StreamCheckpoint) -> Vec<StreamPosition> {
        let known = match &self.meta {
            None => checkpoint.generation == DEBEZIUM,
            Some(meta) => {
                meta.generation == checkpoint.generation || meta.imported && checkpoint.generation == DEBEZIUM
            }
        };
        let one = |(stream, at): (&String, &Position)| {
            let added = self.filled.get(stream).map(|filled| filled.count);
            StreamPosition {
                stream: stream.clone(),
                id: at.id.to_string(),
                count: at.count,
                // A stream that nothing was ever written to does not exist.
                lag: added.or((at.count == 0).then_some(0)).filter(|_| known).and_then(|all| all.checked_sub(at.count)),
            }
        };
        checkpoint.positions.iter().map(one).collect()
    }
}

/// Who captures now.
pub(super) fn owner(meta: &Meta, now_ms: u64) -> Option<&str> {
    (!meta.owner.is_empty() && meta.until_ms > now_ms).then_some(meta.owner.as_str())
}

/// The word of the job file.
pub(super) fn word(capture: Capture) -> &'static str {
    match capture {
        Capture::Rowfold => "rowfold",
        Capture::Debezium => "debezium",
    }
}

/// The capture half for people, each line with a name in front.
pub(super) fn text(status: &CaptureStatus) -> String {
    let mut text = format!("streams    {}.* in Redis at {}\n", status.prefix, status.place);
    if let Some(error) = &status.error {
        return text + &format!("capture    unknown: {error}\n");
    }
    let beat = status.beat_age_ms.map(|age| format!("{:.1} s ago", age as f64 / 1000.0));
    text += &match (status.by, &status.owner, beat) {
        ("debezium", _, Some(beat)) => format!("capture    a Debezium Server; its newest entry came {beat}\n"),
        ("debezium", _, None) => "capture    a Debezium Server, which has written nothing yet\n".to_string(),
        (_, Some(owner), Some(beat)) => {
            format!("capture    by {owner}, epoch {}, last sign of life {beat}\n", status.epoch)
        }
        (_, _, Some(beat)) => format!("capture    not running; epoch {}, last sign of life {beat}\n", status.epoch),
        (_, _, None) => "capture    has not begun\n".to_string(),
    };
    if let Some(captured) = &status.captured {
        text += &format!("captured   {captured}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stream::{EntryId, Epoch};
    use secrecy::SecretString;

    fn settings(capture: Capture) -> StreamSettings {
        StreamSettings {
            url: SecretString::from("redis://u:hush@h"),
            prefix: "cdc".into(),
            capture,
            max_bytes: None,
            lease: std::time::Duration::from_secs(10),
            silence_max: None,
            offsets_key: "o".into(),
        }
    }

    fn at(high: u64, count: u64) -> Position {
        Position { id: EntryId { high, low: 0 }, count }
    }

    fn seen(meta: Option<Meta>) -> Seen {
        Seen { now_ms: 10_000, meta, filled: BTreeMap::from([("cdc.a.b".into(), at(9_000, 12))]) }
    }

    fn meta() -> Meta {
        let captured = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5".parse().expect("a set");
        let (owner, generation) = ("host process 1".to_string(), "g".to_string());
        let epochs = BTreeMap::from([(3, Epoch { captured, ..Epoch::default() })]);
        Meta { generation, epoch: 3, owner, until_ms: 10_500, beat_ms: 9_900, epochs, ..Meta::default() }
    }

    #[test]
    fn capture_is_alive_as_long_as_its_lease_lasts() {
        let settings = settings(Capture::Rowfold);
        let shown = text(&seen(Some(meta())).capture(&settings));
        assert_eq!(
            shown,
            "streams    cdc.* in Redis at h:6379\ncapture    by host process 1, epoch 3, last sign of life 0.1 s ago\n\
             captured   3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5\n"
        );
        let late = Meta { until_ms: 10_000, ..meta() };
        assert!(text(&seen(Some(late)).capture(&settings)).contains("not running; epoch 3"));
        for none in [None, Some(Meta { generation: String::new(), ..meta() })] {
            assert!(text(&seen(none).capture(&settings)).contains("has not begun"));
        }
        let failed = CaptureStatus { error: Some("no answer".into()), ..CaptureStatus::default() };
        assert!(text(&failed).contains("unknown: no answer"));
    }

    #[test]
    fn a_debezium_server_is_as_alive_as_its_newest_entry() {
        let theirs = seen(None).capture(&settings(Capture::Debezium));
        assert_eq!((theirs.beat_age_ms, theirs.by), (Some(1_000), "debezium"));
        assert!(text(&theirs).contains("its newest entry came 1.0 s ago"), "{}", text(&theirs));
        assert!(text(&Seen::default().capture(&settings(Capture::Debezium))).contains("written nothing yet"));
    }

    #[test]
    fn the_lag_is_counted_only_in_the_life_of_the_streams_that_was_read() {
        let checkpoint = |generation: &str, count| StreamCheckpoint {
            generation: generation.into(),
            epoch: 3,
            positions: BTreeMap::from([("cdc.a.b".into(), at(8_000, count)), ("cdc.a.c".into(), at(0, 0))]),
        };
        let lags = |seen: Seen, checkpoint| -> Vec<Option<u64>> {
            seen.positions(&checkpoint).iter().map(|position| position.lag).collect()
        };
        assert_eq!(lags(seen(Some(meta())), checkpoint("g", 10)), [Some(2), Some(0)]);
        assert_eq!(lags(seen(Some(meta())), checkpoint("before", 10)), [None, None]);
        assert_eq!(lags(seen(Some(meta())), checkpoint("g", 13)), [None, Some(0)]);
        assert_eq!(lags(seen(Some(meta())), checkpoint(DEBEZIUM, 10)), [None, None]);
        let imported = Meta { imported: true, ..meta() };
        assert_eq!(lags(seen(Some(imported)), checkpoint(DEBEZIUM, 10)), [Some(2), Some(0)]);
        assert_eq!(lags(seen(None), checkpoint(DEBEZIUM, 12)), [Some(0), Some(0)]);
    }
}
