//! Random rows of every type at once, through the ports that the engine uses: what SELECT reads must be what the binlog says,
//! value by value, and a key made of any value must find its row.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rowfold::model::change::{Cell, LogEvent};
use rowfold::model::row::value_at;
use rowfold::model::schema::{ColumnKind, Table};
use rowfold::model::value::{Key, Value};
use rowfold::ports::{CaptureSource, ChangeLog, Selected, Selection, Snapshot, Source};

use crate::random::Random;
use crate::support::{Database, job, key, node, told};
use crate::types::{By, On, TYPES, Type};

const ROWS: u64 = 2000;

/// What SELECT reads of a table, by the first column.
async fn selected(source: &impl Source, kinds: &[ColumnKind]) -> HashMap<i64, Vec<Value>> {
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let everything = Selection::Range { after: None, up_to: None };
    let Selected::Rows(batch) = snapshot.select(0, 0, everything, 1 << 30).await.expect("a read") else {
        panic!("too large");
    };
    let row = |row| -> Vec<Value> {
        batch.columns().iter().zip(kinds).map(|(column, kind)| value_at(column, kind, row)).collect()
    };
    (0..batch.num_rows())
        .map(row)
        .map(|values| match &values[0] {
            Value::Int(id) => (*id, values),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn select_and_binlog_agree() {
    let (seed, mut random) = Random::of_run();
    let routing = |one: &&Type| one.by == By::Value && one.on != On::MariaDb;
    let columns: Vec<&Type> = TYPES.iter().filter(routing).collect();
    let mut declaration = String::from("CREATE TABLE t (id INT PRIMARY KEY");
    for (at, one) in columns.iter().enumerate() {
        let _ = write!(declaration, ", c{at} {}", one.declared);
    }
    // Columns that nobody uses lie between, and one that only an index sees.
    declaration += ", doc JSON, place POINT, spot VECTOR(3), double_id INT GENERATED ALWAYS AS (id * 2) VIRTUAL, \
                    hidden INT INVISIBLE, KEY ((c0 + 1))) ROW_FORMAT=DYNAMIC";
    let mut database = Database::with("parity", 71_203, &[&declaration]).await;
    let table = database.definition("t").await;
    let routes = |kind: &ColumnKind| !matches!(kind, ColumnKind::Json | ColumnKind::Geometry | ColumnKind::Vector);
    let mut root = node(&table, None, None, &[]);
    root.columns.retain(|column| routes(&column.kind));
    let kinds: Vec<ColumnKind> = root.columns.iter().map(|column| column.kind.clone()).collect();
    let source = database.source(job(vec![root], &["id"], &[&table], routes));
    let before = Source::state(&source).await.expect("a state").executed;

    let insert = |ids: std::ops::Range<u64>, random: &mut Random| {
        let mut statement = String::from("INSERT INTO t (id");
        for at in 0..columns.len() {
            let _ = write!(statement, ", c{at}");
        }
        statement += ", doc, place, spot) VALUES ";
        for id in ids.clone() {
            let _ = write!(statement, "{}({id}", if id == ids.start { "" } else { ", " });
            for one in &columns {
                let value = match random.below(8) {
                    0 => "NULL".to_string(),
                    1 => random.pick(one.bounds).to_string(),
                    _ => (one.make)(random),
                };
                let _ = write!(statement, ", {value}");
            }
            let _ = write!(statement, ", '{{\"a\": [1, 2.5, \"x\"]}}', POINT(1, 2), STRING_TO_VECTOR('[1,2,3]'))");
        }
        statement
    };
    for from in (0..ROWS).step_by(100) {
        let statement = insert(from..from + 100, &mut random);
        database.run(&[&statement]).await;
    }
    let expected = selected(&source, &kinds).await;
    assert_eq!(expected.len() as u64, ROWS);
    let positions: Vec<usize> = (0..table.columns.len()).filter(|at| routes(&table.columns[*at].kind)).collect();
    let log = source.log(&before).await.expect("a log");
    let differences = differences(log, "routed", expected.clone(), &table, &positions).await;
    assert_eq!(differences, 0, "seed {seed}");
    let log = database.server.row_log(&before, std::slice::from_ref(&table)).await.expect("a log");
    let differences = self::differences(log, "whole", expected, &table, &positions).await;
    assert_eq!(differences, 0, "seed {seed}");
    literals_find_their_rows(&database, &source, &kinds, &positions).await;
}

/// Compares the rows of a log with those that SELECT read, by the first column, until each has come.
async fn differences(
    mut log: impl ChangeLog,
    sort: &str,
    mut expected: HashMap<i64, Vec<Value>>,
    table: &Table,
    positions: &[usize],
) -> usize {
    let mut differences = 0;
    let started = Instant::now();
    while !expected.is_empty() {
        let event =
            tokio::time::timeout(Duration::from_secs(20), log.next()).await.expect("in time").expect("an event");
        let changes = match event {
            LogEvent::Commit(done) => done.changes,
            LogEvent::Part { changes, .. } => changes,
            _ => continue,
        };
        for change in changes {
            let after = change.after.expect("an insert").0;
            let Cell::Value(Value::Int(id)) = after[0] else {
                panic!("the id routes");
            };
            let read = expected.remove(&id).expect("each row once");
            for (column, position) in positions.iter().enumerate() {
                if after[*position] != Cell::Value(read[column].clone()) {
                    differences += 1;
                    let definition = &table.columns[*position];
                    println!("row {id}, {} {}", definition.name, definition.declared);
                    println!("  select {}", told(&read[column]));
                    if let Cell::Value(value) = &after[*position] {
                        println!("  binlog {}", told(value));
                    }
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{ROWS} {sort} rows of {} columns in {seconds:.2} s", positions.len());
    differences
}

/// A key made of any column's value finds the row that it was read from.
async fn literals_find_their_rows(
    database: &Database,
    source: &impl Source,
    kinds: &[ColumnKind],
    positions: &[usize],
) {
    let table = database.definition("t").await;
    let all = selected(source, kinds).await;
    for (column, position) in positions.iter().enumerate() {
        let declared = &table.columns[*position].declared;
        if ["text", "blob"].iter().any(|long| declared.ends_with(long)) {
            // Nobody's key, and too long to sort by.
            continue;
        }
        let column_name = table.columns[*position].name.clone();
        let mut root = node(&table, None, None, &[]);
        root.columns.retain(|kept| !matches!(kept.kind, ColumnKind::Json | ColumnKind::Geometry | ColumnKind::Vector));
        // As if this column were the root's key: equality is all that is tried.
        let by_column = database.source(job(vec![root], &[&column_name], &[&table], |_| false));
        let mut snapshot = by_column.snapshot().await.expect("a snapshot");
        let sample: Vec<(&i64, &Vec<Value>)> = all.iter().filter(|(_, row)| !row[column].is_null()).take(40).collect();
        let keys: Vec<Key> = sample.iter().map(|(_, row)| key([row[column].clone()])).collect();
        let found = snapshot.select(0, 0, Selection::Keys(&keys), 1 << 30).await;
        let Selected::Rows(batch) = found.unwrap_or_else(|error| panic!("{column_name}: {error:?}")) else {
            panic!("too large");
        };
        let ids: Vec<Value> = (0..batch.num_rows()).map(|row| value_at(batch.column(0), &kinds[0], row)).collect();
        for (id, row) in sample {
            assert!(ids.contains(&Value::Int(*id)), "{column_name} {declared}: {}", told(&row[column]));
        }
        snapshot.close().await;
    }
}
