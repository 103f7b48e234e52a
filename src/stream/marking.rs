//! Marks of builds that are being copied: kept until the copy is done, then drained.
//!
//! Owns: keeping them durably before their position is passed (invariant I4), and draining them page by page. Does not own:
//! how a mark is discharged (`applier`). Nothing writes a document of a build while it is being copied but its copy.

use std::sync::Arc;

use super::{Context, Followed, applier};
use crate::error::Result;
use crate::logic::routing::{Entry, MarkSet};
use crate::model::build::{MarkRecord, Phase};
use crate::ops::failpoint;
use crate::ports::{Clock, DocumentStore, RecordStore, Source};

/// Marks stored in one call.
const MARKS_PER_CALL: usize = 1_000;

impl Followed {
    /// Whether its changes are kept as marks, because it is still being copied.
    pub(super) fn is_marking(&self) -> bool {
        self.build.phase < Phase::Catchup
    }

    /// Whether marks of its copy are kept.
    pub(super) fn has_marks(&self) -> bool {
        !self.checkpoint.marked.is_empty()
    }
}

/// Keeps the marks of projections that are being copied. Returns when they are durable.
pub(super) async fn keep<S, D, R: RecordStore, C>(
    context: &Context<S, D, R, C>,
    followed: &[Option<Followed>],
    marks: MarkSet,
) -> Result<()> {
    let mut records: Vec<Vec<MarkRecord>> = vec![Vec::new(); followed.len()];
    let (roots, lookups) = marks.into_parts();
    for (projection, keys) in roots {
        let record = |key| MarkRecord { node: 0, linked: false, key };
        records[projection].extend(keys.into_keys().map(record));
    }
    for (Entry { projection, node, linked }, keys) in lookups {
        records[projection].extend(keys.into_iter().map(|key| MarkRecord { node, linked, key }));
    }
    for (followed, records) in followed.iter().zip(records) {
        let Some(followed) = followed else { continue };
        for part in records.chunks(MARKS_PER_CALL) {
            context.records.add_marks(&followed.build, part).await?;
        }
    }
    failpoint::hit("marks.saved").await;
    Ok(())
}

/// Discharges one page of the kept marks of a build. False when none was left.
pub(super) async fn drain_page<S: Source, D: DocumentStore, R: RecordStore, C: Clock>(
    context: &Arc<Context<S, D, R, C>>,
    followed: &[Option<Followed>],
    projection: usize,
) -> Result<bool> {
    let Some(drained) = &followed[projection] else {
        return Ok(false);
    };
    let page = context.records.marks(&drained.build, context.limits.batch * context.limits.workers).await?;
    if page.is_empty() {
        return Ok(false);
    }
    let mut marks = MarkSet::default();
    for mark in &page {
        if mark.node == 0 {
            marks.add_root(projection, mark.key.clone(), false);
        } else {
            marks.add_lookup(Entry { projection, node: mark.node, linked: mark.linked }, mark.key.clone());
        }
    }
    // The read contains every transaction of which a mark is kept: so whole records are discharged.
    applier::apply(context, followed, marks, &drained.checkpoint.marked).await?;
    context.records.remove_marks(&drained.build, &page).await?;
    failpoint::hit("marks.drained").await;
    Ok(true)
}
