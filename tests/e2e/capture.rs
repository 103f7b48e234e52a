//! The two halves of `run` as processes of their own.
//! Owns: that they do together what `run` does, who is refused, and what is said about them. Does not own: losses and crashes
//! on the way through Redis (`redis`).

use crate::harness::library::{AUTHORS, Library};
use crate::harness::redis::Redis;
use crate::harness::servers;
use crate::harness::world::REST;
use crate::harness::{self, status, until};
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

async fn shown(library: &Library, command: &str) -> Value {
    let finished = library.job.command(command).arg("--json").finish(LIMIT).await;
    assert_eq!(finished.code, 0, "{command}: {}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|e| panic!("{command}: {e}: {}", finished.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_what_one_does() {
    let _seat = harness::seat().await;
    let prefix = format!("rf_e2e_{}_halves", std::process::id());
    let stream = format!("stream:\n  url: ${{ROWFOLD_REDIS_URL}}\n  prefix: {prefix}\n  lease: 2s\n");
    let mut library = Library::create_over("halves", &servers::mysql_url(), stream).await;
    let mut capture = library.job.command("capture").start();
    capture.wait_line("capture began a session", LIMIT).await;

    // One capture serves all; a second one is a mistake.
    let second = library.job.command("capture").finish(LIMIT).await;
    assert_eq!(second.code, 2, "{}", second.stderr);
    let holder = format!("process {} ", capture.process());
    assert!(second.stderr.contains("E-LEASE") && second.stderr.contains(&holder), "{}", second.stderr);

    // The source sees the job's server id in use, and that is as it should be.
    let check = library.job.command("check").finish(LIMIT).await;
    assert_eq!(check.code, 0, "{}", check.stderr);
    let mut apply = library.job.command("apply").start();
    status::wait_live(&library.job, &mut apply, REST).await;
    library.change(1).await;
    status::wait_quiescent(&library.job, &mut apply, REST).await;
    library.assert_equal(AUTHORS).await;
    let now = shown(&library, "status").await;
    assert!(now["capture"]["owner"].as_str().is_some_and(|owner| owner.contains(&holder)), "{now}");
    assert!(now["capture"]["beat_age_ms"].as_u64().is_some_and(|age| age < 60_000), "{now}");
    until("nothing to wait in the streams", LIMIT, async || {
        let now = shown(&library, "position show").await;
        let streams = now["projections"][0]["streams"].as_array().cloned().unwrap_or_default();
        let done = |stream: &Value| stream["lag"] == 0 && stream["count"].as_u64().is_some_and(|count| count > 0);
        (streams.len() == 2 && streams.iter().all(done)).then_some(())
    })
    .await;

    // Without capture nothing comes, and somebody who looks is told so; it goes on where it was.
    let finished = capture.stop(Duration::from_secs(20)).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(shown(&library, "status").await["capture"]["owner"], Value::Null);
    let text = library.job.command("status").finish(LIMIT).await;
    assert!(text.stdout.contains("capture    not running"), "{}", text.stdout);
    library.change(2).await;
    let again = library.job.command("capture").start();
    status::wait_quiescent(&library.job, &mut apply, REST).await;
    library.assert_equal(AUTHORS).await;
    for engine in [apply, again] {
        let finished = engine.stop(Duration::from_secs(20)).await;
        assert_eq!(finished.code, 0, "{}", finished.stderr);
    }

    // A job that stands still keeps its place until it leaves; then capture need not wait for it.
    let kept = || -> usize {
        let fields: Vec<String> = Redis::shared().ask(&format!("HKEYS {prefix}.__meta"));
        fields.iter().filter(|field| field.starts_with("build:")).count()
    };
    assert_eq!(kept(), 1);
    let left = library.job.command("position leave").finish(LIMIT).await;
    assert_eq!(left.code, 0, "{}", left.stderr);
    assert!(left.stdout.contains("nothing is kept for it any more"), "{}", left.stdout);
    assert_eq!(kept(), 0);
    library.scratch.remove().await;
    Redis::shared().remove(&prefix);
}
