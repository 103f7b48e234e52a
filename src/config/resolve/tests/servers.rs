//! What is said about the source server, and about a target that belongs to somebody else.

use super::super::target_problem;
use super::{HEADER, facts, loaded, resolved, shop, show};
use crate::config::render;
use crate::model::schema::{SourceFacts, TableName};

const TAG: &str = "- {collection: tags, root: shop.tag}\n";

fn says(text: &str, facts: &SourceFacts, expected: &[&str]) {
    let (plan, problems) = resolved(text, &shop(), facts);
    let said: Vec<String> = problems.iter().map(show).collect();
    assert!(said == expected, "\n{said:#?}\n{expected:#?}");
    assert_eq!(plan.is_some(), said.iter().all(|line| line.contains(" W-")));
}

fn with(variables: &[(&str, &str)]) -> SourceFacts {
    let mut facts = facts();
    for (name, value) in variables {
        facts.variables.insert(name.to_string(), value.to_string());
    }
    facts
}

#[test]
fn settings_come_with_the_statement_that_mends_them() {
    let facts = with(&[
        ("log_bin", "OFF"),
        ("binlog_format", "STATEMENT"),
        ("binlog_row_image", "MINIMAL"),
        ("binlog_row_metadata", "MINIMAL"),
        ("binlog_row_value_options", "PARTIAL_JSON"),
        ("gtid_mode", "OFF"),
        ("enforce_gtid_consistency", "OFF"),
        ("sync_binlog", "0"),
        ("innodb_flush_log_at_trx_commit", "2"),
    ]);
    says(
        &format!("{HEADER}{TAG}"),
        &facts,
        &[
            "2 E-BINLOG source.url: the source writes no binlog: log_bin is OFF => remove `skip-log-bin`, or put `log-bin` into the server's my.cnf; restart it",
            "2 E-BINLOG source.url: the source has binlog_format=STATEMENT; ROW is needed => SET PERSIST binlog_format = 'ROW';",
            "2 E-BINLOG source.url: the source has binlog_row_image=MINIMAL; FULL is needed => SET PERSIST binlog_row_image = 'FULL';",
            "2 E-BINLOG source.url: the source has binlog_row_value_options=PARTIAL_JSON; whole JSON values are needed => SET PERSIST binlog_row_value_options = '';",
            "2 E-BINLOG-METADATA source.url: the source has binlog_row_metadata=MINIMAL; FULL is needed: without the columns' names, old events are read wrong once a column was moved => SET PERSIST binlog_row_metadata = 'FULL';",
            "2 E-NO-FENCE source.url: the source has gtid_mode=OFF; without GTIDs nothing proves that a read contains a change => SET PERSIST enforce_gtid_consistency = ON;\nSET PERSIST gtid_mode = OFF_PERMISSIVE;\nSET PERSIST gtid_mode = ON_PERMISSIVE;\nSET PERSIST gtid_mode = ON;",
            "2 E-UNSAFE-SOURCE source.url: the source has sync_binlog=0: a crash could lose a transaction that was copied already (`allow_unsafe_source: true` allows that) => SET PERSIST sync_binlog = 1;",
            "2 E-UNSAFE-SOURCE source.url: the source has innodb_flush_log_at_trx_commit=2: a crash could lose a transaction that was copied already (`allow_unsafe_source: true` allows that) => SET PERSIST innodb_flush_log_at_trx_commit = 1;",
        ],
    );
    says(
        &format!("{HEADER}{TAG}"),
        &with(&[("gtid_mode", "ON_PERMISSIVE")]),
        &[
            "2 E-NO-FENCE source.url: the source has gtid_mode=ON_PERMISSIVE; without GTIDs nothing proves that a read contains a change => SET PERSIST gtid_mode = ON;",
        ],
    );
    says(
        &format!("{HEADER}{TAG}"),
        &with(&[("enforce_gtid_consistency", "WARN")]),
        &[
            "2 E-NO-FENCE source.url: the source has enforce_gtid_consistency=WARN; ON is needed => SET PERSIST enforce_gtid_consistency = ON;",
        ],
    );
}

