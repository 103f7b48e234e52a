//! People at work: three connections that change a generated schema until they are told to stop.
//! Owns: running transactions, retrying deadlocks, and a journal of what was committed when.
//! Does not own: what is done (`ops`).

pub mod ops;

use crate::harness::servers;
use crate::rng::Rng;
use crate::schema::Schema;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use ops::{Kind, Planner, Transaction};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const CONNECTIONS: u64 = 3;
const DUPLICATE_KEY: u16 = 1062;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;

/// A step that changed rows and was committed between these two instants.
#[derive(Clone, Debug)]
struct Entry {
    kind: Kind,
    table: usize,
    asked: Instant,
    done: Instant,
}

#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<Entry>,
    pub committed: u64,
    pub rolled_back: u64,
    pub retried: u64,
}

impl Journal {
    /// How often each kind of change was committed inside the window, begun and ended.
    pub fn kinds(&self, from: Instant, to: Instant) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for entry in self.entries.iter().filter(|e| e.asked >= from && e.done <= to) {
            *kinds.entry(entry.kind).or_default() += 1;
        }
        kinds
    }

    pub fn tables(&self) -> usize {
        self.entries.iter().map(|e| e.table).collect::<std::collections::BTreeSet<_>>().len()
    }
}

pub struct Writer {
    stop: Arc<AtomicBool>,
    journal: Arc<Mutex<Journal>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writer {
    /// `pace` is the time from one transaction of a connection to its next.
    pub fn start(schema: &Arc<Schema>, database: &str, seed: u64, pace: Duration) -> Writer {
        let (stop, journal) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Journal::default())));
        let connection = |number: u64| {
            let (schema, database) = (schema.clone(), database.to_owned());
            let (stop, journal) = (stop.clone(), journal.clone());
            let rng = Rng::new(seed).fork(1000 + number);
            tokio::spawn(async move {
                let mut conn = servers::mysql(Some(&database)).await;
                let mut planner = Planner { schema: &schema, rng, spare: number };
                let mut tick = tokio::time::interval(pace);
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while !stop.load(Ordering::Relaxed) {
                    tick.tick().await;
                    perform(&mut conn, &planner.transaction(), &journal).await;
                }
            })
        };
        let tasks = (0..CONNECTIONS).map(connection).collect();
        Writer { stop, journal, tasks }
    }

    pub fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().expect("no writer has panicked")
    }

    /// The last transaction of every connection has ended when this returns.
    pub async fn stop(self) -> Journal {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer does not panic");
        }
        let journal = Arc::into_inner(self.journal).expect("no writer is left");
        journal.into_inner().expect("no writer has panicked")
    }
}

/// Runs a transaction until it ends by its own will.
async fn perform(conn: &mut Conn, transaction: &Transaction, journal: &Mutex<Journal>) {
    loop {
        match attempt(conn, transaction).await {
            Ok(entries) => {
                let mut journal = journal.lock().expect("no writer has panicked");
                if transaction.rolled_back {
                    journal.rolled_back += 1;
                } else {
                    journal.committed += 1;
                    journal.entries.extend(entries);
                }
                return;
            }
            Err(Error::Server(e)) if e.code == DEADLOCK || e.code == LOCK_WAIT_TIMEOUT => {
                conn.query_drop("ROLLBACK").await.expect("ROLLBACK always works");
                journal.lock().expect("no writer has panicked").retried += 1;
            }
            Err(e) => panic!("the writer failed: {e}\nin: {transaction:#?}"),
        }
    }
}

async fn attempt(conn: &mut Conn, transaction: &Transaction) -> Result<Vec<Entry>, Error> {
    let mut changed = Vec::new();
    conn.query_drop("BEGIN").await?;
    for (i, step) in transaction.steps.iter().enumerate() {
        let undone = transaction.undone.as_ref();
        if undone.is_some_and(|u| u.start == i) {
            conn.query_drop("SAVEPOINT here").await?;
        }
        match conn.query_drop(&step.sql).await {
            Ok(()) if conn.affected_rows() > 0 && !undone.is_some_and(|u| u.contains(&i)) => changed.push(step),
            Ok(()) => {}
            // The key is taken: this statement did nothing, the transaction goes on.
            Err(Error::Server(e)) if e.code == DUPLICATE_KEY => {}
            Err(e) => return Err(e),
        }
        if undone.is_some_and(|u| u.end == i + 1) {
            conn.query_drop("ROLLBACK TO SAVEPOINT here").await?;
        }
    }
    let asked = Instant::now();
    conn.query_drop(if transaction.rolled_back { "ROLLBACK" } else { "COMMIT" }).await?;
    let done = Instant::now();
    Ok(changed.into_iter().map(|s| Entry { kind: s.kind, table: s.table, asked, done }).collect())
}
