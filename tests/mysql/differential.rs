//! Random rows of every type: what SELECT reads must be what the binlog says, value by value.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rowfold::model::change::{Cell, LogEvent};
use rowfold::model::row::value_at;
use rowfold::model::schema::{ColumnKind, Table};
use rowfold::model::value::{Key, Value};
use rowfold::ports::{CaptureSource, ChangeLog, Selected, Selection, Snapshot, Source};

use crate::support::{Database, job, key, node};

/// A small generator (xorshift64*), so that a run can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }

    fn digits(&mut self, count: u64) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }
}

/// Columns: declaration, boundary values, and how a random one is made.
type Make = fn(&mut Random) -> String;

fn signed(bits: u32) -> impl Fn(&mut Random) -> String {
    move |random| ((random.next() as i64) >> (64 - bits)).to_string()
}

fn unsigned(bits: u32) -> impl Fn(&mut Random) -> String {
    move |random| (random.next() >> (64 - bits)).to_string()
}

fn decimal(random: &mut Random, whole: u64, scale: u64) -> String {
    let whole = random.below(whole + 1);
    let sign = random.pick(&["", "-"]);
    let (left, right) = (random.digits(whole), random.digits(scale));
    format!("{sign}0{left}.{right}0")
}

fn clock(random: &mut Random, hours: u64) -> String {
    format!("{:02}:{:02}:{:02}.{}", random.below(hours), random.below(60), random.below(60), random.digits(6))
}

fn date(random: &mut Random) -> String {
    format!("{:04}-{:02}-{:02}", random.below(9999) + 1, random.below(13), random.below(32))
}

fn moment(random: &mut Random) -> String {
    format!("'{} {}'", date(random), clock(random, 24))
}

fn stamp(random: &mut Random) -> String {
    let (year, month, day) = (1971 + random.below(66), random.below(12) + 1, random.below(28) + 1);
    format!("'{year}-{month:02}-{day:02} {}'", clock(random, 24))
}

fn time(random: &mut Random) -> String {
    format!("'{}{}'", random.pick(&["", "-"]), clock(random, 838))
}

fn bytes(random: &mut Random, longest: u64) -> String {
    let length = random.below(longest + 1);
    let zeros = random.below(3) == 0;
    let mut text = String::from("X'");
    for _ in 0..length {
        let _ = write!(text, "{:02X}", if zeros { random.below(2) } else { random.below(256) });
    }
    text + "'"
}

fn word(random: &mut Random, alphabet: &[&str], longest: u64) -> String {
    let length = random.below(longest + 1);
    let letters: String = (0..length).map(|_| random.pick(alphabet)).collect();
    format!("'{letters}'")
}

const WIDE: &[&str] = &["a", "Z", "ö", "ß", "€", "水", "😀", " ", "''", "\\\\", "%"];
const LATIN: &[&str] = &["a", "Z", "ö", "ß", "é", "€", "ÿ", " ", "0"];

