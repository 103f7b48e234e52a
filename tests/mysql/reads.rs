//! Rows by range and by key, through link tables, under collations; roots; bounds; what a failed read leaves behind.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow_array::{Array, RecordBatch};
use rowfold::error::Kind;
use rowfold::model::plan::{JobPlan, Shape};
use rowfold::model::row::value_at;
use rowfold::model::schema::ColumnKind;
use rowfold::model::value::{Key, Value};
use rowfold::ports::{Selected, Selection, Snapshot, Source};

use crate::support::{Database, int, job, join, join_through, key, node, shown, text};

const ALL: usize = 1 << 30;

/// The batch of a read that is not too large.
async fn rows(snapshot: &mut impl Snapshot, node: usize, selection: Selection<'_>) -> RecordBatch {
    match snapshot.select(0, node, selection, ALL).await.expect("a read") {
        Selected::Rows(batch) => batch,
        Selected::TooLarge => panic!("too large"),
    }
}

/// Some columns of all rows, printed.
fn cells(batch: &RecordBatch, plan: &JobPlan, node: usize, columns: &[usize]) -> Vec<String> {
    let kind = |column: usize| plan.projections[0].nodes[node].columns.get(column).map(|column| column.kind.clone());
    let row = |row| {
        let value = |column: &usize| value_at(batch.column(*column), &kind(*column).unwrap_or(ColumnKind::Binary), row);
        shown(&[Key(columns.iter().map(value).collect())]).remove(0)
    };
    (0..batch.num_rows()).map(row).collect()
}

const SHOP: &[&str] = &[
    "CREATE TABLE `order` (region CHAR(2), no INT, note VARCHAR(30), PRIMARY KEY (region, no))",
    "CREATE TABLE line (region CHAR(2), no INT, pos INT, sku VARCHAR(20), qty INT, PRIMARY KEY (region, no, pos), KEY (sku))",
    "CREATE TABLE product (sku VARCHAR(20) PRIMARY KEY, title VARCHAR(30))",
    "CREATE TABLE tag (id INT PRIMARY KEY, name VARCHAR(20), c0 INT)",
    "CREATE TABLE order_tag (region CHAR(2), no INT, tag_id INT, PRIMARY KEY (region, no, tag_id), KEY (tag_id))",
    "INSERT INTO `order` WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 300)
     SELECT ELT(1 + n % 3, 'AS', 'EU', 'US'), n, CONCAT('note', n) FROM s",
    "INSERT INTO line SELECT region, no, p.p, CONCAT('s', (no + p.p) % 10), p.p * 10 FROM `order`,
     (SELECT 1 p UNION SELECT 2 UNION SELECT 3) p WHERE no % 4 > 0",
    "INSERT INTO product WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 9)
     SELECT CONCAT('S', n), CONCAT('title', n) FROM s",
    "INSERT INTO tag VALUES (1, 'red', 7), (2, 'blue', 8), (3, 'green', 9)",
    "INSERT INTO order_tag SELECT region, no, 1 + no % 3 FROM `order`",
    "INSERT IGNORE INTO order_tag SELECT region, no, 2 FROM `order` WHERE no < 100",
    "ANALYZE TABLE `order`, line, product, tag, order_tag",
];

/// order { lines [ product ], tags through order_tag }
async fn shop(name: &str, server_id: u32) -> (Database, JobPlan) {
    let database = Database::with(name, server_id, SHOP).await;
    let (order, line) = (database.definition("order").await, database.definition("line").await);
    let (product, tag) = (database.definition("product").await, database.definition("tag").await);
    let link = database.definition("order_tag").await;
    let lines = join(&order, &line, &[("region", "region"), ("no", "no")], true);
    let tags = join_through(&order, &link, &[("region", "region"), ("no", "no")], &[("tag_id", "id")], true);
    let mut tags = node(&tag, Some((0, Shape::Many)), Some(tags), &["`name` DESC", "`id`"]);
    tags.filter = Some("name <> 'green'".into());
    // A name that the statement uses itself, and an expression.
    tags.columns[1].sql = "UPPER(name)".into();
    let nodes = vec![
        node(&order, None, None, &[]),
        node(&line, Some((0, Shape::Many)), Some(lines), &["`qty` DESC", "`pos`"]),
        node(&product, Some((1, Shape::One)), Some(join(&line, &product, &[("sku", "sku")], false)), &[]),
        tags,
    ];
    let plan = job(nodes, &["region", "no"], &[&order, &line, &product, &tag, &link], |_| false);
    (database, plan)
}