#[test]
fn an_unsafe_source_can_be_allowed() {
    let text = format!("{HEADER}{TAG}").replace("server_id: 7001", "server_id: 7001, allow_unsafe_source: true");
    says(
        &text,
        &with(&[("sync_binlog", "1000")]),
        &[
            "2 W-UNSAFE-SOURCE source.url: the source has sync_binlog=1000: a crash could lose a transaction that was copied already => SET PERSIST sync_binlog = 1;",
        ],
    );
}

#[test]
fn server_ids_are_compared() {
    says(
        &format!("{HEADER}{TAG}"),
        &with(&[("server_id", "7001")]),
        &[
            "2 E-SERVER-ID source.server_id: server_id 7001 is the source's own => server_id: 7002, or any number that no other replica has",
        ],
    );
    let mut used = facts();
    used.replica_ids = Some(vec![7001, 7002]);
    says(
        &format!("{HEADER}{TAG}"),
        &used,
        &[
            "2 E-SERVER-ID source.server_id: server_id 7001 belongs to a replica that is connected to the source => server_id: 7003, or any number that no other replica has",
        ],
    );
    used.replica_ids = None;
    says(&format!("{HEADER}{TAG}"), &used, &[]);
}

#[test]
fn other_servers_are_refused_by_their_version() {
    for (version, said) in [
        (
            "5.5.5-10.4.34-MariaDB-log",
            "2 E-VERSION source.url: the source is MariaDB 5.5.5-10.4.34-MariaDB-log, which is too old => use MariaDB 10.6 or later",
        ),
        (
            "5.7.44-log",
            "2 E-VERSION source.url: the source is MySQL 5.7.44-log, which is too old => use MySQL 8.0 or later",
        ),
    ] {
        let mut facts = facts();
        facts.version = version.to_string();
        says(&format!("{HEADER}{TAG}"), &facts, &[said]);
    }
}

#[test]
fn mariadb_is_asked_for_what_it_has() {
    let mut facts = with(&[
        ("gtid_strict_mode", "OFF"),
        ("gtid_slave_pos", "0-1-5"),
        ("log_slave_updates", "OFF"),
        ("binlog_row_metadata", "NO_LOG"),
        ("sync_binlog", "0"),
    ]);
    facts.version = "10.11.19-MariaDB".to_string();
    // Whatever else the server may say of these.
    facts.variables.retain(|name, _| name != "gtid_mode" && name != "enforce_gtid_consistency");
    let cnf = "under [mysqld] in the server's my.cnf";
    let unsafe_source =
        "a crash could lose a transaction that was copied already (`allow_unsafe_source: true` allows that)";
    says(
        &format!("{HEADER}{TAG}"),
        &facts,
        &[
            &format!(
                "2 E-BINLOG-METADATA source.url: the source has binlog_row_metadata=NO_LOG; FULL is needed: without the columns' names, old events are read wrong once a column was moved => SET GLOBAL binlog_row_metadata = 'FULL';  -- and binlog_row_metadata = 'FULL' {cnf}"
            ),
            &format!(
                "2 W-GTID-STRICT source.url: the source has gtid_strict_mode=OFF: numbers within a domain could go back, and the job would stop => SET GLOBAL gtid_strict_mode = ON;  -- and gtid_strict_mode = ON {cnf}"
            ),
            "2 E-BINLOG source.url: the source is or was a replica and has log_slave_updates=OFF: what it replicates is not in its binlog => put `log-slave-updates` into the server's my.cnf and restart it, or read from the primary",
            &format!(
                "2 E-UNSAFE-SOURCE source.url: the source has sync_binlog=0: {unsafe_source} => SET GLOBAL sync_binlog = 1;  -- and sync_binlog = 1 {cnf}"
            ),
        ],
    );
}

