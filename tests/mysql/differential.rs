//! Random tables and rows: what SELECT reads must be what the decoder makes of the binlog, value by value, before and after.
//!
//! `ROWFOLD_SEED` varies a run. Events are recorded and decoded several times: whole rows and a job's used columns, with the
//! metadata that the server logs, with less, and with none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use rowfold::edge::mysql::replay::Replay;
use rowfold::model::change::{Cell, Image, RowChange};
use rowfold::model::plan::{JobPlan, NodeColumn, NodePlan, WriteAs};
use rowfold::model::row::value_at;
use rowfold::model::schema::{Column, ColumnKind, Table};
use rowfold::model::value::Value;
use rowfold::ports::{Selected, Selection, Snapshot, Source};

use crate::random::Random;
use crate::record::{Metadata, Recorded, end_of_log, record, with_metadata};
use crate::schemas::{Schema, quoted};
use crate::support::{Database, Engine, job, node, told};
use crate::types::{By, On, TYPES, Type};

const TABLES: u64 = 50;
const ROWS: u64 = 1_020;
const ROWS_PER_STATEMENT: u64 = 170;

/// What SELECT read: by id the compared columns in order, without the id.
type Read = HashMap<i64, Vec<Value>>;

/// How a table's events are decoded, beside whole rows with all metadata: with which metadata, and whether whole. One is drawn.
const PASSES: [(Metadata, bool); 5] = [
    (Metadata::Full, false),
    (Metadata::Minimal, false),
    (Metadata::Minimal, true),
    (Metadata::None, false),
    (Metadata::None, true),
];

/// One table under comparison.
struct Case {
    number: u64,
    table: Table,
    /// The columns, without the id: position in the table, and what they are.
    columns: Vec<(usize, &'static Type)>,
    id: usize,
    inserted: Read,
    updated: Read,
}

#[derive(Debug, Default)]
struct Totals {
    rows: usize,
    images: usize,
    values: usize,
}

/// One way to decode a table's events.
struct Pass {
    metadata: Metadata,
    /// For each column of the table the place of its cell in an image, and whether its value is known there.
    cells: Vec<Option<(usize, bool)>>,
}

impl Pass {
    /// Whole rows, or the used columns of a plan.
    fn new(metadata: Metadata, table: &Table, plan: Option<&JobPlan>) -> Self {
        let used = plan.map(|plan| &plan.tables[0].columns);
        let cell = |(at, column): (usize, &Column)| match used {
            None => Some((at, true)),
            Some(used) => {
                let at = used.iter().position(|used| used.name == column.name)?;
                Some((at, used[at].routes))
            }
        };
        Self { metadata, cells: table.columns.iter().enumerate().map(cell).collect() }
    }

    fn cell<'a>(&self, image: &'a Image, position: usize) -> Option<(&'a Cell, bool)> {
        self.cells[position].map(|(at, known)| (&image.0[at], known))
    }

    fn id(&self, image: &Image, position: usize) -> i64 {
        match self.cell(image, position) {
            Some((Cell::Value(Value::Int(id)), _)) => *id,
            other => panic!("the id is not read with metadata {:?}: {other:?}", self.metadata),
        }
    }
}

