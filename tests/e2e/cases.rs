//! What the user is told when something is wrong: the folders under `cases/`, each a mistake and what must be said.
//! Owns: running them, and that nothing was written. Does not own: the mistakes.
//!
//! A folder has `setup.sql` and `redis` (both optional), `job.yaml` and `expect`. In all of them `{{name}}` is replaced: `db`,
//! `server_id`, `mysql_place`, `redis_place`, `user`, `header` (a source and a target that are right), `stream` (the same,
//! with `db` as prefix). `redis` has lines `do: COMMAND`, and `options: ...` if it has to be a server of its own, started with
//! these. `expect` has one `key: value` a line:
//! `exit` (codes, any of them), `says` and `never` (text on stderr, case ignored in `says`; ` | ` separates
//! alternatives), `line of` (text of the job file whose line number is told), `commands` (default `check snapshot`),
//! `foreign` (a collection that holds somebody else's document), `replica` (a server id that is in use).

use crate::harness;
use crate::harness::engine::{Finished, Job};
use crate::harness::redis::Redis;
use crate::harness::servers::{self, Scratch, execute, server_id};
use crate::harness::stall::Listener;
use bson::{Document, doc};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than any connection attempt may take.
const LIMIT: Duration = Duration::from_secs(90);

#[derive(Default)]
struct Expect {
    exit: Vec<i32>,
    says: Vec<String>,
    never: Vec<String>,
    line_of: Vec<String>,
    commands: Vec<String>,
    foreign: Vec<String>,
    replica: Vec<u32>,
}

impl Expect {
    fn parse(text: &str) -> Expect {
        let mut expect = Expect::default();
        for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("not `key: value`: {line}"));
            let words = || value.split_whitespace();
            match key {
                "exit" => expect.exit = words().map(|w| w.parse().expect("an exit code")).collect(),
                "says" => expect.says.push(value.to_owned()),
                "never" => expect.never.push(value.to_owned()),
                "line of" => expect.line_of.push(value.to_owned()),
                "commands" => expect.commands = words().map(str::to_owned).collect(),
                "foreign" => expect.foreign.push(value.to_owned()),
                "replica" => expect.replica.push(value.parse().expect("a server id")),
                _ => panic!("unknown key in expect: {key}"),
            }
        }
        if expect.commands.is_empty() {
            expect.commands = vec!["check".to_owned(), "snapshot".to_owned()];
        }
        let told = !expect.says.is_empty() || expect.exit == [0];
        assert!(!expect.exit.is_empty() && told, "a case needs an exit code and something said");
        expect
    }

    /// What is wrong with an answer.
    fn problems(&self, job: &str, finished: &Finished) -> Vec<String> {
        let Finished { code, stdout, stderr } = finished;
        let lower = stderr.to_lowercase();
        let mut problems = Vec::new();
        if !self.exit.contains(code) {
            problems.push(format!("exit code {code}, expected {:?}", self.exit));
        }
        for said in &self.says {
            if !said.to_lowercase().split(" | ").any(|s| lower.contains(s)) {
                problems.push(format!("does not say: {said}"));
            }
        }
        for secret in &self.never {
            if stderr.contains(secret.as_str()) || stdout.contains(secret.as_str()) {
                problems.push(format!("says: {secret}"));
            }
        }
        for text in &self.line_of {
            let line = 1 + job.lines().position(|l| l.contains(text.as_str())).expect("a line of the job file");
            if ![format!("line {line}"), format!(":{line}")].iter().any(|s| lower.contains(s.as_str())) {
                problems.push(format!("does not tell line {line}, of: {text}"));
            }
        }
        if stderr.contains("panicked") {
            problems.push("panics".to_owned());
        }
        problems
    }
}

struct Names {
    db: String,
    server_id: u32,
    redis: Redis,
}