#[tokio::test]
async fn ranges_and_keys_of_composite_keys() {
    let (mut database, plan) = shop("reads", 71_001).await;
    let source = database.source(plan.clone());
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let (low, high) = (key([text("AS"), int(250)]), key([text("US"), int(20)]));
    let range = Selection::Range { after: Some(&low), up_to: Some(&high) };
    let condition = "(region, no) > ('AS', 250) AND (region, no) <= ('US', 20)";

    let orders = rows(&mut snapshot, 0, range).await;
    let ask = format!("SELECT CONCAT(region, '/', no) FROM `order` WHERE {condition} ORDER BY region, no");
    assert_eq!(cells(&orders, &plan, 0, &[0, 1]), database.texts(&ask).await);

    let lines = rows(&mut snapshot, 1, range).await;
    let ask = format!(
        "SELECT CONCAT_WS('/', region, no, pos) FROM line WHERE {condition} ORDER BY region, no, qty DESC, pos"
    );
    assert_eq!(cells(&lines, &plan, 1, &[0, 1, 2]), database.texts(&ask).await);

    let tags = rows(&mut snapshot, 3, range).await;
    let ask = format!(
        "SELECT CONCAT_WS('/', UPPER(name), c0, region, no) FROM order_tag l JOIN tag t ON t.id = l.tag_id
         WHERE {condition} AND name <> 'green' ORDER BY region, no, name DESC"
    );
    // The link's columns follow the node's own, and behind them their weights: here for the text column only.
    let layout = plan.projections[0].layout(3);
    assert_eq!(layout.to_parent.len(), 2);
    let found = cells(&tags, &plan, 3, &[1, 2]);
    let expected = database.texts(&ask).await;
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(&expected).all(|(found, expected)| expected.starts_with(&format!("{found}/"))));

    let two = [key([text("eu"), int(1)]), key([text("AS"), int(3)]), key([Value::Null, int(3)])];
    let orders = rows(&mut snapshot, 0, Selection::Keys(&two)).await;
    assert_eq!(cells(&orders, &plan, 0, &[0, 1]), ["AS/3", "EU/1"]);
    let lines = rows(&mut snapshot, 1, Selection::Keys(&two)).await;
    assert_eq!(cells(&lines, &plan, 1, &[0, 1, 4]), ["AS/3/30", "AS/3/20", "AS/3/10", "EU/1/30", "EU/1/20", "EU/1/10"]);
    let none = rows(&mut snapshot, 1, Selection::Keys(&two[2..])).await;
    assert_eq!((none.num_rows(), none.num_columns()), (0, lines.num_columns()));
    snapshot.close().await;
}

/// Every row of a child finds the parents that MySQL's own join finds.
async fn assert_joined(database: &mut Database, plan: &JobPlan, child: usize, expected: &str) {
    let source = database.source(plan.clone());
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let projection = &plan.projections[0];
    let parent = projection.nodes[child].parent.expect("a child");
    let everything = Selection::Range { after: None, up_to: None };
    let parents = rows(&mut snapshot, parent, everything).await;
    let join = projection.nodes[child].join.as_ref().expect("a join");
    let keys: Vec<Key> = (0..parents.num_rows())
        .map(|row| {
            let value =
                |pair: &rowfold::model::plan::JoinPair| value_at(parents.column(pair.parent_position), &pair.kind, row);
            Key(join.pairs.iter().map(value).collect())
        })
        .collect();
    let children = rows(&mut snapshot, child, Selection::Keys(&keys)).await;
    let from_parent =
        &projection.layout(parent).to_children.iter().find(|(node, _)| *node == child).expect("it").1.clone();
    let to_parent = projection.layout(child).to_parent;
    let cell = |batch: &RecordBatch, column: usize, row: usize| {
        (!batch.column(column).is_null(row)).then(|| format!("{:?}", batch.column(column).slice(row, 1)))
    };
    let mut edges = 0;
    for up in 0..parents.num_rows() {
        for down in 0..children.num_rows() {
            let equal = from_parent.iter().zip(&to_parent).all(|(left, right)| {
                let (left, right) = (cell(&parents, *left, up), cell(&children, *right, down));
                left.is_some() && left == right
            });
            edges += usize::from(equal);
        }
    }
    assert_eq!(vec![edges.to_string()], database.texts(expected).await, "{expected}");
    assert!(edges > 0);
    snapshot.close().await;
}

