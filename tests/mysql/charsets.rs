//! Every character of every character set that the server has: what SELECT gives must be what the binlog says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use mysql_async::prelude::Queryable;
use rowfold::edge::mysql::replay::Replay;
use rowfold::model::change::Cell;
use rowfold::model::value::Value;

use crate::record::{Metadata, end_of_log, record, with_metadata};
use crate::support::{Database, Engine};

/// Every sequence of bytes that is one character of the set, as the set's own text: of one byte, of two, of three.
const CODES: [&str; 3] = [
    "SELECT CHAR(n USING binary) bytes FROM d",
    "SELECT CHAR(a.n, b.n USING binary) bytes FROM d a, d b WHERE a.n > 127",
    "SELECT CHAR(0x8F, a.n, b.n USING binary) bytes FROM d a, d b WHERE a.n > 127 AND b.n > 127",
];
/// Characters in a row that holds many.
const BLOCK: u32 = 256;

/// A block of Unicode as a literal, without what cannot be in a text.
fn block(from: u32) -> String {
    let mut literal = String::from("'");
    for character in (from..from + BLOCK).filter_map(char::from_u32) {
        match character {
            '\0' => literal.push_str("\\0"),
            '\x1a' => literal.push_str("\\Z"),
            '\'' | '\\' => {
                literal.push('\\');
                literal.push(character);
            }
            other => literal.push(other),
        }
    }
    literal + "'"
}

/// Makes a table with every character of the set: one a row by its bytes, and in whole blocks of Unicode.
async fn fill(database: &mut Database, set: &str) {
    let ten = "WITH RECURSIVE d AS (SELECT 0 n UNION ALL SELECT n + 1 FROM d WHERE n < 255)";
    database
        .run(&[&format!(
            "CREATE TABLE s_{set} (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(600) CHARACTER SET {set})"
        )])
        .await;
    let unicode = set.starts_with("utf") || set == "ucs2";
    if !unicode {
        for codes in CODES {
            let insert = format!(
                "INSERT INTO s_{set} (s) {ten} SELECT t FROM (SELECT bytes, CONVERT(bytes USING {set}) t FROM ({codes}) c) x \
                 WHERE HEX(t) = HEX(bytes) AND CHAR_LENGTH(t) = 1"
            );
            database.run(&[&insert]).await;
        }
    }
    let end = if unicode || set == "gb18030" { 0x11_0000 } else { 0x1_0000 };
    let blocks: Vec<u32> = (0..end).step_by(BLOCK as usize).filter(|from| !(0xd800..0xe000).contains(from)).collect();
    for blocks in blocks.chunks(64) {
        let mut insert = format!("INSERT INTO s_{set} (s) VALUES ");
        for (at, from) in blocks.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(insert, "{comma}({})", block(*from));
        }
        database.run(&[&insert]).await;
    }
}

async fn every_character(mut database: Database, reader: u32) {
    let sets: Vec<String> = database
        .texts("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME <> 'binary'")
        .await;
    assert!(sets.len() >= 39, "{sets:?}");
    let mut tables = Vec::new();
    let from = end_of_log(&mut database.conn).await;
    for set in &sets {
        fill(&mut database, set).await;
        tables.push(database.definition(&format!("s_{set}")).await);
    }
    let events = record(&database.conn, &database.name, reader, from).await;
    let mut replay = Replay::of(&database.server).await.expect("a replay");
    // Once by the collations that the events name, once by those of the definitions.
    for metadata in [Metadata::Minimal, Metadata::None] {
        replay.whole(&tables);
        let mut found: Vec<HashMap<i64, String>> = vec![HashMap::new(); sets.len()];
        for event in &events {
            let event = with_metadata(event, metadata);
            for row in replay.feed(event.code, &event.data).await.expect("rows") {
                let [Cell::Value(Value::Int(id)), Cell::Value(Value::Text(text))] =
                    &row.after.expect("an insert").0[..]
                else {
                    panic!("{} has a text that is not read", sets[row.table]);
                };
                assert!(found[row.table].insert(*id, text.clone()).is_none(), "each row once");
            }
        }
        let mut counts = BTreeMap::new();
        for (set, found) in sets.iter().zip(&found) {
            let rows: Vec<(i64, String)> =
                database.conn.query(format!("SELECT id, s FROM s_{set}")).await.expect("rows");
            assert_eq!(rows.len(), found.len(), "{set}");
            for (id, text) in &rows {
                assert_eq!(found.get(id), Some(text), "row {id} of {set}");
            }
            let characters: HashSet<char> = rows.iter().flat_map(|(_, text)| text.chars()).collect();
            counts.insert(set, characters.len());
        }
        println!("characters with metadata {metadata:?}: {counts:?}");
        assert!(counts.values().all(|count| *count >= 96), "{counts:?}");
        for whole in ["utf8mb4", "utf16", "utf16le", "utf32"] {
            assert_eq!(counts[&whole.to_string()], 0x11_0000 - 0x800, "{whole} has all of Unicode");
        }
    }
}

#[tokio::test]
async fn every_character_of_mysql() {
    every_character(Database::with("charsets", 71_501, &[]).await, 71_502).await;
}

#[tokio::test]
async fn every_character_of_mariadb() {
    every_character(Database::on(Engine::MariaDb, "charsets", 71_503, &[]).await, 71_504).await;
}
