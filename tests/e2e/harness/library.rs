//! Authors with their books: two tables that are always the same, for tests whose subject is not the schema.
//! Owns: the tables, the job, and what its documents should be. Does not own: what happens to them.

use super::engine::Job;
use super::servers::{self, Scratch, execute, server_id};
use crate::oracle::{self, compare};
use crate::schema::job::{Settings, header};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mysql_async::Conn;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const TABLES: [&str; 4] = [
    "CREATE TABLE author (id int NOT NULL PRIMARY KEY, name varchar(40) NOT NULL, born int NULL)",
    "CREATE TABLE book (id int NOT NULL PRIMARY KEY, author_id int NOT NULL, title varchar(40) NOT NULL, KEY (author_id))",
    "INSERT INTO author WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) \
     SELECT i, CONCAT('author ', i), IF(i % 5 = 0, NULL, 1900 + i) FROM n",
    "INSERT INTO book WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) \
     SELECT i, 1 + i % 50, CONCAT('book ', i) FROM n",
];

pub const AUTHORS: usize = 60;

pub struct Library {
    pub scratch: Scratch,
    pub job: Job,
    pub conn: Conn,
    /// Changes so far, in `change` and under `load`.
    changes: Arc<AtomicU32>,
}

/// What is in the target, down to the byte: collection -> documents by `_id`.
pub type Contents = BTreeMap<String, Vec<Document>>;

impl Library {
    /// On the server of all tests.
    pub async fn create(name: &str) -> Library {
        Library::create_at(name, &servers::mysql_url()).await
    }

    pub async fn create_at(name: &str, url: &str) -> Library {
        Library::create_over(name, url, String::new()).await
    }

    /// The same with a section `stream:` in the job.
    pub async fn create_over(name: &str, url: &str, stream: String) -> Library {
        let scratch = Scratch::create(name).await;
        let settings = Settings {
            name: format!("job_{name}"),
            mysql_database: scratch.name.clone(),
            mongo_database: scratch.name.clone(),
            server_id: server_id(),
            readers: 2,
            chunk_bytes: "2KiB".into(),
            stream,
        };
        let db = &scratch.name;
        let yaml = header(&settings)
            + &format!(
                "projections:\n  - collection: authors\n    root: {db}.author\n    many:\n      books:\n        \
                 table: {db}.book\n        join: {{id: author_id}}\n        columns: [id, title]\n"
            );
        let mut job = Job::create(name, &yaml);
        job.mysql = url.to_owned();
        let conn = fill(url, db).await;
        Library { scratch, job, conn, changes: Arc::new(AtomicU32::new(1000)) }
    }

    /// Every document is what plain SQL says.
    pub async fn assert_equal(&mut self, at_least: usize) {
        let db = &self.scratch.name;
        let query = format!(
            "SELECT CAST(JSON_ARRAY(CONCAT('i32:', a.id)) AS CHAR), CAST(JSON_OBJECT('id', CONCAT('i32:', a.id), \
             'name', CONCAT('s:', a.name), 'born', CONCAT('i32:', a.born), 'books', \
             (SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT(JSON_OBJECT('id', CONCAT('i32:', b.id), 'title', CONCAT('s:', \
             b.title)) ORDER BY b.id SEPARATOR ','), ''), ']') AS JSON) FROM `{db}`.book b WHERE b.author_id = a.id)) AS \
             CHAR) FROM `{db}`.author a"
        );
        let expected = oracle::expected(&mut self.conn, &query).await;
        let report = compare::compare(&expected, &oracle::actual(&self.scratch.mongo, "authors").await);
        assert!(report.is_equal(), "{report}");
        assert!(report.compared >= at_least, "only {} documents were compared", report.compared);
    }

    /// A row of each table inserted, changed, moved and deleted.
    pub async fn change(&mut self, number: u32) {
        for sql in statements(number) {
            execute(&mut self.conn, &sql).await;
        }
    }

    /// The same again and again, until it is told to stop.
    pub fn load(&self, pace: Duration) -> Load {
        let (stop, changes) = (Arc::new(AtomicBool::new(false)), self.changes.clone());
        let (url, database, stopped) = (self.job.mysql.clone(), self.scratch.name.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut conn = servers::mysql_at(&url, Some(&database)).await;
            let mut tick = tokio::time::interval(pace);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                for sql in statements(changes.fetch_add(1, Ordering::Relaxed)) {
                    execute(&mut conn, &sql).await;
                }
            }
        });
        Load { stop, task, changes: self.changes.clone() }
    }

    /// Everything in the target; with `records` also what rowfold knows about its builds.
    pub async fn contents(&self, records: bool) -> Contents {
        let mut contents = Contents::new();
        for name in self.scratch.mongo.list_collection_names().await.expect("collections can be listed") {
            let record = name.starts_with("_rowfold.");
            // Who runs the job, since when: not about documents.
            if record && (!records || name == "_rowfold.leases" || name == "_rowfold.meta") {
                continue;
            }
            let collection = self.scratch.mongo.collection::<Document>(&name);
            let cursor = collection.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("the target can be read");
            contents.insert(name, cursor.try_collect().await.expect("the target can be read"));
        }
        contents
    }
}

/// Somebody who changes rows all the time.
pub struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
    changes: Arc<AtomicU32>,
}

impl Load {
    /// How often rows of each table were changed so far.
    pub fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    /// This many more were made.
    pub async fn more(&self, changes: u32) {
        let goal = self.changes() + changes;
        super::until_true("changes to be made", Duration::from_secs(60), || self.changes() >= goal).await;
    }

    /// The last statement has ended when this returns.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the load does not panic");
    }
}

fn statements(number: u32) -> [String; 6] {
    [
        format!("INSERT INTO author VALUES ({}, 'new', {number})", 1000 + number),
        format!("INSERT INTO book VALUES ({}, {}, 'new')", 1000 + number, 1000 + number),
        format!("UPDATE author SET name = 'renamed {number}' WHERE id = {}", number % 50),
        format!("UPDATE book SET author_id = author_id + 1 WHERE id = {}", number % 140),
        format!("DELETE FROM book WHERE id = {}", 1 + (number + 70) % 150),
        format!("DELETE FROM author WHERE id = {}", 51 + number % 10),
    ]
}

/// The tables on a server, made anew.
pub async fn fill(url: &str, db: &str) -> Conn {
    let mut conn = servers::mysql_at(url, None).await;
    execute(&mut conn, &format!("DROP DATABASE IF EXISTS `{db}`")).await;
    execute(&mut conn, &format!("CREATE DATABASE `{db}`")).await;
    execute(&mut conn, &format!("USE `{db}`")).await;
    for sql in TABLES {
        execute(&mut conn, sql).await;
    }
    conn
}
