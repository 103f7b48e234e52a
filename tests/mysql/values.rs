//! Every type, read by SELECT on MySQL and on MariaDB, as the documents show it: against literal values, against the server's
//! own texts and GeoJSON.

use std::fmt::Write as _;

use bson::spec::BinarySubtype;
use bson::{Bson, Document, doc};
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use rowfold::logic::assembly::{NodeRows, RowSet, assemble};
use rowfold::model::address::{inet6_text, uuid_bytes, uuid_text};
use rowfold::model::plan::{ProjectionPlan, WriteAs};
use rowfold::model::position::Version;
use rowfold::model::schema::ColumnKind;

use crate::support::{Database, Engine, job, node};

/// A database on a server. MariaDB may be missing where nobody requires it.
async fn on(engine: Engine, name: &str, create: &str) -> Option<Database> {
    let required = std::env::var("ROWFOLD_TEST_SERVERS").is_ok_and(|word| word == "required");
    if engine == Engine::MariaDb && !required && std::env::var("ROWFOLD_MARIADB_URL").is_err() {
        println!("not run on MariaDB: ROWFOLD_MARIADB_URL is not set");
        return None;
    }
    Some(Database::on(engine, name, 71_500, &[create]).await)
}

const ENGINES: [Engine; 2] = [Engine::MySql, Engine::MariaDb];

/// The documents of the table `t`, by its `id`, with each column written as `write` says.
async fn documents(database: &Database, write: impl Fn(&str, &ColumnKind) -> WriteAs) -> Vec<Document> {
    let table = database.definition("t").await;
    let mut root = node(&table, None, None, &[]);
    for column in &mut root.columns {
        column.write = write(column.sql.trim_matches('`'), &column.kind);
    }
    let kinds: Vec<ColumnKind> = root.columns.iter().map(|column| column.kind.clone()).collect();
    let names: Vec<&str> = root.columns.iter().map(|column| column.sql.as_str()).collect();
    let sql = format!("SELECT {} FROM `{}`.t ORDER BY id", names.join(", "), database.name);
    let batch = database.server.rows("reading rows of t", &sql, &kinds).await.expect("rows");
    let plan: ProjectionPlan = job(vec![root], &["id"], &[&table], |_| false).projections.remove(0);
    let rows = RowSet { nodes: vec![NodeRows::Read(vec![batch])] };
    let assembled = assemble(&plan, &rows, Version(1), 1).expect("documents");
    assert!(assembled.parked.is_empty(), "{:?}", assembled.parked);
    let read = |bytes: &Vec<u8>| Document::from_reader(&bytes[..]).expect("valid BSON");
    assembled.documents.iter().map(|document| read(&document.bytes)).collect()
}

fn decimal(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal"))
}

fn bytes(subtype: BinarySubtype, bytes: &[u8]) -> Bson {
    Bson::Binary(bson::Binary { subtype, bytes: bytes.to_vec() })
}

fn date(ms: i64) -> Bson {
    Bson::DateTime(bson::DateTime::from_millis(ms))
}

/// A declared type, and values as SQL with the BSON that they become.
type Column = (&'static str, Vec<(&'static str, Bson)>);

