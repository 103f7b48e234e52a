//! Writing documents: plain inserts for the copy, guarded writes for everything else.
//!
//! Owns: which commands a batch becomes, and what the answers mean for each document (invariants I3 and I5). Does not
//! own: the commands' bytes (`batch`), when to try a failed batch again.
//!
//! A put is first a replace without upsert. Only what matched nothing is looked up: what is not there goes as a create
//! with its deadline; what is there with a greater version was written by a newer read. A delete that matched nothing is
//! looked up in the same way. `likely_new` skips the first step.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};

use super::batch::{self, Frame, IdBytes, Statement};
use super::failure::{self, WriteError};
use super::{COMMAND_LIMIT, MongoTarget, millis};
use crate::error::{Error, Kind, Result};
use crate::model::document::Document as RootDocument;
use crate::model::position::Version;
use crate::ports::{Write, WriteReport};

/// How often a write is tried that another writer overtakes. Each root is in one hand, so once is rare.
const ROUNDS: usize = 6;

/// One document's place in the batch, and what is done with it.
#[derive(Clone, Copy, Debug)]
struct Item<'a> {
    index: usize,
    statement: Statement<'a>,
}

/// What came of the commands of one round.
#[derive(Debug, Default)]
struct Outcome<'a> {
    /// Statements that failed, by their place in the batch.
    errors: Vec<(usize, WriteError)>,
    /// Indices of documents that the server refuses, with the reason.
    refused: Vec<(usize, String)>,
    /// Statements that did not fail, in a command that matched fewer than it should.
    doubtful: Vec<Item<'a>>,
}

/// See [`crate::ports::DocumentStore::insert`].
pub(super) async fn insert(target: &MongoTarget, collection: &str, documents: &[RootDocument]) -> Result<WriteReport> {
    let mut report = WriteReport::default();
    let mut items = Vec::with_capacity(documents.len());
    let mut ids = HashSet::with_capacity(documents.len());
    for (index, document) in documents.iter().enumerate() {
        assert!(ids.insert(IdBytes::of(&document.bytes)?), "an _id is twice in a batch");
        if document.bytes.len() > batch::DOCUMENT_MAX {
            report.refused.push((index, failure::too_large().to_string()));
        } else {
            items.push(Item { index, statement: Statement::Insert { document: &document.bytes } });
        }
    }
    let what = format!("inserting into `{collection}`");
    let frame = Frame { collection, version: 0, create_until_ms: 0, limit_ms: millis(COMMAND_LIMIT) };
    let outcome = send(target, &what, &frame, &items).await?;
    if !outcome.doubtful.is_empty() {
        return Err(Error::retry(format!("{what}: fewer documents were inserted than were sent")));
    }
    settle(&what, outcome.errors, &mut report)?;
    report.refused.extend(outcome.refused);
    sorted(report)
}

