//! Reads the rows of one chunk, in one short snapshot.
//!
//! Owns: opening the snapshot, making its E durable before anything is written (the first attempt's E stays), and
//! cutting a chunk that is too large into parts. Does not own: what is read of each node (`reading`).

use super::Copy;
use crate::error::{Error, Kind, Result};
use crate::logic::assembly::RowSet;
use crate::model::build::ChunkRecord;
use crate::model::position::Version;
use crate::model::value::Key;
use crate::ports::{DocumentStore, RecordStore, Selection, Snapshot, Source};
use crate::reading::{Lookups, Read, read_rows};

/// A part of a chunk holds at most this many times the planned bytes; beyond it the part is cut in two.
const OVERSIZE_MAX: usize = 8;
/// And never less than this, so that one large document can be read: room for 16 MiB of BSON as rows.
const PART_BYTES_MIN: usize = 128 * 1024 * 1024;

/// A part of a chunk.
pub(super) enum Part {
    /// Its rows.
    Rows(RowSet),
    /// One root whose rows cannot be read, with the reason.
    Unreadable(Key, String),
}

/// A chunk being read.
pub(super) struct OpenChunk<N> {
    snapshot: N,
    /// What the rows contain.
    pub(super) version: Version,
    /// Ranges still to read, the next one last.
    ranges: Vec<(Option<Key>, Option<Key>)>,
}

/// Opens a snapshot for a chunk and makes its E durable.
pub(super) async fn open<S: Source, D: DocumentStore, R: RecordStore, C: Send + Sync>(
    copy: &Copy<S, D, R, C>,
    chunk: &ChunkRecord,
) -> Result<OpenChunk<S::Snapshot>> {
    let snapshot = checked_snapshot(copy).await?;
    let version = version_of(copy, &snapshot)?;
    // With lookups from memory a document is only as new as the older of the two reads.
    let version = copy.lookups.version.map_or(version, |held| version.min(held));
    copy.records.start_chunk(&copy.build, chunk.number, snapshot.executed()).await?;
    Ok(OpenChunk { snapshot, version, ranges: vec![(chunk.after.clone(), chunk.up_to.clone())] })
}

/// Reads the lookup tables that fit into memory, once for the whole copy.
pub(super) async fn lookups<S: Source, D, R, C>(copy: &Copy<S, D, R, C>) -> Result<Lookups> {
    let mut snapshot = checked_snapshot(copy).await?;
    let version = version_of(copy, &snapshot)?;
    let plan = &copy.plan.projections[copy.projection];
    let bytes_max = copy.limits.lookup_bytes;
    let lookups = Lookups::load(&*copy.source, &mut snapshot, version, plan, copy.projection, bytes_max).await?;
    snapshot.close().await;
    Ok(lookups)
}

fn version_of<S: Source, D, R, C>(copy: &Copy<S, D, R, C>, snapshot: &S::Snapshot) -> Result<Version> {
    Version::of(copy.build.version_epoch, snapshot.executed())
        .ok_or_else(|| Error::halt("more than 2^48 transactions: the version of a read cannot be counted"))
}

/// A snapshot of the right server that contains P0.
async fn checked_snapshot<S: Source, D, R, C>(copy: &Copy<S, D, R, C>) -> Result<S::Snapshot> {
    let snapshot = copy.source.snapshot().await?;
    if snapshot.server_uuid() != copy.build.server_uuid {
        return Err(Error::retry("the source became another server during the copy"));
    }
    // I6: what is replayed later starts at P0, so a snapshot that lacks some of P0 would lose changes for ever.
    if !copy.build.start.is_subset(snapshot.executed()) {
        return Err(Error::retry("the source no longer contains the position at which the copy began"));
    }
    Ok(snapshot)
}

impl<N: Snapshot> OpenChunk<N> {
    /// The next part's rows, or `None` at the end of the chunk.
    pub(super) async fn next_part<S: Source<Snapshot = N>, D, R, C>(
        &mut self,
        copy: &Copy<S, D, R, C>,
    ) -> Result<Option<Part>> {
        let bytes_max = (copy.limits.chunk_bytes.saturating_mul(OVERSIZE_MAX)).max(PART_BYTES_MIN);
        let plan = &copy.plan.projections[copy.projection];
        while let Some((after, up_to)) = self.ranges.pop() {
            let range = Selection::Range { after: after.as_ref(), up_to: up_to.as_ref() };
            // A range in which one row cannot be read, or that is too large, is cut until that row is alone.
            let reason =
                match read_rows(&mut self.snapshot, plan, copy.projection, range, &copy.lookups, bytes_max).await {
                    Ok(Read::Rows(rows)) => return Ok(Some(Part::Rows(rows))),
                    Ok(Read::TooLarge) => format!("its rows take more than {bytes_max} bytes"),
                    Err(error) if error.kind() == Kind::Park => error.chain(),
                    Err(error) => return Err(error),
                };
            match self.snapshot.middle(copy.projection, after.as_ref(), up_to.as_ref()).await? {
                Some(middle) => {
                    self.ranges.push((Some(middle.clone()), up_to));
                    self.ranges.push((after, Some(middle)));
                }
                None => {
                    let key = self.snapshot.first_key(copy.projection, after.as_ref(), up_to.as_ref()).await?;
                    // What could not be read then belongs to no root: an orphan.
                    let Some(key) = key else { continue };
                    let alone = Selection::Keys(std::slice::from_ref(&key));
                    let plan = &copy.plan.projections[copy.projection];
                    return match read_rows(&mut self.snapshot, plan, copy.projection, alone, &copy.lookups, bytes_max)
                        .await
                    {
                        Ok(Read::Rows(rows)) => Ok(Some(Part::Rows(rows))),
                        Ok(Read::TooLarge) => Ok(Some(Part::Unreadable(key, reason))),
                        Err(error) if error.kind() == Kind::Park => Ok(Some(Part::Unreadable(key, error.chain()))),
                        Err(error) => Err(error),
                    };
                }
            }
        }
        Ok(None)
    }

    /// Ends the snapshot.
    pub(super) async fn close(self) {
        self.snapshot.close().await;
    }
}
