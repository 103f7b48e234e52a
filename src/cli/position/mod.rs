//! `rowfold position`: where a job's documents stand in the source's history, and putting them elsewhere by hand.
//!
//! Owns: the arguments of its commands. Does not own: showing (`show`), setting and skipping (`change`), taking over from
//! a Debezium Server (`import`), leaving the streams (`leave`).

mod change;
mod import;
mod leave;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use crate::error::{Error, Result};
use crate::model::position::{Gtid, GtidSet};

#[derive(Debug, Subcommand)]
pub(super) enum PositionCommand {
    /// Show what each collection contains, and how far it is in each stream.
    Show(ShowArgs),
    /// Say which transactions the documents contain. What is missing is applied again, what is added is left out.
    Set(SetArgs),
    /// Leave one transaction out that cannot be applied.
    Skip(SkipArgs),
    /// Take over the streams of another program that has stopped.
    Import(ImportArgs),
    /// Keep nothing in Redis for a job that is not run any more. Run again, it catches up from the binlog.
    Leave(LeaveArgs),
}

#[derive(Debug, Args)]
pub(super) struct LeaveArgs {
    /// The job file (YAML).
    job: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The job file (YAML).
    job: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The job file (YAML).
    job: PathBuf,
    /// A GTID set as MySQL writes it.
    #[arg(long)]
    gtids: String,
    /// Do it. Without it, only say what would change.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct SkipArgs {
    /// The job file (YAML).
    job: PathBuf,
    /// The transaction, as `uuid:number`.
    #[arg(long)]
    gtid: String,
    /// Do it. Without it, only say what would change.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Who wrote the streams.
    from: Producer,
    /// The job file (YAML).
    job: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Producer {
    /// A Debezium Server with its Redis sink.
    Debezium,
}

/// Runs one of them.
pub(super) async fn run(command: &PositionCommand) -> Result<u8> {
    match command {
        PositionCommand::Show(args) => show::run(&args.job, args.json).await,
        PositionCommand::Set(args) => {
            let gtids = args.gtids.parse::<GtidSet>();
            let gtids = gtids.map_err(|error| Error::config("--gtids cannot be read").because(error))?;
            change::run(&args.job, &change::Change::Set(gtids), args.yes).await
        }
        PositionCommand::Skip(args) => change::run(&args.job, &change::Change::Skip(one(&args.gtid)?), args.yes).await,
        PositionCommand::Import(ImportArgs { from: Producer::Debezium, job }) => import::run(job).await,
        PositionCommand::Leave(args) => leave::run(&args.job).await,
    }
}

/// One GTID.
fn one(text: &str) -> Result<Gtid> {
    text.parse().map_err(|_| {
        let what = format!("--gtid has to be one transaction as the source writes it, not {text}");
        Error::config(format!("{what}: uuid:number (MySQL) or domain-server-number (MariaDB)"))
    })
}

/// What a change by hand did not do, for want of `--yes`.
fn not_without_yes(job: &Path) -> Error {
    Error::config(format!("nothing was written; add --yes to do that to {}", job.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_transaction_is_one() {
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        assert_eq!(one(&format!("{uuid}:7")).expect("one").to_string(), format!("{uuid}:7"));
        assert_eq!(one(&format!("{uuid}:blue:7")).expect("one").to_string(), format!("{uuid}:blue:7"));
        for wrong in ["", "7", uuid, &format!("{uuid}:1-2"), &format!("{uuid}:1:3"), &format!("{uuid}:1,{uuid}:blue:1")]
        {
            assert!(one(wrong).is_err(), "{wrong}");
        }
        assert_eq!(one("0-1-7").expect("one").to_string(), "0-1-7");
    }
}