const COLUMNS: &[(&str, &[&str], Make)] = &[
    ("TINYINT", &["-128", "127", "0"], |r| signed(8)(r)),
    ("TINYINT UNSIGNED", &["255", "0"], |r| unsigned(8)(r)),
    ("SMALLINT", &["-32768", "32767"], |r| signed(16)(r)),
    ("SMALLINT UNSIGNED", &["65535"], |r| unsigned(16)(r)),
    ("MEDIUMINT", &["-8388608", "8388607", "-1"], |r| signed(24)(r)),
    ("MEDIUMINT UNSIGNED", &["16777215"], |r| unsigned(24)(r)),
    ("INT", &["-2147483648", "2147483647"], |r| signed(32)(r)),
    ("INT UNSIGNED", &["4294967295"], |r| unsigned(32)(r)),
    ("BIGINT", &["-9223372036854775808", "9223372036854775807"], |r| signed(64)(r)),
    ("BIGINT UNSIGNED", &["18446744073709551615", "9223372036854775808"], |r| unsigned(64)(r)),
    ("FLOAT", &["0", "-0.0", "3.4028235e38", "1e-45", "-1635948301"], |r| format!("{:e}", r.next() as f32 / 1e9)),
    ("DOUBLE", &["0", "-1.7976931348623157e308", "5e-324", "0.1"], |r| format!("{:e}", r.next() as f64 / 1e9)),
    ("DECIMAL(10,2)", &["-99999999.99", "0.00", "-0.01", "12.5"], |r| decimal(r, 8, 2)),
    ("DECIMAL(1,0)", &["-9", "9", "0"], |r| decimal(r, 1, 0)),
    ("DECIMAL(34,17)", &["-0.00000000000000001"], |r| decimal(r, 17, 17)),
    ("DECIMAL(65,30)", &["-1", "0.000000000000000000000000000001"], |r| decimal(r, 35, 30)),
    ("DECIMAL(20,20)", &["0.5", "-0.00000000000000000001"], |r| decimal(r, 0, 20)),
    ("DECIMAL(18,9) UNSIGNED", &["999999999.999999999"], |r| decimal(r, 9, 9).replace('-', "")),
    ("YEAR", &["'0000'", "1901", "2155"], |r| (1901 + r.below(255)).to_string()),
    ("DATE", &["'0000-00-00'", "'2024-02-30'", "'9999-12-31'", "'2024-00-00'"], |r| format!("'{}'", date(r))),
    ("DATETIME", &["'0000-00-00'", "'9999-12-31 23:59:59'"], moment),
    ("DATETIME(1)", &["'1000-01-01 00:00:00.1'"], moment),
    ("DATETIME(2)", &["'2024-02-30 00:00:00.01'"], moment),
    ("DATETIME(3)", &["'0000-00-00'"], moment),
    ("DATETIME(4)", &["'2024-01-01 00:00:00.0001'"], moment),
    ("DATETIME(5)", &["'2024-01-01 00:00:00.00001'"], moment),
    ("DATETIME(6)", &["'9999-12-31 23:59:59.499999'"], moment),
    ("TIMESTAMP NULL", &["'0000-00-00'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"], stamp),
    ("TIMESTAMP(2) NULL", &["'0000-00-00'"], stamp),
    ("TIMESTAMP(3) NULL", &["'1970-01-01 00:00:01.999'"], stamp),
    ("TIMESTAMP(6) NULL", &["'2038-01-19 03:14:07.499999'"], stamp),
    ("TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'"], time),
    ("TIME(1)", &["'-00:00:00.1'", "'-244:58:27.4'"], time),
    ("TIME(2)", &["'-00:00:00.01'", "'-838:59:59'"], time),
    ("TIME(3)", &["'-00:00:00.001'"], time),
    ("TIME(4)", &["'-00:00:59.9999'"], time),
    ("TIME(5)", &["'-00:00:00.00001'"], time),
    ("TIME(6)", &["'-00:00:00.000001'", "'838:59:59'"], time),
    ("CHAR(10)", &["''", "'a  '", "'😀😀'"], |r| word(r, WIDE, 10)),
    ("CHAR(255)", &["'ö'"], |r| word(r, WIDE, 200)),
    ("VARCHAR(20)", &["''", "'a  '"], |r| word(r, WIDE, 20)),
    ("VARCHAR(400)", &["REPEAT('😀', 400)"], |r| word(r, WIDE, 300)),
    ("VARCHAR(20) CHARACTER SET latin1", &["'€'", "_latin1 X'8190'"], |r| word(r, LATIN, 20)),
    ("VARCHAR(20) CHARACTER SET latin2", &["'őŁ'"], |r| word(r, &["ő", "Ł", "a"], 20)),
    ("CHAR(20) CHARACTER SET cp1251", &["'Ж'"], |r| word(r, &["Ж", "я", "a"], 20)),
    ("VARCHAR(20) CHARACTER SET utf8mb3", &["'水'"], |r| word(r, &["ö", "水", "x"], 20)),
    ("VARCHAR(20) CHARACTER SET sjis", &["'テ'"], |r| word(r, &["テ", "ス", "a"], 20)),
    ("VARCHAR(20) CHARACTER SET gbk", &["'水'"], |r| word(r, &["水", "火", "a"], 20)),
    ("VARCHAR(20) CHARACTER SET utf16", &["'😀'"], |r| word(r, WIDE, 20)),
    ("CHAR(9) CHARACTER SET utf32", &["'😀 '"], |r| word(r, WIDE, 9)),
    ("VARCHAR(20) CHARACTER SET ascii", &["'x'"], |r| word(r, &["x", "y"], 20)),
    ("TINYTEXT", &["''"], |r| word(r, WIDE, 60)),
    ("TEXT", &["REPEAT('ö', 3000)"], |r| word(r, WIDE, 100)),
    ("LONGTEXT", &["REPEAT('x', 70000)"], |r| word(r, WIDE, 100)),
    ("ENUM('', 'a', 'it''s', 'ö', 'b') CHARACTER SET utf8mb4", &["1", "'ö'", "5"], |r| (r.below(5) + 1).to_string()),
    ("SET('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'ö')", &["0", "511", "'a,ö'"], |r| r.below(512).to_string()),
    ("BIT(1)", &["0", "1"], |r| r.below(2).to_string()),
    ("BIT(17)", &["131071"], |r| r.below(131_072).to_string()),
    ("BIT(64)", &["18446744073709551615"], |r| r.next().to_string()),
    ("BINARY(16)", &["X'00'", "X'0102030405060708090A0B0C0D0E0000'", "''"], |r| bytes(r, 16)),
    ("BINARY(255)", &["X'FF'"], |r| bytes(r, 255)),
    ("VARBINARY(300)", &["X'00'", "''"], |r| bytes(r, 300)),
    ("TINYBLOB", &["''"], |r| bytes(r, 90)),
    ("BLOB", &["X'00'"], |r| bytes(r, 90)),
    ("MEDIUMBLOB", &["REPEAT('x', 70000)"], |r| bytes(r, 90)),
];

