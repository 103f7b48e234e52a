//! From a job file to a proved plan and connected servers.
//!
//! Owns: the order of loading, asking the servers, and resolving; printing every problem at once; and that nothing is
//! written on the way. Does not own: what is a mistake (`config`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::streams::{self, CaptureStatus, Seen};
use crate::config::{
    self, Answers, Capture, Loaded, Problem, Questions, Settings, Severity, SourceSettings, StreamSettings,
    TargetSettings,
};
use crate::edge::mongo::MongoTarget;
use crate::edge::mysql::{MySqlServer, MySqlSource};
use crate::edge::redis::RedisStreams;
use crate::error::{Error, Kind, Result};
use crate::model::change::SourceState;
use crate::model::plan::JobPlan;
use crate::model::schema::TableName;
use crate::ports::{CaptureSource, CollectionState, DocumentStore, RecordStore, StreamStore};
use crate::stream::key_of;

/// The servers, in messages.
const SOURCE: &str = "source (MySQL)";
/// See [`SOURCE`].
const TARGET: &str = "target (MongoDB)";
/// See [`SOURCE`].
const REDIS: &str = "stream (Redis)";
/// How often a taken `server_id` is asked for again, and how many times.
const SERVER_ID_EVERY: Duration = Duration::from_millis(500);
/// See [`SERVER_ID_EVERY`].
const SERVER_ID_TRIES: u32 = 20;

/// What this process does with the source's binlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It reads it, unless another process captures.
    Engine,
    /// It reads it and does nothing else.
    Capture,
    /// It leaves it to others.
    Applier,
}

/// A job that may run, with its servers.
pub(super) struct Connected {
    pub(super) plan: Arc<JobPlan>,
    pub(super) settings: Settings,
    pub(super) source: MySqlSource,
    pub(super) target: MongoTarget,
    /// Where changes pass through; `None` with the queue inside the program.
    pub(super) streams: Option<RedisStreams>,
}

/// What capture alone needs.
pub(super) struct CaptureHalf {
    pub(super) stream: StreamSettings,
    pub(super) tables: Vec<TableName>,
    pub(super) server: MySqlServer,
    pub(super) streams: RedisStreams,
}

/// Loads a job, proves it against the live schema, and connects.
///
/// # Errors
/// `Config` after all problems were printed.
pub(super) async fn connect(job: &Path, role: Role) -> Result<Connected> {
    let loaded = load(job)?;
    let settings = &loaded.settings;
    let proved = prove_patiently(&loaded, role).await;
    // What is wrong in the file itself is said also when a server cannot be reached.
    let (plan, mut problems) = proved.unwrap_or_else(|error| (None, with(&loaded.problems, error, SOURCE)));
    let target = match MongoTarget::connect(&settings.target).await {
        Ok(target) => {
            problems.extend(target_problems(&loaded, &target).await?);
            Some(target)
        }
        Err(error) => {
            problems = with(&problems, error, TARGET);
            None
        }
    };
    let streams = match &settings.stream {
        Some(stream) => prove_streams(&loaded, stream, &mut problems).await,
        None => None,
    };
    print(&problems);
    match (plan, target) {
        (Some(plan), Some(target)) if !failed(&problems) => {
            let plan = Arc::new(plan);
            let source = MySqlSource::new(&settings.source, plan.clone())?;
            Ok(Connected { plan, settings: loaded.settings, source, target, streams })
        }
        _ => Err(refused(&problems)),
    }
}

/// As [`connect`], for a process that captures and nothing else: the target is not asked.
///
/// # Errors
/// `Config` after all problems were printed.
pub(super) async fn capture_half(job: &Path) -> Result<CaptureHalf> {
    let loaded = load(job)?;
    let ours = loaded.settings.stream.clone().filter(|stream| stream.capture == Capture::Rowfold);
    let Some(stream) = ours else {
        let why = match &loaded.settings.stream {
            Some(_) => "`capture: debezium` says that a Debezium Server writes the streams; remove that, or let it",
            None => "the job has no `stream` section, so there is nothing to write into; add one",
        };
        return Err(Error::config(format!("E-STREAM: {why}; nothing was written")));
    };
    let proved = prove_patiently(&loaded, Role::Capture).await;
    let (plan, mut problems) = proved.unwrap_or_else(|error| (None, with(&loaded.problems, error, SOURCE)));
    let streams = prove_streams(&loaded, &stream, &mut problems).await;
    print(&problems);
    match (plan, streams) {
        (Some(_), Some(streams)) if !failed(&problems) => {
            let server = MySqlServer::new(&loaded.settings.source)?;
            Ok(CaptureHalf { tables: loaded.tables(), stream, server, streams })
        }
        _ => Err(refused(&problems)),
    }
}

/// Whether Redis fits, with everything that does not.
async fn prove_streams(
    loaded: &Loaded,
    settings: &StreamSettings,
    problems: &mut Vec<Problem>,
) -> Option<RedisStreams> {
    let ask = async {
        let streams = RedisStreams::connect(settings).await?;
        let facts = streams.facts(settings, &loaded.tables()).await?;
        Ok((streams, facts))
    };
    match ask.await {
        Ok((streams, facts)) => {
            problems.extend(config::resolve::stream_problems(settings, &facts));
            Some(streams)
        }
        Err(error) => {
            *problems = with(problems, error, REDIS);
            None
        }
    }
}

