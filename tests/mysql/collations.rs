//! Every collation of a server: texts are equal to it exactly if what rowfold reads in their place is, byte by byte.
//!
//! On MySQL, and on MariaDB where there is one (`ROWFOLD_MARIADB_URL`). What a job may join by text under a collation, or not,
//! is asked of the job's own checks.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use rowfold::config::{Loaded, load};
use rowfold::edge::mysql::text_weight;
use rowfold::model::plan::Equality;
use rowfold::model::schema::{Column, ColumnKind, Index, SourceFacts, Table, TableName};

/// Pieces that collations treat in ways of their own: case, accents, expansions, contractions, width, kana, what is ignored,
/// what weighs as much as a space.
const PIECES: &[&str] = &[
    "a",
    "A",
    "á",
    "Á",
    "a\u{301}",
    "ä",
    "ae",
    "AE",
    "æ",
    "Æ",
    "ß",
    "ẞ",
    "ss",
    "SS",
    "s",
    "S",
    "",
    " ",
    "  ",
    "\t",
    "\u{a0}",
    "\0",
    "\u{1}",
    "i",
    "I",
    "ı",
    "İ",
    "i\u{307}",
    "ﬁ",
    "fi",
    "Fi",
    "ĳ",
    "ij",
    "IJ",
    "ǆ",
    "dž",
    "Dž",
    "cs",
    "Cs",
    "ccs",
    "cscs",
    "ddz",
    "dzdz",
    "ny",
    "nny",
    "ch",
    "CH",
    "Ch",
    "h",
    "ll",
    "LL",
    "l·l",
    "ŀ",
    "f",
    "ｆ",
    "ｶ",
    "カ",
    "か",
    "ガ",
    "が",
    "か\u{3099}",
    "ー",
    "アー",
    "アア",
    "－",
    "-",
    "\u{ad}",
    "\u{200d}",
    "ﷺ",
    "œ",
    "oe",
    "OE",
    "ö",
    "Ö",
    "o",
    "ø",
    "Ø",
    "å",
    "aa",
    "Å",
    "AA",
    "Aa",
    "ñ",
    "n",
    "ð",
    "d",
    "đ",
    "þ",
    "th",
    "Ä",
    "z",
    "Z",
    "ž",
    "ü",
    "ue",
    "UE",
    "y",
    "Y",
    "😀",
    "😁",
    "\u{10400}",
    "\u{10428}",
    "e",
    "é",
    "É",
    "ё",
    "е",
    "Ё",
    "\u{fffd}",
    "１",
    "1",
    "①",
    "²",
    "2",
    "กเ",
    "เก",
    "ś",
    "Ş",
    "中",
    "国",
    "ａ",
];

/// Ends that count under some collations only.
const ENDS: &[&str] = &["", " ", "  ", "\t", "\u{a0}", "\0", "\u{ad}", " \u{301}", "\u{301}"];

/// Characters of a column.
const LENGTH: usize = 24;

fn texts() -> Vec<String> {
    let mut texts = BTreeSet::new();
    for piece in PIECES {
        texts.extend(["", " ", "x"].map(|end| format!("{piece}{end}")));
    }
    for piece in ["a", "ß", "ss", "cs", "か", "1", ""] {
        texts.extend(ENDS.iter().map(|end| format!("{piece}{end}")));
    }
    // As long as the column: an expansion at the end must not be cut off.
    for (piece, count) in
        [("ß", LENGTH), ("ss", LENGTH / 2), ("ä", LENGTH), ("ae", LENGTH / 2), ("a", LENGTH), ("ﷺ", LENGTH)]
    {
        texts.insert(piece.repeat(count));
        texts.insert(format!("{}b", &piece.repeat(count - 1)));
    }
    let mut state = 254_724u64;
    for _ in 0..120 {
        let mut text = String::new();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(PIECES[(state >> 33) as usize % PIECES.len()]);
        }
        texts.insert(text);
    }
    texts.into_iter().filter(|text| text.chars().count() <= LENGTH).collect()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02X}")).collect()
}

/// One collation with its character set, and what the server says of its padding, if it does.
struct Collation {
    name: String,
    charset: String,
    pads: Option<bool>,
}

async fn collations(conn: &mut Conn, mariadb: bool) -> Vec<Collation> {
    let ask = if mariadb {
        "SELECT FULL_COLLATION_NAME, CHARACTER_SET_NAME, NULL FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
    } else {
        "SELECT COLLATION_NAME, CHARACTER_SET_NAME, PAD_ATTRIBUTE = 'PAD SPACE' FROM information_schema.COLLATIONS"
    };
    let rows: Vec<(String, String, Option<bool>)> = conn.query(ask).await.expect("collations");
    let all = rows.into_iter().map(|(name, charset, pads)| Collation { name, charset, pads });
    // By the same rules as those of utf8mb4, in every other Unicode set.
    let again = |one: &Collation| {
        one.name.contains("uca1400") && one.charset != "utf8mb4" && !one.name.ends_with("uca1400_ai_ci")
    };
    all.filter(|one| one.charset != "binary" && !again(one)).collect()
}