impl Names {
    fn fill(&self, text: &str) -> String {
        let url = servers::mysql_url();
        let place = url.rsplit('@').next().unwrap_or("").trim_end_matches('/');
        let header = crate::schema::job::header(&crate::schema::job::Settings {
            name: self.db.clone(),
            mysql_database: self.db.clone(),
            mongo_database: self.db.clone(),
            server_id: self.server_id,
            readers: 2,
            chunk_bytes: "8KiB".to_owned(),
            stream: String::new(),
        });
        let stream = format!("stream:\n  url: redis://{}\n  prefix: {}", self.redis.place, self.db);
        text.replace("{{header}}", header.trim_end())
            .replace("{{stream}}", &stream)
            .replace("{{redis_place}}", &self.redis.place)
            .replace("{{db}}", &self.db)
            .replace("{{user}}", &self.user())
            .replace("{{server_id}}", &self.server_id.to_string())
            .replace("{{mysql_place}}", place)
    }

    /// An account of this case's own; at most 32 characters.
    fn user(&self) -> String {
        format!("rf_e2e_{}", self.server_id)
    }
}

async fn run_case(folder: &Path) -> Vec<String> {
    let case = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let read = |name: &str| fs::read_to_string(folder.join(name));
    let scratch = Scratch::create(&format!("case_{case}")).await;
    let script = read("redis").unwrap_or_default();
    let Some(redis) = Redis::of(&script).await else { return Vec::new() };
    let names = Names { db: scratch.name.clone(), server_id: server_id(), redis };
    names.redis.prepare(&names.fill(&script));
    let mut conn = scratch.mysql().await;
    for statement in names.fill(&read("setup.sql").unwrap_or_default()).split(";\n").filter(|s| !s.trim().is_empty()) {
        execute(&mut conn, statement.trim_end().trim_end_matches(';')).await;
    }
    let yaml = names.fill(&read("job.yaml").expect("job.yaml"));
    let expect = Expect::parse(&names.fill(&read("expect").expect("expect")));
    let job = Job::create(&format!("case_{case}"), &yaml);
    for collection in &expect.foreign {
        let theirs = doc! { "_id": 1, "theirs": true };
        scratch.mongo.collection::<Document>(collection).insert_one(theirs).await.expect("a document can be inserted");
    }
    let mut replicas = Vec::new();
    for id in &expect.replica {
        replicas.push(Listener::connect_as(*id).await);
    }
    let before = scratch.target_contents().await;
    let keys_before = names.redis.contents(&names.db);
    let mut problems = Vec::new();
    for command in &expect.commands {
        let finished = job.command(command).finish(LIMIT).await;
        let wrong = expect.problems(&yaml, &finished);
        if !wrong.is_empty() {
            problems.push(format!("{case}: {command}: {}\n    it said: {}", wrong.join("; "), finished.stderr.trim()));
        }
        let after = scratch.target_contents().await;
        if after != before {
            problems.push(format!("{case}: {command} wrote to the target: {after:?}"));
        }
        if names.redis.contents(&names.db) != keys_before {
            problems.push(format!("{case}: {command} wrote to Redis"));
        }
    }
    drop(replicas);
    names.redis.remove(&names.db);
    execute(&mut conn, &format!("DROP USER IF EXISTS '{}'@'%'", names.user())).await;
    if problems.is_empty() {
        scratch.remove().await;
    }
    problems
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/cases");
    let wanted = std::env::var("ROWFOLD_E2E_CASE").unwrap_or_default();
    let entries = fs::read_dir(&root).expect("the cases");
    let mut folders: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).filter(|p| p.is_dir()).collect();
    folders.retain(|p| p.to_string_lossy().contains(&wanted));
    folders.sort();
    folders
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_named_and_nothing_is_written() {
    let _seat = harness::seat().await;
    let folders = folders();
    let mut problems = Vec::new();
    for folder in &folders {
        problems.extend(run_case(folder).await);
    }
    assert!(problems.is_empty(), "{} of {} cases:\n  {}", problems.len(), folders.len(), problems.join("\n  "));
    println!("{} mistakes, all named", folders.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_file_that_is_not_there_is_named() {
    let job = Job::create("no_file", "");
    fs::remove_file(&job.file).expect("it was just made");
    let finished = job.command("check").finish(LIMIT).await;
    assert_eq!(finished.code, 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("job.yaml"), "{}", finished.stderr);
}
