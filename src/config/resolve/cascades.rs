//! Rows that a foreign key changes without a trace in the binlog.
//!
//! Owns: which servers leave them out, which places of a job do not mind. Does not own: reading foreign keys
//! (`edge::mysql::schema`).

use std::collections::BTreeMap;

use crate::model::plan::TableUse;
use crate::model::schema::{ForeignKey, SourceFacts, Table, TableName};

use super::super::job::JobFile;
use super::nodes::Draft;
use super::source_checks::major_minor;
use super::{Drafts, Work};

/// The variable of MySQL 9.6 and later that leaves cascades to the storage engine, as before.
const NATIVE: &str = "innodb_native_foreign_keys";

/// Checks the foreign keys of all used tables.
pub fn check(
    job: &JobFile,
    facts: &SourceFacts,
    tables: &BTreeMap<TableName, Table>,
    used: &[TableUse],
    drafts: &[Drafts<'_>],
    work: &mut Work<'_>,
) {
    let native = facts.variable(NATIVE).is_some_and(|value| value.eq_ignore_ascii_case("ON") || value == "1");
    let logs = !facts.is_mariadb() && major_minor(&facts.version).is_none_or(|version| version >= (9, 6));
    if !native && logs {
        return;
    }
    for table in used.iter().filter_map(|table| tables.get(&table.name)) {
        let harms = |key: &&ForeignKey| key.changes_rows && !follows_parent(&table.name, key, drafts);
        let constraints: Vec<String> =
            table.foreign_keys.iter().filter(harms).map(|key| format!("{} (from {})", key.name, key.parent)).collect();
        if constraints.is_empty() {
            continue;
        }
        let what = format!(
            "foreign keys change rows of {} without a trace in the binlog of {} {}: {}",
            table.name,
            if facts.is_mariadb() { "MariaDB" } else { "MySQL" },
            facts.version,
            constraints.join(", ")
        );
        let fix = if native {
            format!("make them RESTRICT and change the rows by statements, or restart the source with {NATIVE}=OFF")
        } else {
            "make them RESTRICT and change the rows by statements, or use MySQL 9.6 or later".to_string()
        };
        let (spot, path) = work.named.get(&table.name).cloned().unwrap_or_default();
        if job.source.allow_unlogged_cascades {
            work.report.warning("W-CASCADE", spot, &path, what, Some(fix));
        } else {
            let what = format!("{what} (`allow_unlogged_cascades: true` in `source` allows that)");
            work.report.error("E-CASCADE", spot, &path, what, Some(fix));
        }
    }
}

/// Whether the parent's own event re-reads every document in which a row that the key changes stands: wherever the
/// table is used, it lies directly below the key's parent and is joined by the key's columns.
fn follows_parent(table: &TableName, key: &ForeignKey, drafts: &[Drafts<'_>]) -> bool {
    drafts.iter().all(|drafts| {
        let fine = |node: &Draft<'_>| {
            let own = node.table.is_some_and(|own| own.name == *table);
            let link = node.link.as_ref().is_some_and(|(link, _)| link.name == *table);
            // A node behind a link table is joined to that; its parent's event says nothing about it.
            let behind_link = own && node.link.is_some();
            !(own || link) || !behind_link && joined_by(node, key, &drafts.nodes)
        };
        drafts.nodes.iter().all(fine)
    })
}

fn joined_by(node: &Draft<'_>, key: &ForeignKey, nodes: &[Draft<'_>]) -> bool {
    let (Some(parent), Some(join)) = (node.parent.and_then(|parent| nodes[parent].table), &node.join) else {
        return false;
    };
    let folded = |parent: &str, child: &str| (parent.to_lowercase(), child.to_lowercase());
    let mut joined: Vec<_> = join.pairs.iter().map(|pair| folded(&pair.parent_column, &pair.child_column)).collect();
    let mut declared: Vec<_> =
        key.parent_columns.iter().zip(&key.columns).map(|(parent, child)| folded(parent, child)).collect();
    joined.sort_unstable();
    declared.sort_unstable();
    parent.name == key.parent && joined == declared
}
