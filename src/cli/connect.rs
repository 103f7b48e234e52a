//! From a job file to a proved plan and connected servers.
//!
//! Owns: the order of loading, asking the servers, and resolving; printing every problem at once; and that nothing is
//! written on the way. Does not own: what is a mistake (`config`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Answers, Loaded, Problem, Questions, Settings, Severity};
use crate::edge::mongo::MongoTarget;
use crate::edge::mysql::{MySqlServer, MySqlSource};
use crate::error::{Error, Kind, Result};
use crate::model::plan::JobPlan;
use crate::ports::{CollectionState, DocumentStore, RecordStore};

/// How often a taken `server_id` is asked for again, and how many times.
const SERVER_ID_EVERY: Duration = Duration::from_millis(500);
/// See [`SERVER_ID_EVERY`].
const SERVER_ID_TRIES: u32 = 20;

/// A job that may run, with its servers.
pub(super) struct Connected {
    pub(super) plan: Arc<JobPlan>,
    pub(super) settings: Settings,
    pub(super) source: MySqlSource,
    pub(super) target: MongoTarget,
}

/// Loads a job, proves it against the live schema, and connects.
///
/// # Errors
/// `Config` after all problems were printed.
pub(super) async fn connect(job: &Path) -> Result<Connected> {
    let loaded = load(job)?;
    let settings = &loaded.settings;
    let proved = prove_patiently(&loaded).await;
    // What is wrong in the file itself is said also when a server cannot be reached.
    let (plan, mut problems) = proved.unwrap_or_else(|error| (None, with(&loaded.problems, error, "source (MySQL)")));
    let target = match MongoTarget::connect(&settings.target).await {
        Ok(target) => {
            problems.extend(target_problems(&loaded, &target).await?);
            Some(target)
        }
        Err(error) => {
            problems = with(&problems, error, "target (MongoDB)");
            None
        }
    };
    print(&problems);
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    match (plan, target) {
        (Some(plan), Some(target)) if !failed => {
            let plan = Arc::new(plan);
            let source = MySqlSource::new(&settings.source, plan.clone())?;
            Ok(Connected { plan, settings: loaded.settings, source, target })
        }
        _ => Err(refused(&problems)),
    }
}

/// The problems and a server that cannot be used, as one more.
fn with(problems: &[Problem], error: Error, server: &str) -> Vec<Problem> {
    let unusable = Problem {
        severity: Severity::Error,
        code: "E-SERVER",
        what: format!("the {server} cannot be used: {}", error.chain()),
        location: None,
        fix: None,
    };
    problems.iter().cloned().chain([unusable]).collect()
}

/// Collections that hold somebody else's documents.
async fn target_problems(loaded: &Loaded, target: &MongoTarget) -> Result<Vec<Problem>> {
    let builds = target.builds(None).await?;
    let mut problems = Vec::new();
    for projection in &loaded.job.projections {
        let collection = &projection.collection.value;
        let ours = builds.iter().any(|build| build.collection == *collection && build.job == loaded.settings.name);
        if !ours && target.collection_state(collection).await? == CollectionState::Filled {
            problems.push(config::resolve::target_problem(&loaded.job, collection));
        }
    }
    Ok(problems)
}

/// Proves the job. The source notices the end of a killed engine's binlog connection a moment late: while a taken
/// `server_id` is the only mistake, it is asked again for a few seconds.
async fn prove_patiently(loaded: &Loaded) -> Result<(Option<JobPlan>, Vec<Problem>)> {
    let mut left = SERVER_ID_TRIES;
    loop {
        let (plan, problems) = prove(loaded).await?;
        let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error).peekable();
        let only_id = errors.peek().is_some() && errors.all(|problem| problem.code == "E-SERVER-ID");
        if !only_id {
            return Ok((plan, problems));
        }
        left -= 1;
        if let Some(owner) = running(loaded, SERVER_ID_EVERY * (SERVER_ID_TRIES - 1 - left)).await {
            return Err(Error::config(format!(
                "E-LEASE: job {} is being run by another engine ({owner}); stop that one first",
                loaded.settings.name
            )));
        }
        if left == 0 {
            return Ok((plan, problems));
        }
        pause(SERVER_ID_EVERY).await;
    }
}

/// Who runs the job now, if somebody does: who told its state since we began to wait. The last word of an engine that
/// has just ended is recent too, but it is not renewed.
async fn running(loaded: &Loaded, waited: Duration) -> Option<String> {
    let target = MongoTarget::connect(&loaded.settings.target).await.ok()?;
    let (word, age) = target.status(&loaded.settings.name).await.ok()??;
    (age < waited).then_some(word.owner)
}

/// The target of a job file, whatever else is wrong with it.
pub(super) async fn target_of(job: &Path) -> Result<(String, MongoTarget)> {
    let settings = load(job)?.settings;
    let target = MongoTarget::connect(&settings.target).await.map_err(unreachable)?;
    Ok((settings.name, target))
}

fn load(job: &Path) -> Result<Loaded> {
    config::load(job).map_err(|problems| {
        print(&problems);
        refused(&problems)
    })
}

/// Before the first write a server that does not answer is a wrong setting.
fn unreachable(error: Error) -> Error {
    if error.kind() == Kind::Retry {
        Error::config(format!("the target (MongoDB) cannot be used: {}", error.chain()))
    } else {
        error
    }
}

async fn prove(loaded: &Loaded) -> Result<(Option<JobPlan>, Vec<Problem>)> {
    let server = MySqlServer::new(&loaded.settings.source)?;
    let facts = server.facts().await?;
    let tables = server.tables(&loaded.tables()).await?;
    let tables: BTreeMap<_, _> = tables.into_iter().map(|table| (table.name.clone(), table)).collect();
    let answers = answer(&server, loaded.questions(&tables)).await?;
    Ok(loaded.resolve(&tables, &facts, &answers))
}

async fn answer(server: &MySqlServer, questions: Questions) -> Result<Answers> {
    let mut answers = Answers::default();
    for database in &questions.databases {
        answers.tables.extend(server.tables_of(database).await?.into_iter().map(|table| table.name));
    }
    for (table, expressions) in questions.expressions {
        for expression in expressions {
            let kind = match server.describe(&table, std::slice::from_ref(&expression)).await {
                Ok(mut kinds) => kinds.pop().ok_or_else(|| "the server described nothing".to_string()),
                Err(error) if error.kind() == Kind::Retry => return Err(error),
                Err(error) => Err(error.chain()),
            };
            answers.expressions.insert((table.clone(), expression), kind);
        }
    }
    for (table, columns) in questions.duplicates {
        let found = server.duplicates(&table, &columns).await?;
        answers.duplicates.insert((table, columns), found);
    }
    Ok(answers)
}

fn print(problems: &[Problem]) {
    if !problems.is_empty() {
        eprintln!("{}", config::render(problems));
    }
}

fn refused(problems: &[Problem]) -> Error {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    Error::config(format!("{errors} error{} in the job; nothing was written", if errors == 1 { "" } else { "s" }))
}

/// Waits, for commands that show something again and again.
#[expect(clippy::disallowed_methods, reason = "nothing is decided by this wait")]
pub(super) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
