//! The random writer: what people do to orders, in transactions, on several connections.
//!
//! Owns: the choice of changes and their counts. Every choice comes from the seed; how the connections interleave does not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;

use crate::Outcome;
use crate::load;
use crate::random::Random;
use crate::report::grouped;
use crate::servers::{self, DATABASE, ask};

/// Transactions that are rolled back, in a hundred.
const ROLLED_BACK: u64 = 5;
/// ER_DUP_ENTRY, ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK: two writers met; the transaction is rolled back.
const CONFLICTS: [u16; 3] = [1062, 1205, 1213];

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Stop when this file exists.
    #[arg(long)]
    until_file: Option<PathBuf>,
    /// Connections that write at a time.
    #[arg(long, default_value_t = 3)]
    connections: u64,
    /// Transactions a second, of all connections together; 0 for as many as possible.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Seconds between two renamings of a nation, each of which changes one order in 25; 0 for never.
    #[arg(long, default_value_t = 15)]
    nation_every: u64,
    /// Repeats the choices of an earlier run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The kinds of change with their share of all changes in a thousand.
const KINDS: [(u64, Change); 13] = [
    (180, Change::InsertOrder),
    (180, Change::UpdateOrder),
    (180, Change::UpdateLine),
    (100, Change::InsertLine),
    (90, Change::DeleteLine),
    (60, Change::DeleteOrder),
    (70, Change::MoveLine),
    (50, Change::MoveOrder),
    (30, Change::RenumberOrder),
    (30, Change::RenameCustomer),
    (10, Change::RenamePart),
    (3, Change::RenameSupplier),
    (17, Change::UpdatePartsupp),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    InsertOrder,
    UpdateOrder,
    DeleteOrder,
    /// To another customer.
    MoveOrder,
    /// A new primary key, with its line items.
    RenumberOrder,
    InsertLine,
    UpdateLine,
    DeleteLine,
    /// To another order.
    MoveLine,
    RenameCustomer,
    RenamePart,
    RenameSupplier,
    RenameNation,
    /// In no document.
    UpdatePartsupp,
}

/// Committed changes by kind, and what became of transactions.
#[derive(Clone, Debug, Default)]
struct Counts {
    changes: BTreeMap<Change, u64>,
    committed: u64,
    rolled_back: u64,
    conflicts: u64,
}

struct Writer {
    conn: Conn,
    random: Random,
    number: u64,
    keys: Keys,
}

/// The ranges from which keys are chosen.
#[derive(Clone, Copy, Debug)]
struct Keys {
    order_max: u64,
    customers: u64,
    parts: u64,
    suppliers: u64,
}

pub async fn run(options: &Options) -> Outcome {
    if options.seconds.is_none() && options.until_file.is_none() {
        return Err("say when to stop: --seconds S or --until-file F".into());
    }
    let start = Instant::now();
    let mut conn = servers::mysql(Some(DATABASE)).await?;
    load::mark_changed(&mut conn).await.map_err(|error| format!("{error}; is TPC-H loaded?"))?;
    let mut most = async |what: &str| ask::<Option<u64>>(&mut conn, &format!("SELECT MAX({what}")).await;
    let keys = Keys {
        order_max: most("o_orderkey) FROM orders").await?.unwrap_or(32),
        customers: most("c_custkey) FROM customer").await?.unwrap_or(1),
        parts: most("p_partkey) FROM part").await?.unwrap_or(1),
        suppliers: most("s_suppkey) FROM supplier").await?.unwrap_or(1),
    };
    let connections = options.connections.clamp(1, 3);
    let writers: Vec<JoinHandle<Outcome<Counts>>> =
        (0..connections).map(|number| tokio::spawn(work(options.clone(), number, connections, keys))).collect();
    let mut total = Counts::default();
    for counts in try_join_all(writers).await? {
        total.add(counts?);
    }
    print(&total, options.seed, start.elapsed());
    Ok(())
}

async fn work(options: Options, number: u64, connections: u64, keys: Keys) -> Outcome<Counts> {
    let conn = servers::mysql(Some(DATABASE)).await?;
    let mut writer = Writer { conn, random: Random::new(options.seed.wrapping_mul(1_000) + number), number, keys };
    writer.conn.query_drop("SET SESSION innodb_lock_wait_timeout = 3").await?;
    let start = Instant::now();
    let pace = (options.rate > 0).then(|| Duration::from_secs_f64(connections as f64 / options.rate as f64));
    let (mut counts, mut turn, mut nations) = (Counts::default(), 0_u32, 0);
    while !options.is_over(start) {
        let nation_due =
            number == 0 && options.nation_every > 0 && start.elapsed().as_secs() / options.nation_every > nations;
        nations += u64::from(nation_due);
        writer.transaction(nation_due, &mut counts).await?;
        turn += 1;
        if let Some(pace) = pace {
            tokio::time::sleep((pace * turn).saturating_sub(start.elapsed())).await;
        }
    }
    writer.conn.disconnect().await?;
    Ok(counts)
}

