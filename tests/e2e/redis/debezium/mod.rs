//! Streams that a Debezium Server writes: recordings of a real one, played beside a live MySQL.
//! Owns: that documents are right, that its keys are left alone, and what is said when its history breaks.
//! Does not own: the recordings (`recording`).

mod recording;

use super::rig::{Running, Runs, start_over};
use crate::harness;
use crate::harness::engine::Job;
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::private::{PrivateSql, Sql};
use crate::harness::servers::{self, ask, execute, executed, server_id};
use crate::oracle::{self, compare};
use mongodb::Database;
use mysql_async::Conn;
use recording::{Recording, save_offsets};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Entries of each recording: of four tables, and of the stream that tells of definitions.
const ENTRIES: usize = 53;
const SHOP: &str = include_str!("../../../mysql/fixtures/shop.sql");
const CHANGES: &str = include_str!("../../../mysql/fixtures/changes.sql");
const RECORDINGS: [(&str, &str); 3] = [
    ("compact", include_str!("../fixtures/compact-defaults.jsonl")),
    ("strings", include_str!("../fixtures/compact-string-modes.jsonl")),
    ("extended", include_str!("../fixtures/extended-schemas.jsonl")),
];

const PROJECTIONS: &str = "projections:
  - collection: orders
    root: shop.order
    one:
      customer: {table: shop.customer, join: {customer_id: id}, columns: [id, name, tier, credit]}
    many:
      lines:
        table: shop.order_line
        join: {region: region, no: no}
        columns: [line, qty]
        one:
          product: {table: shop.product, join: {sku: sku}, columns: [sku, title, price]}
  - collection: customers
    root: shop.customer
    columns: [id, email, created]
";

const ORDERS: &str = "SELECT CAST(JSON_ARRAY('region', CONCAT('i32:', o.region), 'no', CONCAT('i64:', o.no)) AS CHAR), \
    CAST(JSON_OBJECT('region', CONCAT('i32:', o.region), 'no', CONCAT('i64:', o.no), 'customer_id', CONCAT('i64:', \
    o.customer_id), 'placed', CONCAT('t:', TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', o.placed) DIV 1000), \
    'customer', (SELECT JSON_OBJECT('id', CONCAT('i64:', c.id), 'name', CONCAT('s:', c.name), 'tier', CONCAT('s:', c.tier), \
    'credit', CONCAT('d128:', c.credit)) FROM shop.customer c WHERE c.id = o.customer_id), \
    'lines', (SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT(JSON_OBJECT('line', CONCAT('i32:', l.line), 'qty', CONCAT('i32:', \
    l.qty), 'product', (SELECT JSON_OBJECT('sku', CONCAT('s:', p.sku), 'title', CONCAT('s:', p.title), 'price', \
    CONCAT('d128:', p.price)) FROM shop.product p WHERE p.sku = l.sku)) ORDER BY l.line), ''), ']') AS JSON) \
    FROM shop.order_line l WHERE l.region = o.region AND l.no = o.no)) AS CHAR) FROM shop.`order` o";
const CUSTOMERS: &str = "SELECT CAST(JSON_ARRAY(CONCAT('i64:', c.id)) AS CHAR), CAST(JSON_OBJECT('id', CONCAT('i64:', c.id), \
    'email', CONCAT('s:', c.email), 'created', CONCAT('t:', TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', \
    c.created) DIV 1000)) AS CHAR) FROM shop.customer c";

/// A shop, a recording that fits it, and a job.
struct Shop {
    conn: Conn,
    job: Job,
    target: Database,
    recording: Recording,
}

