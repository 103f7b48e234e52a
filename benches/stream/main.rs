//! How soon a change is in the document, and how many changes a second go through Redis.
//!
//!     cargo build --release && cargo bench --bench stream -- latency --rate 100
//!     cargo bench --bench stream -- backlog
//!
//! Owns: the MySQL database `rowfold_bench_stream`, the target database and the Redis prefix of the same name. Imports
//! nothing of the engine: what it knows of rowfold is its command line, its documents, and Redis' own commands. Not part
//! of the product.
#![allow(clippy::disallowed_methods, reason = "it measures real servers in real time")]

mod backlog;
mod engine;
mod latency;
mod rows;
mod servers;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What every step here returns.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(name = "stream", about = "Latency and throughput of changes through Redis", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Given by `cargo bench` to every bench target.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// From the return of COMMIT to the document, by a prober that knows nothing of the engine.
    Latency(latency::Options),
    /// Changes a second out of a binlog backlog, and out of a stream backlog.
    Backlog(backlog::Options),
}

async fn run(command: Command) -> Outcome {
    match command {
        Command::Latency(options) => latency::run(&options).await,
        Command::Backlog(options) => backlog::run(&options).await,
    }
}

fn main() -> ExitCode {
    let Some(command) = Arguments::parse().command else {
        eprintln!("stream: nothing to do; see `cargo bench --bench stream -- --help`");
        return ExitCode::SUCCESS;
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("stream: error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stream: error: {error}");
            ExitCode::FAILURE
        }
    }
}
