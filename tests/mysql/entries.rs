//! The entries made of a real binlog, against those that a Debezium Server 3.6 wrote for the same statements.
//!
//! `fixtures/shop.sql` and `fixtures/changes.sql` were run on the server that it captured; `fixtures/changes.jsonl` holds what it
//! wrote into its streams after its snapshot: `[stream, key, value]`, the entries of a stream in order.
//!
//! On a MySQL of its own: then even the distances between positions are the same.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use rowfold::config::SourceSettings;
use rowfold::edge::mysql::MySqlServer;
use rowfold::logic::envelope::{entries, unlogged};
use rowfold::model::change::{LogEvent, Unlogged};
use rowfold::model::schema::{Table, TableName};
use rowfold::ports::{CaptureSource, ChangeLog};
use serde_json::Value;

use crate::private::{PrivateSql, Sql};

const TABLES: [&str; 5] = ["customer", "product", "order", "order_line", "audit"];

/// Statements of a file, the way the mysql client sends them: without comments.
fn statements(file: &str) -> Vec<String> {
    let code: Vec<&str> = file.lines().map(|line| line.split("-- ").next().unwrap_or_default()).collect();
    let all = code.join("\n");
    all.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_string).collect()
}

async fn run(conn: &mut Conn, file: &str) {
    for statement in statements(file) {
        conn.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

async fn definitions(server: &MySqlServer) -> Vec<Table> {
    let names = TABLES.map(|table| TableName::new("shop", table));
    let tables = CaptureSource::tables(server, &names).await.expect("definitions");
    assert_eq!(tables.len(), names.len());
    tables
}

/// `[stream, key, value]`, streams in the order of their names.
type Entries = BTreeMap<String, Vec<(String, String)>>;

/// What the log makes of everything after `tables` were read; read again whenever one of them is altered.
async fn captured(server: &MySqlServer, mut tables: Vec<Table>, state: rowfold::model::position::GtidSet) -> Entries {
    let until = CaptureSource::state(server).await.expect("a state").executed;
    let mut done = state;
    let mut found = Entries::new();
    while !until.minus(&done).is_empty() {
        let mut log = server.row_log(&done, &tables).await.expect("a log");
        let mut altered = false;
        while !altered && !until.minus(&done).is_empty() {
            let next = tokio::time::timeout(std::time::Duration::from_secs(20), log.next());
            let mut add = |stream: String, made: Vec<(Vec<u8>, Vec<u8>)>| {
                let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
                let made = made.into_iter().map(|(key, value)| (text(key), text(value)));
                found.entry(stream).or_default().extend(made);
            };
            match next.await.expect("in time").expect("an event") {
                LogEvent::Commit(commit) => {
                    for change in &commit.changes {
                        let table = &tables[change.table];
                        add(
                            format!("cdc.{}", table.name),
                            entries("cdc", table, &commit.gtid, &commit.origin, change, 7_000),
                        );
                    }
                    done.insert(&commit.gtid);
                    if altered_by(&found, &commit.gtid.to_string()) {
                        tables = definitions(server).await;
                        altered = true;
                    }
                }
                LogEvent::Unlogged { gtid, table, what, origin, spot } => {
                    assert!(matches!(what, Unlogged::Definition | Unlogged::Rows), "{what:?}");
                    add(format!("cdc.{table}"), vec![unlogged("cdc", &table, &gtid, &origin, spot, what, 7_000)]);
                }
                LogEvent::Heartbeat => {}
                other => panic!("{other:?}"),
            }
        }
    }
    found
}

/// Whether this transaction altered a table.
fn altered_by(found: &Entries, gtid: &str) -> bool {
    let last = found.values().filter_map(|entries| entries.last());
    last.filter_map(|(_, value)| parsed(value)).any(|value| value["op"] == "m" && value["source"]["gtid"] == gtid)
}

/// An entry's value; `None` for a tombstone.
fn parsed(value: &str) -> Option<Value> {
    (value != "default").then(|| serde_json::from_str(value).expect("JSON"))
}

/// Every leaf with its path, in the order of the text.
fn leaves(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(&format!("{path}.{name}"), value, found))
        }
        leaf => found.push((path.to_string(), leaf.clone())),
    }
}

