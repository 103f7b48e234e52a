//! Who may work on a job: one lease each, by the server's clock. `_rowfold.leases`, `_id` = `job/<name>`.
//!
//! Owns: taking, extending and giving back. Does not own: when to do so (`engine`).
//!
//! Asking is one `findAndModify` that decides on the server and leaves the decision in the record. `barrier` is the
//! moment before which a write of an earlier owner can still take effect: an orderly release passes it on unchanged, a
//! taker of an expired lease sets it to the late owner's `write_until` (or keeps a later one). So it is never forgotten,
//! however many owners come and go while it lies ahead.

use std::time::Duration;

use bson::{Document, doc};

use super::failure::{self, Failure};
use super::records::{LEASES, damaged};
use super::{MongoTarget, locked, millis};
use crate::error::{Error, Result};
use crate::model::build::{Lease, LeaseReply};

/// How often asking is repeated when two ask for a new lease at the same time.
const TRIES: usize = 5;

/// See [`crate::ports::RecordStore::acquire_lease`]. The same owner may take its own lease anew, with the next epoch and
/// the wait of any other taker.
pub(super) async fn acquire(
    target: &MongoTarget,
    name: &str,
    owner: &str,
    lease: Duration,
    write_deadline: Duration,
) -> Result<LeaseReply> {
    let what = format!("asking for the lease of job `{name}`");
    target.check_format(true).await?;
    let (until, write_until) = (millis(lease), millis(lease.saturating_add(write_deadline)));
    let is_free = doc! {"$or": [
        {"$eq": [{"$ifNull": ["$owner", null]}, null]},
        {"$eq": ["$released", true]},
        {"$lte": ["$until", "$$NOW"]},
        {"$eq": ["$owner", {"$literal": owner}]},
    ]};
    let past = doc! {"$ifNull": ["$barrier", "$$NOW"]};
    let late = doc! {"$max": ["$barrier", "$write_until"]};
    let barrier = doc! {"$cond": [{"$eq": [{"$ifNull": ["$released", true]}, true]}, past, late]};
    let if_free = |value: bson::Bson, field: &str| doc! {"$cond": ["$free", value, field]};
    let pipeline = vec![
        doc! {"$set": {"free": is_free, "asked": "$$NOW"}},
        doc! {"$set": {
            "epoch": if_free(doc! {"$add": [{"$ifNull": ["$epoch", 0i64]}, 1i64]}.into(), "$epoch"),
            "barrier": if_free(barrier.into(), "$barrier"),
            "owner": if_free(doc! {"$literal": owner}.into(), "$owner"),
            "until": if_free(doc! {"$add": ["$$NOW", until]}.into(), "$until"),
            "write_until": if_free(doc! {"$add": ["$$NOW", write_until]}.into(), "$write_until"),
            "released": if_free(false.into(), "$released"),
        }},
        doc! {"$unset": "free"},
    ];
    let query = doc! {"_id": format!("job/{name}")};
    for _ in 0..TRIES {
        let record = match target.modify(&what, LEASES, query.clone(), pipeline.clone(), true).await {
            Ok(Some(record)) => record,
            Ok(None) => return Err(Error::retry(format!("{what}: the answer lacks the lease"))),
            Err(failure) if is_race(&failure) => continue,
            Err(failure) => return Err(failure.into()),
        };
        let asked_ms = date_of(&record, "asked")?;
        let found = lease_of(name, &record)?;
        if found.owner != owner {
            let remaining_ms = u64::try_from(found.until_ms - asked_ms).unwrap_or(0);
            return Ok(LeaseReply::Held { holder: found.owner, remaining_ms });
        }
        let wait_ms = u64::try_from(date_of(&record, "barrier")? - asked_ms).unwrap_or(0);
        note(target, &found);
        return Ok(LeaseReply::Taken { lease: found, wait_ms });
    }
    Err(Error::retry(format!("{what}: others keep asking at the same time")))
}

/// See [`crate::ports::RecordStore::renew_lease`]. A lease that ran out, but that nobody took, goes on.
pub(super) async fn renew(
    target: &MongoTarget,
    held: &Lease,
    lease: Duration,
    write_deadline: Duration,
) -> Result<Lease> {
    let what = format!("extending the lease of job `{}`", held.name);
    let (until, write_until) = (millis(lease), millis(lease.saturating_add(write_deadline)));
    let pipeline = vec![doc! {"$set": {
        "until": {"$max": ["$until", {"$add": ["$$NOW", until]}]},
        "write_until": {"$max": ["$write_until", {"$add": ["$$NOW", write_until]}]},
    }}];
    let mut query = ours(held);
    query.insert("released", false);
    match target.modify(&what, LEASES, query, pipeline, false).await? {
        Some(record) => {
            let extended = lease_of(&held.name, &record)?;
            note(target, &extended);
            Ok(extended)
        }
        None => Err(Error::fenced(format!("{what}: it was lost"))),
    }
}

/// See [`crate::ports::RecordStore::release_lease`].
pub(super) async fn release(target: &MongoTarget, held: &Lease) -> Result<()> {
    let what = format!("giving back the lease of job `{}`", held.name);
    // From here on this process may not create records; set before the server is told.
    locked(&target.create_until_ms).insert(held.name.clone(), 0);
    match target.modify(&what, LEASES, ours(held), vec![doc! {"$set": {"released": true}}], false).await? {
        Some(_) => Ok(()),
        None => Err(Error::fenced(format!("{what}: it was lost"))),
    }
}

fn ours(held: &Lease) -> Document {
    doc! {"_id": format!("job/{}", held.name), "owner": &held.owner, "epoch": held.epoch}
}

/// Records of the job may be created while this lease lasts.
fn note(target: &MongoTarget, lease: &Lease) {
    locked(&target.create_until_ms).insert(lease.name.clone(), lease.write_until_ms);
}

fn lease_of(name: &str, record: &Document) -> Result<Lease> {
    let owner = record.get_str("owner").map_err(|_| damaged("a lease"))?;
    Ok(Lease {
        name: name.to_string(),
        owner: owner.to_string(),
        epoch: failure::long(record, "epoch").ok_or_else(|| damaged("a lease"))?,
        until_ms: date_of(record, "until")?,
        write_until_ms: date_of(record, "write_until")?,
    })
}

fn date_of(record: &Document, field: &str) -> Result<i64> {
    record.get_datetime(field).map(|date| date.timestamp_millis()).map_err(|_| damaged("a lease"))
}

/// Two asked for a lease that nobody had ever held, and the other was first.
fn is_race(failure: &Failure) -> bool {
    failure.code == Some(failure::DUPLICATE_KEY)
        || (failure.code == Some(1) && failure.words.contains("duplicate key value"))
}