impl Shop {
    /// The rows are there, the Debezium Server has copied them, nothing has changed since.
    async fn open(mysql: &PrivateSql, redis: &MortalRedis, name: &str, recorded: &str) -> Shop {
        let mut conn = servers::mysql_at(&mysql.url, None).await;
        for sql in statements(SHOP) {
            execute(&mut conn, &sql).await;
        }
        let _: String = redis.ask(&["FLUSHALL"]).await;
        let recording = Recording::read(recorded);
        for entry in &recording.snapshot {
            entry.append(redis).await;
        }
        save_offsets(redis, &executed(&mut conn).await).await;
        let database = format!("rf_e2e_{}_debezium_{name}", std::process::id());
        let target = servers::mongo().await.database(&database);
        target.drop().await.expect("a scratch database can be dropped");
        let yaml = format!(
            "name: debezium_{name}\nsource:\n  url: ${{ROWFOLD_MYSQL_URL}}\n  server_id: {}\nstream:\n  url: {}\n  prefix: cdc\n  \
             capture: debezium\ntarget:\n  url: ${{ROWFOLD_MONGO_URL}}\n  database: {database}\n  lease: 3s\n  \
             write_deadline: 2s\n{PROJECTIONS}",
            server_id(),
            redis.url()
        );
        let mut job = Job::create(&format!("debezium_{name}"), &yaml);
        job.mysql = mysql.url.clone();
        Shop { conn, job, target, recording }
    }

    /// The `number`-th transaction of the changes is committed; its GTID.
    async fn commit(&mut self, number: usize) -> String {
        let before = executed(&mut self.conn).await;
        execute(&mut self.conn, "USE shop").await;
        for sql in transactions()[number].clone() {
            execute(&mut self.conn, &sql).await;
        }
        let gtid: String =
            ask(&mut self.conn, &format!("SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, '{before}')")).await;
        assert!(
            gtid.contains(':') && !gtid.contains(['-', ',']) || gtid.matches('-').count() == 4,
            "not one GTID: {gtid}"
        );
        gtid
    }

    /// And the Debezium Server tells of it.
    async fn tell(&mut self, redis: &MortalRedis, number: usize, gtid: &str) -> usize {
        let entries = self.recording.transaction(number, gtid);
        for entry in &entries {
            entry.append(redis).await;
        }
        save_offsets(redis, &executed(&mut self.conn).await).await;
        entries.len()
    }

    async fn assert_equal(&mut self, orders: usize) {
        for (collection, query, least) in [("orders", ORDERS, orders), ("customers", CUSTOMERS, 1)] {
            let expected = oracle::expected(&mut self.conn, query).await;
            let report = compare::compare(&expected, &oracle::actual(&self.target, collection).await);
            assert!(report.is_equal() && report.compared >= least, "{collection}: {report}");
        }
    }

    async fn close(self, running: Running) {
        running.stop().await;
        self.target.drop().await.expect("a scratch database can be dropped");
    }
}

/// The statements of a script, without its comments.
fn statements(script: &str) -> Vec<String> {
    let code: String = script
        .lines()
        .filter(|l| !l.starts_with("--"))
        .map(|l| format!("{} ", l.split(" -- ").next().unwrap_or(l)))
        .collect();
    code.split(';').map(|sql| sql.trim().to_owned()).filter(|sql| !sql.is_empty()).collect()
}

/// The transactions of the changes: one on each line, after the one that sets up the session.
fn transactions() -> Vec<Vec<String>> {
    CHANGES.lines().filter(|l| !l.starts_with("--") && !l.starts_with("use ")).map(statements).collect()
}