fn of_both() -> Vec<Column> {
    let (int, long) = (Bson::Int32, Bson::Int64);
    vec![
        ("TINYINT", vec![("-128", int(-128)), ("127", int(127))]),
        ("TINYINT(1)", vec![("1", int(1)), ("2", int(2))]),
        ("SMALLINT UNSIGNED", vec![("65535", int(65_535))]),
        ("MEDIUMINT", vec![("-8388608", int(-8_388_608)), ("-1", int(-1))]),
        ("MEDIUMINT UNSIGNED", vec![("16777215", int(16_777_215))]),
        ("INT", vec![("-2147483648", int(i32::MIN))]),
        ("INT UNSIGNED", vec![("4294967295", long(4_294_967_295)), ("0", long(0))]),
        ("BIGINT", vec![("-9223372036854775808", long(i64::MIN))]),
        ("BIGINT UNSIGNED", vec![("18446744073709551615", decimal("18446744073709551615")), ("5", long(5))]),
        ("YEAR", vec![("2155", int(2155)), ("'0000'", int(0))]),
        ("DECIMAL(12,2)", vec![("-12.5", decimal("-12.50")), ("0", decimal("0.00"))]),
        (
            "DECIMAL(34,4)",
            vec![("-999999999999999999999999999999.9999", decimal("-999999999999999999999999999999.9999"))],
        ),
        (
            "DECIMAL(40,2)",
            vec![("12345678901234567890123456789012345678.9", "12345678901234567890123456789012345678.90".into())],
        ),
        ("FLOAT", vec![("0.1", Bson::Double(f64::from(0.1f32))), ("-1635948301", Bson::Double(-1_635_948_288.0))]),
        ("DOUBLE", vec![("0.1", Bson::Double(0.1)), ("-1.7976931348623157e308", Bson::Double(f64::MIN))]),
        ("BIT(1)", vec![("1", Bson::Boolean(true)), ("0", Bson::Boolean(false))]),
        ("BIT(17)", vec![("131071", long(131_071))]),
        ("BIT(64)", vec![("18446744073709551615", decimal("18446744073709551615"))]),
        ("CHAR(5)", vec![("'a  '", "a".into()), ("'😀'", "😀".into())]),
        ("VARCHAR(20) CHARACTER SET latin1", vec![("'é€ '", "é€ ".into())]),
        ("TEXT", vec![("''", "".into()), ("X'004100'", "\0A\0".into())]),
        ("ENUM('x', 'it''s', '')", vec![("'it''s'", "it's".into()), ("3", "".into())]),
        ("SET('a', 'b', 'c')", vec![("'c,a'", Bson::Array(vec!["a".into(), "c".into()])), ("''", Bson::Array(vec![]))]),
        ("BINARY(4)", vec![("X'01'", bytes(BinarySubtype::Generic, &[1, 0, 0, 0]))]),
        ("VARBINARY(9)", vec![("X'0100'", bytes(BinarySubtype::Generic, &[1, 0]))]),
        ("BLOB", vec![("X'FF'", bytes(BinarySubtype::Generic, &[255])), ("''", bytes(BinarySubtype::Generic, &[]))]),
        ("DATE", vec![("'1969-12-31'", date(-86_400_000)), ("'0000-00-00'", Bson::Null), ("'2024-02-30'", Bson::Null)]),
        ("DATETIME", vec![("'9999-12-31 23:59:59'", date(253_402_300_799_000)), ("'0000-00-00'", Bson::Null)]),
        ("DATETIME(6)", vec![("'2024-07-03 12:00:00.001999'", date(1_720_008_000_001))]),
        (
            "TIMESTAMP(3) NULL",
            vec![("'2024-07-03 12:00:00.001'", date(1_720_008_000_001)), ("'0000-00-00'", Bson::Null)],
        ),
        ("TIME", vec![("'-838:59:59'", "-838:59:59".into()), ("'00:00:01'", "00:00:01".into())]),
        ("TIME(6)", vec![("'-00:00:00.000001'", "-00:00:00.000001".into())]),
        (
            "JSON",
            vec![
                (
                    "'{\"n\": [1, 4294967296, 18446744073709551615, 0.5], \"t\": \"é\"}'",
                    doc! {"n": [1, 4_294_967_296i64, decimal("18446744073709551615"), 0.5], "t": "é"}.into(),
                ),
                ("'null'", Bson::Null),
                ("'\"x\"'", "x".into()),
            ],
        ),
        ("POINT", vec![("POINT(1.5, -2)", doc! {"type": "Point", "coordinates": [1.5, -2.0]}.into())]),
        (
            "GEOMETRY",
            vec![(
                "ST_GeomFromText('LINESTRING(0 1, 2 3)', 3857)",
                doc! {"srid": 3857i64, "wkb": bytes(BinarySubtype::Generic, &[
                    &[1, 2, 0, 0, 0, 2, 0, 0, 0][..],
                    &[0f64, 1.0, 2.0, 3.0].map(f64::to_le_bytes).concat(),
                ].concat())}
                .into(),
            )],
        ),
    ]
}

