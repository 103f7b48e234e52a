//! Whether the source server is set up so that a copy can be kept true.
//!
//! Owns: settings of the binlog, GTIDs, durability and retention; server IDs; XA. Does not own: privileges (`grants`),
//! foreign keys (`cascades`).

use std::collections::BTreeMap;

use crate::model::plan::TableUse;
use crate::model::schema::{SourceFacts, Table, TableName};

use super::super::job::JobFile;
use super::{Work, grants};

/// Bytes of source rows that a copy reads in a second, cautiously; for the estimate of its duration.
const COPY_BYTES_PER_SECOND: u64 = 10 << 20;
/// The shortest retention of the binlog that is not warned of.
const RETENTION_MIN_SECONDS: u64 = 3600;

/// Checks the source server.
pub fn check(
    job: &JobFile,
    facts: &SourceFacts,
    tables: &BTreeMap<TableName, Table>,
    used: &[TableUse],
    work: &mut Work<'_>,
) {
    let mut source = Source { job, facts, work };
    if source.version() {
        source.binlog();
        source.gtid();
        source.durability();
    }
    source.server_id();
    source.retention(tables, used);
    source.xa();
    grants::check(job, &facts.grants, work);
}

struct Source<'a, 'b, 'w> {
    job: &'a JobFile,
    facts: &'a SourceFacts,
    work: &'w mut Work<'b>,
}

