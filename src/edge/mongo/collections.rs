//! Collections and their indexes.
//!
//! Owns: creating, renaming, dropping, and how an index is named. Does not own: which name a build has when (`engine`).

use bson::{Bson, Document, doc};

use super::command::UNLIMITED;
use super::failure::{self, Failure};
use super::{COMMAND_LIMIT, MongoTarget, majority};
use crate::error::{Error, Result};
use crate::model::plan::IndexPlan;
use crate::ports::CollectionState;

/// Names of the target database without `_rowfold.*` and the server's own.
pub(super) async fn list(target: &MongoTarget) -> Result<Vec<String>> {
    let mut names: Vec<String> = listed(target, doc! {})
        .await?
        .iter()
        .filter_map(|collection| collection.get_str("name").ok())
        .filter(|name| !name.starts_with("_rowfold.") && !name.starts_with("system."))
        .map(str::to_string)
        .collect();
    names.sort_unstable();
    Ok(names)
}

async fn listed(target: &MongoTarget, filter: Document) -> Result<Vec<Document>> {
    // Not `read`: the command takes no read concern.
    let command = doc! {
        "listCollections": 1, "filter": filter, "nameOnly": true, "authorizedCollections": true,
        "cursor": {"batchSize": 100_000},
    };
    let reply = target.run("listing the target's collections", command, COMMAND_LIMIT).await?;
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = batch.map_err(|_| Error::retry("listing the target's collections: the answer lacks its list"))?;
    Ok(batch.iter().filter_map(Bson::as_document).cloned().collect())
}

/// See [`crate::ports::DocumentStore::collection_state`].
pub(super) async fn state(target: &MongoTarget, collection: &str) -> Result<CollectionState> {
    let what = format!("looking at `{collection}`");
    let found = listed(target, doc! {"name": collection}).await?;
    let Some(entry) = found.first() else {
        return Ok(CollectionState::Missing);
    };
    let kind = entry.get_str("type").unwrap_or("collection");
    if kind != "collection" {
        return Err(Error::config(format!("{what}: it is a {kind}, not a collection; choose another name")));
    }
    // A local read: a document that could still be rolled back is a document here.
    let command =
        doc! {"find": collection, "projection": {"_id": 1}, "limit": 1, "singleBatch": true, "maxTimeMS": 60_000};
    let reply = target.run(&what, command, COMMAND_LIMIT).await?;
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    match batch.map(Vec::is_empty) {
        Ok(true) => Ok(CollectionState::Empty),
        Ok(false) => Ok(CollectionState::Filled),
        Err(_) => Err(Error::retry(format!("{what}: the answer lacks its list"))),
    }
}

/// The command's answer, unless it is one of these codes.
async fn run_ddl(target: &MongoTarget, what: &str, command: Document, fine: &[i32]) -> Result<()> {
    match target.run(what, command, UNLIMITED).await {
        Ok(reply) => failure::of_write_concern(what, &reply).map_or(Ok(()), Err),
        Err(Failure { code: Some(code), .. }) if fine.contains(&code) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// See [`crate::ports::DocumentStore::create`].
pub(super) async fn create(target: &MongoTarget, collection: &str) -> Result<()> {
    let what = format!("creating `{collection}`");
    let command = doc! {"create": collection, "writeConcern": majority()};
    run_ddl(target, &what, command, &[failure::NAMESPACE_EXISTS]).await
}

/// See [`crate::ports::DocumentStore::rename`].
pub(super) async fn rename(target: &MongoTarget, from: &str, to: &str) -> Result<()> {
    let what = format!("renaming `{from}` to `{to}`");
    let command = doc! {
        "renameCollection": format!("{}.{from}", target.name), "to": format!("{}.{to}", target.name),
        "dropTarget": false, "writeConcern": majority(),
    };
    match target.run_admin(&what, command, UNLIMITED).await {
        Ok(reply) => failure::of_write_concern(&what, &reply).map_or(Ok(()), Err),
        Err(Failure { code: Some(failure::NAMESPACE_EXISTS), .. }) => {
            // An earlier try whose answer was lost may have come through: the next session looks again.
            Err(Error::retry(format!("{what}: `{to}` exists already")))
        }
        Err(Failure { code: Some(failure::NAMESPACE_NOT_FOUND), .. }) => {
            Err(Error::retry(format!("{what}: `{from}` does not exist")))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// See [`crate::ports::DocumentStore::drop_collection`].
pub(super) async fn drop(target: &MongoTarget, collection: &str) -> Result<()> {
    let what = format!("dropping `{collection}`");
    let command = doc! {"drop": collection, "writeConcern": majority()};
    run_ddl(target, &what, command, &[failure::NAMESPACE_NOT_FOUND]).await
}

/// See [`crate::ports::DocumentStore::create_indexes`].
pub(super) async fn create_indexes(target: &MongoTarget, collection: &str, indexes: &[IndexPlan]) -> Result<()> {
    let mut done: Vec<&IndexPlan> = Vec::new();
    for index in indexes {
        let is_id = index.keys.len() == 1 && index.keys[0].0 == "_id";
        if is_id || done.contains(&index) {
            continue;
        }
        create_index(target, collection, index).await?;
        done.push(index);
    }
    Ok(())
}

async fn create_index(target: &MongoTarget, collection: &str, index: &IndexPlan) -> Result<()> {
    let name = index_name(index);
    let what = format!("building the index `{name}` of `{collection}`");
    let keys: Document = index.keys.iter().map(|(path, direction)| (path.clone(), Bson::Int32(*direction))).collect();
    let mut spec = doc! {"key": keys, "name": &name};
    if index.unique {
        spec.insert("unique", true);
    }
    let command = doc! {"createIndexes": collection, "indexes": [spec], "writeConcern": majority()};
    match target.run(&what, command, UNLIMITED).await {
        Ok(reply) => failure::of_write_concern(&what, &reply).map_or(Ok(()), Err),
        Err(Failure { code: Some(code), .. }) if failure::INDEX_CONFLICTS.contains(&code) => {
            let fix = format!("db.getCollection(\"{collection}\").dropIndex(\"{name}\")");
            Err(Error::halt(format!(
                "{what}: an index with the same name or the same fields exists with other options; drop it ({fix}, or \
                 under the name it has) or take the index out of the job"
            )))
        }
        Err(failure) if index.unique && is_violation(&failure) => Err(Error::halt(format!(
            "{what}: two documents have the same values in it; make the source's rows unique, or take `unique` out of \
             the job"
        ))),
        Err(failure) => Err(failure.into()),
    }
}

fn is_violation(failure: &Failure) -> bool {
    failure.code == Some(failure::DUPLICATE_KEY)
        // DocumentDB builds a unique index as a constraint of this kind.
        || (failure.code == Some(1) && failure.words.contains("exclusion constraint"))
}

/// As MongoDB names an index by itself, so that one made by hand is the same index.
fn index_name(index: &IndexPlan) -> String {
    let parts: Vec<String> = index.keys.iter().map(|(path, direction)| format!("{path}_{direction}")).collect();
    parts.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_named_as_mongodb_names_them() {
        let keys = vec![("customer.id".to_string(), 1), ("placed".to_string(), -1)];
        assert_eq!(index_name(&IndexPlan { keys, unique: true }), "customer.id_1_placed_-1");
    }
}