fn of_one(engine: Engine) -> Vec<Column> {
    let uuid = |text: &str| bytes(BinarySubtype::Uuid, &uuid_bytes(text).expect("a UUID"));
    let vector: Bson = Bson::Array(vec![Bson::Double(1.0), Bson::Double(-2.5), Bson::Double(f64::from(0.1f32))]);
    match engine {
        Engine::MySql => vec![
            ("VECTOR(3)", vec![("STRING_TO_VECTOR('[1, -2.5, 0.1]')", vector)]),
            (
                "JSON",
                vec![(
                    "JSON_ARRAY(CAST(1.10 AS DECIMAL(9,2)), CAST(12345678901234567890123456789 AS DECIMAL(30,0)), 1e0)",
                    Bson::Array(vec![decimal("1.10"), decimal("12345678901234567890123456789"), Bson::Double(1.0)]),
                )],
            ),
            (
                "POINT SRID 4326",
                vec![(
                    "ST_GeomFromText('POINT(52.5 13.4)', 4326)",
                    doc! {"type": "Point", "coordinates": [13.4, 52.5]}.into(),
                )],
            ),
        ],
        Engine::MariaDb => vec![
            (
                "VECTOR(3) NOT NULL",
                vec![("VEC_FromText('[1, -2.5, 0.1]')", vector.clone()), ("VEC_FromText('[1, -2.5, 0.1]')", vector)],
            ),
            (
                "JSON",
                vec![(
                    "'[1.10, 1e400, 1.0]'",
                    Bson::Array(vec![decimal("1.10"), decimal("1E+400"), Bson::Double(1.0)]),
                )],
            ),
            (
                "POINT",
                vec![(
                    "ST_GeomFromText('POINT(13.4 52.5)', 4326)",
                    doc! {"type": "Point", "coordinates": [13.4, 52.5]}.into(),
                )],
            ),
            (
                "UUID",
                vec![
                    ("'123e4567-e89b-12d3-a456-426655440000'", uuid("123e4567-e89b-12d3-a456-426655440000")),
                    ("'00000000-0000-0000-0000-000000000000'", uuid("00000000-0000-0000-0000-000000000000")),
                ],
            ),
            ("INET4", vec![("'192.0.2.1'", "192.0.2.1".into()), ("'0.0.0.0'", "0.0.0.0".into())]),
            (
                "INET6",
                vec![("'2001:DB8:0:0:0:0:0:ff'", "2001:db8::ff".into()), ("'::ffff:1.2.3.4'", "::ffff:1.2.3.4".into())],
            ),
        ],
    }
}

