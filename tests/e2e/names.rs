//! Names of databases, tables and columns with everything in them that MySQL takes.
//! Owns: a schema of such names, its job, its documents as SQL. Does not own: names in messages (`cases`).

use crate::harness;
use crate::harness::engine::Job;
use crate::harness::redis::Redis;
use crate::harness::servers::{self, Scratch, execute, server_id};
use crate::harness::status;
use crate::harness::world::REST;
use crate::oracle::{self, compare};
use crate::schema::job::{Settings, header};
use mysql_async::Conn;
use std::time::Duration;

const ROOT: &str = "my table.1";
const LINE: &str = "line's";
const LINK: &str = "li-nk.s";
const TAG: &str = "ta\"g";
const LOOKUP: &str = "select";
/// 64 characters, the most that there can be.
const LONG: &str = "sechzig und vier Zeichen, mehr kann kein Name haben, ganz genau!";

/// A name as SQL takes it.
fn q(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as YAML takes it.
fn y(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Odd {
    scratch: Scratch,
    /// A database with an odd name, and two whose tables would have one stream.
    odd: String,
    dotted: String,
    conn: Conn,
}

impl Odd {
    async fn create(name: &str) -> Odd {
        let scratch = Scratch::create(name).await;
        let (odd, dotted) = (format!("{} a.b`c'd\"%$\\{{}}é", scratch.name), format!("{}.a", scratch.name));
        let mut conn = servers::mysql(None).await;
        for database in [&odd, &dotted] {
            execute(&mut conn, &format!("DROP DATABASE IF EXISTS {}", q(database))).await;
            execute(&mut conn, &format!("CREATE DATABASE {} DEFAULT CHARSET utf8mb4", q(database))).await;
        }
        let db = q(&odd);
        let (plain, dotted_db) = (q(&scratch.name), q(&dotted));
        for sql in [
            format!(
                "CREATE TABLE {db}.{} (`1 key` INT NOT NULL, `or der` VARCHAR(10) NOT NULL, `a.b` INT, `$c` INT, `größe` INT, \
                 `per%cent` INT, `back``tick` INT, `quo\"te'` INT, `back\\slash` INT, `{{x}}` INT, {} INT, `key` INT, \
                 PRIMARY KEY (`1 key`, `or der`), KEY (`größe`))",
                q(ROOT),
                q(LONG)
            ),
            format!(
                "CREATE TABLE {db}.{} (`1 key` INT NOT NULL, `or der` VARCHAR(10) NOT NULL, `nu.m` INT NOT NULL, `desc desc` \
                 INT, `we ight` INT, PRIMARY KEY (`1 key`, `or der`, `nu.m`))",
                q(LINE)
            ),
            format!(
                "CREATE TABLE {db}.{} (`1 key` INT NOT NULL, `or der` VARCHAR(10) NOT NULL, `ta.g` INT NOT NULL, \
                 PRIMARY KEY (`1 key`, `or der`, `ta.g`), KEY `in.dex` (`ta.g`))",
                q(LINK)
            ),
            format!("CREATE TABLE {db}.{} (`i d` INT PRIMARY KEY, `la bel` VARCHAR(20))", q(TAG)),
            format!("CREATE TABLE {db}.{} (`from` INT PRIMARY KEY, `where` VARCHAR(20))", q(LOOKUP)),
            format!("CREATE TABLE {plain}.`a.b` (id INT PRIMARY KEY, v INT)"),
            format!("CREATE TABLE {dotted_db}.`b` (id INT PRIMARY KEY, v INT)"),
        ] {
            execute(&mut conn, &sql).await;
        }
        let mut odd = Odd { scratch, odd, dotted, conn };
        odd.change(0).await;
        odd
    }

    /// Rows of every table come, change and go.
    async fn change(&mut self, round: i32) {
        let (db, base) = (q(&self.odd), round * 100);
        let (root, line, link, tag, lookup) = (q(ROOT), q(LINE), q(LINK), q(TAG), q(LOOKUP));
        let (plain, dotted) = (q(&self.scratch.name), q(&self.dotted));
        for i in 0..8 {
            let key = base + i;
            for sql in [
                format!("INSERT INTO {db}.{root} VALUES ({key}, 'o{i}', 1, 2, {}, 4, 5, 6, 7, {i}, 9, 10)", i % 3),
                format!("INSERT INTO {db}.{line} VALUES ({key}, 'o{i}', 1, 3, {i}), ({key}, 'O{i}', 2, 5, 1)"),
                format!("INSERT INTO {db}.{link} VALUES ({key}, 'o{i}', {}), ({key}, 'o{i}', {})", i % 4, 10 + i % 4),
                format!("REPLACE INTO {db}.{lookup} VALUES ({}, 'w{key}')", i % 3),
                format!("REPLACE INTO {db}.{tag} VALUES ({}, 'l{key}')", i % 4),
                format!("INSERT INTO {plain}.`a.b` VALUES ({key}, {i})"),
                format!("INSERT INTO {dotted}.b VALUES ({key}, {})", -i),
            ] {
                execute(&mut self.conn, &sql).await;
            }
        }
        for sql in [
            format!("UPDATE {db}.{root} SET `or der` = 'O1', `a.b` = 77 WHERE `1 key` = {} ", base + 1),
            format!("UPDATE {db}.{root} SET `per%cent` = 40, `back``tick` = -2 WHERE `1 key` = {}", base + 2),
            format!("UPDATE {db}.{line} SET `desc desc` = 1 WHERE `1 key` = {} AND `nu.m` = 2", base + 3),
            format!("UPDATE {db}.{line} SET `1 key` = {} WHERE `1 key` = {}", base + 5, base + 4),
            format!("DELETE FROM {db}.{link} WHERE `1 key` = {} AND `ta.g` = 1", base + 5),
            format!("UPDATE {db}.{tag} SET `la bel` = 'new {round}' WHERE `i d` = 2"),
            format!("DELETE FROM {db}.{root} WHERE `1 key` = {}", base + 6),
            format!("UPDATE {plain}.`a.b` SET v = 99 WHERE id = {}", base + 1),
            format!("DELETE FROM {dotted}.b WHERE id = {}", base + 2),
        ] {
            execute(&mut self.conn, &sql).await;
        }
    }

    fn job(&self, stream: String) -> String {
        let settings = Settings {
            name: self.scratch.name.clone(),
            mysql_database: String::new(),
            mongo_database: self.scratch.name.clone(),
            server_id: server_id(),
            readers: 2,
            chunk_bytes: "2KiB".into(),
            stream,
        };
        let name = |table: &str| y(&format!("{}.{}", q(&self.odd), q(table)));
        header(&settings)
            + &format!(
                r#"projections:
  - collection: "odd names-1"
    root: {root}
    id: ["1 key", "or der"]
    rename: {{"a.b": a_b, "$c": c}}
    fields: {{"sum up": "`per%cent` + `back``tick`"}}
    where: "`{{x}}` <> 7"
    one:
      the one: {{table: {lookup}, join: {{größe: from}}}}
    many:
      li nes:
        table: {line}
        join: {{"or der": "or der", "1 key": "1 key"}}
        where: "`we ight` >= 0"
        order_by: ["desc desc desc", "`nu.m`"]
        columns: ["desc desc", "nu.m", "we ight"]
        rename: {{"nu.m": num}}
      ta gs:
        table: {tag}
        through: {{table: {link}, join: {{"1 key": "1 key", "or der": "or der"}}, to: {{"ta.g": "i d"}}}}
        value: la bel
  - collection: plain
    root: {plain}
  - collection: dotted
    root: {dotted}
"#,
                root = name(ROOT),
                lookup = name(LOOKUP),
                line = name(LINE),
                tag = name(TAG),
                link = name(LINK),
                plain = y(&format!("{}.`a.b`", self.scratch.name)),
                dotted = y(&format!("{}.b", q(&self.dotted))),
            )
    }

    fn oracle(&self) -> [(&'static str, String); 3] {
        let db = q(&self.odd);
        let i = |x: &str| format!("CONCAT('i32:', {x})");
        let shown = ["1 key", "größe", "per%cent", "back`tick", "quo\"te'", "back\\slash", "{x}", LONG, "key"];
        let fields: Vec<String> = shown
            .iter()
            .map(|name| format!("{}, {}", text(name), i(&format!("r.{}", q(name)))))
            .chain([
                format!("'a_b', {}", i("r.`a.b`")),
                format!("'c', {}", i("r.`$c`")),
                "'or der', CONCAT('s:', r.`or der`)".to_owned(),
                "'sum up', CONCAT('i64:', r.`per%cent` + r.`back``tick`)".to_owned(),
            ])
            .collect();
        let same = |table: &str| format!("{table}.`1 key` = r.`1 key` AND {table}.`or der` = r.`or der`");
        let one = format!(
            "(SELECT JSON_OBJECT('from', {}, 'where', CONCAT('s:', s.`where`)) FROM {db}.{} s WHERE s.`from` = r.`größe`)",
            i("s.`from`"),
            q(LOOKUP)
        );
        let array = |element: &str, order: &str, from: &str| {
            format!(
                "(SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT({element} ORDER BY {order} SEPARATOR ','), ''), ']') AS JSON) \
                 FROM {from})"
            )
        };
        let lines = array(
            &format!(
                "JSON_OBJECT('desc desc', {}, 'num', {}, 'we ight', {})",
                i("l.`desc desc`"),
                i("l.`nu.m`"),
                i("l.`we ight`")
            ),
            "l.`desc desc` DESC, l.`nu.m`",
            &format!("{db}.{} l WHERE {} AND l.`we ight` >= 0", q(LINE), same("l")),
        );
        let tags = array(
            "JSON_QUOTE(CONCAT('s:', t.`la bel`))",
            "t.`i d`",
            &format!("{db}.{} k JOIN {db}.{} t ON t.`i d` = k.`ta.g` WHERE {}", q(LINK), q(TAG), same("k")),
        );
        let odd = format!(
            "SELECT CAST(JSON_ARRAY('1 key', {}, 'or der', CONCAT('s:', r.`or der`)) AS CHAR), CAST(JSON_OBJECT({}, 'the one', \
             {one}, 'li nes', {lines}, 'ta gs', {tags}) AS CHAR) FROM {db}.{} r WHERE r.`{{x}}` <> 7",
            i("r.`1 key`"),
            fields.join(", "),
            q(ROOT)
        );
        let simple = |from: String| {
            format!(
                "SELECT CAST(JSON_ARRAY({}) AS CHAR), CAST(JSON_OBJECT('id', {}, 'v', {}) AS CHAR) FROM {from}",
                i("id"),
                i("id"),
                i("v")
            )
        };
        [
            ("odd names-1", odd),
            ("plain", simple(format!("{}.`a.b`", q(&self.scratch.name)))),
            ("dotted", simple(format!("{}.b", q(&self.dotted)))),
        ]
    }

    async fn assert_equal(&mut self, at_least: usize) {
        for (collection, query) in self.oracle() {
            let expected = oracle::expected(&mut self.conn, &query).await;
            let report = compare::compare(&expected, &oracle::actual(&self.scratch.mongo, collection).await);
            assert!(report.is_equal(), "{collection}: {report}");
            assert!(report.compared >= at_least, "{collection}: only {} were compared", report.compared);
        }
    }

    async fn remove(mut self) {
        for database in [&self.odd, &self.dotted] {
            execute(&mut self.conn, &format!("DROP DATABASE {}", q(database))).await;
        }
        self.scratch.remove().await;
    }
}

/// A text as an SQL literal.
fn text(text: &str) -> String {
    crate::schema::types::text_literal(text)
}

/// The job is copied and followed, stopped, and followed again.
async fn odd_names_converge(name: &str, through: impl Fn(&str) -> String) -> Odd {
    let mut odd = Odd::create(name).await;
    let job = Job::create(name, &odd.job(through(&odd.scratch.name)));
    let checked = job.command("check").finish(REST).await;
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let mut engine = job.run();
    odd.change(1).await;
    status::wait_live(&job, &mut engine, REST).await;
    odd.change(2).await;
    status::wait_quiescent(&job, &mut engine, REST).await;
    odd.assert_equal(15).await;
    assert_eq!(engine.stop(Duration::from_secs(15)).await.code, 0);
    odd.change(3).await;
    let mut engine = job.run();
    status::wait_quiescent(&job, &mut engine, REST).await;
    odd.assert_equal(20).await;
    assert_eq!(engine.stop(Duration::from_secs(15)).await.code, 0);
    odd
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_converge_in_one_process() {
    let _seat = harness::seat().await;
    odd_names_converge("names", |_| String::new()).await.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_converge_through_redis() {
    let _seat = harness::seat().await;
    let stream =
        |prefix: &str| format!("stream:\n  url: {}\n  prefix: {prefix}\n  max_bytes: 64MiB\n", servers::redis_url());
    let odd = odd_names_converge("names_redis", stream).await;
    let db = &odd.scratch.name;
    let keys = Redis::shared().contents(db);
    // Each table has a stream of its own.
    for stream in [format!("{db}.{db}.a%2Eb"), format!("{db}.{db}%2Ea.b")] {
        assert!(keys.contains_key(&stream), "no stream {stream} in {:?}", keys.keys());
    }
    odd.remove().await;
}