fn column(name: &str, kind: ColumnKind, collation: Option<&str>) -> Column {
    let declared = if kind == ColumnKind::Text { format!("varchar({LENGTH})") } else { "int".into() };
    let length_max = (kind == ColumnKind::Text).then_some(LENGTH as u64);
    Column { name: name.into(), kind, nullable: false, collation: collation.map(str::to_string), length_max, declared }
}

/// Two tables with a text column under this collation.
fn tables(collation: &str) -> BTreeMap<TableName, Table> {
    let table = |name: &str| Table {
        name: TableName::new("d", name),
        columns: vec![
            column("id", ColumnKind::Int { bits: 32, unsigned: false }, None),
            column("t", ColumnKind::Text, Some(collation)),
        ],
        indexes: vec![
            Index { name: "PRIMARY".into(), columns: vec![0], unique: true },
            Index { name: "t".into(), columns: vec![1], unique: false },
        ],
        foreign_keys: Vec::new(),
        engine: "InnoDB".into(),
        rows_estimate: 1,
        row_bytes_estimate: 1,
    };
    ["p", "c"].map(|name| (TableName::new("d", name), table(name))).into()
}

fn job() -> Loaded {
    let path = std::env::temp_dir().join(format!("rowfold-collations-{}.yaml", std::process::id()));
    let text = "name: j\nsource: {url: 'mysql://h', server_id: 7}\ntarget: {url: 'mongodb://h', database: d}\nprojections:\n  \
                - {collection: p, root: d.p, many: {c: {table: d.c, join: {t: t}}}}\n";
    std::fs::write(&path, text).expect("a job file");
    let loaded = load(&path);
    std::fs::remove_file(&path).expect("the job file");
    loaded.unwrap_or_else(|problems| panic!("{}", rowfold::config::render(&problems)))
}

fn facts() -> SourceFacts {
    let variables = [
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("gtid_mode", "ON"),
        ("enforce_gtid_consistency", "ON"),
        ("sync_binlog", "1"),
        ("innodb_flush_log_at_trx_commit", "1"),
    ];
    SourceFacts {
        version: "9.7.4".into(),
        variables: variables.map(|(name, value)| (name.to_string(), value.to_string())).into(),
        replica_ids: Some(Vec::new()),
        open_xa: Some(0),
        ..SourceFacts::default()
    }
}

/// How a job compares texts under this collation, or `None` if it is told to choose another one.
fn equality(job: &Loaded, collation: &str) -> Option<Equality> {
    let (plan, problems) = job.resolve(&tables(collation), &facts(), &rowfold::config::Answers::default());
    let Some(plan) = plan else {
        let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
        assert!(codes.iter().all(|code| matches!(*code, "E-JOIN-TYPE" | "E-CHARSET")), "{collation}: {codes:?}");
        return None;
    };
    Some(plan.projections[0].nodes[1].join.as_ref().expect("a join").pairs[0].equality.clone())
}

/// The classes of equal texts by what is read in their place: the text number of each class's first.
async fn by_weight(conn: &mut Conn, table: &str, column: &str, equality: &Equality) -> Vec<(u32, u32)> {
    let weight = match equality {
        Equality::Exact => format!("CAST({column} AS BINARY)"),
        collated => text_weight(column, collated),
    };
    let rows: Vec<(u32, Vec<u8>)> =
        conn.query(format!("SELECT id, {weight} FROM {table} ORDER BY id")).await.expect("weights");
    let mut firsts = BTreeMap::new();
    rows.into_iter().map(|(id, weight)| (id, *firsts.entry(weight).or_insert(id))).collect()
}

async fn by_server(conn: &mut Conn, table: &str, column: &str) -> Vec<(u32, u32)> {
    let ask = format!(
        "SELECT b.id, MIN(a.id) FROM {table} a JOIN {table} b ON a.{column} = b.{column} GROUP BY b.id ORDER BY b.id"
    );
    conn.query(ask).await.expect("pairs")
}

