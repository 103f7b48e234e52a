//! Every type, read by SELECT on MySQL and on MariaDB, as the documents show it, against literal values.

use std::fmt::Write as _;

use bson::spec::BinarySubtype;
use bson::{Bson, Document, doc};
use rowfold::logic::assembly::{NodeRows, RowSet, assemble};
use rowfold::model::address::uuid_bytes;
use rowfold::model::plan::{ProjectionPlan, WriteAs};
use rowfold::model::position::Version;
use rowfold::model::schema::ColumnKind;

use crate::support::{Database, Engine, job, node};

/// A database on a server. MariaDB may be missing where nobody requires it.
pub async fn on(engine: Engine, name: &str, create: &str) -> Option<Database> {
    let required = std::env::var("ROWFOLD_TEST_SERVERS").is_ok_and(|word| word == "required");
    if engine == Engine::MariaDb && !required && std::env::var("ROWFOLD_MARIADB_URL").is_err() {
        println!("not run on MariaDB: ROWFOLD_MARIADB_URL is not set");
        return None;
    }
    Some(Database::on(engine, name, 71_500, &[create]).await)
}

/// Both servers.
pub const ENGINES: [Engine; 2] = [Engine::MySql, Engine::MariaDb];

/// The documents of the table `t`, by its `id`, with each column written as `write` says.
pub async fn documents(database: &Database, write: impl Fn(&str, &ColumnKind) -> WriteAs) -> Vec<Document> {
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
