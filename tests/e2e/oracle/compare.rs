//! Two sets of documents against each other: every one, by id, down to the leaf.
//! Owns: what counts as a difference and how it is shown. Does not own: where the documents come from.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// id -> document, both in canonical form.
pub type Documents = BTreeMap<String, Value>;

const SHOWN: usize = 12;

#[derive(Debug, Default)]
pub struct Report {
    pub expected: usize,
    /// Documents that stand in both sets and were compared.
    pub compared: usize,
    pub different: usize,
    pub missing: usize,
    pub extra: usize,
    first: Vec<String>,
}

impl Report {
    pub fn is_equal(&self) -> bool {
        self.different + self.missing + self.extra == 0 && self.compared == self.expected
    }

    fn note(&mut self, line: String) {
        if self.first.len() < SHOWN {
            self.first.push(line);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { expected, compared, different, missing, extra, first } = self;
        write!(f, "{expected} expected, {compared} compared, {different} different, {missing} missing, {extra} extra")?;
        first.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

pub fn compare(expected: &Documents, actual: &Documents) -> Report {
    let mut report = Report { expected: expected.len(), ..Report::default() };
    for (id, want) in expected {
        let Some(got) = actual.get(id) else {
            report.missing += 1;
            report.note(format!("missing {id}"));
            continue;
        };
        report.compared += 1;
        if let Some(where_and_what) = first_difference(want, got) {
            report.different += 1;
            report.note(format!("different {id}: {where_and_what}"));
        }
    }
    for id in actual.keys().filter(|id| !expected.contains_key(*id)) {
        report.extra += 1;
        report.note(format!("extra {id}"));
    }
    report
}

/// Ids whose document is not the same in both, or stands in one only.
pub fn changed(before: &Documents, after: &Documents) -> usize {
    let gone_or_changed = before.iter().filter(|(id, doc)| after.get(*id) != Some(doc)).count();
    gone_or_changed + after.keys().filter(|id| !before.contains_key(*id)).count()
}

/// The path of the first difference, what was expected there and what stands there.
pub fn first_difference(want: &Value, got: &Value) -> Option<String> {
    match (want, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                match b.get(key) {
                    None => {
                        return Some(format!("{key}: expected {}, the field is not there", short(value)));
                    }
                    Some(other) => {
                        if let Some(deeper) = first_difference(value, other) {
                            return Some(join(key, &deeper));
                        }
                    }
                }
            }
            b.keys().find(|k| !a.contains_key(*k)).map(|k| format!("{k}: not expected, got {}", short(&b[k])))
        }
        (Value::Array(a), Value::Array(b)) => {
            let unequal = a.iter().zip(b).enumerate().find_map(|(i, (x, y))| Some((i, first_difference(x, y)?)));
            match unequal {
                Some((i, deeper)) => Some(join(&i.to_string(), &deeper)),
                None if a.len() != b.len() => Some(format!(": expected {} elements, got {}", a.len(), b.len())),
                None => None,
            }
        }
        (Value::String(a), Value::String(b)) if a != b && same_integer(a, b) => None,
        _ if want == got => None,
        _ => Some(format!(": expected {}, got {}", short(want), short(got))),
    }
}

/// An integer of an expression: its width is the server's choice.
fn same_integer(want: &str, got: &str) -> bool {
    let of = |text: &str, tags: &[&str]| tags.iter().find_map(|t| text.strip_prefix(t).map(str::to_owned));
    match (of(want, &["int:"]), of(got, &["i32:", "i64:"])) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn join(head: &str, deeper: &str) -> String {
    if deeper.starts_with(':') { format!("{head}{deeper}") } else { format!("{head}.{deeper}") }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 160 { text } else { text.chars().take(160).collect::<String>() + "…" }
}