const ROWS: u64 = 4000;

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
    let seed = std::env::var("ROWFOLD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x0005_eed0_f0dd_u64);
    let mut random = Random(seed | 1);
    let mut declaration = String::from("CREATE TABLE t (id INT PRIMARY KEY");
    for (at, (declared, _, _)) in COLUMNS.iter().enumerate() {
        let _ = write!(declaration, ", c{at} {declared}");
    }
    // Columns that nobody uses lie between, and one that only an index sees.
    declaration += ", doc JSON, place POINT, spot VECTOR(3), double_id INT GENERATED ALWAYS AS (id * 2) VIRTUAL, \
                    hidden INT INVISIBLE, KEY ((c0 + 1))) ROW_FORMAT=DYNAMIC";
    let mut database = Database::with("differential", 71_201, &[&declaration]).await;
    let table = database.definition("t").await;
    let routes = |kind: &ColumnKind| !matches!(kind, ColumnKind::Json | ColumnKind::Geometry | ColumnKind::Vector);
    let mut root = node(&table, None, None, &[]);
    root.columns.retain(|column| routes(&column.kind));
    let kinds: Vec<ColumnKind> = root.columns.iter().map(|column| column.kind.clone()).collect();
    let source = database.source(job(vec![root], &["id"], &[&table], routes));
    let before = Source::state(&source).await.expect("a state").executed;

    let insert = |ids: std::ops::Range<u64>, random: &mut Random| {
        let mut statement = String::from("INSERT INTO t (id");
        for at in 0..COLUMNS.len() {
            let _ = write!(statement, ", c{at}");
        }
        statement += ", doc, place, spot) VALUES ";
        for id in ids.clone() {
            let _ = write!(statement, "{}({id}", if id == ids.start { "" } else { ", " });
            for (_, bounds, make) in COLUMNS {
                let value = match random.below(8) {
                    0 => "NULL".to_string(),
                    1 => random.pick(bounds).to_string(),
                    _ => make(random),
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

fn told(value: &Value) -> String {
    use rowfold::model::time::{Civil, time_text};
    match value {
        Value::Null => "NULL".into(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Double(bits) => format!("{} ({bits:x})", f64::from_bits(*bits)),
        Value::Decimal(text) | Value::Text(text) => format!("{text:?}"),
        Value::Bytes(bytes) => format!("{bytes:02x?}"),
        Value::Civil(packed) => Civil::unpack(*packed).datetime_text(6),
        Value::Time(micros) => time_text(*micros, 6),
    }
}
