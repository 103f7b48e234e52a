//! How many rows a second one core decodes, beside what the driver's own decoder does with the same events.
//!
//!     cargo bench --bench decode
//!     cargo bench --bench decode -- --rows 400000 --rounds 9
//!
//! Events are recorded from a real server into memory first, so that neither the network nor the server is measured; then both
//! decoders take turns. The engine's is reached through `rowfold::edge::mysql::replay`, which is there for this and for tests: a
//! log in front of it would measure the server.
//!
//! Owns: the MySQL database `rowfold_bench_decode`. Not part of the product.
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::StreamExt;
use mysql_async::binlog::events::{Event, EventData, TableMapEvent};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStreamRequest, Conn, Opts, OptsBuilder, Row};
use rowfold::config::SourceSettings;
use rowfold::edge::mysql::MySqlServer;
use rowfold::edge::mysql::replay::Replay;
use rowfold::model::plan::{JobPlan, TableUse};
use rowfold::model::schema::{Table, TableName};

/// That of the program, for both decoders.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every step here returns.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const DATABASE: &str = "rowfold_bench_decode";
const READER: u32 = 71_601;
const TABLE_MAP: u8 = 19;

#[derive(Debug, Parser)]
#[command(name = "decode", about = "Rows decoded a second, by the engine and by the driver")]
struct Options {
    /// Rows of ten columns.
    #[arg(long, default_value_t = 160_000)]
    rows: u64,
    /// How often each decoder reads all of them.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Given by `cargo bench` to every bench target.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The address of the server, from the environment, else from `scripts/services env`.
fn url() -> Outcome<String> {
    const NAME: &str = "ROWFOLD_MYSQL_URL";
    if let Ok(url) = std::env::var(NAME) {
        return Ok(url);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
    let text = std::process::Command::new(script).arg("env").output()?.stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(NAME)?.strip_prefix('='));
    let missing = || format!("{NAME} is not set; start the servers: scripts/services up");
    Ok(line.map(|url| url.trim_matches(['\'', '"']).to_owned()).ok_or_else(missing)?)
}

async fn end_of_log(conn: &mut Conn) -> Outcome<(String, u64)> {
    let row: Option<Row> = conn.query_first("SHOW BINARY LOG STATUS").await?;
    let row = row.ok_or("the server writes no binlog")?;
    Ok((row.get(0).ok_or("no file")?, row.get(1).ok_or("no position")?))
}

/// Makes the rows, and records the events that tell of them.
async fn record(conn: &mut Conn, rows: u64) -> Outcome<Vec<Event>> {
    let table = "CREATE TABLE t (id INT PRIMARY KEY, customer BIGINT UNSIGNED NOT NULL, status CHAR(10) NOT NULL, price DECIMAL(12,2) NOT NULL, \
                 placed DATETIME NOT NULL, changed TIMESTAMP(3) NOT NULL, weight DOUBLE, due DATE, name VARCHAR(40), note VARCHAR(200))";
    for statement in [
        format!("DROP DATABASE IF EXISTS {DATABASE}"),
        format!("CREATE DATABASE {DATABASE}"),
        format!("USE {DATABASE}"),
        table.into(),
        format!("SET cte_max_recursion_depth = {}", rows + 1),
    ] {
        conn.query_drop(statement).await?;
    }
    let from = end_of_log(conn).await?;
    conn.query_drop(format!(
        "INSERT INTO t WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) \
         SELECT n, n * 7919, ELT(n % 3 + 1, 'open', 'paid', 'shipped'), n % 100000 / 100, '2024-01-01' + INTERVAL n SECOND, \
         '2024-01-01 00:00:00.5' + INTERVAL n SECOND, n / 7, '2024-01-01' + INTERVAL n % 9000 DAY, CONCAT('Customer ', n), \
         IF(n % 5 = 0, NULL, CONCAT('a note of row ', n, ' that nobody reads')) FROM s"
    ))
    .await?;
    let until = end_of_log(conn).await?;
    let request = BinlogStreamRequest::new(READER).with_filename(from.0.as_bytes()).with_pos(from.1);
    let mut stream = Conn::new(conn.opts().clone()).await?.get_binlog_stream(request).await?;
    let (mut events, mut at) = (Vec::new(), from.0);
    while at != until.0 || events.last().is_none_or(|event: &Event| u64::from(event.header().log_pos()) < until.1) {
        let event = stream.next().await.ok_or("the binlog ended")??;
        if let Ok(Some(EventData::RotateEvent(rotate))) = event.read_data() {
            at = rotate.name().into_owned();
        } else {
            events.push(event);
        }
    }
    Ok(events.into_iter().filter(|event| matches!(event.header().event_type_raw(), TABLE_MAP | 30)).collect())
}

/// Rows, and a sum that keeps the work from being left out.
fn driver(events: &[Event]) -> Outcome<u64> {
    let mut map: Option<TableMapEvent<'static>> = None;
    let mut rows = 0;
    for event in events {
        match event.read_data()? {
            Some(EventData::TableMapEvent(read)) => map = Some(read.into_owned()),
            Some(EventData::RowsEvent(data)) => {
                for row in data.rows(map.as_ref().ok_or("rows without a table")?) {
                    let (before, after) = row?;
                    std::hint::black_box((before, after));
                    rows += 1;
                }
            }
            _ => {}
        }
    }
    Ok(rows)
}

fn engine(replay: &mut Replay, events: &[Event]) -> Outcome<u64> {
    let mut rows = 0;
    for event in events {
        let read = replay.feed_alone(event.header().event_type_raw(), event.data())?;
        rows += read.len() as u64;
        std::hint::black_box(read);
    }
    Ok(rows)
}

/// A job that uses all columns, and routes by the first two.
fn plan(table: &Table) -> JobPlan {
    let mut used = TableUse::whole(table);
    used.columns.iter_mut().skip(2).for_each(|column| column.routes = false);
    JobPlan { name: "bench".into(), projections: Vec::new(), tables: vec![used] }
}

/// Rows a second: slowest, middle, fastest.
fn rates(rows: u64, mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    let rate = |time: Duration| rows as f64 / time.as_secs_f64();
    [rate(times[times.len() - 1]), rate(times[times.len() / 2]), rate(times[0])]
}

async fn run(options: &Options) -> Outcome {
    let url = url()?;
    let opts = Opts::from_url(&url).map_err(|error| format!("ROWFOLD_MYSQL_URL: {error}"))?;
    let mut conn = Conn::new(OptsBuilder::from_opts(opts).prefer_socket(false)).await?;
    let events = record(&mut conn, options.rows).await?;
    let bytes: usize = events.iter().map(|event| event.data().len()).sum();
    println!(
        "{} rows of 10 columns in {} events, {:.1} MB; {} rounds",
        options.rows,
        events.len(),
        bytes as f64 / 1e6,
        options.rounds
    );
    let settings = SourceSettings { url: url.into(), server_id: READER, allow_unsafe_source: true };
    let server = MySqlServer::new(&settings)?;
    let table = server.tables(&[TableName::new(DATABASE, "t")]).await?.pop().ok_or("no table")?;
    let (mut whole, mut used) = (Replay::of(&server).await?, Replay::of(&server).await?);
    whole.whole(std::slice::from_ref(&table));
    used.used(plan(&table).into());
    // The character sets are read here, and not while it is measured.
    for event in &events[..2] {
        whole.feed(event.header().event_type_raw(), event.data()).await?;
        used.feed(event.header().event_type_raw(), event.data()).await?;
    }
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (who, times) in times.iter_mut().enumerate() {
            let started = Instant::now();
            let rows = match who {
                0 => engine(&mut whole, &events)?,
                1 => engine(&mut used, &events)?,
                _ => driver(&events)?,
            };
            times.push(started.elapsed());
            if rows != options.rows {
                return Err(format!("{rows} rows were decoded").into());
            }
        }
    }
    conn.query_drop(format!("DROP DATABASE {DATABASE}")).await?;
    let rates = times.map(|times| rates(options.rows, times));
    println!("rows a second on one core: slowest, median, fastest round; median beside the driver's");
    for (name, rate) in ["engine, all values", "engine, two columns route", "driver's rows()"].iter().zip(&rates) {
        let [slowest, median, fastest] = rate;
        println!("{name:28} {slowest:>10.0} {median:>10.0} {fastest:>10.0}   {:.1}x", median / rates[2][1]);
    }
    Ok(())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("decode: error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decode: error: {error}");
            ExitCode::FAILURE
        }
    }
}
