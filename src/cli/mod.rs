//! The command line: what can be asked for, and what it answers with.
//!
//! Owns: arguments, exit codes, wiring of real servers to the engine (with `main` the only place where both meet).
//! Does not own: the work. Results go to stdout, logs and progress to stderr.

mod capture;
mod commands;
mod connect;
mod position;
mod preview;
mod report;
mod status;
mod streams;
mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::commands::Halves;
use crate::engine::Mode;
use crate::error::{Error, Kind};
use crate::ops::shutdown::Shutdown;

/// Fold the rows of many MySQL tables into MongoDB documents, and keep them there.
#[derive(Debug, Parser)]
#[command(name = "rowfold", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How much to log on stderr: error, warn, info, debug, trace, or tracing directives.
    #[arg(long, global = true, env = "ROWFOLD_LOG", default_value = "info")]
    log: String,
    /// The form of log lines.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy the tables once, replay what changed meanwhile, and stop.
    Snapshot(RunArgs),
    /// Copy the tables, then follow every change until stopped.
    Run(RunArgs),
    /// Write the job's changes into Redis and nothing else: one half of `run`, as a process of its own.
    Capture(JobArgs),
    /// As `run`, without writing into Redis: the other half.
    Apply(RunArgs),
    /// Check a job against the live servers. Writes nothing.
    Check(JobArgs),
    /// Print the first documents that a job would write. Writes nothing.
    Preview(PreviewArgs),
    /// Show how far a job is, from any terminal.
    Status(StatusArgs),
    /// Show where a job's documents stand in the source's history, or put them elsewhere.
    #[command(subcommand)]
    Position(position::PositionCommand),
    /// Print the JSON Schema of job files, for editors.
    Schema,
}

#[derive(Debug, Args)]
struct JobArgs {
    /// The job file (YAML).
    job: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The job file (YAML).
    job: PathBuf,
    /// Drop the job's documents and begin anew. Readers see no collection until the new one is caught up.
    #[arg(long)]
    start_over: bool,
}

#[derive(Debug, Args)]
struct PreviewArgs {
    /// The job file (YAML).
    job: PathBuf,
    /// Documents of each projection.
    #[arg(long, short = 'n', default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    count: u64,
    /// Only this collection.
    #[arg(long)]
    projection: Option<String>,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// The job file (YAML).
    job: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Show again every second until stopped.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

/// Everything was done.
const DONE: u8 = 0;
/// Something failed on the way.
const FAILED: u8 = 1;
/// The job, its settings or a precondition is wrong. Nothing was written.
const WRONG: u8 = 2;
/// Stopped on request before the end; starting again goes on.
const INTERRUPTED: u8 = 130;

/// Runs the command line.
pub async fn run(cli: Cli, shutdown: Shutdown) -> ExitCode {
    report::init_logs(&cli.log, matches!(cli.log_format, LogFormat::Json));
    let done = match cli.command {
        Command::Snapshot(args) => commands::work(&args, Mode::Snapshot, Halves::Both, &shutdown).await,
        Command::Run(args) => commands::work(&args, Mode::Run, Halves::Both, &shutdown).await,
        Command::Apply(args) => commands::work(&args, Mode::Run, Halves::Apply, &shutdown).await,
        Command::Capture(args) => capture::run(&args.job, &shutdown).await,
        Command::Check(args) => commands::check(&args.job).await,
        Command::Preview(args) => preview::run(&args.job, args.count, args.projection.as_deref()).await,
        Command::Status(args) => status::run(&args.job, args.json, args.watch, &shutdown).await,
        Command::Position(command) => position::run(&command).await,
        Command::Schema => {
            show(format_args!("{}\n", crate::config::json_schema()));
            Ok(DONE)
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("rowfold: {}", error.chain());
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Prints a result. A reader that has had enough (`| head`) is no failure.
fn show(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = std::io::stdout().write_fmt(text);
}

fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        Kind::Config => WRONG,
        Kind::Retry | Kind::Halt | Kind::Park | Kind::Fenced => FAILED,
    }
}
