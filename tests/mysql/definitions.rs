//! Definitions, kinds of expressions, facts about the server.

use rowfold::error::Kind;
use rowfold::model::schema::{ColumnKind, TableName};
use rowfold::ports::Source;

use crate::support::{Database, job, node};

#[tokio::test]
async fn tables_as_they_are() {
    let mut database = Database::with(
        "definitions",
        71_101,
        &[
            "CREATE TABLE parent (a INT, b VARCHAR(10), PRIMARY KEY (b, a)) CHARACTER SET latin1",
            "CREATE TABLE child (
            id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, pb VARCHAR(10) CHARACTER SET latin1, pa INT,
            e ENUM('x', 'it''s', '', 'back\\\\slash'), s SET('a', 'b') , d DECIMAL(12,2) UNSIGNED, bits BIT(9),
            bin BINARY(16), vb VARBINARY(20), t TIME(3), dt DATETIME(6), ts TIMESTAMP NULL, y YEAR, j JSON, p POINT,
            double_id INT GENERATED ALWAYS AS (pa * 2) VIRTUAL, hidden INT INVISIBLE,
            UNIQUE KEY u (pa, vb), KEY k (vb(4), pa), KEY f ((pa + 1), e), KEY m (e, (pa + 1)), KEY away (y) INVISIBLE,
            UNIQUE KEY up (d, vb(3)),
            CONSTRAINT fk FOREIGN KEY (pb, pa) REFERENCES parent (b, a) ON DELETE CASCADE)",
            "CREATE VIEW v AS SELECT 1 AS one",
        ],
    )
    .await;
    let child = database.definition("child").await;
    let kind = |name: &str| child.columns[child.column(name).expect(name)].kind.clone();
    assert_eq!(kind("ID"), ColumnKind::Int { bits: 64, unsigned: true });
    let labels = ["x", "it's", "", "back\\slash"].map(String::from).to_vec();
    assert_eq!(kind("e"), ColumnKind::Enum(labels));
    assert_eq!(kind("d"), ColumnKind::Decimal { precision: 12, scale: 2 });
    assert_eq!(kind("bits"), ColumnKind::Bit { length: 9 });
    assert_eq!(kind("bin"), ColumnKind::FixedBinary { length: 16 });
    assert_eq!(kind("t"), ColumnKind::Time { fsp: 3 });
    assert_eq!(kind("ts"), ColumnKind::Timestamp { fsp: 0 });
    assert_eq!(kind("p"), ColumnKind::Geometry);
    assert!(child.column("double_id").is_some() && child.column("hidden").is_some());
    let pb = &child.columns[1];
    assert_eq!((pb.collation.as_deref(), pb.length_max), (Some("latin1_swedish_ci"), Some(10)));
    let index = |name: &str| {
        let index = child.indexes.iter().find(|index| index.name == name)?;
        let columns: Vec<&str> = index.columns.iter().map(|at| &child.columns[*at].name[..]).collect();
        Some((columns, index.unique))
    };
    assert_eq!(child.indexes[0].name, "PRIMARY");
    assert_eq!(index("u"), Some((vec!["pa", "vb"], true)));
    assert_eq!(index("up"), Some((vec!["d"], false)));
    assert_eq!(index("m"), Some((vec!["e"], false)));
    assert_eq!((index("k"), index("f"), index("away")), (None, None, None));
    let foreign = &child.foreign_keys[0];
    assert_eq!((foreign.columns.join(","), foreign.parent_columns.join(",")), ("pb,pa".into(), "b,a".into()));
    assert_eq!((foreign.parent.table.as_str(), foreign.changes_rows), ("parent", true));
    let parent = database.definition("parent").await;
    assert_eq!(parent.primary_key().iter().map(|at| &parent.columns[*at].name[..]).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(parent.engine, "InnoDB");
    let all = database.server.tables_of(&database.name).await.expect("tables");
    assert_eq!(all.iter().map(|table| &table.name.table[..]).collect::<Vec<_>>(), ["child", "parent"]);
    let gone = database.server.tables(&[database.table("nothing"), database.table("v")]).await.expect("no tables");
    assert!(gone.is_empty());

    database
        .run(&[
            "INSERT INTO parent VALUES (1, 'x')",
            "INSERT INTO child (pb, pa, y) VALUES ('x', 1, 1999), ('x', 1, NULL)",
        ])
        .await;
    let duplicates = async |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|column| column.to_string()).collect();
        database.server.duplicates(&child.name, &columns).await.expect("an answer")
    };
    assert!(duplicates(&["pb", "pa"]).await);
    assert!(!duplicates(&["y"]).await && !duplicates(&["id"]).await);
}