#[tokio::test]
async fn every_type_becomes_what_the_table_says() {
    for engine in ENGINES {
        let columns = [of_both(), of_one(engine)].concat();
        let mut create = String::from("CREATE TABLE t (id INT PRIMARY KEY");
        for (at, (declared, _)) in columns.iter().enumerate() {
            let _ = write!(create, ", c{at} {declared}");
        }
        let Some(mut database) = on(engine, "values", &(create + ") CHARACTER SET utf8mb4")).await else { continue };
        let rows = columns.iter().map(|(_, values)| values.len()).max().expect("columns");
        let mut expected = Vec::new();
        for row in 0..=rows {
            let (mut values, mut document) = (row.to_string(), doc! {"id": row as i32});
            for (at, (declared, cells)) in columns.iter().enumerate() {
                // What has no value of its own in this row is NULL, or the first again.
                let cell = cells.get(row).or(cells.first().filter(|_| declared.ends_with("NOT NULL")));
                let (sql, bson) = cell.map_or(("NULL", Bson::Null), |(sql, bson)| (sql, bson.clone()));
                let _ = write!(values, ", {sql}");
                document.insert(format!("c{at}"), bson);
            }
            database.run(&[&format!("INSERT INTO t VALUES ({values})")]).await;
            expected.push(document);
        }
        // Without the check that MariaDB adds, its JSON is no more than a text.
        let write = |column: &str, kind: &ColumnKind| {
            let at = column.strip_prefix('c').and_then(|at| at.parse::<usize>().ok());
            let json = at.is_some_and(|at| columns[at].0 == "JSON");
            if json && *kind == ColumnKind::Text { WriteAs::Json } else { WriteAs::Plain }
        };
        let found = documents(&database, write).await;
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.into_iter().zip(expected) {
            for (at, (declared, _)) in columns.iter().enumerate() {
                let name = format!("c{at}");
                assert_eq!(found.get(&name), expected.get(&name), "{engine:?} {declared} in row {}", expected["id"]);
            }
            assert_eq!(found.get("id"), expected.get("id"));
        }
    }
}

/// `as: string` gives what the server itself prints.
#[tokio::test]
async fn texts_are_those_of_the_server() {
    let columns = [
        ("BIGINT UNSIGNED", "18446744073709551615"),
        ("INT", "-5"),
        ("YEAR", "'0000'"),
        ("DECIMAL(20,4)", "-0.5"),
        ("DECIMAL(65,30)", "12.5"),
        ("DOUBLE", "-5.688824613605777e-8"),
        ("DOUBLE", "1006628815851623.8"),
        ("DOUBLE", "1e15"),
        ("DOUBLE", "1e-16"),
        ("DATE", "'2024-02-30'"),
        ("DATETIME", "'2024-07-03 12:00:00'"),
        ("DATETIME(1)", "'0000-00-00'"),
        ("DATETIME(6)", "'2024-07-03 12:00:00'"),
        ("TIMESTAMP(6) NULL", "'2024-07-03 12:00:00.000001'"),
        ("TIME(3)", "'-838:59:59'"),
        ("SET('a', 'b')", "3"),
        ("ENUM('a', 'b')", "2"),
        ("JSON", "'{\"b\": 1.50, \"a\": []}'"),
        ("VARCHAR(9)", "'é'"),
    ];
    for engine in ENGINES {
        let mut create = String::from("CREATE TABLE t (id INT PRIMARY KEY");
        for (at, (declared, _)) in columns.iter().enumerate() {
            let _ = write!(create, ", c{at} {declared}");
        }
        let Some(mut database) = on(engine, "texts", &(create + ") CHARACTER SET utf8mb4")).await else { continue };
        let values: Vec<&str> = columns.iter().map(|(_, value)| *value).collect();
        database.run(&[&format!("INSERT INTO t VALUES (1, {})", values.join(", "))]).await;
        let printed: Row = database.conn.query_first("SELECT * FROM t").await.expect("an answer").expect("a row");
        let found = documents(&database, |_, _| WriteAs::Text).await;
        for (at, (declared, value)) in columns.iter().enumerate() {
            let printed: String = printed.get(at + 1).expect("a text");
            assert_eq!(
                found[0].get_str(format!("c{at}")).ok(),
                Some(printed.as_str()),
                "{engine:?} {declared} {value}"
            );
        }
    }
}