impl Options {
    fn is_over(&self, start: Instant) -> bool {
        self.seconds.is_some_and(|seconds| start.elapsed().as_secs() >= seconds)
            || self.until_file.as_ref().is_some_and(|file| file.exists())
    }
}

impl Writer {
    async fn transaction(&mut self, nation_due: bool, counts: &mut Counts) -> Outcome {
        let mut changes = Vec::new();
        if nation_due {
            changes.push(Change::RenameNation);
        } else {
            // Half of all transactions make one change, the others up to four.
            let many = if self.random.percent(50) { 1 } else { self.random.between(2, 4) };
            changes.extend((0..many).map(|_| self.choose()));
        }
        let roll_back = !nation_due && self.random.percent(ROLLED_BACK);
        self.conn.query_drop("START TRANSACTION").await?;
        let mut done = Vec::new();
        for change in changes {
            match self.apply(change).await {
                Ok(rows) => done.extend((rows > 0).then_some(change)),
                Err(mysql_async::Error::Server(error)) if CONFLICTS.contains(&error.code) => {
                    self.conn.query_drop("ROLLBACK").await?;
                    counts.conflicts += 1;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if roll_back {
            self.conn.query_drop("ROLLBACK").await?;
            counts.rolled_back += 1;
            return Ok(());
        }
        self.conn.query_drop("COMMIT").await?;
        counts.committed += 1;
        for change in done {
            *counts.changes.entry(change).or_default() += 1;
        }
        Ok(())
    }

    fn choose(&mut self) -> Change {
        let mut left = self.random.below(KINDS.iter().map(|(share, _)| share).sum());
        for (share, change) in KINDS {
            if left < share {
                return change;
            }
            left -= share;
        }
        Change::UpdateOrder
    }

    async fn execute(&mut self, sql: String) -> mysql_async::Result<u64> {
        self.conn.query_drop(sql).await?;
        Ok(self.conn.affected_rows())
    }

    /// Makes one change. Returns the rows of its last statement; 0 if it found nothing to change.
    async fn apply(&mut self, change: Change) -> mysql_async::Result<u64> {
        let order = self.order().await?;
        let word = self.random.below(1_000_000);
        let sql = match change {
            Change::InsertOrder => return self.insert_order().await,
            Change::UpdateOrder => format!(
                "UPDATE orders SET o_orderstatus = '{}', o_totalprice = o_totalprice + {}.{:02}, o_comment = 'changed {word}'
                 WHERE o_orderkey = {order}",
                self.random.pick(&["O", "F", "P"]),
                self.random.below(1_000),
                self.random.below(100)
            ),
            Change::DeleteOrder => {
                self.execute(format!("DELETE FROM lineitem WHERE l_orderkey = {order}")).await?;
                format!("DELETE FROM orders WHERE o_orderkey = {order}")
            }
            Change::MoveOrder => {
                let customer = self.random.between(1, self.keys.customers);
                format!("UPDATE orders SET o_custkey = {customer} WHERE o_orderkey = {order}")
            }
            Change::RenumberOrder => {
                let key = self.new_order_key();
                self.execute(format!("UPDATE lineitem SET l_orderkey = {key} WHERE l_orderkey = {order}")).await?;
                format!("UPDATE orders SET o_orderkey = {key} WHERE o_orderkey = {order}")
            }
            Change::InsertLine => {
                let Some(line) = self.free_line(order).await? else { return Ok(0) };
                return self.insert_line(order, line).await;
            }
            Change::UpdateLine => format!(
                "UPDATE lineitem SET l_quantity = {}, l_partkey = {}, l_comment = 'changed {word}'
                 WHERE l_orderkey = {order} ORDER BY l_linenumber LIMIT 1",
                self.random.between(1, 50),
                self.random.between(1, self.keys.parts)
            ),
            Change::DeleteLine => {
                format!("DELETE FROM lineitem WHERE l_orderkey = {order} ORDER BY l_linenumber DESC LIMIT 1")
            }
            Change::MoveLine => {
                let to = self.order().await?;
                let Some(line) = self.free_line(to).await? else { return Ok(0) };
                format!(
                    "UPDATE lineitem SET l_orderkey = {to}, l_linenumber = {line}
                     WHERE l_orderkey = {order} ORDER BY l_linenumber LIMIT 1"
                )
            }
            Change::RenameCustomer => {
                let key = self.random.between(1, self.keys.customers);
                format!("UPDATE customer SET c_name = 'Customer {word}' WHERE c_custkey = {key}")
            }
            Change::RenamePart => {
                let key = self.random.between(1, self.keys.parts);
                format!("UPDATE part SET p_name = 'part {word}' WHERE p_partkey = {key}")
            }
            Change::RenameSupplier => {
                let key = self.random.between(1, self.keys.suppliers);
                format!("UPDATE supplier SET s_name = 'Supplier {word}' WHERE s_suppkey = {key}")
            }
            Change::RenameNation => {
                let key = self.random.below(25);
                format!("UPDATE nation SET n_name = 'NATION {word}' WHERE n_nationkey = {key}")
            }
            Change::UpdatePartsupp => {
                let key = self.random.between(1, self.keys.parts);
                format!("UPDATE partsupp SET ps_availqty = {word} WHERE ps_partkey = {key} LIMIT 1")
            }
        };
        self.execute(sql).await
    }

    /// The key of some order, evenly over the key range.
    async fn order(&mut self) -> mysql_async::Result<u64> {
        let from = self.random.below(self.keys.order_max);
        let sql = format!("SELECT o_orderkey FROM orders WHERE o_orderkey >= {from} ORDER BY o_orderkey LIMIT 1");
        Ok(self.conn.query_first(sql).await?.unwrap_or(from))
    }

    /// TPC-H uses 8 of every 32 keys. New ones lie in the gaps, a part of each gap for each connection.
    fn new_order_key(&mut self) -> u64 {
        let gap = self.random.below(self.keys.order_max) & !31;
        gap | (8 + 8 * self.number + self.random.below(8))
    }

    /// A line number for a new line of an order, `None` if the order is gone.
    async fn free_line(&mut self, order: u64) -> mysql_async::Result<Option<u64>> {
        let sql = format!(
            "SELECT (SELECT IFNULL(MAX(l_linenumber), 0) + 1 FROM lineitem WHERE l_orderkey = o_orderkey)
             FROM orders WHERE o_orderkey = {order} FOR SHARE"
        );
        self.conn.query_first(sql).await
    }

    async fn insert_order(&mut self) -> mysql_async::Result<u64> {
        let key = self.new_order_key();
        let (customer, clerk) = (self.random.between(1, self.keys.customers), self.random.between(1, 1_000));
        let (price, cents, days) =
            (self.random.between(900, 400_000), self.random.below(100), self.random.below(2_400));
        let lines = self.random.between(1, 7);
        self.execute(format!(
            "INSERT INTO orders VALUES ({key}, {customer}, 'O', {price}.{cents:02}, DATE'1992-01-01' + INTERVAL {days} DAY,
             '3-MEDIUM', 'Clerk#{clerk:09}', 0, 'new')"
        ))
        .await?;
        let mut rows = 0;
        for line in 1..=lines {
            rows = self.insert_line(key, line).await?;
        }
        Ok(rows)
    }

    async fn insert_line(&mut self, order: u64, line: u64) -> mysql_async::Result<u64> {
        let random = &mut self.random;
        let (part, supplier) = (random.between(1, self.keys.parts), random.between(1, self.keys.suppliers));
        let (quantity, price, cents) = (random.between(1, 50), random.between(900, 90_000), random.below(100));
        let (discount, tax, days) = (random.below(11), random.below(9), random.below(2_400));
        let mode = *random.pick(&["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]);
        self.execute(format!(
            "INSERT INTO lineitem VALUES ({order}, {part}, {supplier}, {line}, {quantity}, {price}.{cents:02},
             0.{discount:02}, 0.{tax:02}, 'N', 'O', DATE'1992-01-01' + INTERVAL {days} DAY,
             DATE'1992-01-15' + INTERVAL {days} DAY, DATE'1992-02-01' + INTERVAL {days} DAY, 'NONE', '{mode}', 'new')"
        ))
        .await
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.conflicts += other.conflicts;
        for (change, count) in other.changes {
            *self.changes.entry(change).or_default() += count;
        }
    }
}

fn print(counts: &Counts, seed: u64, took: Duration) {
    println!(
        "writer: {} transactions committed in {:.0} s ({:.0} a second), {} rolled back, {} gave way to another, seed {seed}",
        grouped(counts.committed),
        took.as_secs_f64(),
        counts.committed as f64 / took.as_secs_f64(),
        grouped(counts.rolled_back),
        counts.conflicts
    );
    let kinds: Vec<String> =
        counts.changes.iter().map(|(change, count)| format!("{change:?} {}", grouped(*count))).collect();
    println!("writer: {}", kinds.join(", "));
}