#[test]
fn retention_and_open_transactions_are_warned_of() {
    let mut facts = with(&[("binlog_expire_logs_seconds", "600")]);
    facts.open_xa = Some(2);
    says(
        &format!("{HEADER}{TAG}"),
        &facts,
        &[
            "2 W-RETENTION source.url: the source keeps its binlog for 0.2 hours; three times the estimated copy is 1.0 hours => SET PERSIST binlog_expire_logs_seconds = 3600;",
            "2 W-XA-OPEN source.url: the source has 2 prepared XA transactions; their changes are in the binlog already and can be seen only after the commit => XA RECOVER; then XA COMMIT or XA ROLLBACK each of them",
        ],
    );
}

#[test]
fn cascades_without_a_trace_are_refused_where_no_event_tells_of_them() {
    let child = format!("{HEADER}- {{collection: a, root: shop.child}}\n");
    let nested = |join: &str| {
        format!("{HEADER}- {{collection: a, root: shop.customer, many: {{c: {{table: shop.child, join: {join}}}}}}}\n")
    };
    let refused = "foreign keys change rows of shop.child without a trace in the binlog of MySQL 8.4.2: child_customer (from shop.customer)";
    let allows = "(`allow_unlogged_cascades: true` in `source` allows that)";
    let fix = "make them RESTRICT and change the rows by statements, or";
    let mut old = facts();
    old.version = "8.4.2".to_string();
    let error = |path: &str| format!("5 E-CASCADE {path}: {refused} {allows} => {fix} use MySQL 9.6 or later");
    says(&child, &old, &[&error("projections[0].root")]);
    says(&nested("{id: id}"), &old, &[&error("projections[0].many.c.table")]);
    says(&nested("{id: customer_id}"), &old, &[]);
    says(&child, &facts(), &[]);
    let allowed = child.replace("server_id: 7001", "server_id: 7001, allow_unlogged_cascades: true");
    let warning = format!("5 W-CASCADE projections[0].root: {refused} => {fix} use MySQL 9.6 or later");
    says(&allowed, &old, &[&warning]);
    let error = format!(
        "5 E-CASCADE projections[0].root: {} {allows} => {fix} restart the source with innodb_native_foreign_keys=OFF",
        refused.replace("8.4.2", "9.7.4")
    );
    says(&child, &with(&[("innodb_native_foreign_keys", "ON")]), &[&error]);
}

#[test]
fn keys_in_east_asian_character_sets_are_refused() {
    let (mut tables, text) = (shop(), format!("{HEADER}- {{collection: a, root: shop.order}}\n"));
    let order = tables.get_mut(&TableName::new("shop", "order")).expect("a table");
    order.columns[0].collation = Some("gbk_chinese_ci".to_string());
    order.columns[4].collation = Some("sjis_japanese_ci".to_string());
    let (_, problems) = resolved(&text, &tables, &facts());
    assert_eq!(
        problems.iter().map(show).collect::<Vec<_>>(),
        [
            "5 E-CHARSET projections[0].root: shop.order.region (varchar(2) gbk_chinese_ci) is a part of `_id` or of a join, and different characters of gbk can be the same one in Unicode, or none => ALTER TABLE `shop`.`order` MODIFY `region` varchar(2) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci NOT NULL;"
        ]
    );
}

