//! TPC-H for the demo and the benchmark: load it, write to it, and judge what became of it.
//!
//!     cargo bench --bench tpch -- load --scale 0.1
//!     cargo bench --bench tpch -- --help
//!
//! Owns: the `tpch` database and the judgement of the `orders` collection. Imports nothing of the engine: what it knows of
//! rowfold is the program's command line and the documents it leaves. Not part of the product.
#![allow(clippy::disallowed_methods, reason = "it measures and drives real servers: no simulation owns its clock")]

mod compare;
mod copy;
mod limit;
mod load;
mod mapping;
mod measure;
mod random;
mod report;
mod reset;
mod schema;
mod selftest;
mod servers;
mod show;
mod wait;
mod write;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What every step here returns.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(name = "tpch", about = "TPC-H for the demo and the benchmark", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Given by `cargo bench` to every bench target.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create and fill the MySQL database `tpch`; does nothing if it is already there at the same size.
    Load(load::Options),
    /// Commit random changes to it.
    Write(write::Options),
    /// Wait until a running job is live, or has caught up with the source.
    Wait(wait::Options),
    /// Compare every document of the target with an SQL query.
    Compare(compare::Options),
    /// Print documents of the target.
    Show(show::Options),
    /// Drop the job's target database, if it is rowfold's, and its streams in Redis.
    Reset(reset::Options),
    /// How fast the target takes the same documents, already encoded.
    LimitWrite(limit::Options),
    /// Benchmark case `nested-copy`: `rowfold snapshot` beside limit-write.
    Copy(copy::Options),
    /// Make a right collection without rowfold, then plant mistakes: `compare` must find each.
    Selftest(selftest::Options),
}

async fn run(command: Command) -> Outcome {
    match command {
        Command::Load(options) => load::run(&options).await,
        Command::Write(options) => write::run(&options).await,
        Command::Wait(options) => wait::run(&options).await,
        Command::Compare(options) => compare::run(&options).await,
        Command::Show(options) => show::run(&options).await,
        Command::Reset(options) => reset::run(&options).await,
        Command::LimitWrite(options) => limit::run(&options).await,
        Command::Copy(options) => copy::run(&options).await,
        Command::Selftest(options) => selftest::run(&options).await,
    }
}

fn main() -> ExitCode {
    let Some(command) = Arguments::parse().command else {
        eprintln!("tpch: nothing to do; see `cargo bench --bench tpch -- --help`, or run scripts/bench");
        return ExitCode::SUCCESS;
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tpch: error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tpch: error: {error}");
            ExitCode::FAILURE
        }
    }
}