/// Whatever a double is, the server's text of it is ours, and JSON with it gives the same double back.
#[tokio::test]
async fn doubles_are_printed_and_read_as_by_the_server() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE, j JSON)";
    let mut state = 0x5eed_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for engine in ENGINES {
        let Some(mut database) = on(engine, "doubles", create).await else { continue };
        let mut numbers: Vec<f64> = Vec::new();
        while numbers.len() < 3000 {
            let number = match next() % 3 {
                0 => f64::from_bits(next()),
                _ => (next() % 10u64.pow(1 + (next() % 17) as u32)) as f64 * 10f64.powi((next() % 54) as i32 - 34),
            };
            // MariaDB keeps no sign of zero.
            numbers.extend(Some(number).filter(|number| number.is_finite() && *number != 0.0));
        }
        let rows: Vec<String> = numbers.iter().enumerate().map(|(at, n)| format!("({at}, {n:e}, NULL)")).collect();
        for rows in rows.chunks(500) {
            database.run(&[&format!("INSERT INTO t VALUES {}", rows.join(", "))]).await;
        }
        database.run(&["UPDATE t SET j = JSON_ARRAY(d)"]).await;
        let printed: Vec<String> = database.conn.query("SELECT d FROM t ORDER BY id").await.expect("texts");
        let texts = documents(&database, |column, _| if column == "d" { WriteAs::Text } else { WriteAs::Plain }).await;
        let values = documents(&database, |column, kind| match (column, kind) {
            ("j", ColumnKind::Text) => WriteAs::Json,
            _ => WriteAs::Plain,
        })
        .await;
        assert_eq!((texts.len(), values.len()), (numbers.len(), numbers.len()));
        for (at, number) in numbers.iter().enumerate() {
            assert_eq!(texts[at].get_str("d").ok(), Some(printed[at].as_str()), "{engine:?} {number:e}");
            assert_eq!(values[at].get_f64("d").ok(), Some(*number), "{engine:?}");
            let inside = &values[at].get_array("j").expect("an array")[0];
            // MariaDB prints whole doubles in JSON without a point.
            let same = match inside {
                Bson::Double(inside) => inside == number,
                Bson::Int32(inside) => f64::from(*inside) == *number,
                Bson::Int64(inside) => *inside as f64 == *number,
                _ => false,
            };
            assert!(same, "{engine:?} {number:e} became {inside:?}");
        }
    }
}

const PLACES: [&str; 12] = [
    "POINT(1.5 -2.25)",
    "LINESTRING(0 1, 2.5 3, -4 5)",
    "POLYGON((0 0, 10 0, 10 10, 0 0), (4 1, 5 1, 5 2, 4 1))",
    "MULTIPOINT(1 2, 3 4)",
    "MULTIPOINT(1 2)",
    "MULTILINESTRING((0 1, 2 3), (4 5, 6 7, 8 9))",
    "MULTIPOLYGON(((0 0, 10 0, 10 10, 0 0), (4 1, 5 1, 5 2, 4 1)), ((20 20, 30 20, 30 30, 20 20)))",
    "GEOMETRYCOLLECTION EMPTY",
    "GEOMETRYCOLLECTION(POINT(1 2), LINESTRING(0 1, 2 3))",
    "GEOMETRYCOLLECTION(POLYGON((0 0, 10 0, 10 10, 0 0)), MULTIPOINT(1 2, 3 4))",
    "POINT(-0.125 80)",
    "LINESTRING(52.5 13.375, 40 -70.625)",
];