#[test]
fn texts_that_mariadb_compares_in_two_ways_are_refused() {
    let text = format!("{HEADER}- {{collection: a, root: shop.order}}\n");
    let said = |collation: &str, version: &str| -> Vec<String> {
        let (mut tables, mut facts) = (shop(), facts());
        let order = tables.get_mut(&TableName::new("shop", "order")).expect("a table");
        order.columns[0].collation = Some(collation.to_string());
        order.columns[0].declared = "char(2)".to_string();
        facts.version = version.to_string();
        resolved(&text, &tables, &facts).1.iter().map(show).collect()
    };
    let refused = said("utf8mb4_0900_ai_ci", "11.8.9-MariaDB");
    assert!(
        refused.iter().any(|line| line.contains("E-CHARSET")
            && line.ends_with(
                "=> ALTER TABLE `shop`.`order` MODIFY `region` varchar(2) COLLATE utf8mb4_0900_ai_ci NOT NULL;"
            )),
        "{refused:#?}"
    );
    let none = |said: Vec<String>| !said.iter().any(|line| line.contains("E-CHARSET"));
    assert!(none(said("utf8mb4_0900_ai_ci", "9.7.4")) && none(said("utf8mb4_uca1400_ai_ci", "11.8.9-MariaDB")));
    assert!(none(said("utf8mb4_nopad_bin", "11.8.9-MariaDB")));
}

#[test]
fn missing_privileges_come_with_the_grant() {
    let granted = |lines: &[&str]| {
        let mut facts = facts();
        facts.grants = lines.iter().map(ToString::to_string).collect();
        facts
    };
    let text = format!("{HEADER}{TAG}");
    says(
        &text,
        &granted(&["GRANT USAGE ON *.* TO `r`@`10.%`", "GRANT SELECT ON `shop`.`order` TO `r`@`10.%`"]),
        &[
            "2 E-GRANT source.url: the source's account lacks REPLICATION SLAVE and REPLICATION CLIENT => GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'r'@'10.%';",
            "2 E-GRANT source.url: the source's account lacks SELECT on shop.tag => GRANT SELECT ON `shop`.`tag` TO 'r'@'10.%';",
        ],
    );
    says(
        &text,
        &granted(&["GRANT REPLICATION SLAVE ON *.* TO `r`@`%`", "GRANT SELECT (`id`) ON `shop`.`tag` TO `r`@`%`"]),
        &[
            "2 E-GRANT source.url: the source's account lacks REPLICATION CLIENT => GRANT REPLICATION CLIENT ON *.* TO 'r'@'%';",
            "2 E-GRANT source.url: the source's account lacks SELECT on all columns of shop.tag => GRANT SELECT ON `shop`.`tag` TO 'r'@'%';",
        ],
    );
    says(
        &text,
        &granted(&["GRANT USAGE ON *.* TO `r`@`%`", "GRANT `reader`@`%` TO `r`@`%`"]),
        &[
            "2 W-GRANT source.url: the source's account has no REPLICATION SLAVE and REPLICATION CLIENT of its own; a role may give it => GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'r'@'%';",
            "2 W-GRANT source.url: the source's account has no SELECT on shop.tag of its own; a role may give it => GRANT SELECT ON `shop`.`tag` TO 'r'@'%';",
        ],
    );
    says(&text, &granted(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]), &[]);
    says(
        &text,
        &granted(&[
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `r`@`%`",
            "GRANT SELECT ON `sh%`.* TO `r`@`%`",
        ]),
        &[],
    );
}

#[test]
fn somebody_elses_collection_is_named() {
    let loaded = loaded(&format!("{HEADER}{TAG}"));
    assert_eq!(
        render(&[target_problem(&loaded.job, "tags")]),
        "error[E-TARGET-BUSY]: the collection shop.tags holds documents that this job did not write
  --> job.yaml:5:16 (projections[0].collection)
   | - {collection: tags, root: shop.tag}
  fix: rename or drop that collection, or write to another one
1 error
"
    );
}

#[test]
fn no_password_is_ever_shown() {
    let loaded = loaded(&format!("{HEADER}{TAG}"));
    let (_, problems) = resolved(&format!("{HEADER}{TAG}"), &shop(), &with(&[("log_bin", "OFF")]));
    let texts = [render(&problems), format!("{loaded:?}"), loaded.settings.source.place()];
    for text in texts {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(loaded.settings.source.place(), "db:3306");
    assert_eq!(loaded.settings.target.place(), "m:27017");
}
