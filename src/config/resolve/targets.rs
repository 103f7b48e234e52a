//! Names of target collections.
//!
//! Owns: which names are fine. Does not own: what a collection holds (the caller asks MongoDB).

use std::collections::HashMap;

use super::super::fields::below;
use super::super::job::JobFile;
use super::super::problem::{Location, Problem, Report, Severity};

/// The longest collection name; MongoDB allows 255 bytes for `<database>.<collection>`, and builds add a suffix.
const NAME_MAX: usize = 150;

/// Checks the names of all collections.
pub fn check(job: &JobFile, report: &mut Report) {
    let mut taken: HashMap<&str, &str> = HashMap::new();
    for projection in &job.projections {
        let (name, path) = (&projection.collection, below(&projection.path, "collection"));
        if let Some(wrong) = wrong(&name.value) {
            let what = format!("`{}` cannot be a collection's name: {wrong}", name.value);
            report.error("E-COLLECTION", name.spot, &path, what, Some("choose another name".to_string()));
        }
        if let Some(other) = taken.insert(&name.value, &projection.path) {
            let what = format!("two projections write the collection `{}` (the other: {other})", name.value);
            report.error("E-COLLECTION", name.spot, &path, what, Some("give each its own collection".to_string()));
        }
    }
}

fn wrong(name: &str) -> Option<&'static str> {
    let (_, suffix) = name.rsplit_once("__b").unwrap_or((name, ""));
    if name.is_empty() {
        Some("it is empty")
    } else if name == "_rowfold" || name.starts_with("_rowfold.") {
        Some("`_rowfold` holds rowfold's own records")
    } else if name.starts_with("system.") {
        Some("`system.` is MongoDB's own")
    } else if name.contains('$') || name.contains('\0') {
        Some("MongoDB allows no `$` and no NUL in it")
    } else if name.len() > NAME_MAX {
        Some("it is too long")
    } else if !suffix.is_empty() && suffix.chars().all(|c| c.is_ascii_hexdigit()) {
        Some("names that end like `__b1` belong to builds")
    } else {
        None
    }
}

/// The problem of a target collection that holds documents which no build of this job wrote.
pub fn target_problem(job: &JobFile, collection: &str) -> Problem {
    let projection = job.projections.iter().find(|projection| projection.collection.value == collection);
    let mut report = job.report.fresh();
    let what = format!(
        "the collection {}.{collection} holds documents that this job did not write",
        job.target.database.value
    );
    let fix = "rename or drop that collection, or write to another one".to_string();
    let path = projection.map(|projection| below(&projection.path, "collection")).unwrap_or_default();
    let place = projection.map(|projection| (projection.collection.spot, path.as_str()));
    report.add(Severity::Error, "E-TARGET-BUSY", place, what.clone(), Some(fix.clone()));
    let location: Option<Location> = report.finish().into_iter().next().and_then(|problem| problem.location);
    Problem { severity: Severity::Error, code: "E-TARGET-BUSY", what, location, fix: Some(fix) }
}
