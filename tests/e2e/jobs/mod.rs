//! The job files that are given to users, run as they are; only names of databases, the prefix of streams and the server id
//! are exchanged.
//! Owns: that exchange, and what the other commands say about them. Does not own: the jobs, nor what is tested of each.

mod shop;
mod shop_oracle;
mod tpch;
mod tpch_tables;

use crate::harness;
use crate::harness::engine::Job;
use crate::harness::servers::{execute, server_id};
use crate::harness::world::REST;
use crate::oracle::{self, compare};
use mongodb::Database;
use mysql_async::Conn;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn given(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs").join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `jobs/FILE` for another database on both sides.
fn job(folder: &str, file: &str, database: &str, scratch: &str) -> Job {
    let yaml = given(file);
    let id = yaml.lines().find(|l| l.trim_start().starts_with("server_id:")).expect("a server id");
    let yaml = yaml.replace(id, &format!("  server_id: {}", server_id()));
    let yaml = yaml.replace(&format!("database: {database}\n"), &format!("database: {scratch}\n"));
    let yaml = yaml.replace(&format!("prefix: cdc_{database}\n"), &format!("prefix: {scratch}\n"));
    let exchanged = yaml.replace(&format!("{database}."), &format!("{scratch}."));
    assert!(exchanged.matches(scratch).count() > 3, "the databases were not exchanged: {exchanged}");
    Job::create(folder, &exchanged)
}

/// The statements of an SQL file, in order.
async fn script(conn: &mut Conn, sql: &str) {
    for statement in sql.split(";\n").map(str::trim).filter(|s| !s.is_empty()) {
        execute(conn, statement.trim_end_matches(';')).await;
    }
}

/// One collection against one query; returns how many documents were equal.
async fn assert_collection(conn: &mut Conn, target: &Database, collection: &str, query: &str) -> usize {
    let expected = oracle::expected(conn, query).await;
    let report = compare::compare(&expected, &oracle::actual(target, collection).await);
    assert!(report.is_equal(), "{collection}: {report}");
    report.compared
}

/// An array of what `element` gives for the rows of `from`.
fn array(element: &str, order: &str, from: &str) -> String {
    format!(
        "(SELECT CAST(CONCAT('[', IFNULL(GROUP_CONCAT({element} ORDER BY {order} SEPARATOR ','), ''), ']') AS JSON) FROM \
         {from})"
    )
}

/// `check` names every collection and says that the job is ready; `preview` prints nothing but documents.
async fn looked_at_before(job: &Job, name: &str, collections: &[&str]) {
    let check = job.command("check").finish(REST).await;
    assert_eq!(check.code, 0, "{}", check.stderr);
    assert!(check.stdout.contains(&format!("job {name}: ready")), "{}", check.stdout);
    for collection in collections {
        let line = check.stdout.lines().find(|l| l.trim_start().starts_with(&format!("{collection}: ")));
        let line = line.unwrap_or_else(|| panic!("nothing on {collection}: {}", check.stdout));
        assert!(["documents", "tables", "chunks"].iter().all(|word| line.contains(word)), "{line}");
    }
    let preview = job.command("preview").arg("-n").arg("2").finish(REST).await;
    assert_eq!(preview.code, 0, "{}", preview.stderr);
    let documents: Vec<Value> = serde_json::Deserializer::from_str(&preview.stdout)
        .into_iter::<Value>()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("not JSON: {e}: {}", preview.stdout));
    assert!(documents.len() >= collections.len(), "{} documents", documents.len());
    assert!(documents.iter().all(|d| d.get("_id").is_some()), "{}", preview.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_prints_a_json_schema_that_knows_the_keys_of_the_jobs() {
    let _seat = harness::seat().await;
    // The one command that takes no job file.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_rowfold")).arg("schema").output().expect("it starts");
    assert!(output.status.success());
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(schema["$schema"].as_str().is_some_and(|s| s.contains("json-schema.org")), "{schema}");
    let keys = schema["properties"].as_object().expect("properties");
    for file in ["shop.yaml", "tpch_orders.yaml", "tpch_customers.yaml"] {
        for line in given(file).lines().filter(|l| !l.is_empty() && !l.starts_with([' ', '#'])) {
            let (key, _) = line.split_once(':').unwrap_or_else(|| panic!("{file}: {line}"));
            assert!(keys.contains_key(key), "{file}: `{key}` is not in the schema");
        }
    }
}
