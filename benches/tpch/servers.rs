//! Where the servers are, and connections to them.
//!
//! Owns: reading the addresses from the environment, else from `scripts/services env`. Does not own: starting servers.

use std::collections::HashMap;
use std::process::Command;
use std::sync::OnceLock;

use mongodb::Client;
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::Outcome;

/// The database of the tables, and by default the one of the documents.
pub const DATABASE: &str = "tpch";

/// Arrays of the judge are put together by GROUP_CONCAT, which must not cut them off.
const SESSION: &str =
    "SET SESSION group_concat_max_len = 33554432, SESSION time_zone = '+00:00', SESSION sql_mode = 'STRICT_ALL_TABLES'";

fn url(name: &str) -> Outcome<String> {
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

/// A connection of its own, in the given database if any.
pub async fn mysql(database: Option<&str>) -> Outcome<Conn> {
    let opts = Opts::from_url(&url("ROWFOLD_MYSQL_URL")?).map_err(|error| format!("ROWFOLD_MYSQL_URL: {error}"))?;
    let opts = OptsBuilder::from_opts(opts).prefer_socket(false).db_name(database).init(vec![SESSION]);
    Ok(Conn::new(opts).await.map_err(|error| format!("no connection to MySQL (ROWFOLD_MYSQL_URL): {error}"))?)
}

/// The first column of the first row.
pub async fn ask<T: FromValue + Send + Sync + 'static>(conn: &mut Conn, sql: &str) -> Outcome<T> {
    let row: Option<T> = conn.query_first(sql).await.map_err(|error| format!("{error}\nin: {sql}"))?;
    Ok(row.ok_or_else(|| format!("no row from: {sql}"))?)
}

/// All that the source has executed.
pub async fn executed(conn: &mut Conn) -> Outcome<String> {
    Ok(ask::<String>(conn, "SELECT @@GLOBAL.gtid_executed").await?.replace('\n', ""))
}

/// A client of the target.
pub async fn mongo() -> Outcome<Client> {
    let client = Client::with_uri_str(url("ROWFOLD_MONGO_URL")?).await;
    Ok(client.map_err(|error| format!("ROWFOLD_MONGO_URL: {error}"))?)
}

/// A connection to what changes pass through.
pub async fn redis() -> Outcome<redis::aio::MultiplexedConnection> {
    let client =
        redis::Client::open(url("ROWFOLD_REDIS_URL")?).map_err(|error| format!("ROWFOLD_REDIS_URL: {error}"))?;
    let connection = client.get_multiplexed_async_connection().await;
    Ok(connection.map_err(|error| format!("no connection to Redis (ROWFOLD_REDIS_URL): {error}"))?)
}