fn failed(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
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
/// `server_id` is the only mistake, it is asked again for a few seconds. Nothing is wrong with it if the one who has it is the
/// capture that this command would stand by for.
async fn prove_patiently(loaded: &Loaded, role: Role) -> Result<(Option<JobPlan>, Vec<Problem>)> {
    let debezium = loaded.settings.stream.as_ref().is_some_and(|stream| stream.capture == Capture::Debezium);
    if role == Role::Applier || debezium {
        return prove(loaded, true).await;
    }
    let mut left = SERVER_ID_TRIES;
    let mut first_beat_ms = None;
    loop {
        let (plan, problems) = prove(loaded, false).await?;
        let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error).peekable();
        let only_id = errors.peek().is_some() && errors.all(|problem| problem.code == "E-SERVER-ID");
        if !only_id {
            return Ok((plan, problems));
        }
        left -= 1;
        match capturing(loaded).await {
            Some(_) if role == Role::Engine => return prove(loaded, true).await,
            // The lease of one that was killed lasts a while; one that beats is alive.
            Some((holder, beat_ms)) if *first_beat_ms.get_or_insert(beat_ms) != beat_ms => {
                return Err(Error::config(format!("E-LEASE: {holder} captures for this prefix; stop that one first")));
            }
            _ => {}
        }
        let waited = SERVER_ID_EVERY * (SERVER_ID_TRIES - 1 - left);
        if role == Role::Engine
            && let Some(owner) = running(loaded, waited).await
        {
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

/// Who holds the lease of capture now, and when it last showed that it is alive.
async fn capturing(loaded: &Loaded) -> Option<(String, u64)> {
    let look = RedisStreams::new(loaded.settings.stream.as_ref()?).ok()?.look(&[]).await.ok()?;
    let meta = look.meta?;
    let holder = streams::owner(&meta, look.now_ms)?.to_string();
    Some((holder, meta.beat_ms))
}

/// Who runs the job now, if somebody does: who told its state since we began to wait. The last word of an engine that
/// has just ended is recent too, but it is not renewed.
async fn running(loaded: &Loaded, waited: Duration) -> Option<String> {
    let target = MongoTarget::connect(&loaded.settings.target).await.ok()?;
    let (word, age) = target.status(&loaded.settings.name).await.ok()??;
    (age < waited).then_some(word.owner)
}

/// The target alone, for commands that need not prove the job.
pub(super) async fn target(settings: &TargetSettings) -> Result<MongoTarget> {
    MongoTarget::connect(settings).await.map_err(|error| unusable(error, TARGET))
}

/// Who the source is and what it has executed, for commands that need not prove the job.
pub(super) async fn source_state(settings: &SourceSettings) -> Result<SourceState> {
    let state = async { CaptureSource::state(&MySqlServer::new(settings)?).await };
    state.await.map_err(|error| unusable(error, SOURCE))
}

/// The Redis of a job, for commands that need not prove the job.
pub(super) async fn streams(settings: &StreamSettings) -> Result<RedisStreams> {
    RedisStreams::connect(settings).await.map_err(|error| unusable(error, REDIS))
}

/// What the streams of a job show now. That Redis does not answer is something to be shown, too.
pub(super) async fn look(loaded: &Loaded) -> (Seen, Option<CaptureStatus>) {
    let Some(settings) = &loaded.settings.stream else { return (Seen::default(), None) };
    let keys: Vec<String> =
        loaded.tables().iter().map(|table| key_of(settings.capture, &settings.prefix, table)).collect();
    let look = async { Seen::look(&RedisStreams::connect(settings).await?, settings, &keys).await };
    match look.await {
        Ok(seen) => {
            let capture = seen.capture(settings);
            (seen, Some(capture))
        }
        Err(error) => {
            let capture = Seen::default().capture(settings);
            (Seen::default(), Some(CaptureStatus { error: Some(error.chain()), ..capture }))
        }
    }
}

pub(super) fn load(job: &Path) -> Result<Loaded> {
    config::load(job).map_err(|problems| {
        print(&problems);
        refused(&problems)
    })
}

/// Before the first write a server that does not answer is a wrong setting.
fn unusable(error: Error, server: &str) -> Error {
    if error.kind() == Kind::Retry {
        Error::config(format!("the {server} cannot be used: {}", error.chain()))
    } else {
        error
    }
}

/// With `shared_id` the job's `server_id` may be in use.
async fn prove(loaded: &Loaded, shared_id: bool) -> Result<(Option<JobPlan>, Vec<Problem>)> {
    let server = MySqlServer::new(&loaded.settings.source)?;
    let mut facts = server.facts().await?;
    if let Some(ids) = facts.replica_ids.as_mut().filter(|_| shared_id) {
        ids.retain(|id| *id != loaded.settings.source.server_id);
    }
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