impl Source<'_, '_, '_> {
    fn error(&mut self, code: &'static str, what: String, fix: &str) {
        let spot = self.job.source.url.spot;
        self.work.report.error(code, spot, "source.url", what, Some(fix.to_string()));
    }

    fn warning(&mut self, code: &'static str, what: String, fix: &str) {
        let spot = self.job.source.url.spot;
        self.work.report.warning(code, spot, "source.url", what, Some(fix.to_string()));
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.facts.variable(name).map(str::trim)
    }

    fn is_on(&self, name: &str) -> bool {
        // A variable that was not read, or that this version does not have, is not held against the server.
        self.variable(name).is_none_or(|value| value.eq_ignore_ascii_case("ON") || value == "1")
    }

    /// Whether it is a server whose settings are known here.
    fn version(&mut self) -> bool {
        let version = &self.facts.version;
        let (name, oldest) = if self.facts.is_mariadb() { ("MariaDB", (10, 6)) } else { ("MySQL", (8, 0)) };
        // MariaDB 10 may call itself 5.5.5-10.
        let number = version.strip_prefix("5.5.5-").unwrap_or(version);
        if major_minor(number).is_some_and(|version| version < oldest) {
            let what = format!("the source is {name} {version}, which is too old");
            self.error("E-VERSION", what, &format!("use {name} {}.{} or later", oldest.0, oldest.1));
            return false;
        }
        true
    }

    /// The statement that changes a variable, for good where the server can do that.
    fn set(&self, name: &str, value: &str) -> String {
        if self.facts.is_mariadb() {
            format!("SET GLOBAL {name} = {value};  -- and {name} = {value} under [mysqld] in the server's my.cnf")
        } else {
            format!("SET PERSIST {name} = {value};")
        }
    }

    fn binlog(&mut self) {
        if !self.is_on("log_bin") {
            let what = "the source writes no binlog: log_bin is OFF".to_string();
            self.error(
                "E-BINLOG",
                what,
                "remove `skip-log-bin`, or put `log-bin` into the server's my.cnf; restart it",
            );
        }
        for (name, needed) in [("binlog_format", "ROW"), ("binlog_row_image", "FULL")] {
            if let Some(value) = self.variable(name).filter(|value| !value.eq_ignore_ascii_case(needed)) {
                let what = format!("the source has {name}={value}; {needed} is needed");
                let quoted = self.set(name, &format!("'{needed}'"));
                self.error("E-BINLOG", what, &quoted);
            }
        }
        if let Some(value) = self.variable("binlog_row_value_options").filter(|value| !value.is_empty()) {
            let what = format!("the source has binlog_row_value_options={value}; whole JSON values are needed");
            self.error("E-BINLOG", what, "SET PERSIST binlog_row_value_options = '';");
        }
        if let Some(value) = self.variable("binlog_row_metadata").filter(|value| !value.eq_ignore_ascii_case("FULL")) {
            let what = format!(
                "the source has binlog_row_metadata={value}; FULL is needed: without the columns' names, old events are read wrong once a column was moved"
            );
            let fix = self.set("binlog_row_metadata", "'FULL'");
            self.error("E-BINLOG-METADATA", what, &fix);
        }
    }

    fn gtid(&mut self) {
        if self.facts.is_mariadb() {
            return self.domains();
        }
        let consistent = self.is_on("enforce_gtid_consistency");
        if let Some(mode) = self.variable("gtid_mode").filter(|mode| !mode.eq_ignore_ascii_case("ON")) {
            let steps = ["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
            let done = steps.iter().position(|step| step.eq_ignore_ascii_case(mode)).map_or(0, |at| at + 1);
            let consistency = (!consistent).then(|| "SET PERSIST enforce_gtid_consistency = ON;".to_string());
            let modes = steps[done..].iter().map(|step| format!("SET PERSIST gtid_mode = {step};"));
            let fix: Vec<String> = consistency.into_iter().chain(modes).collect();
            let what =
                format!("the source has gtid_mode={mode}; without GTIDs nothing proves that a read contains a change");
            self.error("E-NO-FENCE", what, &fix.join("\n"));
        } else if !consistent {
            let value = self.variable("enforce_gtid_consistency").unwrap_or_default();
            let what = format!("the source has enforce_gtid_consistency={value}; ON is needed");
            self.error("E-NO-FENCE", what, "SET PERSIST enforce_gtid_consistency = ON;");
        }
    }

    /// What MariaDB's GTIDs need: they are always on.
    fn domains(&mut self) {
        if !self.is_on("gtid_strict_mode") {
            let what =
                "the source has gtid_strict_mode=OFF: numbers within a domain could go back, and the job would stop";
            let fix = self.set("gtid_strict_mode", "ON");
            self.warning("W-GTID-STRICT", what.to_string(), &fix);
        }
        let replicates = self.variable("gtid_slave_pos").is_some_and(|position| !position.is_empty());
        if replicates && !self.is_on("log_slave_updates") {
            let what =
                "the source is or was a replica and has log_slave_updates=OFF: what it replicates is not in its binlog";
            let fix = "put `log-slave-updates` into the server's my.cnf and restart it, or read from the primary";
            self.error("E-BINLOG", what.to_string(), fix);
        }
    }

    /// A transaction that we have read must not be lost by a crash of the source.
    fn durability(&mut self) {
        for name in ["sync_binlog", "innodb_flush_log_at_trx_commit"] {
            let Some(value) = self.variable(name).filter(|value| *value != "1") else { continue };
            let what =
                format!("the source has {name}={value}: a crash could lose a transaction that was copied already");
            let fix = self.set(name, "1");
            if self.job.source.allow_unsafe_source {
                self.warning("W-UNSAFE-SOURCE", what, &fix);
            } else {
                self.error("E-UNSAFE-SOURCE", format!("{what} (`allow_unsafe_source: true` allows that)"), &fix);
            }
        }
    }

    fn server_id(&mut self) {
        let at = &self.job.source.server_id;
        let own = self.variable("server_id").and_then(|value| value.parse::<u64>().ok()) == Some(at.value);
        let replicas = self.facts.replica_ids.as_deref().unwrap_or_default();
        let replica = replicas.iter().any(|id| u64::from(*id) == at.value);
        let what = match (own, replica) {
            (true, _) => format!("server_id {} is the source's own", at.value),
            (false, true) => format!("server_id {} belongs to a replica that is connected to the source", at.value),
            (false, false) => return,
        };
        let taken = |id: u64| {
            replicas.iter().any(|other| u64::from(*other) == id) || self.variable("server_id") == Some(&id.to_string())
        };
        let free = (7001..8000).find(|id| !taken(*id)).unwrap_or(70_001);
        let fix = format!("server_id: {free}, or any number that no other replica has");
        self.work.report.error("E-SERVER-ID", at.spot, "source.server_id", what, Some(fix));
    }

    fn retention(&mut self, tables: &BTreeMap<TableName, Table>, used: &[TableUse]) {
        let kept = self.variable("binlog_expire_logs_seconds").and_then(|value| value.parse::<u64>().ok());
        let Some(kept) = kept.filter(|seconds| *seconds > 0) else { return };
        let bytes = |table: &Table| table.rows_estimate.saturating_mul(table.row_bytes_estimate);
        let all: u64 = used.iter().filter_map(|table| tables.get(&table.name)).map(bytes).fold(0, u64::saturating_add);
        let needed = (all / COPY_BYTES_PER_SECOND).saturating_mul(3).max(RETENTION_MIN_SECONDS);
        if kept < needed {
            let hours = |seconds: u64| format!("{:.1}", seconds as f64 / 3600.0);
            let what = format!(
                "the source keeps its binlog for {} hours; three times the estimated copy is {} hours",
                hours(kept),
                hours(needed)
            );
            let fix = self.set("binlog_expire_logs_seconds", &needed.to_string());
            self.warning("W-RETENTION", what, &fix);
        }
    }

    fn xa(&mut self) {
        if let Some(open) = self.facts.open_xa.filter(|open| *open > 0) {
            let what = format!(
                "the source has {open} prepared XA transactions; their changes are in the binlog already and can be seen only after the commit"
            );
            self.warning("W-XA-OPEN", what, "XA RECOVER; then XA COMMIT or XA ROLLBACK each of them");
        }
    }
}

/// `8.4.2-log` is (8, 4).
pub fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
