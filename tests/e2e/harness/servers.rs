//! The real servers: where they are, connections to them, and databases of one test's own.
//! Owns: scratch databases, and that those of dead runs are swept. Does not own: starting servers (`scripts/services`).

use super::redis::Redis;
use bson::{Document, doc};
use mongodb::Client;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use std::collections::HashMap;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "rf_e2e_";

/// From the environment, else from `scripts/services env`.
pub fn url(name: &str) -> String {
    static FROM_SCRIPT: OnceLock<HashMap<String, String>> = OnceLock::new();
    if let Ok(url) = std::env::var(name) {
        return url;
    }
    let known = FROM_SCRIPT.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
        let output = Command::new(script).arg("env").output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        let pair = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
        };
        text.lines().filter_map(pair).collect()
    });
    known.get(name).cloned().unwrap_or_else(|| {
        panic!(
            "{name} is not set: start the servers with `scripts/services up`, then `eval \"$(scripts/services env)\"`"
        )
    })
}

pub fn mysql_url() -> String {
    url("ROWFOLD_MYSQL_URL")
}

pub fn mongo_url() -> String {
    url("ROWFOLD_MONGO_URL")
}

pub fn redis_url() -> String {
    url("ROWFOLD_REDIS_URL")
}

/// A connection of its own; with a database it is in that one.
pub async fn mysql(database: Option<&str>) -> Conn {
    mysql_at(&mysql_url(), database).await
}

/// The same on a server of which only this test knows.
pub async fn mysql_at(url: &str, database: Option<&str>) -> Conn {
    let opts = Opts::from_url(url).unwrap_or_else(|e| panic!("the url of MySQL: {e}"));
    let opts = OptsBuilder::from_opts(opts)
        .prefer_socket(false)
        .db_name(database)
        .init(vec![crate::oracle::sql::SESSION, "SET SESSION innodb_lock_wait_timeout = 5"]);
    Conn::new(opts).await.unwrap_or_else(|e| panic!("no connection to MySQL: {e}"))
}

pub async fn execute(conn: &mut Conn, sql: &str) {
    if let Err(e) = conn.query_drop(sql).await {
        let head: String = sql.chars().take(2000).collect();
        panic!("{e}\nin: {head}");
    }
}

pub async fn ask<T: mysql_async::prelude::FromValue + Send + Sync + 'static>(conn: &mut Conn, sql: &str) -> T {
    match conn.query_first::<T, _>(sql).await {
        Ok(Some(value)) => value,
        Ok(None) => panic!("no row from: {sql}"),
        Err(e) => panic!("{e}\nin: {sql}"),
    }
}

/// Whether the server is MariaDB and not MySQL.
pub async fn is_mariadb(conn: &mut Conn) -> bool {
    ask::<u8>(conn, "SELECT VERSION() LIKE '%MariaDB%'").await == 1
}

/// Everything that the server has made visible so far.
pub async fn executed(conn: &mut Conn) -> String {
    ask::<String>(conn, "SELECT /*!80000 @@GLOBAL.gtid_executed *//*M!100000 @@GLOBAL.gtid_binlog_state */")
        .await
        .replace('\n', "")
}

/// Whether a set of GTIDs contains another one, by MySQL's word or by the numbers in a position of MariaDB.
pub async fn contains(conn: &mut Conn, all: &str, part: &str) -> bool {
    let last = |gtid: &str| -> Option<(String, u64)> {
        let (source, number) = gtid.trim().rsplit_once('-')?;
        (source.matches('-').count() == 1).then_some((source.to_owned(), number.parse().ok()?))
    };
    let Some(wanted) = part.split(',').map(last).collect::<Option<Vec<_>>>() else {
        return ask::<u8>(conn, &format!("SELECT GTID_SUBSET('{part}', '{all}')")).await == 1;
    };
    let known: HashMap<String, u64> = all.split(',').filter_map(last).collect();
    wanted.iter().all(|(source, number)| known.get(source).is_some_and(|last| last >= number))
}

pub async fn mongo() -> Client {
    Client::with_uri_str(mongo_url()).await.unwrap_or_else(|e| panic!("ROWFOLD_MONGO_URL: {e}"))
}

/// Unique among the engines of this run; the process id keeps two runs apart.
pub fn server_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    100_000 + (std::process::id() % 20_000) * 100 + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One test's own database on each side, and a prefix in Redis, with the same name.
pub struct Scratch {
    pub name: String,
    pub mongo: mongodb::Database,
}

impl Scratch {
    pub async fn create(what: &str) -> Scratch {
        sweep().await;
        let name = format!("{PREFIX}{}_{what}", std::process::id());
        let mut conn = mysql(None).await;
        execute(&mut conn, &format!("DROP DATABASE IF EXISTS `{name}`")).await;
        execute(&mut conn, &format!("CREATE DATABASE `{name}` DEFAULT CHARSET utf8mb4")).await;
        let database = mongo().await.database(&name);
        database.drop().await.expect("a scratch database can be dropped");
        Scratch { name, mongo: database }
    }

    pub async fn mysql(&self) -> Conn {
        mysql(Some(&self.name)).await
    }

    /// The names and sizes of what is in the target, to see that nothing was written.
    pub async fn target_contents(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        for name in self.mongo.list_collection_names().await.expect("collections can be listed") {
            let count = self.mongo.collection::<Document>(&name).count_documents(doc! {}).await;
            found.push((name, count.expect("documents can be counted")));
        }
        found.sort();
        found
    }

    /// Not in `Drop`: after a failure the data stays there to be looked at, until the next run sweeps it.
    pub async fn remove(self) {
        let mut conn = mysql(None).await;
        execute(&mut conn, &format!("DROP DATABASE `{}`", self.name)).await;
        self.mongo.drop().await.expect("a scratch database can be dropped");
        Redis::shared().remove(&self.name);
    }
}

/// Drops what runs that have ended left behind. Once per process.
async fn sweep() {
    static SWEPT: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    SWEPT.get_or_init(drop_leftovers).await;
}

async fn drop_leftovers() {
    let dead = |name: &str| {
        let pid = name.strip_prefix(PREFIX)?.split('_').next()?.parse::<u32>().ok()?;
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    };
    let mut conn = mysql(None).await;
    let names: Vec<String> = conn.query("SHOW DATABASES").await.expect("databases can be listed");
    for name in names.iter().filter(|n| dead(n).is_some()) {
        execute(&mut conn, &format!("DROP DATABASE IF EXISTS `{}`", name.replace('`', "``"))).await;
    }
    let redis = Redis::shared();
    // By run and not by key: a key can hold what a pattern takes for something else.
    let run = |key: String| Some(format!("{PREFIX}{}_", key.strip_prefix(PREFIX)?.split('_').next()?));
    for run in redis.contents(PREFIX).into_keys().filter(|key| dead(key).is_some()).filter_map(run) {
        redis.remove(&run);
    }
    let client = mongo().await;
    for name in client.list_database_names().await.expect("databases can be listed") {
        if dead(&name).is_some() {
            client.database(&name).drop().await.expect("a scratch database can be dropped");
        }
    }
}