/// See [`crate::ports::DocumentStore::write`].
pub(super) async fn write(
    target: &MongoTarget,
    collection: &str,
    version: Version,
    create_until_ms: i64,
    writes: &[Write],
) -> Result<WriteReport> {
    let what = format!("writing to `{collection}`");
    let mut report = WriteReport::default();
    let mut ids = HashSet::with_capacity(writes.len());
    let (mut replaces, mut creates, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
    for (index, write) in writes.iter().enumerate() {
        let id = match write {
            Write::Put { document, .. } => IdBytes::of(&document.bytes)?,
            Write::Delete { id } => IdBytes::of(id)?,
        };
        assert!(ids.insert(id), "an _id is twice in a batch");
        match write {
            Write::Put { document, .. } if document.bytes.len() > batch::DOCUMENT_MAX => {
                report.refused.push((index, failure::too_large().to_string()));
            }
            Write::Put { document, likely_new } => {
                let document = document.bytes.as_slice();
                if *likely_new {
                    creates.push(Item { index, statement: Statement::Create { id, document } });
                } else {
                    replaces.push(Item { index, statement: Statement::Replace { id, document } });
                }
            }
            Write::Delete { .. } => deletes.push(Item { index, statement: Statement::Delete { id } }),
        }
    }
    let (create_limit, create_until_ms) = target.create_bounds(create_until_ms);
    let frame = Frame { collection, version: version.0, create_until_ms, limit_ms: millis(COMMAND_LIMIT) };
    let create_frame = Frame { limit_ms: millis(create_limit), ..frame };
    for _ in 0..ROUNDS {
        let mut doubtful = Vec::new();
        for (frame, items) in [(&frame, &mut deletes), (&frame, &mut replaces), (&create_frame, &mut creates)] {
            let outcome = send(target, &what, frame, &std::mem::take(items)).await?;
            settle(&what, outcome.errors, &mut report)?;
            report.refused.extend(outcome.refused);
            doubtful.extend(outcome.doubtful);
        }
        if doubtful.is_empty() {
            return sorted(report);
        }
        let stored = stored_versions(target, &what, collection, &doubtful).await?;
        for item in doubtful {
            let id = id_of(&item.statement)?;
            let there = stored.get(&id_bytes(&id));
            match (item.statement, there) {
                (_, Some(Some(stored))) if *stored > version.0 => report.newer.push(item.index),
                (Statement::Delete { .. }, None) => {}
                (Statement::Delete { .. }, Some(_)) => deletes.push(item),
                // Ours: the command matched it, and fewer others than it should.
                (_, Some(Some(stored))) if *stored == version.0 => {}
                (Statement::Replace { document, .. } | Statement::Create { document, .. }, None) => {
                    creates.push(Item { index: item.index, statement: Statement::Create { id, document } });
                }
                (Statement::Replace { document, .. } | Statement::Create { document, .. }, Some(_)) => {
                    replaces.push(Item { index: item.index, statement: Statement::Replace { id, document } });
                }
                (Statement::Insert { .. }, _) => unreachable!("inserts are not guarded"),
            }
        }
    }
    Err(Error::retry(format!("{what}: another writer keeps changing the same documents")))
}

/// Sends statements of one kind, in as many commands as they need. A command that the server refuses as a whole for what
/// is in it is halved until the culprit stands alone.
async fn send<'a>(target: &MongoTarget, what: &str, frame: &Frame<'_>, items: &[Item<'a>]) -> Result<Outcome<'a>> {
    let mut outcome = Outcome::default();
    let statements: Vec<Statement<'a>> = items.iter().map(|item| item.statement).collect();
    let mut parts = batch::cut(&statements);
    parts.reverse();
    let limit = Duration::from_millis(frame.limit_ms.unsigned_abs());
    while let Some(part) = parts.pop() {
        let command = batch::command(frame, &statements[part.clone()])?;
        let reply = match target.write_command(what, command, limit).await {
            Ok(reply) => reply,
            Err(failure) if failure.code.is_some_and(|code| failure::kind_of(code) == Kind::Park) => {
                if part.len() == 1 {
                    let code = failure.code.unwrap_or_default();
                    let reason = format!("the target refuses the document with error {code}");
                    outcome.refused.push((items[part.start].index, reason));
                } else {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        let sent = &items[part];
        let expected = sent.len().checked_sub(reply.errors.len());
        let failed: HashSet<usize> = reply.errors.iter().map(|error| error.index).collect();
        if expected.is_none() || failed.len() != reply.errors.len() || failed.iter().any(|at| *at >= sent.len()) {
            return Err(Error::retry(format!("{what}: the answer does not fit the command")));
        }
        if expected != Some(reply.count) {
            outcome
                .doubtful
                .extend(sent.iter().enumerate().filter(|(at, _)| !failed.contains(at)).map(|(_, item)| item));
        }
        outcome.errors.extend(reply.errors.into_iter().map(|error| (sent[error.index].index, error)));
    }
    Ok(outcome)
}

/// Sorts the failed statements: a newer document is there, the document was refused, or the server could not.
fn settle(what: &str, errors: Vec<(usize, WriteError)>, report: &mut WriteReport) -> Result<()> {
    for (index, error) in errors {
        if error.is_past_deadline() {
            return Err(Error::fenced(format!("{what}: the write deadline passed before a document was created")));
        }
        if error.is_duplicate_id() {
            report.newer.push(index);
            continue;
        }
        if error.is_lost_race() {
            return Err(Error::retry(format!("{what}: another writer created the same document in the same moment")));
        }
        // Said of one statement, an internal error is that document's own.
        match if error.code == 1 { Kind::Park } else { failure::kind_of(error.code) } {
            kind @ (Kind::Retry | Kind::Config) => {
                return Err(Error::new(kind, format!("{what}: the target answered with error {}", error.code)));
            }
            _ => report.refused.push((index, error.reason())),
        }
    }
    Ok(())
}

fn sorted(mut report: WriteReport) -> Result<WriteReport> {
    report.newer.sort_unstable();
    report.refused.sort_unstable();
    Ok(report)
}

fn id_of<'a>(statement: &Statement<'a>) -> Result<IdBytes<'a>> {
    match statement {
        Statement::Replace { id, .. } | Statement::Create { id, .. } | Statement::Delete { id } => Ok(*id),
        Statement::Insert { document } => IdBytes::of(document),
    }
}

/// A document with the `_id` alone.
fn id_bytes(id: &IdBytes<'_>) -> Vec<u8> {
    let mut writer = crate::model::document::BsonWriter::with_capacity(64);
    id.write(&mut writer, "_id");
    writer.finish()
}

/// The documents that are there, by their `_id` (as [`id_bytes`]), with their version if they have one. One that is
/// missed (its number is of another type, say) only makes a create of a replace, and a create finds out by itself.
async fn stored_versions(
    target: &MongoTarget,
    what: &str,
    collection: &str,
    items: &[Item<'_>],
) -> Result<HashMap<Vec<u8>, Option<i64>>> {
    let mut wanted = Vec::with_capacity(items.len());
    for item in items {
        let raw = RawDocumentBuf::from_bytes(id_bytes(&id_of(&item.statement)?))
            .and_then(|raw| Document::try_from(&raw))
            .map_err(|_| Error::halt(format!("{what}: an `_id` is not BSON")))?;
        wanted.extend(raw.into_iter().map(|(_, id)| id));
    }
    let mut found = HashMap::with_capacity(wanted.len());
    for part in wanted.chunks(1_000) {
        let command = doc! {
            "find": collection, "filter": {"_id": {"$in": part}}, "projection": {"_id": 1, "_rf.v": 1},
        };
        for mut document in target.read(what, command).await? {
            let version = document.get_document("_rf").ok().and_then(|rf| failure::long(rf, "v"));
            let id = document.remove("_id").unwrap_or(Bson::Null);
            let key = bson::serialize_to_vec(&doc! {"_id": id})
                .map_err(|_| Error::halt(format!("{what}: a stored `_id` is not BSON")))?;
            found.insert(key, version);
        }
    }
    Ok(found)
}
