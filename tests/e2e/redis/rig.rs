//! A job whose changes pass through Redis, and the processes that run it.
//! Owns: `run` as one process or as its two halves. Does not own: Redis itself (`harness::redis`).

use crate::harness::engine::{Engine, Job};
use crate::harness::mortal::MortalRedis;
use crate::harness::{self, status};
use std::path::Path;
use std::time::Duration;

/// In order, and soon.
const STOPPED: Duration = Duration::from_secs(15);

/// The section `stream:` of a job. A short lease keeps a restart after kill -9 short.
pub fn section(redis: &MortalRedis, prefix: &str, max_bytes: &str) -> String {
    format!("stream:\n  url: {}\n  prefix: {prefix}\n  max_bytes: {max_bytes}\n  lease: 3s\n", redis.url())
}

/// Who runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// `run`.
    Whole,
    /// `capture` and `apply`.
    Halves,
}

impl Runs {
    pub fn start(self, job: &Job) -> Running {
        self.start_held(job, None)
    }

    /// With both halves held at a point from the `nth` time on until a file is there.
    pub fn start_held(self, job: &Job, hold: Option<(&str, u32, &Path)>) -> Running {
        let start = |command: &str| {
            let call = job.command(command);
            match hold {
                Some((point, nth, release)) => call.hold(point, nth, release).start(),
                None => call.start(),
            }
        };
        match self {
            Runs::Whole => Running { capture: None, apply: start("run") },
            Runs::Halves => Running { capture: Some(start("capture")), apply: start("apply") },
        }
    }
}

/// `COMMAND --start-over` of a job that had stopped, with the record of the stop out of the way.
pub async fn start_over(job: &Job, command: &str) -> Engine {
    let mut engine = job.command(command).arg("--start-over").start();
    harness::until("the halted builds to be dropped", harness::world::REST, async || {
        assert_eq!(engine.ended(), None, "{}", engine.log_tail());
        let status = status::status(job).await?;
        status.projections.iter().all(|p| p.phase != "halted").then_some(())
    })
    .await;
    engine
}

/// The processes of one job.
pub struct Running {
    pub capture: Option<Engine>,
    pub apply: Engine,
}

impl Running {
    /// Every projection is live.
    pub async fn wait_live(&mut self, job: &Job) {
        status::wait_live(job, &mut self.apply, harness::world::REST).await;
        self.assert_running();
    }

    /// Every projection is live and has applied all that was executed.
    pub async fn wait_quiescent(&mut self, job: &Job) {
        status::wait_quiescent(job, &mut self.apply, harness::world::REST).await;
        self.assert_running();
    }

    pub fn assert_running(&mut self) {
        for engine in self.capture.iter_mut().chain([&mut self.apply]) {
            assert_eq!(engine.ended(), None, "{}", engine.log_tail());
        }
    }

    /// One of them has said so on stderr.
    pub fn said(&self, text: &str) -> bool {
        self.log().contains(text)
    }

    pub fn log(&self) -> String {
        self.capture.iter().map(Engine::log).collect::<String>() + &self.apply.log()
    }

    /// One of them says one of these, while both go on.
    pub async fn wait_said(&mut self, texts: &[&str], limit: Duration) {
        let start = std::time::Instant::now();
        while !texts.iter().any(|text| self.said(text)) {
            self.assert_running();
            let tails =
                || self.capture.iter().chain([&self.apply]).map(Engine::log_tail).collect::<Vec<_>>().join("\n");
            assert!(start.elapsed() < limit, "after {limit:?} none has said one of {texts:?}\n{}", tails());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// In order: the reader first, so that what captures has nothing left to wait for.
    pub async fn stop(self) {
        for engine in [Some(self.apply), self.capture].into_iter().flatten() {
            let finished = engine.stop(STOPPED).await;
            assert_eq!(finished.code, 0, "stopped in order while live: {}", finished.stderr);
        }
    }
}
