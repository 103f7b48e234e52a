//! The program under measurement as a process.
//!
//! Owns: that it ends with the measurement, and its processor time. Does not own: what it does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Outcome;
use crate::servers::{self, ask};

/// Clock ticks of a second in `/proc/PID/stat`: USER_HZ, 100 on every Linux of today.
const TICKS: f64 = 100.0;
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, clap::Args)]
pub struct Program {
    /// The rowfold program.
    #[arg(long, default_value = "target/release/rowfold")]
    rowfold: PathBuf,
}

/// What `status --json` says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Status {
    projections: Vec<Projection>,
}

#[derive(Debug, Deserialize)]
struct Projection {
    phase: String,
    applied: String,
    error: Option<String>,
}

pub struct Engine {
    child: Child,
    command: String,
    log: PathBuf,
}

impl Program {
    pub fn start(&self, command: &str, job: &Path) -> Outcome<Engine> {
        let log = job.with_file_name(format!("{command}.log"));
        let mut program = Command::new(&self.rowfold);
        program.arg(command).arg(job).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = program.spawn().map_err(|error| format!("{} does not run: {error}", self.rowfold.display()))?;
        Ok(Engine { child, command: command.to_owned(), log })
    }

    /// Waits until every collection is live and holds all that the source has executed by now.
    pub async fn caught_up(&self, job: &Path, engines: &mut [&mut Engine]) -> Outcome {
        let mut conn = servers::mysql(None).await?;
        let goal: String = ask(&mut conn, "SELECT @@GLOBAL.gtid_executed").await?;
        let start = Instant::now();
        loop {
            for engine in engines.iter_mut() {
                engine.assert_running()?;
            }
            if let Some(status) = self.status(job)? {
                let mut behind = status.projections.is_empty();
                for one in &status.projections {
                    if let Some(error) = &one.error {
                        return Err(error.clone().into());
                    }
                    let sql = format!("SELECT GTID_SUBSET('{goal}', '{}')", one.applied);
                    behind |= one.phase != "live" || ask::<u8>(&mut conn, &sql).await? == 0;
                }
                if !behind {
                    return Ok(());
                }
            }
            if start.elapsed() > LIMIT {
                return Err(format!("not caught up after {LIMIT:?}").into());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn status(&self, job: &Path) -> Outcome<Option<Status>> {
        let output = Command::new(&self.rowfold).arg("status").arg(job).arg("--json").stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&output.stdout)?))
    }
}

impl Engine {
    /// Processor seconds so far.
    pub fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold blanks. After it: state, then 10 fields, utime, stime.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        Ok((ticks(11) + ticks(12)) / TICKS)
    }

    pub fn assert_running(&mut self) -> Outcome {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let text = fs::read_to_string(&self.log)?;
                let tail: Vec<&str> = text.lines().rev().take(15).collect();
                let tail: String = tail.into_iter().rev().map(|line| format!("\n  {line}")).collect();
                Err(format!("rowfold {} ended with {status}:{tail}", self.command).into())
            }
        }
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> Outcome {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("rowfold {} ended with {status}", self.command).into()) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
