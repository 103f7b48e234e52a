//! What resolving says and makes, against literal expectations.
//!
//! Owns: the helpers of these tests. The tables are those of `jobs/shop.sql`, and a few more.

mod ddl;
mod examples;
mod expressions;
mod mistakes;
mod options;
mod plans;
mod properties;
mod servers;
mod streams;

use std::collections::{BTreeMap, HashMap};

use crate::model::plan::JobPlan;
use crate::model::schema::{ColumnKind, SourceFacts, Table, TableName};

use super::super::loaded::{Loaded, read};
use super::super::problem::{Problem, Severity};
use super::Answers;

/// What stands above a test's projections; these begin on line 5.
const HEADER: &str = "name: test
source: {url: 'mysql://reader:hunter2@db', server_id: 7001}
target: {url: 'mongodb://m', database: shop}
projections:
";

/// The tables of the shop, and some that have something wrong.
fn shop() -> BTreeMap<TableName, Table> {
    let mut tables = ddl::tables(include_str!("../../../../jobs/shop.sql"));
    tables.extend(ddl::tables(include_str!("more.sql")));
    tables
}

/// A server on which nothing is wrong.
fn facts() -> SourceFacts {
    let variables = [
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("binlog_row_value_options", ""),
        ("binlog_expire_logs_seconds", "2592000"),
        ("gtid_mode", "ON"),
        ("enforce_gtid_consistency", "ON"),
        ("sync_binlog", "1"),
        ("innodb_flush_log_at_trx_commit", "1"),
        ("server_id", "1"),
    ];
    SourceFacts {
        version: "9.7.4".to_string(),
        variables: variables.map(|(name, value)| (name.to_string(), value.to_string())).into(),
        grants: vec!["GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `reader`@`%`".to_string()],
        replica_ids: Some(vec![2, 3]),
        open_xa: Some(0),
    }
}

/// Reads a job file.
fn loaded(text: &str) -> Loaded {
    read("job.yaml", text, &HashMap::new()).unwrap_or_else(|problems| panic!("{}", super::super::render(&problems)))
}

/// Resolves a job as a command does: asks and answers what has to be asked. Every expression is an integer unless it
/// says otherwise, and no rows agree in a column that is not called `dup`.
fn resolved(text: &str, tables: &BTreeMap<TableName, Table>, facts: &SourceFacts) -> (Option<JobPlan>, Vec<Problem>) {
    let loaded = loaded(text);
    let questions = loaded.questions(tables);
    let mut answers = Answers { tables: tables.keys().cloned().collect(), ..Answers::default() };
    for (table, expressions) in questions.expressions {
        for expression in expressions {
            let kind = match expression.as_str() {
                "id id" => Err("You have an error in your SQL syntax near 'id'".to_string()),
                curve if curve.starts_with("ST_") => Ok(ColumnKind::Other("curve".to_string())),
                moment if moment.starts_with("TIMESTAMP") => Ok(ColumnKind::DateTime { fsp: 6 }),
                text if text.starts_with("CONCAT") => Ok(ColumnKind::Text),
                _ => Ok(ColumnKind::Int { bits: 64, unsigned: false }),
            };
            answers.expressions.insert((table.clone(), expression), kind);
        }
    }
    for question in questions.duplicates {
        let dup = question.1.iter().any(|column| column == "dup");
        answers.duplicates.insert(question, dup);
    }
    loaded.resolve(tables, facts, &answers)
}

/// The plan of projections that are right.
fn plan(projections: &str) -> JobPlan {
    let (plan, problems) = resolved(&format!("{HEADER}{projections}"), &shop(), &facts());
    plan.unwrap_or_else(|| panic!("{}", super::super::render(&problems)))
}

/// The problems of projections: `<line> <code> <path>: <what> => <fix>`.
fn said(projections: &str) -> Vec<String> {
    let (plan, problems) = resolved(&format!("{HEADER}{projections}"), &shop(), &facts());
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(plan.is_none(), failed, "a plan exactly if there is no error");
    problems.iter().map(show).collect()
}

fn show(problem: &Problem) -> String {
    let location = problem.location.as_ref().map(|at| format!("{} ", at.spot.line)).unwrap_or_default();
    let path = problem.location.as_ref().map(|at| format!(" {}", at.path)).unwrap_or_default();
    let fix = problem.fix.as_ref().map(|fix| format!(" => {fix}")).unwrap_or_default();
    format!("{location}{}{path}: {}{fix}", problem.code, problem.what)
}