/// What cannot be the same, said as what it is to the first entry of all; the times are checked against each other.
fn relative(entry: &str, first: &Value, source_facts: (&Value, &Value)) -> Vec<(String, Value)> {
    let Some(mut value) = parsed(entry) else {
        return vec![("tombstone".into(), Value::Null)];
    };
    let number = |value: &Value| value.as_i64().expect("a number");
    let sequence = |source: &Value| {
        let gtid = source["gtid"].as_str().expect("a GTID").to_string();
        let (uuid, number) = gtid.split_once(':').expect("a GTID");
        (uuid.to_string(), number.parse::<i64>().expect("a number"))
    };
    for at in ["", "source"] {
        let times = if at.is_empty() { &value } else { &value[at] };
        let [ms, us, ns] = ["ts_ms", "ts_us", "ts_ns"].map(|unit| number(&times[unit]));
        assert_eq!((us / 1000, ns / 1000), (ms, us), "{entry}");
        let times = if at.is_empty() { &mut value } else { &mut value[at] };
        for unit in ["ts_ms", "ts_us", "ts_ns"] {
            times[unit] = Value::Null;
        }
    }
    let source = &mut value["source"];
    let ((uuid, gtid), (first_uuid, first_gtid)) = (sequence(source), sequence(&first["source"]));
    assert_eq!(uuid, first_uuid);
    source["gtid"] = (gtid - first_gtid).into();
    source["pos"] = (number(&source["pos"]) - number(&first["source"]["pos"])).into();
    assert_eq!((&source["server_id"], &source["thread"]), source_facts, "{entry}");
    for fact in ["version", "server_id", "thread"] {
        source[fact] = Value::Null;
    }
    // A Debezium Server writes the bits of BIGINT UNSIGNED as a signed number, and null for a zero date.
    for image in ["before", "after"] {
        if value[image]["huge"] == u64::MAX {
            value[image]["huge"] = (-1).into();
        }
        if value[image]["born"] == "0000-00-00" {
            value[image]["born"] = Value::Null;
        }
    }
    let mut found = Vec::new();
    leaves("", &value, &mut found);
    found
}

/// The first row that changed.
fn first(entries: &Entries) -> Value {
    parsed(&entries["cdc.shop.customer"][0].1).expect("an update")
}

#[tokio::test]
async fn entries_are_those_of_a_debezium_server() {
    let Some(private) = PrivateSql::start(Sql::MySql) else { return };
    let mut conn = Conn::new(Opts::from_url(&private.url).expect("a url")).await.expect("a connection");
    run(&mut conn, include_str!("fixtures/shop.sql")).await;
    let settings = SourceSettings { url: private.url.clone().into(), server_id: 71_401, allow_unsafe_source: true };
    let server = MySqlServer::new(&settings).expect("settings");
    let before = CaptureSource::state(&server).await.expect("a state").executed;
    let tables = definitions(&server).await;
    run(&mut conn, include_str!("fixtures/changes.sql")).await;
    let mut ours = captured(&server, tables, before).await;

    // What a Debezium Server does not write into these streams.
    let mut unlogged = Vec::new();
    for (stream, entries) in &mut ours {
        entries.retain(|(key, value)| {
            let op = parsed(value).map(|value| value["op"].as_str().unwrap_or_default().to_string());
            let extra = op.filter(|op| matches!(op.as_str(), "t" | "m"));
            unlogged.extend(extra.iter().map(|op| format!("{stream} {key} {op}")));
            extra.is_none()
        });
    }
    assert_eq!(unlogged, ["cdc.shop.audit default t", "cdc.shop.product default m"]);

    let mut theirs = Entries::new();
    for line in include_str!("fixtures/changes.jsonl").lines() {
        let (stream, key, value): (String, String, String) = serde_json::from_str(line).expect("an entry");
        theirs.entry(stream).or_default().push((key, value));
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    let facts: (u32, u32, String) =
        conn.query_first("SELECT @@server_id, CONNECTION_ID(), @@server_uuid").await.expect("facts").expect("facts");
    let (our_first, their_first) = (first(&ours), first(&theirs));
    assert!(our_first["source"]["gtid"].as_str().is_some_and(|gtid| gtid.starts_with(&facts.2)));
    for (stream, expected) in &theirs {
        let found = &ours[stream];
        let keys = |entries: &[(String, String)]| entries.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(found), keys(expected), "{stream}");
        for ((_, ours), (_, theirs)) in found.iter().zip(expected) {
            let our_leaves = relative(ours, &our_first, (&facts.0.into(), &facts.1.into()));
            let their_leaves = relative(theirs, &their_first, (&1.into(), &469.into()));
            assert_eq!(our_leaves, their_leaves, "{stream}");
        }
    }
}
