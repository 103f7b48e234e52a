//! Asking a job how far it is: `rowfold status JOB --json`.
//!
//! Owns: the two moments that a script waits for: every projection live, and the checkpoint containing all that MySQL has
//! executed. Does not own: the job.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Outcome;
use crate::servers::{self, ask};

/// How often to ask.
const PAUSE: Duration = Duration::from_millis(500);
/// How often to say what is waited for.
const LINE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to wait for.
    #[arg(value_enum)]
    moment: Moment,
    #[command(flatten)]
    job: Job,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Moment {
    /// Every collection is copied, has its name and follows the source.
    Live,
    /// All that the source has executed by now is in the documents.
    CaughtUp,
}

/// The job and the program that runs it.
#[derive(Clone, Debug, clap::Args)]
pub struct Job {
    /// The job file.
    #[arg(long, default_value = "jobs/tpch_orders.yaml")]
    pub job: PathBuf,
    /// The rowfold program.
    #[arg(long, default_value = "target/release/rowfold")]
    pub rowfold: PathBuf,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 900)]
    timeout: u64,
}

/// What `status --json` says, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
struct Status {
    projections: Vec<Projection>,
}

#[derive(Clone, Debug, Deserialize)]
struct Projection {
    collection: String,
    phase: String,
    #[serde(default)]
    applied: String,
    #[serde(default)]
    lag_ms: u64,
    #[serde(default)]
    parked: u64,
    error: Option<String>,
}

pub async fn run(options: &Options) -> Outcome {
    match options.moment {
        Moment::Live => live(&options.job).await,
        Moment::CaughtUp => caught_up(&options.job).await,
    }
}

async fn live(job: &Job) -> Outcome {
    wait(job, "every collection to be live", async |status: &Status| {
        Ok(status
            .projections
            .iter()
            .find(|one| one.phase != "live")
            .map(|one| format!("{} is in phase {}", one.collection, one.phase)))
    })
    .await
}

/// Waits until the job has applied all that the source has executed by now, with no document parked.
pub async fn caught_up(job: &Job) -> Outcome {
    let mut conn = servers::mysql(None).await?;
    let goal = servers::executed(&mut conn).await?;
    wait(job, "the documents to catch up with the source", async |status: &Status| {
        for one in &status.projections {
            let sql = format!("SELECT GTID_SUBSET('{goal}', '{}')", one.applied.replace('\n', ""));
            if ask::<u8>(&mut conn, &sql).await? == 0 {
                return Ok(Some(format!("{} is in phase {}, {} ms behind", one.collection, one.phase, one.lag_ms)));
            }
            if one.parked > 0 {
                return Err(format!("{} has {} parked documents", one.collection, one.parked).into());
            }
        }
        Ok(None)
    })
    .await
}

/// Asks until `rest` names nothing that is still to come.
async fn wait(job: &Job, what: &str, mut rest: impl AsyncFnMut(&Status) -> Outcome<Option<String>>) -> Outcome {
    let start = Instant::now();
    let mut said = Instant::now();
    loop {
        let now = match ask_status(job).await? {
            None => "the job has no collection yet".to_owned(),
            Some(status) => {
                if let Some((one, error)) = status.projections.iter().find_map(|one| Some((one, one.error.as_ref()?))) {
                    return Err(format!("{} has stopped: {error}", one.collection).into());
                }
                match rest(&status).await? {
                    None if !status.projections.is_empty() => return Ok(()),
                    now => now.unwrap_or_default(),
                }
            }
        };
        if start.elapsed().as_secs() >= job.timeout {
            return Err(format!("waited {} s for {what}: {now}", job.timeout).into());
        }
        if said.elapsed() >= LINE {
            said = Instant::now();
            eprintln!("tpch: waiting for {what}: {now}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One answer; `None` while there is nothing to speak of.
async fn ask_status(job: &Job) -> Outcome<Option<Status>> {
    let mut command = std::process::Command::new(&job.rowfold);
    command.arg("status").arg(&job.job).arg("--json").stdin(Stdio::null()).stderr(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.map_err(|error| format!("{} does not run: {error}", job.rowfold.display()))?;
    if !output.status.success() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&output.stdout).map_err(|error| format!("rowfold status --json: {error}"))?))
}
