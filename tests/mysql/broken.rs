//! Events of a real binlog, damaged at random: rows or an error come out, never a panic, never an endless loop, and never more
//! memory than the event's size allows.
//!
//! Checksums catch such damage on the way; here it is behind them.

use std::time::{Duration, Instant};

use rowfold::edge::mysql::replay::Replay;
use rowfold::model::change::RowChange;
use rowfold::model::schema::Table;

use crate::random::Random;
use crate::record::{Metadata, Recorded, TABLE_MAP, end_of_log, record, with_metadata};
use crate::schemas::Schema;
use crate::support::{Database, Engine};
use crate::types::On;

const TABLES: u64 = 8;
const ROWS: u64 = 30;
const DAMAGES: usize = 12_000;
/// Deflated bytes amount to at most so many times as many; nothing else grows more.
const GROWTH_MAX: usize = 1_100;

/// Real events: of each of the tables an insert, an update and a delete.
async fn real_events(
    database: &mut Database,
    random: &mut Random,
    server: On,
    reader: u32,
) -> (Vec<Table>, Vec<Recorded>) {
    let from = end_of_log(&mut database.conn).await;
    let mut tables = Vec::new();
    for number in 0..TABLES {
        let name = format!("t{number}");
        let schema = Schema::random(random, server, &name);
        let (insert, update) = (schema.insert(random, &name, 0..ROWS), schema.update(random, &name));
        let delete = format!("DELETE FROM {name} WHERE id % 2 = 0");
        database.run(&[&schema.create, &insert, &update, &delete]).await;
        tables.push(database.definition(&name).await);
    }
    let events = record(&database.conn, &database.name, reader, from).await;
    (tables, events)
}

fn damage(random: &mut Random, data: &mut Vec<u8>, from: usize) {
    let at =
        |random: &mut Random, data: &[u8]| from + random.below(data.len().saturating_sub(from).max(1) as u64) as usize;
    match random.below(6) {
        0 => data.truncate(at(random, data)),
        1 => {
            let place = at(random, data).min(data.len());
            let more: Vec<u8> = (0..random.below(20)).map(|_| random.next() as u8).collect();
            data.splice(place..place, more);
        }
        2 => {
            let (start, length) = (at(random, data).min(data.len()), random.below(9) as usize);
            data.drain(start..(start + length).min(data.len()));
        }
        3 => {
            // What could be a length becomes the longest.
            let place = at(random, data);
            data.iter_mut().skip(place).take(4).for_each(|byte| *byte = 0xff);
        }
        _ => {
            for _ in 0..1 + random.below(8) {
                let place = at(random, data);
                if let Some(byte) = data.get_mut(place) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

/// Events that tell of transactions: a statement, a prepared XA transaction, the name of a file, and their type codes.
fn other_events() -> Vec<Recorded> {
    let statement = |code: u8, fixed: &[u8], text: &str| {
        let head = [&[7, 0, 0, 0, 0, 0, 0, 0][..], &[1, 0, 0, 2, 0], fixed, &[9, 9], b"d\0", text.as_bytes()];
        Recorded { code, data: head.concat() }
    };
    let alter = "ALTER TABLE `d`.`t0` ADD COLUMN `x` INT DEFAULT 'a''b' FIRST, DROP KEY k /* why */";
    vec![
        statement(2, &[], alter),
        statement(2, &[], "XA COMMIT X'6162',X'',1"),
        statement(18, &[0; 13], "LOAD DATA INFILE 'x' INTO TABLE t1"),
        Recorded { code: 38, data: [&[0][..], &[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], b"ab"].concat() },
        Recorded { code: 4, data: [&[4, 0, 0, 0, 0, 0, 0, 0][..], b"log.000012"].concat() },
        Recorded {
            code: 165,
            data: [&[7, 0, 0, 0, 0, 0, 0, 0][..], &[1, 0, 0, 0, 0], b"d\0", &[0x81, 9, 1, 2]].concat(),
        },
        Recorded { code: 40, data: vec![1, 2, 3] },
    ]
}

async fn damaged(mut database: Database, server: On, reader: u32) {
    let (seed, mut random) = Random::of_run();
    let (tables, events) = real_events(&mut database, &mut random, server, reader).await;
    let columns = tables.iter().map(|table| table.columns.len()).max().unwrap_or_default();
    let mut replay = Replay::of(&database.server).await.expect("a replay");
    replay.whole(&tables);
    for event in &events {
        replay.feed(event.code, &event.data).await.expect("what is whole is read");
    }
    let rows: Vec<usize> = (0..events.len()).filter(|at| events[*at].code != TABLE_MAP).collect();
    let (mut read, mut refused) = (0, 0);
    for number in 0..DAMAGES {
        let at = rows[random.below(rows.len() as u64) as usize];
        let map = events[..at].iter().rev().find(|event| event.code == TABLE_MAP).expect("its table");
        let metadata = [Metadata::Full, Metadata::Minimal, Metadata::None][random.below(3) as usize];
        let (mut map, mut event) = (with_metadata(map, metadata), events[at].clone());
        // The numbers of the table stay right, so that the rows meet it.
        let name = map.data.iter().skip(8).position(|byte| *byte == 0).map_or(8, |end| 8 + end);
        match random.below(3) {
            0 => damage(&mut random, &mut map.data, name),
            1 => damage(&mut random, &mut event.data, 6),
            _ => {
                damage(&mut random, &mut map.data, name);
                damage(&mut random, &mut event.data, 6);
            }
        }
        let started = Instant::now();
        let _ = replay.feed_alone(map.code, &map.data);
        let fed = replay.feed_alone(event.code, &event.data);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "seed {seed}, damage {number}: {took:?}");
        match fed {
            Err(_) => refused += 1,
            Ok(rows) => {
                read += 1;
                let bytes: usize = rows.iter().map(RowChange::bytes).sum();
                // Each row has a byte at least, and two images of so many cells.
                let bound = (event.data.len() + 1) * (GROWTH_MAX + 2 * columns * 64);
                assert!(bytes <= bound, "seed {seed}, damage {number}: {bytes} bytes of {}", event.data.len());
            }
        }
    }
    for _ in 0..DAMAGES {
        let mut event = other_events().swap_remove(random.below(7) as usize);
        damage(&mut random, &mut event.data, 0);
        // What it says may be nonsense, or a statement that touches nothing.
        let _ = replay.feed_alone(event.code, &event.data);
    }
    println!("{server:?}: {DAMAGES} damaged events, {read} read as rows, {refused} refused");
    assert!(refused > DAMAGES / 20 && read > DAMAGES / 20, "both happen");
    // The decoder is not worse for it.
    for event in &events {
        replay.feed(event.code, &event.data).await.expect("what is whole is read");
    }
}

#[tokio::test]
async fn damaged_events_of_mysql() {
    damaged(Database::with("broken", 71_505, &[]).await, On::MySql, 71_506).await;
}

#[tokio::test]
async fn damaged_events_of_mariadb() {
    damaged(Database::on(Engine::MariaDb, "broken", 71_507, &[]).await, On::MariaDb, 71_508).await;
}
