//! Values as documents show them, against what the server itself prints: texts, doubles, GeoJSON, addresses and UUIDs.

use std::fmt::Write as _;

use bson::spec::BinarySubtype;
use bson::{Bson, doc};
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use rowfold::model::address::{inet6_text, uuid_text};
use rowfold::model::plan::WriteAs;
use rowfold::model::schema::ColumnKind;

use crate::support::Engine;
use crate::values::{ENGINES, documents, on};

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
