//! Filling the database, on several connections by LOAD DATA.
//!
//! Owns: the marker table `loaded`, which says what is there and whether a writer has been at it since.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::mpsc;

use crate::Outcome;
use crate::report::grouped;
use crate::schema::{self, Blocks, Part, TABLES};
use crate::servers::{self, DATABASE, ask};

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// TPC-H's scale factor; 1 is 1.5 million orders.
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// Only the first so many orders, with their line items.
    #[arg(long)]
    orders: Option<i64>,
    /// Load again even if it is there.
    #[arg(long)]
    fresh: bool,
    /// Load again if a writer has changed it.
    #[arg(long)]
    pristine: bool,
    /// Connections that load at a time.
    #[arg(long, default_value_t = 3)]
    connections: usize,
}

pub async fn run(options: &Options) -> Outcome {
    let orders = options.orders.unwrap_or(i64::MAX).min(schema::order_count(options.scale));
    if options.scale.is_nan() || options.scale <= 0.0 || orders < 1 {
        return Err("--scale and --orders must be greater than zero".into());
    }
    let what = format!("scale {}, {orders} orders", options.scale);
    let mut conn = servers::mysql(None).await?;
    let found = marker(&mut conn).await?;
    if let Some((there, changed)) = &found {
        if *there == what && !options.fresh && !(options.pristine && *changed) {
            eprintln!("tpch: `{DATABASE}` is loaded already ({what}); --fresh loads it again");
            return Ok(());
        }
    } else if ask::<u64>(
        &mut conn,
        &format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{DATABASE}'"),
    )
    .await?
        > 0
    {
        return Err(format!(
            "the MySQL database `{DATABASE}` holds tables that were not made here; nothing was changed"
        )
        .into());
    }
    if ask::<u8>(&mut conn, "SELECT @@GLOBAL.local_infile").await? == 0 {
        return Err("MySQL does not take LOAD DATA LOCAL; allow it with: SET GLOBAL local_infile = ON".into());
    }
    fill(&mut conn, options, orders, &what).await
}

/// What is loaded, and whether a writer has changed it. A load that was cut off counts as one of nothing.
async fn marker(conn: &mut Conn) -> Outcome<Option<(String, bool)>> {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{DATABASE}' AND table_name = 'loaded'"
    );
    if ask::<u64>(conn, &sql).await? == 0 {
        return Ok(None);
    }
    let row = conn.query_first(format!("SELECT what, changed FROM {DATABASE}.loaded")).await?;
    Ok(Some(row.unwrap_or_default()))
}

/// A writer says that it is about to change the data.
pub async fn mark_changed(conn: &mut Conn) -> Outcome {
    Ok(conn.query_drop(format!("UPDATE {DATABASE}.loaded SET changed = TRUE WHERE NOT changed")).await?)
}

async fn fill(conn: &mut Conn, options: &Options, orders: i64, what: &str) -> Outcome {
    let start = Instant::now();
    eprintln!("tpch: loading `{DATABASE}` ({what}); about {} s", 3 + orders / 10_000);
    conn.query_drop(format!("DROP DATABASE IF EXISTS {DATABASE}")).await?;
    conn.query_drop(format!("CREATE DATABASE {DATABASE} DEFAULT CHARSET utf8mb4")).await?;
    conn.query_drop(format!("CREATE TABLE {DATABASE}.loaded (what VARCHAR(60) PRIMARY KEY, changed BOOL NOT NULL)"))
        .await?;
    for (table, columns, _) in TABLES {
        conn.query_drop(format!("CREATE TABLE {DATABASE}.{table} ({columns}) ENGINE = InnoDB")).await?;
    }
    let queue = Arc::new(Mutex::new(schema::parts(options.scale, orders).into_iter().collect::<VecDeque<_>>()));
    let rows = Arc::new(AtomicU64::new(0));
    let progress = tokio::spawn(say_progress(rows.clone(), start));
    let worker = || drain(queue.clone(), rows.clone(), options.scale);
    let loaded = try_join_all((0..options.connections.max(1)).map(|_| worker())).await;
    progress.abort();
    loaded?;
    eprintln!(
        "tpch: {} rows in {:.1} s; building indexes",
        grouped(rows.load(Ordering::Relaxed)),
        start.elapsed().as_secs_f64()
    );
    try_join_all(
        TABLES.iter().filter(|(_, _, indexes)| !indexes.is_empty()).map(|(table, _, indexes)| index(table, indexes)),
    )
    .await?;
    conn.query_drop(format!("INSERT INTO {DATABASE}.loaded VALUES ('{what}', FALSE)")).await?;
    eprintln!("tpch: loaded in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

async fn say_progress(rows: Arc<AtomicU64>, start: Instant) {
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        eprintln!("tpch: {} rows in {} s", grouped(rows.load(Ordering::Relaxed)), start.elapsed().as_secs());
    }
}

/// One connection: takes parts until none is left.
async fn drain(queue: Arc<Mutex<VecDeque<Part>>>, rows: Arc<AtomicU64>, scale: f64) -> Outcome {
    let mut conn = servers::mysql(Some(DATABASE)).await?;
    conn.query_drop("SET SESSION unique_checks = 0, SESSION foreign_key_checks = 0").await?;
    loop {
        let next = queue.lock().expect("no holder panics").pop_front();
        let Some(part) = next else { break };
        send(&mut conn, part, rows.clone(), scale).await?;
    }
    Ok(conn.disconnect().await?)
}

/// Loads one part in one transaction.
async fn send(conn: &mut Conn, part: Part, rows: Arc<AtomicU64>, scale: f64) -> Outcome {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>(8);
    let maker = tokio::task::spawn_blocking(move || part.send(scale, &Blocks { sender, rows }));
    conn.set_infile_handler(async move {
        let next = |mut receiver: mpsc::Receiver<Vec<u8>>| async move {
            receiver.recv().await.map(|block| (Ok(block.into()), receiver))
        };
        Ok(stream::unfold(receiver, next).boxed())
    });
    let sql = format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4
         FIELDS TERMINATED BY '|' ESCAPED BY '' LINES TERMINATED BY '|\\n'",
        part.table
    );
    conn.query_drop(sql).await.map_err(|error| format!("loading {}: {error}", part.table))?;
    // LOAD DATA LOCAL turns errors of single rows into warnings.
    if conn.get_warnings() > 0 {
        let first: Option<(String, u64, String)> = conn.query_first("SHOW WARNINGS LIMIT 1").await?;
        return Err(format!("loading {}: {first:?}", part.table).into());
    }
    Ok(maker.await?)
}

async fn index(table: &str, indexes: &str) -> Outcome {
    let mut conn = servers::mysql(Some(DATABASE)).await?;
    conn.query_drop(format!("ALTER TABLE {table} {indexes}")).await?;
    conn.query_drop(format!("ANALYZE NO_WRITE_TO_BINLOG TABLE {table}")).await?;
    Ok(conn.disconnect().await?)
}
