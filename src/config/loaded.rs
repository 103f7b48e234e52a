//! A job file that was read: the way in for whoever runs a command.
//!
//! Owns: [`load`], [`Loaded`]. Does not own: asking the source (the caller does, between the steps).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::model::plan::JobPlan;
use crate::model::schema::{SourceFacts, Table, TableName};

use super::job::JobFile;
use super::problem::{At, Problem, Report, Spot};
use super::resolve::{self, Answers, Questions};
use super::{ApplySettings, BackfillSettings, Settings, SourceSettings, StreamSettings, TargetSettings, parse, yaml};

/// A job file with its settings. The steps: [`Loaded::tables`], read them from the source; [`Loaded::questions`], ask
/// them; [`Loaded::resolve`].
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub job: JobFile,
    /// Its settings.
    pub settings: Settings,
    /// What is wrong in the file itself. [`Loaded::resolve`] repeats them, beside what is wrong with the live schema;
    /// who cannot reach the source shows these.
    pub problems: Vec<Problem>,
}

/// Reads a job file, with the variables of the environment. `Err` if it is too broken to be compared with the source.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => read(&name, &text, &std::env::vars_os().filter_map(utf8).collect()),
        Err(error) => {
            let mut report = Report::new(&name, "");
            report.error("E-FILE", Spot::default(), "", format!("the job file cannot be read: {error}"), None);
            Err(report.finish())
        }
    }
}

fn utf8((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// Reads the text of a job file.
pub(crate) fn read(name: &str, text: &str, environment: &HashMap<String, String>) -> Result<Loaded, Vec<Problem>> {
    let mut report = Report::new(name, text);
    let job = yaml::read(text, environment, &mut report).and_then(|node| parse::job(&node, &mut report));
    match job {
        Some(job) => Ok(Loaded { settings: settings(&job), job, problems: report.finish() }),
        None => Err(report.finish()),
    }
}

impl Loaded {
    /// Every table that the job names.
    pub fn tables(&self) -> Vec<TableName> {
        resolve::tables(&self.job)
    }

    /// What to ask the source, now that its tables are known. Tables that do not exist are left out of `tables`.
    pub fn questions(&self, tables: &BTreeMap<TableName, Table>) -> Questions {
        resolve::questions(&self.job, tables)
    }

    /// The plan, if no problem is an error; and all problems in the order of the file.
    pub fn resolve(
        &self,
        tables: &BTreeMap<TableName, Table>,
        facts: &SourceFacts,
        answers: &Answers,
    ) -> (Option<JobPlan>, Vec<Problem>) {
        let (plan, problems) = resolve::resolve(&self.job, tables, facts, answers);
        let mut all = self.job.report.fresh();
        self.problems.iter().cloned().chain(problems).for_each(|problem| all.push(problem));
        let plan = plan.filter(|_| !all.failed());
        (plan, all.finish())
    }
}

fn settings(job: &JobFile) -> Settings {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let (source, target) = (&job.source, &job.target);
    let At { value: server_id, .. } = source.server_id;
    Settings {
        name: job.name.value.clone(),
        source: SourceSettings {
            url: source.url.value.clone(),
            server_id: u32::try_from(server_id).expect("the parser bounds it"),
            allow_unsafe_source: source.allow_unsafe_source,
        },
        target: TargetSettings {
            url: target.url.value.clone(),
            database: target.database.value.clone(),
            lease: target.lease,
            write_deadline: target.write_deadline,
            unsafe_standalone: target.unsafe_standalone,
        },
        stream: job.stream.as_ref().map(|stream| StreamSettings {
            url: stream.url.value.clone(),
            prefix: stream.prefix.value.clone(),
            capture: stream.capture,
            max_bytes: stream.max_bytes,
            lease: stream.lease,
            silence_max: stream.silence_max,
            offsets_key: stream.offsets_key.clone(),
        }),
        backfill: BackfillSettings {
            readers: number(job.backfill.readers),
            chunk_bytes: number(job.backfill.chunk_bytes),
            writers: number(job.backfill.writers),
            lookup_bytes: number(job.backfill.lookup_bytes),
        },
        apply: ApplySettings {
            workers: number(job.stream_apply.workers),
            batch: number(job.stream_apply.batch),
            window: job.stream_apply.window,
            queue_bytes: number(job.stream_apply.queue_bytes),
        },
    }
}
