//! What `rowfold status JOB --json` says, and waiting for it.
//! Owns: the phases and quiescence as a user sees them. Does not own: the process that is asked about (`engine`).

use super::engine::{Engine, Job};
use super::servers;
use serde_json::Value;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Projection {
    pub collection: String,
    pub phase: String,
    pub chunks_done: u64,
    pub applied: String,
    pub parked: u64,
    pub error: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Status {
    /// Who runs the job now, as that engine names itself.
    pub running: Option<String>,
    pub projections: Vec<Projection>,
}

impl Status {
    pub fn all_in(&self, phase: &str) -> bool {
        !self.projections.is_empty() && self.projections.iter().all(|p| p.phase == phase)
    }

    pub fn phases(&self) -> String {
        self.projections.iter().map(|p| format!("{}={}", p.collection, p.phase)).collect::<Vec<_>>().join(" ")
    }
}

fn parse(text: &str) -> Option<Status> {
    let value: Value = serde_json::from_str(text).ok()?;
    let projection = |p: &Value| {
        Some(Projection {
            collection: p.get("collection")?.as_str()?.to_owned(),
            phase: p.get("phase")?.as_str()?.to_owned(),
            chunks_done: p.get("chunks_done").and_then(Value::as_u64).unwrap_or(0),
            applied: p.get("applied").and_then(Value::as_str).unwrap_or("").replace('\n', ""),
            parked: p.get("parked").and_then(Value::as_u64).unwrap_or(0),
            error: p.get("error").and_then(Value::as_str).map(str::to_owned),
        })
    };
    let running = value.get("running")?.as_str().map(str::to_owned);
    Some(Status {
        running,
        projections: value.get("projections")?.as_array()?.iter().map(projection).collect::<Option<_>>()?,
    })
}

/// One answer; None while there is no build to speak of.
pub async fn status(job: &Job) -> Option<Status> {
    let finished = job.command("status").arg("--json").finish(Duration::from_secs(30)).await;
    if finished.code != 0 {
        return None;
    }
    let status = parse(&finished.stdout);
    assert!(status.is_some(), "status --json is not what was agreed: {}", finished.stdout);
    status
}

/// Waits for a status of a running engine; its end, or a projection that has halted, ends the wait.
pub async fn wait(
    job: &Job,
    engine: &mut Engine,
    what: &str,
    limit: Duration,
    ready: impl Fn(&Status) -> bool,
) -> Status {
    let start = std::time::Instant::now();
    let mut last = String::from("no status yet");
    loop {
        if let Some(code) = engine.ended() {
            panic!("the engine ended with {code} while waiting for {what}\n{}", engine.log_tail());
        }
        if let Some(status) = status(job).await {
            if ready(&status) {
                return status;
            }
            if let Some(halted) = status.projections.iter().find(|p| p.phase == "halted") {
                panic!("{} halted: {:?}\n{}", halted.collection, halted.error, engine.log_tail());
            }
            last = format!("{status:?}");
        }
        assert!(start.elapsed() < limit, "after {limit:?} still waiting for {what}: {last}\n{}", engine.log_tail());
        tokio::time::sleep(super::POLL).await;
    }
}

/// Every projection is live, and it is this engine that runs them.
pub async fn wait_live(job: &Job, engine: &mut Engine, limit: Duration) -> Status {
    let this = format!("process {} ", engine.process());
    let runs = |s: &Status| s.running.as_ref().is_some_and(|owner| owner.contains(&this));
    wait(job, engine, "every projection to be live", limit, |s| s.all_in("live") && runs(s)).await
}

/// Every projection is live and has applied all that the server has executed by now, and no document is parked.
pub async fn wait_quiescent(job: &Job, engine: &mut Engine, limit: Duration) -> Status {
    let status = wait_applied(job, engine, limit).await;
    assert!(status.projections.iter().all(|p| p.parked == 0), "something was parked: {status:?}");
    status
}

/// Every projection is live and has applied all that the server has executed by now.
pub async fn wait_applied(job: &Job, engine: &mut Engine, limit: Duration) -> Status {
    let mut conn = servers::mysql_at(&job.mysql, None).await;
    let goal = servers::executed(&mut conn).await;
    let start = std::time::Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed());
        let status = wait_live(job, engine, left).await;
        let mut behind = Vec::new();
        for p in &status.projections {
            if !servers::contains(&mut conn, &p.applied, &goal).await {
                behind.push(p);
            }
        }
        if behind.is_empty() {
            return status;
        }
        assert!(start.elapsed() < limit, "after {limit:?} not caught up to {goal}: {behind:?}\n{}", engine.log_tail());
        tokio::time::sleep(super::POLL).await;
    }
}
