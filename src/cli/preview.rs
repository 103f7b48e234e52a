//! `rowfold preview`: the first documents that a job would write.
//!
//! Owns: printing them as relaxed Extended JSON. Does not own: making them: that is the same reading and assembling as
//! in a copy.

use std::path::Path;

use super::{DONE, connect};
use crate::error::{Error, Result};
use crate::logic::assembly::assemble;
use crate::model::position::Version;
use crate::ports::{Selection, Snapshot, Source};
use crate::reading::{Lookups, Read, read_rows};

/// Arrow bytes of the previewed rows.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Prints `count` documents of each projection, or of one.
pub(super) async fn run(job: &Path, count: u64, only: Option<&str>) -> Result<u8> {
    let connected = connect::connect(job, connect::Role::Applier).await?;
    let plan = &connected.plan;
    if let Some(only) = only
        && !plan.projections.iter().any(|projection| projection.collection == only)
    {
        let known: Vec<&str> = plan.projections.iter().map(|projection| projection.collection.as_str()).collect();
        return Err(Error::config(format!("no projection is called {only}; the job has {}", known.join(", "))));
    }
    for (at, projection) in plan.projections.iter().enumerate() {
        if only.is_some_and(|only| only != projection.collection) {
            continue;
        }
        let up_to = connected.source.boundary(at, None, count).await?;
        let mut snapshot = connected.source.snapshot().await?;
        let range = Selection::Range { after: None, up_to: up_to.as_ref() };
        let read = read_rows(&mut snapshot, projection, at, range, &Lookups::default(), BYTES_MAX).await?;
        let version = Version::of(0, snapshot.executed()).unwrap_or(Version(0));
        snapshot.close().await;
        let Read::Rows(rows) = read else {
            return Err(Error::config(format!(
                "the first {count} documents need too much memory; ask for fewer with -n"
            )));
        };
        let assembled = assemble(projection, &rows, version, 0)?;
        eprintln!("{}: {} documents", projection.collection, assembled.documents.len());
        for document in assembled.documents {
            let document = bson::Document::from_reader(&document.bytes[..])
                .map_err(|error| Error::halt("a document was not built as BSON").because(error))?;
            let json = bson::Bson::Document(document).into_relaxed_extjson();
            super::show(format_args!("{}\n", serde_json::to_string_pretty(&json).unwrap_or_default()));
        }
        for (_, reason) in assembled.parked {
            eprintln!("{}: one document would be parked: {reason}", projection.collection);
        }
    }
    Ok(DONE)
}
