//! The main claim again, with Redis between capture and the documents.
//! Owns: both ways to run a job. Does not own: what is claimed and how it is judged (`crate::converge`).

use super::rig::{Runs, section};
use crate::converge::{converge, each_schema};
use crate::harness;
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::world::World;
use std::sync::Arc;
use std::time::Duration;

const SCHEMAS: u64 = 3;

/// Schemas that the test without Redis has as well: what differs is only the way of the changes.
async fn each(runs: Runs, name: &'static str) {
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await.map(Arc::new) else { return };
    let count = harness::number("ROWFOLD_E2E_REDIS_SCHEMAS", SCHEMAS);
    each_schema(count, move |seed, index| {
        let redis = redis.clone();
        async move {
            let _seat = harness::seat().await;
            // Halves take other schemas than a whole, so that one run sees more of them.
            let index = if runs == Runs::Halves { index + SCHEMAS } else { index };
            let stream = section(&redis, &format!("{name}{index}"), "64MiB");
            let world = World::create_over(&format!("{name}{index}"), seed, index, stream).await;
            let capture = (runs == Runs::Halves).then(|| world.job.command("capture").start());
            let line = converge(world, if capture.is_some() { "apply" } else { "run" }).await;
            if let Some(capture) = capture {
                let finished = capture.stop(Duration::from_secs(15)).await;
                assert_eq!(finished.code, 0, "capture, stopped in order: {}", finished.stderr);
            }
            line
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_redis_generated_schemas_converge_in_one_process() {
    each(Runs::Whole, "rwhole").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_redis_generated_schemas_converge_in_two_processes() {
    each(Runs::Halves, "rhalves").await;
}