/// A root of the id and the compared columns.
fn root(table: &Table, columns: &[(usize, &'static Type)], id: usize) -> NodePlan {
    let mut root = node(table, None, None, &[]);
    let plain = |position: usize, sql: String, kind: ColumnKind| {
        let field = Some(table.columns[position].name.clone());
        NodeColumn { sql, kind, field, write: WriteAs::Plain }
    };
    root.columns = vec![plain(id, "`id`".into(), table.columns[id].kind.clone())];
    for (position, _) in columns {
        let column = &table.columns[*position];
        root.columns.push(plain(*position, quoted(&column.name), column.kind.clone()));
    }
    root
}

async fn read(database: &Database, table: &Table, columns: &[(usize, &'static Type)], id: usize) -> Read {
    let root = root(table, columns, id);
    let kinds: Vec<ColumnKind> = root.columns.iter().map(|column| column.kind.clone()).collect();
    let source = database.source(job(vec![root], &["id"], &[table], |_| false));
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let everything = Selection::Range { after: None, up_to: None };
    let Selected::Rows(batch) = snapshot.select(0, 0, everything, 1 << 30).await.expect("a read") else {
        panic!("too large");
    };
    snapshot.close().await;
    let row = |row| -> (i64, Vec<Value>) {
        let mut values = batch.columns().iter().zip(&kinds).map(|(column, kind)| value_at(column, kind, row));
        let Some(Value::Int(id)) = values.next() else { panic!("an id") };
        (id, values.collect())
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Whether a cell is what SELECT read.
fn same(cell: &Cell, read: &Value, by: By) -> bool {
    match (cell, read, by) {
        (Cell::Value(Value::Text(logged)), Value::Text(read), By::Document) => {
            // Printed again, so that the order of members counts too.
            let document = |text: &str| -> String {
                let read: serde_json::Value =
                    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
                read.to_string()
            };
            document(logged) == document(read)
        }
        (Cell::Value(value), read, _) => value == read,
        _ => false,
    }
}

impl Case {
    /// Makes a random table and changes it in every way.
    async fn run(
        database: &mut Database,
        random: &mut Random,
        server: On,
        number: u64,
        reader: u32,
    ) -> (Self, Vec<Recorded>) {
        let name = format!("t{number}");
        let mut tries = 0;
        let schema = loop {
            let schema = Schema::random(random, server, &name);
            match database.conn.query_drop(&schema.create).await {
                Ok(()) => break schema,
                // More than a row can hold.
                Err(mysql_async::Error::Server(told)) if matches!(told.code, 1118 | 1074) && tries < 9 => tries += 1,
                Err(error) => panic!("{}: {error}", schema.create),
            }
        };
        let table = database.definition(&name).await;
        let position = |name: &str| table.column(name).unwrap_or_else(|| panic!("{name}"));
        let compared = |(name, one): &(String, Option<&'static Type>)| one.map(|one| (position(name), one));
        let columns: Vec<(usize, &'static Type)> = schema.columns.iter().filter_map(compared).collect();
        let id = position("id");
        let from = end_of_log(&mut database.conn).await;
        for first in (0..ROWS).step_by(ROWS_PER_STATEMENT as usize) {
            let statement = schema.insert(random, &name, first..first + ROWS_PER_STATEMENT);
            database.run(&[&statement]).await;
        }
        let inserted = read(database, &table, &columns, id).await;
        database.run(&[&schema.update(random, &name)]).await;
        let updated = read(database, &table, &columns, id).await;
        database.run(&[&format!("DELETE FROM {name} WHERE id % 3 = 0")]).await;
        let events = record(&database.conn, &database.name, reader, from).await;
        (Self { number, table, columns, id, inserted, updated }, events)
    }

    /// A job that uses some of the columns; by some of these it routes.
    fn plan(&self, random: &mut Random) -> JobPlan {
        let root = root(&self.table, &self.columns, self.id);
        let mut plan = job(vec![root], &["id"], &[&self.table], |_| false);
        plan.tables[0].columns = Vec::new();
        let whole = rowfold::model::plan::TableUse::whole(&self.table);
        for (position, by) in
            self.columns.iter().map(|(position, one)| (*position, one.by)).chain([(self.id, By::Value)])
        {
            if position == self.id || !random.once_in(4) {
                let mut used = whole.columns[position].clone();
                used.routes = position == self.id || by == By::Value && !random.once_in(3);
                plan.tables[0].columns.push(used);
            }
        }
        random.shuffle(&mut plan.tables[0].columns);
        plan
    }

    /// Compares all images of one way to decode.
    async fn compare(&self, events: &[Recorded], pass: &Pass, replay: &mut Replay, totals: &mut Totals) {
        let metadata = pass.metadata;
        let mut seen = [0, 0, 0];
        for event in events {
            let event = with_metadata(event, metadata);
            let rows = replay.feed(event.code, &event.data).await;
            let rows = rows.unwrap_or_else(|error| panic!("{}: {error}", self.name(metadata)));
            for RowChange { before, after, .. } in rows {
                let (sort, sides) = match (&before, &after) {
                    (None, Some(after)) => (0, vec![(after, &self.inserted)]),
                    (Some(before), Some(after)) => (1, vec![(before, &self.inserted), (after, &self.updated)]),
                    (Some(before), None) => (2, vec![(before, &self.updated)]),
                    (None, None) => panic!("a row without images"),
                };
                seen[sort] += 1;
                for (image, read) in &sides {
                    totals.values += self.compare_image(image, read, pass);
                }
                if let [(before, _), (after, _)] = sides[..] {
                    self.equal_bytes_are_equal_values(before, after, pass);
                }
            }
        }
        let changed = self.inserted.iter().filter(|(id, row)| self.updated[*id] != **row).count();
        let expected = (self.inserted.len(), self.inserted.keys().filter(|id| **id % 3 == 0).count());
        assert_eq!((seen[0], seen[2]), expected, "{}: every row comes once", self.name(metadata));
        assert!(seen[1] >= changed, "{}: {} of {changed} changed rows came", self.name(metadata), seen[1]);
        totals.rows += seen.iter().sum::<usize>();
        totals.images += seen[0] + 2 * seen[1] + seen[2];
    }

    fn name(&self, metadata: Metadata) -> String {
        format!("table t{} with metadata {metadata:?}", self.number)
    }

    /// Returns how many values were compared.
    fn compare_image(&self, image: &Image, read: &Read, pass: &Pass) -> usize {
        let (id, metadata) = (pass.id(image, self.id), pass.metadata);
        let mut values = 0;
        let row = read.get(&id).unwrap_or_else(|| panic!("{}: no row {id}", self.name(metadata)));
        for ((position, one), expected) in self.columns.iter().zip(row) {
            let Some((cell, known)) = pass.cell(image, *position) else { continue };
            let right = match cell {
                Cell::Raw(_) => !known && !expected.is_null(),
                cell => same(cell, expected, one.by),
            };
            if !right {
                let shown = match cell {
                    Cell::Value(value) => told(value),
                    Cell::Raw(bytes) => format!("raw {bytes:02x?}"),
                    Cell::Absent => "nothing".into(),
                };
                let (column, name) = (&self.table.columns[*position].name, self.name(metadata));
                panic!(
                    "{name}, row {id}, {} {}: SELECT {} binlog {shown}",
                    quoted(column),
                    one.declared,
                    told(expected)
                );
            }
            values += 1;
        }
        values
    }

    /// Raw cells serve to tell whether a column changed.
    fn equal_bytes_are_equal_values(&self, before: &Image, after: &Image, pass: &Pass) {
        let id = pass.id(before, self.id);
        for (at, (position, one)) in self.columns.iter().enumerate() {
            let cells = (pass.cell(before, *position), pass.cell(after, *position));
            let (Some((Cell::Raw(before), _)), Some((Cell::Raw(after), _))) = cells else { continue };
            if before == after {
                assert!(
                    self.inserted[&id][at] == self.updated[&id][at],
                    "t{}, row {id}: {}",
                    self.number,
                    one.declared
                );
            }
        }
    }
}

async fn differential(mut database: Database, server: On, reader: u32) {
    let (_, mut random) = Random::of_run();
    let started = Instant::now();
    let (mut totals, mut drawn, mut filled) = (Totals::default(), HashSet::new(), Duration::ZERO);
    let mut replay = Replay::of(&database.server).await.expect("a replay");
    for number in 0..TABLES {
        let filling = Instant::now();
        let (case, events) = Case::run(&mut database, &mut random, server, number, reader).await;
        filled += filling.elapsed();
        drawn.extend(case.columns.iter().map(|(_, one)| one.declared));
        let drawn_pass = PASSES[random.below(PASSES.len() as u64) as usize];
        for (metadata, whole) in [(Metadata::Full, true), drawn_pass] {
            let plan = (!whole).then(|| case.plan(&mut random));
            match &plan {
                None => replay.whole(std::slice::from_ref(&case.table)),
                Some(plan) => replay.used(Arc::new(plan.clone())),
            }
            let pass = Pass::new(metadata, &case.table, plan.as_ref());
            case.compare(&events, &pass, &mut replay, &mut totals).await;
        }
        database.run(&[&format!("DROP TABLE t{number}")]).await;
    }
    let Totals { rows, images, values } = totals;
    let seconds = started.elapsed().as_secs_f64();
    println!("{server:?}: {} rows inserted in {TABLES} tables, 0 differences", TABLES * ROWS);
    println!(
        "{rows} rows, {images} images, {values} values compared in {seconds:.1} s, {filled:.1?} of it by the server"
    );
    let missing: Vec<&str> = TYPES
        .iter()
        .filter(|one| (one.on == On::Both || one.on == server) && !drawn.contains(one.declared))
        .map(|one| one.declared)
        .collect();
    assert!(missing.is_empty(), "never drawn: {missing:?}");
}

#[tokio::test]
async fn random_tables_of_mysql() {
    differential(Database::with("differential", 71_201, &[]).await, On::MySql, 71_202).await;
}

#[tokio::test]
async fn random_tables_of_mariadb() {
    let database = Database::on(Engine::MariaDb, "differential", 71_204, &[]).await;
    differential(database, On::MariaDb, 71_205).await;
}