/// The GeoJSON of a document is the server's own, as numbers.
#[tokio::test]
async fn places_are_those_of_the_server() {
    for engine in ENGINES {
        let Some(mut database) = on(engine, "places", "CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY)").await else {
            continue;
        };
        for (at, place) in PLACES.iter().enumerate() {
            for (id, srid) in [(2 * at, 0), (2 * at + 1, 4326)] {
                database.run(&[&format!("INSERT INTO t VALUES ({id}, ST_GeomFromText('{place}', {srid}))")]).await;
            }
        }
        let ask = "SELECT ST_AsGeoJSON(g) FROM t ORDER BY id";
        let told: Vec<String> = database.conn.query(ask).await.expect("GeoJSON");
        let found = documents(&database, |_, _| WriteAs::Plain).await;
        assert_eq!((told.len(), found.len()), (2 * PLACES.len(), 2 * PLACES.len()));
        for (told, found) in told.iter().zip(&found) {
            let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
            let ours: serde_json::Value = found.get("g").expect("a place").clone().into_relaxed_extjson();
            assert_eq!(numbers_as_doubles(ours), numbers_as_doubles(told), "{engine:?} {}", found["id"]);
        }
    }
    let Some(mut database) =
        on(Engine::MySql, "places", "CREATE TABLE t (id INT PRIMARY KEY, g POINT SRID 4326)").await
    else {
        return;
    };
    database.run(&["INSERT INTO t VALUES (1, ST_GeomFromText('POINT(52.5 13.375)', 4326))"]).await;
    let axes: Option<(f64, f64)> =
        database.conn.query_first("SELECT ST_Longitude(g), ST_Latitude(g) FROM t").await.expect("an answer");
    let found = documents(&database, |_, _| WriteAs::Plain).await;
    let (longitude, latitude) = axes.expect("a row");
    let expected = doc! {"type": "Point", "coordinates": [longitude, latitude]};
    assert_eq!((longitude, found[0].get_document("g").ok()), (13.375, Some(&expected)));
}

fn numbers_as_doubles(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.into_iter().map(numbers_as_doubles).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, member)| (name, numbers_as_doubles(member))).collect()
        }
        other => other,
    }
}

/// The text of an address of a row event is the one that MariaDB prints, and a UUID's bytes stand in the order of its text.
#[tokio::test]
async fn addresses_and_uuids_are_those_of_mariadb() {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, b BINARY(16), a INET6, u UUID)";
    let Some(mut database) = on(Engine::MariaDb, "addresses", create).await else { return };
    let mut state = 0xadd2_e550_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    const ROWS: usize = 4000;
    for from in (0..ROWS).step_by(500) {
        let row = |id: usize, next: &mut dyn FnMut() -> u64| {
            let mut bytes = [0u8; 16];
            for byte in &mut bytes {
                *byte = if next() % 3 < 2 { 0 } else { next() as u8 };
            }
            match next() % 6 {
                0 => bytes[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]),
                1 => bytes[..12].fill(0),
                // A UUID of any version.
                2 => (bytes[6], bytes[8]) = (((next() % 9) as u8) << 4, 0x80 | (next() % 64) as u8),
                _ => {}
            }
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("({id}, X'{hex}', CAST(X'{hex}' AS INET6), '{}')", uuid_text(&bytes))
        };
        let rows: Vec<String> = (from..from + 500).map(|id| row(id, &mut next)).collect();
        database.run(&[&format!("INSERT IGNORE INTO t VALUES {}", rows.join(", "))]).await;
    }
    // Some are no UUID to MariaDB, such as those of a version above 7 without the variant.
    let found = documents(&database, |_, _| WriteAs::Plain).await;
    let texts: Vec<Option<String>> =
        database.conn.query("SELECT CAST(u AS CHAR) FROM t ORDER BY id").await.expect("texts");
    assert_eq!((found.len(), texts.len()), (ROWS, ROWS));
    let mut uuids = 0;
    for (document, text) in found.iter().zip(texts) {
        let held: [u8; 16] = document.get_binary_generic("b").expect("bytes")[..].try_into().expect("sixteen");
        assert_eq!(document.get_str("a").ok(), Some(inet6_text(held).as_str()));
        match (document.get("u"), text) {
            (Some(Bson::Null), None) => {}
            (Some(Bson::Binary(uuid)), Some(text)) => {
                uuids += 1;
                let hex: String = uuid.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!((uuid.subtype, hex), (BinarySubtype::Uuid, text.replace('-', "")));
                assert_eq!(uuid.bytes, held);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(uuids > ROWS / 2, "{uuids}");
}
