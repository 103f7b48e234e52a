//! How many changes a second go from the binlog into Redis, and from Redis into documents, when many wait.
//!
//! Owns: both halves measured apart. Does not own: latency.

use std::time::{Duration, Instant};

use redis::Value;
use redis::aio::MultiplexedConnection;

use crate::Outcome;
use crate::engine::{Engine, Program};
use crate::rows;
use crate::servers::{self, NAME};

const PAUSE: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(600);
const TABLES: [&str; 2] = ["item", "line"];

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    program: Program,
    /// Changes of single rows that wait.
    #[arg(long, default_value_t = 200_000)]
    changes: u64,
}

struct Measured {
    seconds: f64,
    cpu_seconds: f64,
}

pub async fn run(options: &Options) -> Outcome {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(NAME);
    std::fs::create_dir_all(&folder)?;
    servers::clear().await?;
    rows::fill().await?;
    let job = rows::job(&folder, true)?;
    let program = &options.program;
    let (mut capture, mut apply) = (program.start("capture", &job)?, program.start("apply", &job)?);
    program.caught_up(&job, &mut [&mut capture, &mut apply]).await?;
    apply.stop()?;
    capture.stop()?;

    let before = added().await?;
    let changes = rows::backlog(options.changes).await?;
    let begun = Instant::now();
    let mut capture = program.start("capture", &job)?;
    let captured = done(&mut capture, begun, async || Ok(added().await? >= before + changes)).await?;
    let entries = added().await? - before;
    let bytes = bytes().await?;
    let begun = Instant::now();
    let mut apply = program.start("apply", &job)?;
    let applied = done(&mut apply, begun, all_passed).await?;
    program.caught_up(&job, &mut [&mut capture, &mut apply]).await?;
    apply.stop()?;
    capture.stop()?;

    println!(
        "{changes} changes in transactions of ten rows; {entries} entries of {} bytes in Redis",
        bytes / entries.max(1)
    );
    println!("{:>9} {:>9} {:>11} {:>15}", "", "seconds", "changes/s", "CPU us/change");
    for (name, measured) in [("capture", captured), ("apply", applied)] {
        println!(
            "{name:>9} {:>9.2} {:>11.0} {:>15.1}",
            measured.seconds,
            changes as f64 / measured.seconds,
            measured.cpu_seconds * 1e6 / changes as f64
        );
    }
    servers::clear().await
}

/// Seconds from the start of the process until all is done, and what it spent.
async fn done(engine: &mut Engine, begun: Instant, seen: impl AsyncFn() -> Outcome<bool>) -> Outcome<Measured> {
    while !seen().await? {
        engine.assert_running()?;
        if begun.elapsed() > LIMIT {
            return Err(format!("not done after {LIMIT:?}").into());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Measured { seconds: begun.elapsed().as_secs_f64(), cpu_seconds: engine.cpu_seconds()? })
}

fn key(table: &str) -> String {
    format!("{NAME}.{NAME}.{table}")
}

/// What an XINFO answer says under this name.
fn word<'a>(words: &'a [Value], name: &str) -> Option<&'a Value> {
    let at = words.iter().position(|word| matches!(word, Value::BulkString(text) if text == name.as_bytes()))?;
    words.get(at + 1)
}

async fn info(redis: &mut MultiplexedConnection, table: &str) -> Outcome<Vec<Value>> {
    Ok(redis::cmd("XINFO").arg("STREAM").arg(key(table)).query_async(redis).await?)
}

/// Entries that were ever added to the streams.
async fn added() -> Outcome<u64> {
    let mut redis = servers::redis().await?;
    let mut sum = 0;
    for table in TABLES {
        // A table without changes has no stream.
        let Ok(words) = info(&mut redis, table).await else { continue };
        if let Some(Value::Int(added)) = word(&words, "entries-added") {
            sum += *added as u64;
        }
    }
    Ok(sum)
}

/// Whether the build's bookmark stands at the end of each stream.
async fn all_passed() -> Outcome<bool> {
    let mut redis = servers::redis().await?;
    for table in TABLES {
        let words = info(&mut redis, table).await?;
        let groups: Vec<Vec<Value>> = redis::cmd("XINFO").arg("GROUPS").arg(key(table)).query_async(&mut redis).await?;
        let end = word(&words, "last-generated-id");
        if groups.is_empty() || groups.iter().any(|group| word(group, "last-delivered-id") != end) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn bytes() -> Outcome<u64> {
    let mut redis = servers::redis().await?;
    let mut sum = 0;
    for table in TABLES {
        sum += redis::cmd("MEMORY")
            .arg("USAGE")
            .arg(key(table))
            .query_async::<Option<u64>>(&mut redis)
            .await?
            .unwrap_or(0);
    }
    Ok(sum)
}