async fn every_collation(url: &str) {
    let opts = OptsBuilder::from_opts(Opts::from_url(url).expect("a url"))
        .prefer_socket(false)
        .setup(vec!["SET NAMES utf8mb4, sql_mode='ALLOW_INVALID_DATES'"]);
    let mut conn = Conn::new(opts).await.expect("a connection");
    let version: String = conn.query_first("SELECT VERSION()").await.expect("a version").expect("a version");
    let mariadb = version.contains("MariaDB");
    let texts = texts();
    let rows: Vec<String> =
        texts.iter().enumerate().map(|(id, text)| format!("({id}, _utf8mb4 X'{}')", hex(text))).collect();
    for statement in [
        "DROP DATABASE IF EXISTS rf_mysql_collations_all",
        "CREATE DATABASE rf_mysql_collations_all",
        "USE rf_mysql_collations_all",
        "CREATE TABLE text (id INT PRIMARY KEY, t VARCHAR(99) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)",
        &format!("INSERT INTO text VALUES {}", rows.join(", ")),
    ] {
        conn.query_drop(statement).await.expect("a statement");
    }
    let mut by_set: BTreeMap<String, Vec<Collation>> = BTreeMap::new();
    for one in collations(&mut conn, mariadb).await {
        by_set.entry(one.charset.clone()).or_default().push(one);
    }
    let (job, mut refused, mut wrong, mut tried) = (job(), Vec::new(), Vec::new(), 0);
    for (charset, all) in by_set {
        let table = format!("t_{charset}");
        let column = |at: usize, one: &Collation| {
            format!("c{at} VARCHAR({LENGTH}) CHARACTER SET {charset} COLLATE {}", one.name)
        };
        let columns: Vec<String> = all.iter().enumerate().map(|(at, one)| column(at, one)).collect();
        // Not InnoDB: a row of hundreds of columns is too long for its pages.
        conn.query_drop(format!("CREATE TABLE {table} (id INT PRIMARY KEY, {}) ENGINE=MyISAM", columns.join(", ")))
            .await
            .expect("a table");
        let copies = vec!["t"; all.len()].join(", ");
        // What the set does not have becomes a question mark, and with IGNORE an error is none.
        conn.query_drop(format!("INSERT IGNORE INTO {table} SELECT id, {copies} FROM text")).await.expect("rows");
        for (at, one) in all.iter().enumerate() {
            tried += 1;
            let column = format!("c{at}");
            let Some(equality) = equality(&job, &one.name) else {
                refused.push(one.name.clone());
                continue;
            };
            let server = by_server(&mut conn, &table, &column).await;
            let ours = by_weight(&mut conn, &table, &column, &equality).await;
            assert_eq!(server.len(), texts.len());
            if let Some((theirs, ours)) = server.iter().zip(&ours).find(|(theirs, ours)| theirs != ours) {
                let shown = |(id, first): &(u32, u32)| (texts[*id as usize].clone(), texts[*first as usize].clone());
                wrong.push(format!("{}: MySQL has {:?}, we have {:?}", one.name, shown(theirs), shown(ours)));
            }
            let pads: bool = conn
                .query_first(format!(
                    "SELECT MAX(a.{column} = b.{column}) FROM {table} a, {table} b, text x, text y \
                     WHERE a.id = x.id AND b.id = y.id AND HEX(x.t) = '61' AND HEX(y.t) = '6120'"
                ))
                .await
                .expect("padding")
                .expect("padding");
            let by_name = matches!(equality, Equality::Collated { pads: true, .. });
            if by_name != pads || one.pads.is_some_and(|said| said != pads) {
                wrong.push(format!("{}: spaces at the end count: {}, we say {}", one.name, !pads, !by_name));
            }
        }
    }
    println!("{version}: {tried} collations, {} texts; {} refused: {}", texts.len(), refused.len(), refused.join(" "));
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried >= 200, "only {tried} collations");
    let unsure = ["sjis", "cp932", "ujis", "eucjpms", "big5", "gbk", "gb18030", "gb2312", "euckr"];
    refused.retain(|name| !unsure.iter().any(|set| name.starts_with(&format!("{set}_"))));
    refused.retain(|name| !name.ends_with("_thai_520_w2") && !name.contains("_uca1400_"));
    assert!(refused.len() <= 7, "more collations are refused than have to be: {refused:?}");
    conn.query_drop("DROP DATABASE rf_mysql_collations_all").await.expect("the end");
}

#[tokio::test]
async fn every_collation_of_mysql_is_decided_by_weight() {
    every_collation(&std::env::var("ROWFOLD_MYSQL_URL").expect("ROWFOLD_MYSQL_URL")).await;
}

#[tokio::test]
async fn every_collation_of_mariadb_is_decided_by_weight() {
    match std::env::var("ROWFOLD_MARIADB_URL") {
        Ok(url) => every_collation(&url).await,
        Err(_) => println!("NOT TESTED, for want of a MariaDB in ROWFOLD_MARIADB_URL"),
    }
}
