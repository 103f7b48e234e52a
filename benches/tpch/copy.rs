//! Benchmark case `nested-copy`: `rowfold snapshot` of the orders, beside what the target can take at all.
//!
//! Owns: the rounds, in each of which both are measured one after the other, and the figures. Fails if the documents are
//! not right: a fast wrong copy is no result.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bson::doc;
use serde_json::json;

use crate::compare::{self, Target};
use crate::measure::{self, Usage};
use crate::report::{Spread, grouped};
use crate::servers::{self, DATABASE, ask};
use crate::{Outcome, limit, reset};

const CASE: &str = "nested-copy";

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The job file.
    #[arg(long, default_value = "jobs/tpch_orders.yaml")]
    job: PathBuf,
    /// The rowfold program.
    #[arg(long, default_value = "target/release/rowfold")]
    rowfold: PathBuf,
    #[command(flatten)]
    target: Target,
    /// How often to measure.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where the output of the runs goes.
    #[arg(long, default_value = "target/bench")]
    logs: PathBuf,
}

/// What one round gave.
struct Round {
    usage: Usage,
    limit: limit::Run,
}

pub async fn run(options: &Options) -> Outcome {
    let mut conn = servers::mysql(Some(DATABASE)).await?;
    let roots: u64 = ask(&mut conn, "SELECT COUNT(*) FROM orders").await?;
    let rows = roots + ask::<u64>(&mut conn, "SELECT COUNT(*) FROM lineitem").await?;
    drop(conn);
    fs::create_dir_all(&options.logs)?;
    let mut ways: Vec<(usize, usize)> =
        [1, 2, 4].into_iter().flat_map(|c| [500, 1_000, 2_000].map(|b| (c, b))).collect();
    let (mut rounds, mut bytes) = (Vec::new(), 0);
    for number in 1..=options.rounds.max(1) {
        eprintln!("tpch: round {number} of {}: rowfold snapshot", options.rounds);
        let usage = snapshot(options, number).await?;
        eprintln!("tpch: {:.1} s, {} documents/s", usage.seconds, grouped((roots as f64 / usage.seconds) as u64));
        let held = options.target.open().await?.count_documents(doc! {}).await?;
        if held != roots {
            return Err(format!("the copy made {held} documents of {roots} orders").into());
        }
        if number == 1 {
            let findings = compare::compare(&options.target, roots).await?;
            eprintln!("{findings}");
            if findings.wrong() > 0 {
                return Err("the copy is wrong; it is not measured".into());
            }
        }
        let documents = limit::read(&options.target).await?;
        bytes = limit::bytes(&documents);
        let limit = limit::best(&documents, &ways).await?;
        // Later rounds repeat what was best.
        ways = vec![(limit.connections, limit.batch)];
        drop(Arc::into_inner(documents));
        rounds.push(Round { usage, limit });
    }
    report(&rounds, roots, rows, bytes as u64);
    Ok(())
}

async fn snapshot(options: &Options, number: usize) -> Outcome<Usage> {
    reset::reset(&servers::mongo().await?.database(&options.target.database)).await?;
    reset::forget_streams().await?;
    let (program, job) = (options.rowfold.clone(), options.job.display().to_string());
    let log = options.logs.join(format!("{CASE}-{number}.log"));
    let usage = tokio::task::spawn_blocking(move || measure::run(&program, &["snapshot", &job], &log)).await??;
    usage.stdout.lines().for_each(|line| eprintln!("  {line}"));
    Ok(usage)
}

fn report(rounds: &[Round], roots: u64, rows: u64, bytes: u64) {
    let of = |figure: &dyn Fn(&Round) -> f64| Spread::of(&rounds.iter().map(figure).collect::<Vec<_>>());
    let (roots_f, rows_f) = (roots as f64, rows as f64);
    let figures = [
        ("seconds", "s", of(&|round| round.usage.seconds)),
        ("source_rows_per_s", "rows/s", of(&|round| rows_f / round.usage.seconds)),
        ("documents_per_s", "documents/s", of(&|round| roots_f / round.usage.seconds)),
        ("peak_rss", "MiB", of(&|round| round.usage.peak_bytes as f64 / f64::from(1 << 20))),
        ("engine_cpu_seconds", "s", of(&|round| round.usage.cpu_seconds)),
        ("limit_write_seconds", "s", of(&|round| round.limit.seconds)),
        ("limit_write_documents_per_s", "documents/s", of(&|round| round.limit.rate())),
        ("share_of_limit", "of limit-write", of(&|round| round.limit.seconds / round.usage.seconds)),
    ];
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    for (name, unit, spread) in figures {
        println!(
            "{}",
            json!({
                "case": CASE, "figure": name, "unit": unit, "median": rounded(spread.median), "min": rounded(spread.min),
                "max": rounded(spread.max), "rounds": rounds.len(), "documents": roots, "source_rows": rows,
                "document_bytes": bytes, "processors": processors,
            })
        );
    }
    eprintln!(
        "\n{CASE}: {} documents ({} MB) of {} source rows, {processors} processors",
        grouped(roots),
        bytes / 1_000_000,
        grouped(rows)
    );
    eprintln!("{:<28} {:>14} {:>14} {:>14}  unit", "figure", "median", "min", "max");
    for (name, unit, spread) in figures {
        let [median, min, max] = [spread.median, spread.min, spread.max].map(short);
        eprintln!("{name:<28} {median:>14} {min:>14} {max:>14}  {unit}");
    }
    if let Some(round) = rounds.first() {
        eprintln!(
            "limit-write: best with {} connections and batches of {}",
            round.limit.connections, round.limit.batch
        );
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn short(value: f64) -> String {
    if value >= 1_000.0 { grouped(value.round() as u64) } else { format!("{value:.2}") }
}