#[tokio::test]
async fn text_joins_agree_with_the_collation() {
    let mut database = Database::with("collations", 71_002, &[
        "CREATE TABLE person (id INT PRIMARY KEY, ai VARCHAR(20) COLLATE utf8mb4_0900_ai_ci,
         pad VARCHAR(20) COLLATE utf8mb4_general_ci, latin VARCHAR(9) CHARACTER SET latin1)",
        "CREATE TABLE place (no INT, ai VARCHAR(30) COLLATE utf8mb4_0900_ai_ci, pad VARCHAR(30) COLLATE utf8mb4_general_ci,
         latin CHAR(12) CHARACTER SET latin1, KEY (ai), KEY (pad), KEY (latin))",
        "INSERT INTO person VALUES (1, 'Köln', 'Köln ', 'Köln'), (2, 'koln', 'koln', 'köln'), (3, 'ulm', 'ULM', 'ulm '),
         (4, NULL, NULL, NULL), (5, 'ulm ', 'ulm  ', 'x'), (6, 'Straße', 'Straße', 'Straße')",
        "INSERT INTO place VALUES (1, 'KÖLN', 'KOLN', 'KÖLN'), (2, 'Ulm', 'ulm', 'ULM'), (3, 'ulm ', 'ulm ', 'ulm'),
         (4, NULL, NULL, NULL), (5, 'STRASSE', 'STRASE', 'STRASSE'), (6, '', '', '')",
    ])
    .await;
    let (person, place) = (database.definition("person").await, database.definition("place").await);
    for column in ["ai", "pad", "latin"] {
        let join = join(&person, &place, &[(column, column)], false);
        let nodes = vec![node(&person, None, None, &[]), node(&place, Some((0, Shape::Many)), Some(join), &["`no`"])];
        let plan = job(nodes, &["id"], &[&person, &place], |_| false);
        let expected = format!("SELECT COUNT(*) FROM person a JOIN place b ON a.{column} = b.{column}");
        assert_joined(&mut database, &plan, 1, &expected).await;
    }
}

#[tokio::test]
async fn other_joins_agree_with_mysql() {
    let (mut database, plan) = shop("joins", 71_003).await;
    let lines = "SELECT COUNT(*) FROM line JOIN `order` USING (region, no)";
    assert_joined(&mut database, &plan, 1, lines).await;
    assert_joined(&mut database, &plan, 2, "SELECT COUNT(*) FROM line JOIN product USING (sku)").await;
    let tags = "SELECT COUNT(*) FROM order_tag l JOIN tag t ON t.id = l.tag_id WHERE name <> 'green'";
    assert_joined(&mut database, &plan, 3, tags).await;
    database.run(&["CREATE TABLE staff (id INT PRIMARY KEY, boss INT, KEY (boss))"]).await;
    database.run(&["INSERT INTO staff VALUES (1, NULL), (2, 1), (3, 1), (4, 2), (5, 9)"]).await;
    let staff = database.definition("staff").await;
    let up = join(&staff, &staff, &[("boss", "id")], false);
    let nodes = vec![node(&staff, None, None, &[]), node(&staff, Some((0, Shape::One)), Some(up), &[])];
    let plan = job(nodes, &["id"], &[&staff], |_| false);
    assert_joined(&mut database, &plan, 1, "SELECT COUNT(*) FROM staff a JOIN staff b ON a.boss = b.id").await;
    let mut snapshot = database.source(plan).snapshot().await.expect("a snapshot");
    let bosses = snapshot.roots(0, 1, &[key([int(1)])], None, 10).await.expect("roots");
    assert_eq!(shown(&bosses), ["2", "3"]);
}

