//! A job file and the live schema to a plan; every mistake at once.
//!
//! Owns: the order of the checks, the questions that only the server can answer. Does not own: asking them (the caller),
//! the checks themselves (the modules below), mistakes in the file alone (`config::parse`).

mod cascades;
mod charsets;
mod columns;
mod equality;
mod expressions;
mod functions;
mod grants;
mod id;
mod indexes;
mod joins;
mod nodes;
mod options;
mod order;
mod scan;
mod source_checks;
mod sql;
mod stream_checks;
mod targets;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::plan::{JobPlan, NodePlan, ProjectionPlan, Shape};
use crate::model::schema::{ColumnKind, SourceFacts, Table, TableName};

use super::job::{JobFile, ProjectionFile};
use super::problem::{At, Problem, Report, Spot};
use super::suggest;
use super::values::ValuesFile;
use nodes::Draft;

pub use sql::table_name;
pub use stream_checks::{StreamFacts, stream_problems};
pub use targets::target_problem;

/// What has to be asked of the source before a job can be resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// Databases in which a table was not found: which tables do they have?
    pub databases: BTreeSet<String>,
    /// Expressions over the columns of one table: what does each give? They passed the scan for what is not
    /// deterministic, and hold no second statement.
    pub expressions: Vec<(TableName, Vec<String>)>,
    /// Columns of a table that no unique index keeps unique: do rows agree in them (NULLs aside)?
    pub duplicates: Vec<(TableName, Vec<String>)>,
}

/// The source's answers to [`Questions`].
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The tables of the databases asked for.
    pub tables: Vec<TableName>,
    /// What an expression over a table's columns holds, or the server's complaint.
    pub expressions: HashMap<(TableName, String), Result<ColumnKind, String>>,
    /// Whether rows of a table agree in some columns.
    pub duplicates: HashMap<(TableName, Vec<String>), bool>,
}

/// Everything a check may read, and what it may write to.
struct Work<'a> {
    tables: &'a BTreeMap<TableName, Table>,
    answers: &'a Answers,
    /// The job's options.
    values: ValuesFile,
    questions: Questions,
    report: Report,
    /// Where each table was first named.
    named: BTreeMap<TableName, (Spot, String)>,
}

/// Every table that a job names, each once.
pub fn tables(job: &JobFile) -> Vec<TableName> {
    let mut names = BTreeSet::new();
    for projection in &job.projections {
        names.extend(table_name(&projection.root.value));
        let mut open: Vec<_> = projection.shows.one.iter().chain(&projection.shows.many).collect();
        while let Some((_, node)) = open.pop() {
            names.extend(table_name(&node.table.value));
            names.extend(node.through.as_ref().and_then(|through| table_name(&through.table.value)));
            open.extend(node.shows.one.iter().chain(&node.shows.many));
        }
    }
    names.into_iter().collect()
}

/// What to ask before [`resolve`].
pub fn questions(job: &JobFile, tables: &BTreeMap<TableName, Table>) -> Questions {
    let answers = Answers::default();
    let mut work = Work::new(job, tables, &answers);
    for projection in &job.projections {
        draft(projection, &mut work);
    }
    work.questions
}

/// Proves a job against the live schema. The plan is there only if no problem is an error.
pub fn resolve(
    job: &JobFile,
    tables: &BTreeMap<TableName, Table>,
    facts: &SourceFacts,
    answers: &Answers,
) -> (Option<JobPlan>, Vec<Problem>) {
    let mut work = Work::new(job, tables, answers);
    targets::check(job, &mut work.report);
    let drafts: Vec<_> = job.projections.iter().map(|projection| draft(projection, &mut work)).collect();
    let used = usage::used(&drafts);
    source_checks::check(job, facts, tables, &used, &mut work);
    cascades::check(job, facts, tables, &used, &drafts, &mut work);
    charsets::check(facts, tables, &used, &mut work);
    let unanswered = work.questions != Questions::default();
    if unanswered && !work.report.failed() {
        let what = "the source was not asked all that resolving this job needs";
        work.report.error("E-UNANSWERED", Spot::default(), "", what, None);
    }
    if work.report.failed() {
        return (None, work.report.finish());
    }
    let projections = job.projections.iter().zip(drafts);
    let projections = projections.map(|(file, drafts)| projection(file, drafts, job.values.omit_nulls)).collect();
    let plan = JobPlan { name: job.name.value.clone(), projections, tables: used };
    (Some(plan), work.report.finish())
}

/// One projection with everything worked out that can be.
fn draft<'a>(file: &'a ProjectionFile, work: &mut Work<'a>) -> Drafts<'a> {
    let mut nodes = nodes::flatten(file, work);
    for at in 0..nodes.len() {
        columns::show(&mut nodes, at, work);
    }
    let id = id::resolve(file, &mut nodes, work);
    for at in 1..nodes.len() {
        joins::resolve(&mut nodes, at, &id, work);
    }
    for node in &mut nodes {
        order::resolve(node, work);
    }
    let indexes = indexes::resolve(file, &nodes, &id, &mut work.report);
    Drafts { nodes, id, indexes }
}

