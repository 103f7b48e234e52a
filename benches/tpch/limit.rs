//! How fast the target takes documents that are there already, encoded, in memory: nothing that builds them can be faster.
//!
//! Owns: the same command that a copy would send (unordered insert, majority, journaled) over an empty collection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bson::{Document, RawDocumentBuf, doc};
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use mongodb::Database;
use serde_json::json;

use crate::Outcome;
use crate::compare::Target;
use crate::report::grouped;
use crate::servers;

/// The database of the copies; dropped at the end.
const SCRATCH: &str = "rowfold_limit_write";

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Numbers of connections to try.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    connections: Vec<usize>,
    /// Sizes of batches to try.
    #[arg(long, value_delimiter = ',', default_values_t = [500, 1_000, 2_000])]
    batches: Vec<usize>,
}

/// One way of writing, and how fast it was.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub connections: usize,
    pub batch: usize,
    pub documents: usize,
    pub seconds: f64,
}

impl Run {
    pub fn rate(&self) -> f64 {
        self.documents as f64 / self.seconds
    }
}

pub async fn run(options: &Options) -> Outcome {
    let documents = read(&options.target).await?;
    let mut ways = Vec::new();
    for connections in &options.connections {
        ways.extend(options.batches.iter().map(|batch| (*connections, *batch)));
    }
    let best = best(&documents, &ways).await?;
    println!(
        "{}",
        json!({
            "case": "limit-write", "documents": best.documents, "bytes": bytes(&documents), "seconds": best.seconds,
            "documents_per_s": best.rate(), "connections": best.connections, "batch": best.batch,
        })
    );
    Ok(())
}

/// All documents of a collection, as bytes.
pub async fn read(target: &Target) -> Outcome<Arc<Vec<RawDocumentBuf>>> {
    let documents: Vec<RawDocumentBuf> =
        target.open().await?.find(doc! {}).batch_size(2_000).await?.try_collect().await?;
    if documents.is_empty() {
        return Err(format!("{}.{} holds no documents", target.database, target.collection).into());
    }
    Ok(Arc::new(documents))
}

/// Bytes of all documents.
pub fn bytes(documents: &[RawDocumentBuf]) -> usize {
    documents.iter().map(|document| document.as_bytes().len()).sum()
}

/// Tries every way (connections, documents of a batch) and returns the fastest.
pub async fn best(documents: &Arc<Vec<RawDocumentBuf>>, ways: &[(usize, usize)]) -> Outcome<Run> {
    let mut best: Option<Run> = None;
    let database = servers::mongo().await?.database(SCRATCH);
    for &(connections, batch) in ways {
        database.drop().await?;
        database.create_collection("orders").await?;
        let run = insert(&database, documents, connections.max(1), batch.max(1)).await?;
        eprintln!(
            "tpch: limit-write: {connections} connections, batches of {batch}: {} documents/s",
            grouped(run.rate() as u64)
        );
        best = best.filter(|best| best.rate() >= run.rate()).or(Some(run));
    }
    database.drop().await?;
    Ok(best.ok_or("no way of writing was given")?)
}

async fn insert(
    database: &Database,
    documents: &Arc<Vec<RawDocumentBuf>>,
    connections: usize,
    batch: usize,
) -> Outcome<Run> {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let writers = (0..connections).map(|_| {
        let (database, documents, next) = (database.clone(), documents.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                if from >= documents.len() {
                    return Outcome::Ok(());
                }
                let part = &documents[from..documents.len().min(from + batch)];
                let reply = database.run_raw_command(command(part)?).await?;
                if !accepted(&reply, part.len()) {
                    return Err(format!("the target did not take a batch: {reply}").into());
                }
            }
        })
    });
    for written in try_join_all(writers).await? {
        written?;
    }
    Ok(Run { connections, batch, documents: documents.len(), seconds: start.elapsed().as_secs_f64() })
}

fn accepted(reply: &Document, count: usize) -> bool {
    let taken = reply.get_i32("n").map(i64::from).or_else(|_| reply.get_i64("n"));
    let complaints = ["writeErrors", "writeConcernError"].iter().any(|name| reply.contains_key(name));
    !complaints && taken.is_ok_and(|taken| usize::try_from(taken) == Ok(count))
}

/// The insert command, its documents copied in as they are.
fn command(documents: &[RawDocumentBuf]) -> Outcome<RawDocumentBuf> {
    let rest = RawDocumentBuf::try_from(&doc! {"ordered": false, "writeConcern": {"w": "majority", "j": true}})?;
    let mut bytes = Vec::with_capacity(self::bytes(documents) + documents.len() * 12 + 256);
    bytes.extend([0; 4]);
    bytes.extend(b"\x02insert\0\x07\0\0\0orders\0\x04documents\0");
    let start = bytes.len();
    bytes.extend([0; 4]);
    for (at, document) in documents.iter().enumerate() {
        bytes.push(0x03);
        bytes.extend(at.to_string().as_bytes());
        bytes.push(0);
        bytes.extend(document.as_bytes());
    }
    bytes.push(0);
    let length = i32::try_from(bytes.len() - start)?;
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    bytes.extend(&rest.as_bytes()[4..]);
    let length = i32::try_from(bytes.len())?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(RawDocumentBuf::from_bytes(bytes)?)
}