#[tokio::test]
async fn roots_are_found_upwards() {
    let (mut database, plan) = shop("roots", 71_004).await;
    let source = database.source(plan.clone());
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let up = "SELECT DISTINCT CONCAT(region, '/', no) FROM";
    // A product that does not exist any more still has its roots.
    database.run(&["DELETE FROM product WHERE sku = 'S3'"]).await;
    let sku = [key([text("S3")]), key([text("nothing")])];
    let expected = database.texts(&format!("{up} line WHERE sku = 's3' ORDER BY region, no")).await;
    let mut found: Vec<Key> = Vec::new();
    loop {
        let page = snapshot.roots(0, 2, &sku, found.last(), 7).await.expect("roots");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 7);
        found.extend(page);
    }
    assert_eq!(shown(&found), expected);
    let direct = [key([text("AS"), int(3)]), key([text("AS"), int(-3)]), key([Value::Null, int(3)])];
    assert_eq!(shown(&snapshot.roots(0, 1, &direct, None, 9).await.expect("roots")), ["AS/3"]);
    assert_eq!(shown(&snapshot.roots(0, 3, &direct, None, 9).await.expect("roots")), ["AS/3"]);
    assert!(snapshot.roots(0, 3, &direct[2..], None, 9).await.expect("roots").is_empty());
    // The filter of the tags' node hides green ones from documents, but a change of one can end that.
    let linked = snapshot.roots_of_linked(0, 3, &[key([int(3)])], None, 1000).await.expect("roots");
    let expected = database.texts(&format!("{up} order_tag WHERE tag_id = 3 ORDER BY region, no")).await;
    assert_eq!(shown(&linked), expected);
    snapshot.close().await;
}

#[tokio::test]
async fn bounds_and_middles() {
    let (mut database, plan) = shop("bounds", 71_005).await;
    let source = database.source(plan);
    let all = database.texts("SELECT CONCAT(region, '/', no) FROM `order` ORDER BY region, no").await;
    let mut bounds: Vec<Key> = Vec::new();
    while let Some(bound) = source.boundary(0, bounds.last(), 70).await.expect("a bound") {
        bounds.push(bound);
    }
    assert_eq!(shown(&bounds), [&all[69][..], &all[139], &all[209], &all[279]]);
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let middle = snapshot.middle(0, Some(&bounds[0]), Some(&bounds[1])).await.expect("a middle").expect("one");
    assert_eq!(shown(&[middle]), [&all[104][..]]);
    let single = key([text("AS"), int(3)]);
    assert!(snapshot.middle(0, None, Some(&single)).await.expect("a middle").is_none());
    let first = snapshot.first_key(0, Some(&bounds[0]), Some(&bounds[1])).await.expect("a key").expect("one");
    assert_eq!(shown(&[first]), [&all[70][..]]);
    assert!(snapshot.first_key(0, Some(&bounds[0]), Some(&bounds[0])).await.expect("an answer").is_none());
    let (rows, bytes) = source.size_estimate(0).await.expect("an estimate");
    assert!((200..=400).contains(&rows) && bytes > 100, "{rows} rows, {bytes} bytes");
}

#[tokio::test]
async fn a_snapshot_survives_what_is_too_large_and_what_cannot_be_computed() {
    let (database, mut plan) = shop("limits", 71_006).await;
    plan.projections[0].nodes[0].columns[2].sql = "CAST(no AS UNSIGNED) - 2".into();
    plan.projections[0].nodes[0].columns[2].kind = ColumnKind::Int { bits: 64, unsigned: true };
    let source = database.source(plan);
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let everything = Selection::Range { after: None, up_to: None };
    for bytes_max in [10, 4000, 9000] {
        let selected = snapshot.select(0, 1, everything, bytes_max).await.expect("a read");
        assert!(matches!(selected, Selected::TooLarge), "{bytes_max}");
        assert_eq!(rows(&mut snapshot, 1, everything).await.num_rows(), 675);
    }
    let refused = snapshot.select(0, 0, everything, ALL).await.expect_err("out of range");
    assert_eq!(refused.kind(), Kind::Park, "{refused:?}");
    let good = [key([text("AS"), int(3)])];
    assert_eq!(rows(&mut snapshot, 0, Selection::Keys(&good)).await.num_rows(), 1);
    snapshot.close().await;
}