#[tokio::test]
async fn expressions_have_kinds() {
    let database = Database::with("kinds", 71_102, &[
        "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, placed DATETIME(3), price DECIMAL(12,2), name VARCHAR(20), f FLOAT,
         raw BLOB, doc JSON, flag BIT(3))",
    ])
    .await;
    let table = database.table("t");
    let describe = async |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|text| text.to_string()).collect();
        database.server.describe(&table, &list).await
    };
    let list = [
        "id",
        "YEAR(placed)",
        "price * 2",
        "CONCAT(name, '?')",
        "f",
        "raw",
        "doc",
        "flag",
        "DATE(placed)",
        "placed",
        "TIME(placed)",
        "id + 1",
        "SHA2(name, 256)",
        "doc->'$.a'",
        "UNHEX(name)",
        "price / 3",
    ];
    let kinds = describe(&list).await.expect("kinds");
    let int = |bits, unsigned| ColumnKind::Int { bits, unsigned };
    assert_eq!(kinds[0], int(32, true));
    assert!(matches!(kinds[1], ColumnKind::Year | ColumnKind::Int { .. }), "{:?}", kinds[1]);
    assert_eq!(kinds[2], ColumnKind::Decimal { precision: 13, scale: 2 });
    assert_eq!(
        (&kinds[3], &kinds[4], &kinds[5], &kinds[6]),
        (&ColumnKind::Text, &ColumnKind::Float, &ColumnKind::Binary, &ColumnKind::Json)
    );
    assert_eq!(kinds[7], ColumnKind::Bit { length: 3 });
    assert_eq!(
        (&kinds[8], &kinds[9], &kinds[10]),
        (&ColumnKind::Date, &ColumnKind::DateTime { fsp: 3 }, &ColumnKind::Time { fsp: 3 })
    );
    assert_eq!(kinds[11], int(64, true));
    assert_eq!((&kinds[12], &kinds[13], &kinds[14]), (&ColumnKind::Text, &ColumnKind::Json, &ColumnKind::Binary));
    assert_eq!(kinds[15], ColumnKind::Decimal { precision: 16, scale: 6 });
    let refused = describe(&["gone + 1"]).await.expect_err("no such column");
    assert_eq!(refused.kind(), Kind::Config);
    assert!(refused.chain().contains("Unknown column 'gone'"), "{refused:?}");
    // The session is as good as before.
    assert_eq!(describe(&["id"]).await.expect("a kind").len(), 1);
}

#[tokio::test]
async fn the_server_tells_its_facts() {
    let database = Database::with("facts", 71_103, &[]).await;
    let facts = database.server.facts().await.expect("facts");
    assert_eq!(facts.variable("binlog_format"), Some("ROW"));
    assert_eq!(facts.variable("gtid_mode"), Some("ON"));
    assert_eq!(facts.version, database.server.version().await.expect("a version"));
    assert!(facts.grants.iter().any(|line| line.starts_with("GRANT ")));
    assert!(facts.replica_ids.is_some() && facts.open_xa.is_some());
}

#[tokio::test]
async fn changed_definitions_halt() {
    let mut database = Database::with(
        "verify",
        71_104,
        &["CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT, c VARCHAR(9) COLLATE utf8mb4_bin)"],
    )
    .await;
    let t = database.definition("t").await;
    let source = database.source(job(vec![node(&t, None, None, &[])], &["id"], &[&t], |_| true));
    source.verify_definitions().await.expect("nothing changed");
    database.run(&["ALTER TABLE t ADD COLUMN extra INT FIRST"]).await;
    source.verify_definitions().await.expect("a new column changes nothing");
    for (statement, named) in [
        (
            "ALTER TABLE t MODIFY c VARCHAR(9) COLLATE utf8mb4_general_ci",
            "column c of rf_mysql_verify.t is now varchar(9) COLLATE utf8mb4_general_ci and was varchar(9) COLLATE utf8mb4_bin",
        ),
        ("ALTER TABLE t MODIFY a BIGINT", "column a of"),
        ("ALTER TABLE t DROP COLUMN a", "column a is gone"),
        ("DROP TABLE t", "table rf_mysql_verify.t is gone"),
    ] {
        database.run(&[statement]).await;
        let error = source.verify_definitions().await.expect_err(statement);
        assert_eq!(error.kind(), Kind::Halt);
        assert!(error.chain().contains(named), "{error:?}");
    }
    assert_eq!(TableName::new("a", "b").to_string(), "a.b");
}
