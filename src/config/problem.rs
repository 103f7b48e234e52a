//! What is wrong with a job, said so that it can be mended: what, where, the fix.
//!
//! Owns: [`Problem`], [`Report`] and their text on a terminal. Does not own: finding problems (`config::parse`,
//! `config::resolve`).

use std::fmt::Write as _;

/// Whether a job with this problem may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It may not.
    Error,
    /// It may, and somebody should know.
    Warning,
}

/// A place in a file; lines and columns count from 1. Line 0 stands for the file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

/// A value with the place where it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub spot: Spot,
}

/// Where a problem lies in the job file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named on the command line.
    pub file: String,
    /// The place in it.
    pub spot: Spot,
    /// The key that leads there: `projections[0].many.lines.join`.
    pub path: String,
    /// The line itself, with whatever looks like a credential masked.
    pub text: String,
}

/// One thing that somebody has to mend or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the job may run.
    pub severity: Severity,
    /// A short stable name, `E-...` or `W-...`.
    pub code: &'static str,
    /// What is wrong. Holds no row value and no secret.
    pub what: String,
    /// Where in the job file; `None` if the cause lies elsewhere (a server's setting).
    pub location: Option<Location>,
    /// How to mend it: a statement to run where one exists, else what to write.
    pub fix: Option<String>,
}

/// Collects problems against one file.
#[derive(Clone, Debug)]
pub struct Report {
    file: String,
    lines: Vec<String>,
    problems: Vec<Problem>,
}

impl Report {
    /// An empty report about a file.
    pub fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_string(), lines: text.lines().map(masked).collect(), problems: Vec::new() }
    }

    /// An empty report about the same file.
    pub fn fresh(&self) -> Self {
        Self { file: self.file.clone(), lines: self.lines.clone(), problems: Vec::new() }
    }

    /// Adds an error at a place of the file.
    pub fn error(&mut self, code: &'static str, spot: Spot, path: &str, what: impl Into<String>, fix: Option<String>) {
        self.add(Severity::Error, code, Some((spot, path)), what.into(), fix);
    }

    /// Adds a warning at a place of the file.
    pub fn warning(
        &mut self,
        code: &'static str,
        spot: Spot,
        path: &str,
        what: impl Into<String>,
        fix: Option<String>,
    ) {
        self.add(Severity::Warning, code, Some((spot, path)), what.into(), fix);
    }

    /// Adds a problem. The same problem at the same place is kept once: a self-reference is resolved at every depth.
    pub fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        place: Option<(Spot, &str)>,
        what: String,
        fix: Option<String>,
    ) {
        let location = place.map(|(spot, path)| Location {
            file: self.file.clone(),
            spot,
            path: path.to_string(),
            text: spot.line.checked_sub(1).and_then(|at| self.lines.get(at as usize)).cloned().unwrap_or_default(),
        });
        self.push(Problem { severity, code, what, location, fix });
    }

    /// Adds a problem that was found elsewhere.
    pub fn push(&mut self, problem: Problem) {
        let place = |problem: &Problem| problem.location.as_ref().map(|location| location.spot);
        let same = |other: &Problem| {
            other.code == problem.code && other.what == problem.what && place(other) == place(&problem)
        };
        if !self.problems.iter().any(same) {
            self.problems.push(problem);
        }
    }

    /// Whether an error is among them.
    pub fn failed(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The problems in the order of the file, those without a place last.
    pub fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| match &problem.location {
            Some(location) => (false, location.spot),
            None => (true, Spot::default()),
        });
        self.problems
    }
}

/// The problems as text for a terminal: each with what, where and the fix, then a count.
pub fn render(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        let word = if problem.severity == Severity::Error { "error" } else { "warning" };
        let _ = writeln!(out, "{word}[{}]: {}", problem.code, problem.what);
        if let Some(Location { file, spot, path, text }) = &problem.location {
            let path = if path.is_empty() { String::new() } else { format!(" ({path})") };
            if spot.line == 0 {
                let _ = writeln!(out, "  --> {file}{path}");
            } else {
                let _ = writeln!(out, "  --> {file}:{}:{}{path}", spot.line, spot.column);
            }
            if !text.trim().is_empty() {
                let _ = writeln!(out, "   | {}", text.trim());
            }
        }
        if let Some(fix) = &problem.fix {
            let _ = writeln!(out, "  fix: {}", fix.replace('\n', "\n       "));
        }
    }
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let plural = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => {}
        (errors, 0) => out.push_str(&format!("{}\n", plural(errors, "error"))),
        (0, warnings) => out.push_str(&format!("{}\n", plural(warnings, "warning"))),
        (errors, warnings) => {
            out.push_str(&format!("{}, {}\n", plural(errors, "error"), plural(warnings, "warning")));
        }
    }
    out
}

/// A line of a job file without credentials: whatever follows `://` is masked, and whatever precedes an `@`, and the
/// value of a key that is named like a secret.
pub fn masked(line: &str) -> String {
    let lower = line.to_lowercase();
    if let Some(at) = lower.find("://") {
        return format!("{}://***", &line[..at]);
    }
    if let Some(at) = line.rfind('@') {
        return format!("***{}", &line[at..]);
    }
    for word in ["password", "passwd", "secret", "token"] {
        if let Some(at) = lower.find(word)
            && line.is_char_boundary(at + word.len())
        {
            return format!("{}***", &line[..at + word.len()]);
        }
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked() {
        assert_eq!(masked("  url: mysql://u:pa:ss@host/db"), "  url: mysql://***");
        assert_eq!(masked("  url: 'MySQL://u:pa ss@host'"), "  url: 'MySQL://***");
        assert_eq!(masked("    u:pass@host"), "***@host");
        assert_eq!(masked("  password: x"), "  password***");
        assert_eq!(masked("  join: {a: b}"), "  join: {a: b}");
    }

    #[test]
    fn problems_render_in_the_order_of_the_file() {
        let mut report = Report::new("job.yaml", "name: x\nroot: shop.odrer\n");
        report.add(Severity::Warning, "W-B", None, "binlog rows carry no names".to_string(), None);
        let spot = Spot { line: 2, column: 7 };
        report.error("E-A", spot, "root", "no table shop.odrer", Some("did you mean shop.order?".to_string()));
        report.error("E-A", spot, "root", "no table shop.odrer", None);
        assert_eq!(
            render(&report.finish()),
            "error[E-A]: no table shop.odrer\n  --> job.yaml:2:7 (root)\n   | root: shop.odrer\n  \
             fix: did you mean shop.order?\nwarning[W-B]: binlog rows carry no names\n1 error, 1 warning\n"
        );
    }
}