/// How many entries a stream has, for what must not be touched.
async fn lengths(redis: &MortalRedis, shop: &Shop) -> Vec<u64> {
    let mut lengths = Vec::new();
    for stream in shop.recording.streams() {
        lengths.push(redis.ask(&["XLEN", &stream]).await);
    }
    lengths
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_debezium_server_writes_becomes_right_documents() {
    let _seat = harness::seat().await;
    let Some(mysql) = PrivateSql::start(Sql::MySql) else { return };
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    for (name, recorded) in RECORDINGS {
        followed(&mysql, &redis, name, recorded).await;
        println!("recording {name}: equal");
    }
    copied_again(&mysql, &redis).await;
    without_a_stream(&mysql, &redis).await;
}

async fn followed(mysql: &PrivateSql, redis: &MortalRedis, name: &str, recorded: &str) {
    let mut shop = Shop::open(mysql, redis, name, recorded).await;
    let mut running = Runs::Whole.start(&shop.job);
    running.wait_quiescent(&shop.job).await;
    shop.assert_equal(2).await;
    let (mut told, changes) = (0, transactions().len());
    assert_eq!(changes, 12);
    for number in 0..changes {
        let gtid = shop.commit(number).await;
        told += shop.tell(redis, number, &gtid).await;
        if number == changes / 2 {
            // Stopped in the middle, and the rest is told while it is away.
            running.wait_quiescent(&shop.job).await;
            shop.assert_equal(2).await;
            running.stop().await;
            let gtid = shop.commit(number + 1).await;
            told += shop.tell(redis, number + 1, &gtid).await;
            running = Runs::Whole.start(&shop.job);
            break;
        }
    }
    for number in changes / 2 + 2..changes {
        let gtid = shop.commit(number).await;
        told += shop.tell(redis, number, &gtid).await;
    }
    running.wait_quiescent(&shop.job).await;
    shop.assert_equal(2).await;
    assert_eq!(told + shop.recording.snapshot.len(), ENTRIES, "entries of the recording were left out");
    assert_eq!(
        lengths(redis, &shop).await.iter().sum::<u64>(),
        ENTRIES as u64,
        "entries of a Debezium Server were removed"
    );
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]).await;
    assert_eq!(keys.len(), 6, "keys were written beside those of the Debezium Server: {keys:?}");
    shop.close(running).await;
}

/// The Debezium Server copies everything again, which it does when it has lost its place.
async fn copied_again(mysql: &PrivateSql, redis: &MortalRedis) {
    let mut shop = Shop::open(mysql, redis, "again", RECORDINGS[0].1).await;
    let mut running = Runs::Whole.start(&shop.job);
    running.wait_quiescent(&shop.job).await;
    let gtid = shop.commit(0).await;
    shop.tell(redis, 0, &gtid).await;
    running.wait_quiescent(&shop.job).await;
    for entry in &shop.recording.snapshot {
        entry.append_at(redis, "*").await;
    }
    save_offsets(redis, &executed(&mut shop.conn).await).await;
    harness::until_true("the job to stop", LIMIT, || running.apply.ended().is_some()).await;
    assert_eq!(running.apply.ended(), Some(1), "{}", running.apply.log_tail());
    for word in ["E-STREAM-LOST", "new snapshot", "--start-over"] {
        assert!(running.apply.log().contains(word), "it does not say {word}: {}", running.apply.log());
    }
    shop.assert_equal(2).await;
    running.apply = start_over(&shop.job, "run").await;
    running.wait_quiescent(&shop.job).await;
    shop.assert_equal(2).await;
    shop.close(running).await;
}

/// A table of which the Debezium Server has never told: maybe it has no changes, maybe it is not asked to tell.
async fn without_a_stream(mysql: &PrivateSql, redis: &MortalRedis) {
    let mut shop = Shop::open(mysql, redis, "without", RECORDINGS[0].1).await;
    assert_eq!(redis.ask::<u64>(&["DEL", "cdc.shop.product"]).await, 1);
    let mut running = Runs::Whole.start(&shop.job);
    running.wait_quiescent(&shop.job).await;
    running.wait_said(&["no stream for this table"], LIMIT).await;
    assert!(running.said("shop.product"), "{}", running.log());
    let gtid = shop.commit(5).await;
    shop.tell(redis, 5, &gtid).await;
    running.wait_quiescent(&shop.job).await;
    shop.assert_equal(2).await;
    shop.close(running).await;
}
