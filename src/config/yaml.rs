//! YAML text to a tree that remembers where everything was written.
//!
//! Owns: [`Node`], the expansion of `${VAR}` and `${VAR:-default}`, errors of syntax. Does not own: what the keys mean
//! (`config::parse`).

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::{At, Report, Spot, masked};

/// One node of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub spot: Spot,
    /// What it holds.
    pub yaml: Yaml,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Yaml {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number with a point or an exponent.
    Float,
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(At<String>, Node)>),
}

impl Yaml {
    /// The kind in the words of a message.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a number",
            Self::Float => "a number with a fraction",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// The most levels of lists and mappings; a node nests in two of them.
const DEPTH_MAX: usize = 200;

/// Reads a document. Variables come from `environment`, so that a test owns them.
pub fn read(text: &str, environment: &HashMap<String, String>, report: &mut Report) -> Option<Node> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        strict_booleans: true,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Merge,
    }
    .with_properties(environment.clone());
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(node) => Some(node),
        Err(error) => {
            let spot = error.location().map_or_else(Spot::default, |at| Spot { line: at.line(), column: at.column() });
            let (what, fix) = explain(error.without_snippet());
            report.error("E-YAML", spot, "", what, fix);
            None
        }
    }
}

/// The error in words of a job file. The place is told elsewhere.
fn explain(error: &serde_saphyr::Error) -> (String, Option<String>) {
    use serde_saphyr::Error::{PropertyRequiredButEmpty, PropertyRequiredButUnset, UnresolvedProperty};
    match error {
        UnresolvedProperty { name, .. } => {
            let what = format!("the environment variable {name} is not set");
            (what, Some(format!("set it, or write ${{{name}:-default}}")))
        }
        PropertyRequiredButUnset { name, message, .. } | PropertyRequiredButEmpty { name, message, .. } => {
            (format!("the environment variable {name} is not set: {message}"), Some("set it".to_string()))
        }
        other => {
            let text = other.to_string();
            // The rest is the place, or advice to programmers.
            let end = [" at line ", ", set ", "; use "].iter().filter_map(|part| text.find(part)).min();
            (masked(text[..end.unwrap_or(text.len())].trim()), None)
        }
    }
}

fn spot_of<T>(spanned: &Spanned<T>) -> Spot {
    Spot { line: spanned.referenced.line(), column: spanned.referenced.column() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Yaml>::deserialize(deserializer)?;
        Ok(Self { spot: spot_of(&spanned), yaml: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Yaml, E> {
        Ok(Yaml::Int(value))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float)
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_string()))
    }

    fn visit_string<E>(self, value: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Yaml, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element::<Node>()? {
            nodes.push(node);
        }
        Ok(Yaml::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let spot = spot_of(&key);
            entries.push((At { value: key.value, spot }, map.next_value::<Node>()?));
        }
        Ok(Yaml::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problem;
    use super::*;

    fn tree(text: &str, variables: &[(&str, &str)]) -> Result<Node, Vec<Problem>> {
        let environment = variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut report = Report::new("job.yaml", text);
        read(text, &environment, &mut report).ok_or_else(|| report.finish())
    }

    fn entries(node: &Node) -> &[(At<String>, Node)] {
        match &node.yaml {
            Yaml::Map(entries) => entries,
            other => panic!("a mapping is expected, not {}", other.describe()),
        }
    }

    #[test]
    fn keys_keep_their_order_and_places() {
        let root = tree("zoo: 1\nant:\n  - {no: yes, b: [x,\n     y]}\n", &[]).unwrap();
        let [(zoo, one), (ant, list)] = entries(&root) else { panic!("two entries") };
        assert_eq!((zoo.value.as_str(), zoo.spot), ("zoo", Spot { line: 1, column: 1 }));
        assert_eq!(one.spot, Spot { line: 1, column: 6 });
        assert_eq!((ant.value.as_str(), ant.spot), ("ant", Spot { line: 2, column: 1 }));
        let Yaml::List(items) = &list.yaml else { panic!("a list") };
        let [(no, yes), (_, letters)] = entries(&items[0]) else { panic!("two entries") };
        assert_eq!((no.value.as_str(), no.spot), ("no", Spot { line: 3, column: 6 }));
        assert!(matches!(&yes.yaml, Yaml::Text(text) if text == "yes"), "YAML 1.2: yes is text");
        let Yaml::List(letters) = &letters.yaml else { panic!("a list") };
        assert_eq!(letters[1].spot, Spot { line: 4, column: 6 });
    }

    #[test]
    fn variables_are_expanded() {
        let root = tree("a: ${A:-mysql://u:p@h:1}\nb: ${B}\nc: x${B}y\nd: ${N:-7}", &[("B", "set")]).unwrap();
        let texts: Vec<String> = entries(&root)
            .iter()
            .map(|(_, node)| match &node.yaml {
                Yaml::Text(text) => text.clone(),
                Yaml::Int(number) => number.to_string(),
                other => other.describe().to_string(),
            })
            .collect();
        assert_eq!(texts, ["mysql://u:p@h:1", "set", "xsety", "7"]);
    }

    #[test]
    fn a_missing_variable_and_broken_syntax_name_their_line_and_no_secret() {
        let problems = tree("a: 1\nurl: ${NOT_SET}\n", &[]).unwrap_err();
        let location = problems[0].location.as_ref().unwrap();
        assert_eq!((problems[0].code, location.spot.line), ("E-YAML", 2));
        assert_eq!(problems[0].what, "the environment variable NOT_SET is not set");
        assert_eq!(problems[0].fix.as_deref(), Some("set it, or write ${NOT_SET:-default}"));

        let problems = tree("a: 1\nb: [1\nurl: mysql://u:hunter2@h: x: y\n", &[]).unwrap_err();
        let text = super::super::problem::render(&problems);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(problems[0].location.as_ref().unwrap().spot.line >= 2, "{text}");

        let problems = tree("a: 1\nb: 2\na: 3\n", &[]).unwrap_err();
        assert_eq!(problems[0].location.as_ref().unwrap().spot.line, 3);
        assert_eq!(problems[0].what, "duplicate mapping key: a");

        for (text, what) in [
            ("a: 1\n---\nb: 2", "multiple YAML documents detected"),
            ("a: *none", "alias references unknown anchor"),
            ("a:\n\t- b", "tabs disallowed within this context (block indentation)"),
        ] {
            assert_eq!(tree(text, &[]).unwrap_err()[0].what, what);
        }
    }
}