/// A projection on its way to a plan.
struct Drafts<'a> {
    nodes: Vec<Draft<'a>>,
    id: Vec<crate::model::plan::IdColumn>,
    indexes: Vec<crate::model::plan::IndexPlan>,
}

/// The plan of a projection in which no error was found.
fn projection(file: &ProjectionFile, drafts: Drafts<'_>, omit_nulls: bool) -> ProjectionPlan {
    let nodes: Vec<NodePlan> = drafts.nodes.into_iter().map(|draft| node(draft, omit_nulls)).collect();
    let mapping = serde_json::json!({ "id": drafts.id, "nodes": nodes }).to_string();
    ProjectionPlan { collection: file.collection.value.clone(), nodes, id: drafts.id, indexes: drafts.indexes, mapping }
}

fn node(draft: Draft<'_>, omit_nulls: bool) -> NodePlan {
    let shape = match (draft.nested, draft.many, draft.value) {
        (None, ..) => Shape::Root,
        (Some(_), false, _) => Shape::One,
        (Some(_), true, None) => Shape::Many,
        (Some(_), true, Some(position)) => Shape::Values(position),
    };
    NodePlan {
        table: draft.table.expect("a table that is missing is an error").name.clone(),
        parent: draft.parent,
        field: draft.field,
        shape,
        columns: draft.columns,
        join: draft.join,
        filter: draft.filter,
        order_by: draft.order_by,
        omit_nulls: draft.shows.omit_nulls.unwrap_or(omit_nulls),
    }
}

impl<'a> Work<'a> {
    fn new(job: &JobFile, tables: &'a BTreeMap<TableName, Table>, answers: &'a Answers) -> Self {
        let (report, questions) = (job.report.fresh(), Questions::default());
        Self { tables, answers, values: job.values.clone(), questions, report, named: BTreeMap::new() }
    }

    /// The table that is named at a place of the file.
    fn table(&mut self, at: &At<String>, path: &str) -> Option<&'a Table> {
        let Some(name) = table_name(&at.value) else {
            let what = format!("`{}` is not a table's full name", at.value);
            let fix = "write <database>.<table>; a name with a `.` or a backtick in it stands in backticks, as in SQL";
            self.report.error("E-SCHEMA", at.spot, path, what, Some(fix.to_string()));
            return None;
        };
        self.named.entry(name.clone()).or_insert_with(|| (at.spot, path.to_string()));
        if let Some(table) = self.tables.get(&name).or_else(|| self.alike(&name)) {
            return Some(table);
        }
        self.questions.databases.insert(name.database.clone());
        let known: BTreeSet<String> =
            self.tables.keys().chain(&self.answers.tables).map(TableName::to_string).collect();
        let fix =
            suggest::nearest(&at.value, known.iter().map(String::as_str)).map(|name| format!("did you mean {name}?"));
        let what = format!("there is no table {name}, or the source's account may not see it");
        self.report.error("E-SCHEMA", at.spot, path, what, fix);
        None
    }

    /// A server that ignores the case of names gives a table under its own spelling.
    fn alike(&self, name: &TableName) -> Option<&'a Table> {
        let folded = |name: &TableName| (name.database.to_lowercase(), name.table.to_lowercase());
        let mut found = self.tables.values().filter(|table| folded(&table.name) == folded(name));
        found.next().filter(|_| found.next().is_none())
    }

    /// The column of a table that is named at a place of the file.
    fn column(&mut self, table: &Table, at: &At<String>, path: &str) -> Option<usize> {
        let found = table.column(&at.value);
        if found.is_none() {
            let what = format!("table {} has no column `{}`", table.name, at.value);
            let fix = suggest::did_you_mean(&at.value, table.columns.iter().map(|column| column.name.as_str()));
            self.report.error("E-SCHEMA", at.spot, path, what, fix);
        }
        found
    }

    /// What an expression holds; asked for if it is not known yet.
    fn kind_of(&mut self, table: &Table, expression: &str) -> Option<&'a Result<ColumnKind, String>> {
        let answer = self.answers.expressions.get(&(table.name.clone(), expression.to_string()));
        if answer.is_none() {
            let expression = expression.to_string();
            match self.questions.expressions.iter_mut().find(|(name, _)| *name == table.name) {
                Some((_, asked)) if asked.contains(&expression) => {}
                Some((_, asked)) => asked.push(expression),
                None => self.questions.expressions.push((table.name.clone(), vec![expression])),
            }
        }
        answer
    }

    /// Whether rows of a table agree in some columns; asked for if it is not known yet.
    fn duplicates(&mut self, table: &TableName, columns: Vec<String>) -> Option<bool> {
        let question = (table.clone(), columns);
        let answer = self.answers.duplicates.get(&question).copied();
        if answer.is_none() && !self.questions.duplicates.contains(&question) {
            self.questions.duplicates.push(question);
        }
        answer
    }
}
