//! `rowfold position leave`: nothing is kept in the streams for a job any more.
//!
//! Owns: which builds are the job's. Does not own: taking them out (`edge::redis`). A job that is run again enters again,
//! and asks capture for what it missed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::{DONE, connect, show};
use crate::edge::redis::RedisStreams;
use crate::error::{Error, Result};
use crate::model::stream::{Member, stream_key};
use crate::ports::StreamStore;

/// Takes the job's builds out of the record beside the streams.
pub(super) async fn run(job: &Path) -> Result<u8> {
    let settings = connect::load(job)?.settings;
    let Some(stream) = &settings.stream else {
        return Err(Error::config("E-STREAM: the job has no `stream` section, so nothing is kept for it"));
    };
    let store = RedisStreams::connect(stream).await?;
    let members = store.look(&[]).await?.meta.unwrap_or_default().members;
    let leaving = of_job(members, &settings.name, &settings.target.database);
    for (id, member) in &leaving {
        let keys: Vec<String> = member.tables.iter().map(|table| stream_key(&stream.prefix, table)).collect();
        store.unregister(id, &keys).await?;
        show(format_args!("{id}: nothing is kept for it any more\n"));
    }
    if leaving.is_empty() {
        show(format_args!("job {} has nothing in the streams of {}\n", settings.name, stream.prefix));
    }
    Ok(DONE)
}

/// The builds of a job that writes into this database.
fn of_job(members: BTreeMap<String, Member>, job: &str, database: &str) -> BTreeMap<String, Member> {
    let ours = format!("{database}/");
    members.into_iter().filter(|(id, member)| member.job == job && id.starts_with(&ours)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_jobs_builds_stay() {
        let member = |job: &str| Member { job: job.into(), ..Member::default() };
        let all = [("a/shop/orders/1", "shop"), ("b/shop/orders/1", "shop"), ("a/shops/orders/1", "shops")];
        let members = all.map(|(id, job)| (id.to_string(), member(job))).into();
        assert_eq!(of_job(members, "shop", "a").into_keys().collect::<Vec<_>>(), ["a/shop/orders/1"]);
    }
}
