//! Orders with their lines, and people who change them at a given rate.
//!
//! Owns: the tables, the job over them, the background load. Does not own: what is measured meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::Outcome;
use crate::servers::{self, NAME, execute};

/// Orders, each with four lines. The first ones are the prober's.
pub const ORDERS: u64 = 20_000;
pub const PROBED: u64 = 64;
const LINES: u64 = 4;
/// Connections that change rows, so that commits share an fsync as they do in real life.
const WRITERS: u64 = 8;

/// The tables, made anew.
pub async fn fill() -> Outcome {
    let mut conn = servers::mysql(None).await?;
    for sql in [
        format!("DROP DATABASE IF EXISTS {NAME}"),
        format!("CREATE DATABASE {NAME}"),
        format!("USE {NAME}"),
        "CREATE TABLE item (id bigint PRIMARY KEY, tag bigint NOT NULL, note varchar(80) NOT NULL)".into(),
        "CREATE TABLE line (id bigint PRIMARY KEY, item_id bigint NOT NULL, qty int NOT NULL, note varchar(80) NOT NULL, \
         KEY (item_id))"
            .into(),
        "SET SESSION cte_max_recursion_depth = 1000000".into(),
        format!(
            "INSERT INTO item WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ORDERS}) \
             SELECT i, 0, CONCAT('an order with the number ', i) FROM n"
        ),
        format!(
            "INSERT INTO line WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {} - 1) \
             SELECT i, 1 + i DIV {LINES}, i % 9, CONCAT('a line with the number ', i) FROM n",
            ORDERS * LINES
        ),
    ] {
        execute(&mut conn, &sql).await?;
    }
    Ok(())
}

/// The job file; `redis` or the queue inside the program.
pub fn job(folder: &Path, redis: bool) -> Outcome<PathBuf> {
    let stream = if redis {
        format!("stream:\n  url: {}\n  prefix: {NAME}\n  max_bytes: 1500MiB\n", servers::url("ROWFOLD_REDIS_URL")?)
    } else {
        String::new()
    };
    let yaml = format!(
        "name: {NAME}\nsource:\n  url: {}\n  server_id: 7391\n{stream}target:\n  url: {}\n  database: {NAME}\n  lease: 3s\n  \
         write_deadline: 2s\nprojections:\n  - collection: items\n    root: {NAME}.item\n    many:\n      lines: {{table: \
         {NAME}.line, join: {{id: item_id}}}}\n",
        servers::url("ROWFOLD_MYSQL_URL")?,
        servers::url("ROWFOLD_MONGO_URL")?,
    );
    let file = folder.join("job.yaml");
    std::fs::write(&file, yaml)?;
    Ok(file)
}

/// Changes that go on until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    begun: Instant,
    tasks: Vec<JoinHandle<Outcome>>,
}

impl Load {
    /// So many transactions of one row each, every second.
    pub fn start(rate: u64) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = |number: u64| {
            let (stop, done) = (stop.clone(), done.clone());
            tokio::spawn(async move {
                let mut conn = servers::mysql(Some(NAME)).await?;
                let mut tick = tokio::time::interval(Duration::from_secs_f64(WRITERS as f64 / rate as f64));
                let mut random = Random(number + 1);
                while !stop.load(Ordering::Relaxed) {
                    tick.tick().await;
                    execute(&mut conn, &one_change(&mut random)).await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let tasks = (0..WRITERS).map(writer).collect();
        Load { stop, done, begun: Instant::now(), tasks }
    }

    /// Changes a second that were really made.
    pub async fn stop(self) -> Outcome<f64> {
        let rate = self.done.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64();
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(rate)
    }
}

/// Half of the changes are of orders, half of lines; none of the prober's.
fn one_change(random: &mut Random) -> String {
    let item = PROBED + 1 + random.below(ORDERS - PROBED);
    let number = random.below(1 << 40);
    match random.below(2) {
        0 => format!("UPDATE item SET note = 'changed to {number}' WHERE id = {item}"),
        _ => {
            let line = (item - 1) * LINES + random.below(LINES);
            format!("UPDATE line SET note = 'changed to {number}', qty = qty + 1 WHERE id = {line}")
        }
    }
}

/// Commits about this many changes of single rows, ten in a transaction; how many there really were.
pub async fn backlog(changes: u64) -> Outcome<u64> {
    let share = changes / WRITERS / 10;
    let writer = |number: u64| {
        tokio::spawn(async move {
            let mut conn = servers::mysql(Some(NAME)).await?;
            let mut random = Random(1000 + number);
            for _ in 0..share {
                // In the order of keys, so that two writers never wait for each other in a circle.
                let first = PROBED + 1 + random.below(ORDERS - PROBED - 10);
                let word = random.below(1 << 40);
                execute(&mut conn, "BEGIN").await?;
                let items =
                    format!("UPDATE item SET note = 'changed to {word}' WHERE id >= {first} AND id < {first} + 5");
                execute(&mut conn, &items).await?;
                let line = first * LINES;
                let lines =
                    format!("UPDATE line SET note = 'changed to {word}' WHERE id >= {line} AND id < {line} + 5");
                execute(&mut conn, &lines).await?;
                execute(&mut conn, "COMMIT").await?;
            }
            Outcome::Ok(())
        })
    };
    let tasks: Vec<_> = (0..WRITERS).map(writer).collect();
    for task in tasks {
        task.await??;
    }
    Ok(share * WRITERS * 10)
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
