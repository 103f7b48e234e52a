//! Dropping what an earlier demo or benchmark left in the target.
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

pub async fn run(options: &Options) -> Outcome {
    reset(&servers::mongo().await?.database(&options.database)).await
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