#[tokio::test]
async fn a_cancelled_read_poisons_nothing() {
    let (database, mut plan) = shop("cancel", 71_007).await;
    let mut slow = plan.clone();
    slow.projections[0].nodes[0].filter = Some("SLEEP(0.2) = 0".into());
    let everything = Selection::Range { after: None, up_to: None };
    let source = database.source(slow);
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let cancelled = tokio::time::timeout(Duration::from_millis(300), snapshot.select(0, 0, everything, ALL)).await;
    assert!(cancelled.is_err());
    let after = snapshot.select(0, 1, everything, ALL).await.expect_err("the connection is gone");
    assert_eq!(after.kind(), Kind::Retry);
    snapshot.close().await;
    // Neither does another snapshot of the same server meet the old answer.
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    assert_eq!(rows(&mut snapshot, 1, everything).await.num_rows(), 675);
    plan.projections[0].nodes[0].filter = Some("gone = 1".into());
    let source = database.source(plan);
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    let refused = snapshot.select(0, 0, everything, ALL).await.expect_err("an unknown column");
    assert_eq!(refused.kind(), Kind::Halt, "{refused:?}");
}

/// What the statements that were run last, on any connection that still exists, read: `scans examined text`.
async fn statistics(database: &mut Database, seen: &mut BTreeSet<String>) {
    let name = database.name.clone();
    let ask = format!(
        "SELECT CONCAT_WS(' ', SELECT_SCAN + SELECT_FULL_JOIN, ROWS_EXAMINED, SQL_TEXT)
         FROM performance_schema.events_statements_history
         WHERE EVENT_NAME = 'statement/com/Execute' AND SQL_TEXT LIKE 'SELECT %`{name}`%'"
    );
    seen.extend(database.texts(&ask).await);
}

#[tokio::test]
async fn nothing_is_scanned() {
    let (mut database, mut plan) = shop("access", 71_008).await;
    database
        .run(&[
            "INSERT INTO `order` WITH RECURSIVE s AS (SELECT 1000 n UNION ALL SELECT n + 1 FROM s WHERE n < 6000)
             SELECT ELT(1 + n % 3, 'AS', 'EU', 'US'), n, 'x' FROM s",
            "INSERT INTO line SELECT region, no, 1, CONCAT('t', no), 1 FROM `order` WHERE no >= 1000",
            "INSERT INTO tag SELECT no, CONCAT('tag', no), 1 FROM `order` WHERE no >= 1000",
            "INSERT INTO order_tag SELECT region, no, no FROM `order` WHERE no >= 1000",
            "INSERT INTO product SELECT sku, 'x' FROM line WHERE no >= 1000",
        ])
        .await;
    plan.projections[0].nodes[1].filter = Some("qty > 0".into());
    let source = database.source(plan);
    let (low, high) = (key([text("AS"), int(5990)]), key([text("EU"), int(20)]));
    let range = Selection::Range { after: Some(&low), up_to: Some(&high) };
    let orders = [low.clone(), high.clone(), key([text("US"), int(2)])];
    let skus = [key([text("s1")]), key([text("t2000")])];
    let tags = [key([int(2000)]), key([int(3)])];
    let mut seen = BTreeSet::new();
    source.boundary(0, Some(&low), 20).await.expect("a bound");
    let mut snapshot = source.snapshot().await.expect("a snapshot");
    for node in [0, 1, 3] {
        assert!(rows(&mut snapshot, node, range).await.num_rows() > 0);
        assert!(rows(&mut snapshot, node, Selection::Keys(&orders)).await.num_rows() > 0);
        statistics(&mut database, &mut seen).await;
    }
    assert!(rows(&mut snapshot, 2, Selection::Keys(&skus)).await.num_rows() > 0);
    snapshot.middle(0, Some(&low), Some(&high)).await.expect("a middle");
    statistics(&mut database, &mut seen).await;
    assert!(!snapshot.roots(0, 1, &orders, Some(&orders[0]), 5).await.expect("roots").is_empty());
    assert!(!snapshot.roots(0, 2, &skus, Some(&orders[0]), 5).await.expect("roots").is_empty());
    statistics(&mut database, &mut seen).await;
    assert!(!snapshot.roots(0, 3, &orders, None, 5).await.expect("roots").is_empty());
    assert!(!snapshot.roots_of_linked(0, 3, &tags, Some(&orders[0]), 5).await.expect("roots").is_empty());
    statistics(&mut database, &mut seen).await;
    snapshot.close().await;
    assert_eq!(seen.len(), 13, "{seen:#?}");
    for statement in seen {
        let mut words = statement.split(' ').map(|word| word.parse::<u64>().unwrap_or_default());
        let (scanned, examined) = (words.next(), words.next().unwrap_or_default());
        assert!(scanned == Some(0) && examined < 400, "{statement}");
    }
}
