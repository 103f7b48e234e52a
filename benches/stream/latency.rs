//! How long after COMMIT a document shows the change, while others change rows.
//!
//! Owns: the prober. It knows when its COMMIT returned and when the target gave the row's tag back; nothing in between.

use std::time::{Duration, Instant};

use bson::{Document, doc};

use crate::Outcome;
use crate::engine::Program;
use crate::rows::{self, Load, PROBED, Random};
use crate::servers::{self, NAME, execute};

/// The longest pause before a probe, so that probes fall anywhere into the engine's windows.
const PAUSE_MS: u64 = 60;
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    program: Program,
    /// Changes a second that others make meanwhile.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    rate: Vec<u64>,
    #[arg(long, default_value_t = 1000)]
    samples: usize,
    /// The queue inside the program instead of Redis.
    #[arg(long)]
    queue: bool,
    /// `capture` and `apply` as processes of their own.
    #[arg(long)]
    halves: bool,
}

pub async fn run(options: &Options) -> Outcome {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(NAME);
    std::fs::create_dir_all(&folder)?;
    servers::clear().await?;
    rows::fill().await?;
    let job = rows::job(&folder, !options.queue)?;
    let mut engines = Vec::new();
    if options.halves {
        engines.push(options.program.start("capture", &job)?);
    }
    engines.push(options.program.start(if options.halves { "apply" } else { "run" }, &job)?);
    options.program.caught_up(&job, &mut engines.iter_mut().collect::<Vec<_>>()).await?;
    println!("commit to document, {} samples each; milliseconds", options.samples);
    println!(
        "{:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10}",
        "asked/s", "made/s", "p50", "p90", "p99", "max", "poll", "engine CPU"
    );
    for rate in &options.rate {
        let load = Load::start(*rate);
        // The first ones meet connections that are just being made.
        probe(20, 7).await?;
        let cpu = engines.iter().map(|engine| engine.cpu_seconds()).sum::<Outcome<f64>>()?;
        let begun = Instant::now();
        let (mut samples, poll) = probe(options.samples, *rate).await?;
        let share = (engines.iter().map(|engine| engine.cpu_seconds()).sum::<Outcome<f64>>()? - cpu)
            / begun.elapsed().as_secs_f64();
        let made = load.stop().await?;
        for engine in &mut engines {
            engine.assert_running()?;
        }
        samples.sort();
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
        println!(
            "{rate:>9} {made:>9.0} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.2} {:>9.0}%",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0),
            poll.as_secs_f64() * 1e3,
            share * 100.0
        );
    }
    for engine in engines.into_iter().rev() {
        engine.stop()?;
    }
    servers::clear().await
}

/// Changes one row after the other and watches its document; how long each took, and the mean time of one look.
async fn probe(samples: usize, seed: u64) -> Outcome<(Vec<Duration>, Duration)> {
    let mut conn = servers::mysql(Some(NAME)).await?;
    let documents = servers::mongo().await?.collection::<Document>("items");
    let mut random = Random(seed << 32);
    let (mut taken, mut looks, mut looking) = (Vec::new(), 0_u32, Duration::ZERO);
    while taken.len() < samples {
        tokio::time::sleep(Duration::from_millis(random.below(PAUSE_MS))).await;
        let id = 1 + random.below(PROBED) as i64;
        let tag = 1 + random.below(1 << 50) as i64;
        execute(&mut conn, &format!("UPDATE item SET tag = {tag} WHERE id = {id}")).await?;
        let committed = Instant::now();
        loop {
            let look = Instant::now();
            let found = documents.find_one(doc! { "_id": id }).projection(doc! { "tag": 1 }).await?;
            (looks, looking) = (looks + 1, looking + look.elapsed());
            if found.is_some_and(|document| document.get_i64("tag").is_ok_and(|shown| shown == tag)) {
                taken.push(committed.elapsed());
                break;
            }
            if committed.elapsed() > LIMIT {
                return Err(format!("after {LIMIT:?} the document {id} does not show what was committed").into());
            }
        }
    }
    Ok((taken, looking / looks.max(1)))
}
