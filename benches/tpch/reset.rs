//! Dropping what an earlier demo or benchmark left in the target and in Redis.
//!
//! Owns: the check that nothing of somebody else's is dropped.

use mongodb::Database;

use crate::Outcome;
use crate::servers::{self, DATABASE};

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Database of the documents.
    #[arg(long, default_value = DATABASE)]
    database: String,
}

/// What the demo's job gives its streams as prefix: nobody else's keys begin so.
const PREFIX: &str = "cdc_tpch.";

pub async fn run(options: &Options) -> Outcome {
    reset(&servers::mongo().await?.database(&options.database)).await?;
    forget_streams().await
}

/// Removes the job's streams, with the record of who reads them: a build that was dropped would keep them from being trimmed.
pub async fn forget_streams() -> Outcome {
    let mut redis = servers::redis().await?;
    let mut cursor = 0;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{PREFIX}*")).arg("COUNT").arg(1_000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut redis).await?;
        for key in keys {
            redis::cmd("UNLINK").arg(key).query_async::<u64>(&mut redis).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// Drops the database if it is empty or holds rowfold's records.
pub async fn reset(database: &Database) -> Outcome {
    let collections = database.list_collection_names().await?;
    if !collections.is_empty() && !collections.iter().any(|name| name.starts_with("_rowfold.")) {
        return Err(format!(
            "the MongoDB database `{}` holds collections that are not rowfold's; nothing was changed",
            database.name()
        )
        .into());
    }
    Ok(database.drop().await?)
}
