//! Offsets, schema changes and snapshots as a real Debezium Server leaves them.

use proptest::prelude::*;

use super::*;
use crate::logic::envelope::decode::tests::{FIXTURES, entries};
use crate::logic::envelope::decode::{Producer, decode};
use crate::model::plan::UsedColumn;
use crate::model::schema::ColumnKind;

const GTID: &str = "318d0ad9-e56a-11f1-8b4f-02fc00000001";

fn hash(fields: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

#[test]
fn the_offset_of_a_prefix() {
    let value = format!(
        r#"{{"ts_sec":1795241079,"file":"binlog.000001","pos":104027658,"gtids":"{GTID}:1-670","row":1,"server_id":1,"event":2}}"#
    );
    let key = r#"["kafka",{"server":"cdc"}]"#;
    let expected = Offset { gtids: format!("{GTID}:1-670").parse().expect("a set"), snapshot_running: false };
    assert_eq!(offset("cdc", &hash(&[(key, &value)])), Ok(expected.clone()));
    assert_eq!(offset("other", &hash(&[(key, &value)])), Ok(expected.clone()));
    let other = (r#"["kafka",{"server":"abc"}]"#, "{}");
    assert_eq!(offset("cdc", &hash(&[other, (key, &value)])), Ok(expected.clone()));
    let several = OffsetError::Several { prefix: "x".into(), names: vec!["abc".into(), "cdc".into()] };
    assert_eq!(offset("x", &hash(&[(key, &value), other])), Err(several.clone()));
    assert!(several.to_string().contains("abc, cdc") && several.to_string().contains("called x"));
    assert_eq!(offset("cdc", &[]), Err(OffsetError::Missing));
    assert_eq!(offset("cdc", &hash(&[(key, "null")])), Err(OffsetError::Missing));
    assert_eq!(offset("cdc", &hash(&[other, (key, r#"{"file":"b.1","pos":4}"#)])), Err(OffsetError::NoGtids));
    for (key, value) in [(key, "x"), (key, r#"{"gtids":"x"}"#), ("x", "{}"), (r#"["kafka"]"#, "{}")] {
        assert!(matches!(offset("cdc", &hash(&[(key, value)])), Err(OffsetError::Unreadable(_))), "{key} {value}");
    }
    for (state, running) in [
        (r#""snapshot":true,"snapshot_completed":false"#, true),
        (r#""snapshot":"INITIAL","snapshot_completed":false"#, true),
        (r#""snapshot":"INITIAL","snapshot_completed":true"#, false),
        (r#""snapshot":true"#, true),
        (r#""snapshot":false"#, false),
    ] {
        let begun = value.replace("\"row\":1", state);
        assert_eq!(
            offset("cdc", &hash(&[(key, &begun)])).map(|offset| offset.snapshot_running),
            Ok(running),
            "{state}"
        );
    }
}

fn tables() -> Vec<TableUse> {
    let table = |name: &str, column: &str| TableUse {
        name: TableName::new("shop", name),
        columns: vec![UsedColumn {
            name: column.into(),
            kind: ColumnKind::Text,
            declared: "varchar(100)".into(),
            collation: None,
            routes: true,
        }],
    };
    vec![table("product", "sku"), table("audit", "what")]
}

#[test]
fn real_schema_changes() {
    for (fixture, number) in FIXTURES.iter().zip([670, 726, 701]) {
        let found: Vec<SchemaChange> =
            entries(fixture, &schema_stream("cdc")).iter().map(|entry| schema_change(entry, &tables())).collect();
        let Some((SchemaChange::Effects { gtid, effects, origin, .. }, rest)) = found.split_last() else {
            panic!("{found:?}")
        };
        assert_eq!(gtid.to_string(), format!("{GTID}:{number}"));
        assert_eq!(effects[..], [(TableName::new("shop", "product"), Unlogged::Definition)]);
        assert_eq!(origin.file, "binlog.000001");
        // What tells how tables looked when the snapshot began.
        assert!(rest.iter().all(|change| *change == SchemaChange::Ignored), "{rest:?}");
    }
    assert_eq!(entries(FIXTURES[0], "cdc").len(), 2);
}

#[test]
fn schema_changes_by_list_and_by_statement() {
    let told = |ddl: &str, changes: &str, gtid: &str| {
        let value = format!(
            r#"{{"source":{{"gtid":{gtid},"snapshot":"false","pos":4}},"databaseName":"shop","ddl":"{ddl}","tableChanges":[{changes}]}}"#
        );
        let entry = RawEntry { id: EntryId::ZERO, fields: hash(&[("{}", &value)]) };
        match schema_change(&entry, &tables()) {
            SchemaChange::Effects { effects, .. } => {
                effects.iter().map(|(name, what)| format!("{name} {what:?}")).collect::<Vec<_>>().join(", ")
            }
            other => format!("{other:?}"),
        }
    };
    let gtid = format!("\"{GTID}:7\"");
    let change = |what: &str, table: &str| format!(r#"{{"type":"{what}","id":"\"shop\".\"{table}\"","table":null}}"#);
    assert_eq!(told("DROP TABLE `shop`.`audit`", &change("DROP", "audit"), &gtid), "shop.audit Rows");
    assert_eq!(told("create table audit (x int)", &change("CREATE", "audit"), &gtid), "shop.audit Definition");
    assert_eq!(told("alter table audit drop what", &change("ALTER", "audit"), &gtid), "shop.audit UsedColumns");
    assert_eq!(told("alter table audit drop partition p", &change("ALTER", "audit"), &gtid), "shop.audit Rows");
    assert_eq!(told("truncate table audit", "", &gtid), "shop.audit Rows");
    assert_eq!(told("rename table product to audit, audit to a", "", &gtid), "shop.product Rows, shop.audit Rows");
    let renamed = r#"{"type":"ALTER","id":"\"shop\".\"a\"","previousId":"\"shop\".\"audit\""}"#;
    assert_eq!(told("rename table x.audit to a", renamed, &gtid), "shop.audit Rows");
    assert_eq!(told("drop database shop", "", &gtid), "shop.product Rows, shop.audit Rows");
    assert_eq!(told("create table a (x int)", &change("CREATE", "a"), &gtid), "Ignored");
    assert_eq!(told("truncate table audit", "", "null"), "NoGtid");
    assert!(told("truncate table audit", "", "\"x\"").contains("Poison"));
    assert!(told("truncate table audit", "{}", &gtid).contains("Poison"));
    let flat = RawEntry { id: EntryId::ZERO, fields: hash(&[("{}", "{\"databaseName\":\"shop\"}")]) };
    assert!(matches!(schema_change(&flat, &tables()), SchemaChange::Poison(_)));
}

#[test]
fn a_snapshot_runs_until_each_table_is_whole() {
    let audit = entries(FIXTURES[0], "cdc.shop.audit");
    let product = entries(FIXTURES[0], "cdc.shop.product");
    let read = |entry: &RawEntry, table: usize| (entry.id, decode(entry, table, &tables()[table], Producer::Debezium));
    let running = |audit: &RawEntry, product: &RawEntry| snapshot_running(&[read(audit, 1), read(product, 0)]);
    assert!(!snapshot_running(&[]));
    assert!(snapshot_running(&[read(&audit[0], 1)]));
    assert!(running(&audit[1], &product[0]));
    assert!(!running(&audit[1], &product[1]));
    assert!(!running(&audit[2], &product[1]));
    // The first table had one row only: tables that came later show that it is whole.
    let later = RawEntry { id: EntryId { low: 9, ..audit[0].id }, ..product[1].clone() };
    assert!(!running(&audit[0], &later));
    let incremental = (EntryId::ZERO, Decoded::Snapshot(SnapshotPart::Incremental));
    assert!(!snapshot_running(&[incremental]));
    assert_eq!(heartbeat_stream("cdc"), "__debezium-heartbeat.cdc");
}

proptest! {
    #[test]
    fn nothing_panics(noise in any::<Vec<u8>>(), ddl in "[a-z`'\"/*!#()., \\\\é-]{0,40}") {
        let entry = |value: Vec<u8>| RawEntry { id: EntryId::ZERO, fields: vec![(b"value".to_vec(), value)] };
        schema_change(&entry(noise.clone()), &tables());
        let whole = serde_json::json!({"ddl": ddl, "databaseName": "shop", "source": {}});
        let change = schema_change(&entry(whole.to_string().into_bytes()), &tables());
        assert!(!matches!(change, SchemaChange::Poison(_)));
        assert!(offset("cdc", &[(b"[\"kafka\",{\"server\":\"cdc\"}]".to_vec(), noise.clone())]).is_err());
        assert!(offset("cdc", &[(noise, Vec::new())]).is_err());
    }
}
