//! Where the servers are, and connections to them.
//!
//! Owns: reading the addresses from the environment, else from `scripts/services env`. Does not own: starting servers.

use std::collections::HashMap;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder};
use redis::aio::MultiplexedConnection;

use crate::Outcome;

/// The name of everything that belongs to this program, on every server.
pub const NAME: &str = "rowfold_bench_stream";

pub fn url(name: &str) -> Outcome<String> {
    static FROM_SCRIPT: OnceLock<HashMap<String, String>> = OnceLock::new();
    if let Ok(url) = std::env::var(name) {
        return Ok(url);
    }
    let known = FROM_SCRIPT.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
        let text = Command::new(script).arg("env").output().map(|output| output.stdout).unwrap_or_default();
        let pair = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
        };
        String::from_utf8_lossy(&text).lines().filter_map(pair).collect()
    });
    let missing =
        || format!("{name} is not set; start the servers: scripts/services up && eval \"$(scripts/services env)\"");
    Ok(known.get(name).cloned().ok_or_else(missing)?)
}

pub async fn mysql(database: Option<&str>) -> Outcome<Conn> {
    let opts = Opts::from_url(&url("ROWFOLD_MYSQL_URL")?).map_err(|error| format!("ROWFOLD_MYSQL_URL: {error}"))?;
    let opts = OptsBuilder::from_opts(opts).prefer_socket(false).db_name(database);
    Ok(Conn::new(opts).await.map_err(|error| format!("no connection to MySQL (ROWFOLD_MYSQL_URL): {error}"))?)
}

pub async fn execute(conn: &mut Conn, sql: &str) -> Outcome {
    conn.query_drop(sql).await.map_err(|error| format!("{error}\nin: {sql}").into())
}

/// The first column of the first row.
pub async fn ask<T: FromValue + Send + Sync + 'static>(conn: &mut Conn, sql: &str) -> Outcome<T> {
    let row: Option<T> = conn.query_first(sql).await.map_err(|error| format!("{error}\nin: {sql}"))?;
    Ok(row.ok_or_else(|| format!("no row from: {sql}"))?)
}

pub async fn mongo() -> Outcome<mongodb::Database> {
    let client = mongodb::Client::with_uri_str(url("ROWFOLD_MONGO_URL")?).await;
    Ok(client.map_err(|error| format!("ROWFOLD_MONGO_URL: {error}"))?.database(NAME))
}

pub async fn redis() -> Outcome<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
    let client = redis::Client::open(url("ROWFOLD_REDIS_URL")?)?;
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// Takes away what an earlier run left: documents, records, streams.
pub async fn clear() -> Outcome {
    mongo().await?.drop().await?;
    let mut redis = redis().await?;
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{NAME}.*")).query_async(&mut redis).await?;
    for key in keys {
        redis::cmd("UNLINK").arg(key).query_async::<()>(&mut redis).await?;
    }
    Ok(())
}
