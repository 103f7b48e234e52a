//! Typed access to the keys of one mapping; what does not fit is reported and the reading goes on.
//!
//! Owns: unknown, missing and ill-typed keys. Does not own: which keys a section has (`config::parse`).

use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::{At, Report, Spot};
use super::suggest::did_you_mean;
use super::units;
use super::yaml::{Node, Yaml};

/// Keys that people try, with what they should write.
const HINTS: &[(&str, &str)] = &[
    ("on", "the key is `join` here (YAML readers turn `on` into a boolean)"),
    ("filter", "the key is `where` here"),
    ("index", "the key is `indexes` here"),
    ("order", "the key is `order_by` here"),
    ("sort", "the key is `order_by` here"),
    ("redis", "the key is `stream` here"),
    ("streams", "the key is `stream` here"),
    ("time_zone", "it stands under `values`, for the whole job"),
    ("zero_dates", "it stands under `values`, for the whole job"),
    ("type", "write the node under `one` (a sub-document) or `many` (an array)"),
];

/// Keys that the design has and this version has not.
const LATER: &[&str] = &["read_from", "throttle", "on_loss", "on_ddl"];

/// The keys of one mapping.
pub struct Fields<'a> {
    /// The key that leads here.
    pub path: String,
    /// Where the mapping begins, for what is missing in it.
    pub spot: Spot,
    entries: &'a [(At<String>, Node)],
}

/// The path of a key below `path`.
pub fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

impl<'a> Fields<'a> {
    /// The mapping in `node`; reports if it is none, and every key that is not in `known`.
    pub fn open(node: &'a Node, spot: Spot, path: &str, known: &[&str], report: &mut Report) -> Option<Self> {
        let Yaml::Map(entries) = &node.yaml else {
            let what = format!("{} has to be a mapping of keys, not {}", name_of(path), node.yaml.describe());
            report.error("E-VALUE", node.spot, path, what, None);
            return None;
        };
        for (key, _) in entries {
            let name = key.value.as_str();
            if known.contains(&name) {
                continue;
            }
            let path = below(path, name);
            if LATER.contains(&name) {
                report.error(
                    "E-UNSUPPORTED",
                    key.spot,
                    &path,
                    format!("`{name}` is not supported yet: leave it out"),
                    None,
                );
                continue;
            }
            let hint = HINTS.iter().find(|(tried, _)| *tried == name).map(|(_, hint)| hint.to_string());
            let fix = hint.or_else(|| did_you_mean(name, known.iter().copied()));
            report.error("E-KEY", key.spot, &path, format!("unknown key `{name}`"), fix);
        }
        Some(Self { path: path.to_string(), spot, entries })
    }

    /// The key and its node. A key without a value is reported and counts as absent.
    pub fn get(&self, key: &str, report: &mut Report) -> Option<(Spot, &'a Node)> {
        let (at, node) = self.entries.iter().find(|(name, _)| name.value == key)?;
        if matches!(node.yaml, Yaml::Null) {
            let what = format!("`{key}` has no value");
            report.error("E-VALUE", at.spot, &below(&self.path, key), what, Some("give it one or remove it".into()));
            return None;
        }
        Some((at.spot, node))
    }

    /// Whether the key is there, with or without a value.
    pub fn has(&self, key: &str) -> Option<Spot> {
        self.entries.iter().find(|(name, _)| name.value == key).map(|(name, _)| name.spot)
    }

    /// Reports that a key is missing.
    pub fn missing(&self, key: &str, example: &str, report: &mut Report) {
        if self.has(key).is_none() {
            let what = format!("{} needs `{key}`", name_of(&self.path));
            report.error("E-MISSING", self.spot, &below(&self.path, key), what, Some(format!("{key}: {example}")));
        }
    }

    /// Text, or a whole number as text.
    pub fn text(&self, key: &str, report: &mut Report) -> Option<At<String>> {
        let (_, node) = self.get(key, report)?;
        text(node, &below(&self.path, key), report)
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str, report: &mut Report) -> Option<bool> {
        let (_, node) = self.get(key, report)?;
        match &node.yaml {
            Yaml::Bool(value) => Some(*value),
            other => {
                let what = format!("`{key}` has to be true or false, not {}", other.describe());
                report.error("E-VALUE", node.spot, &below(&self.path, key), what, None);
                None
            }
        }
    }

    /// One word of several. YAML's own null counts as the word `null` where that is one.
    pub fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], report: &mut Report) -> Option<T> {
        let (_, node) = self.entries.iter().find(|(name, _)| name.value == key)?;
        let of = |word: &str| words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value);
        let text = match (&node.yaml, of("null")) {
            (Yaml::Null, Some(null)) => return Some(null),
            _ => self.text(key, report)?,
        };
        let found = of(&text.value);
        if found.is_none() {
            let what = format!("`{key}` cannot be `{}`", text.value);
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let fix = format!("write one of {}", words.join(", "));
            report.error("E-VALUE", text.spot, &below(&self.path, key), what, Some(fix));
        }
        found
    }

    /// A whole number within bounds.
    pub fn number(&self, key: &str, bounds: RangeInclusive<u64>, report: &mut Report) -> Option<At<u64>> {
        let (_, node) = self.get(key, report)?;
        let number = match &node.yaml {
            Yaml::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        match number {
            Some(value) if bounds.contains(&value) => Some(At { value, spot: node.spot }),
            _ => {
                let what = format!("`{key}` has to be a whole number from {} to {}", bounds.start(), bounds.end());
                report.error("E-VALUE", node.spot, &below(&self.path, key), what, None);
                None
            }
        }
    }

    /// A duration within bounds.
    pub fn duration(&self, key: &str, bounds: RangeInclusive<Duration>, report: &mut Report) -> Option<Duration> {
        let (_, node) = self.get(key, report)?;
        let value = match &node.yaml {
            Yaml::Text(text) => units::duration(text),
            _ => None,
        };
        let found = value.filter(|value| bounds.contains(value));
        if found.is_none() {
            let show = |bound: &Duration| humantime::format_duration(*bound).to_string();
            let (least, most) = (show(bounds.start()), show(bounds.end()));
            let what = format!("`{key}` has to be a duration with its unit, from {least} to {most}");
            report.error("E-VALUE", node.spot, &below(&self.path, key), what, None);
        }
        found
    }

    /// A size in bytes within bounds.
    pub fn bytes(&self, key: &str, bounds: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let (_, node) = self.get(key, report)?;
        let value = match &node.yaml {
            Yaml::Text(text) => units::bytes(text),
            Yaml::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let found = value.filter(|value| bounds.contains(value));
        if found.is_none() {
            let (least, most) = (units::show_bytes(*bounds.start()), units::show_bytes(*bounds.end()));
            let what = format!("`{key}` has to be a size such as 8MiB, from {least} to {most}");
            report.error("E-VALUE", node.spot, &below(&self.path, key), what, None);
        }
        found
    }

    /// A list of texts, with where the key stands. One text counts as a list of one.
    pub fn texts(&self, key: &str, report: &mut Report) -> Option<Vec<At<String>>> {
        let (_, node) = self.get(key, report)?;
        let path = below(&self.path, key);
        match &node.yaml {
            Yaml::List(nodes) => Some(nodes.iter().filter_map(|node| text(node, &path, report)).collect()),
            Yaml::Text(_) | Yaml::Int(_) => text(node, &path, report).map(|text| vec![text]),
            other => {
                let what = format!("`{key}` has to be a list of names, not {}", other.describe());
                report.error("E-VALUE", node.spot, &path, what, Some(format!("{key}: [a, b]")));
                None
            }
        }
    }

    /// A mapping of texts to texts.
    pub fn pairs(&self, key: &str, report: &mut Report) -> Option<Vec<(At<String>, At<String>)>> {
        let nodes = self.entries_of(key, report)?;
        let path = below(&self.path, key);
        let pair = |(name, node): &(At<String>, Node), report: &mut Report| {
            text(node, &below(&path, &name.value), report).map(|text| (name.clone(), text))
        };
        Some(nodes.iter().filter_map(|entry| pair(entry, report)).collect())
    }

    /// The entries of a mapping.
    pub fn entries_of(&self, key: &str, report: &mut Report) -> Option<&'a [(At<String>, Node)]> {
        let (_, node) = self.get(key, report)?;
        match &node.yaml {
            Yaml::Map(entries) => Some(entries),
            other => {
                let what = format!("`{key}` has to be a mapping of names, not {}", other.describe());
                report.error("E-VALUE", node.spot, &below(&self.path, key), what, Some(format!("{key}: {{a: b}}")));
                None
            }
        }
    }

    /// The nodes of a list.
    pub fn list_of(&self, key: &str, report: &mut Report) -> Option<&'a [Node]> {
        let (_, node) = self.get(key, report)?;
        match &node.yaml {
            Yaml::List(nodes) => Some(nodes),
            other => {
                let what = format!("`{key}` has to be a list, not {}", other.describe());
                report.error("E-VALUE", node.spot, &below(&self.path, key), what, None);
                None
            }
        }
    }
}

fn name_of(path: &str) -> &str {
    if path.is_empty() { "the job" } else { path }
}

fn text(node: &Node, path: &str, report: &mut Report) -> Option<At<String>> {
    let value = match &node.yaml {
        Yaml::Text(text) => text.clone(),
        Yaml::Int(number) => number.to_string(),
        other => {
            let quote = matches!(other, Yaml::Bool(_) | Yaml::Float | Yaml::Null);
            let fix = quote.then(|| "put it in quotes".to_string());
            report.error("E-VALUE", node.spot, path, format!("text is expected here, not {}", other.describe()), fix);
            return None;
        }
    };
    Some(At { value, spot: node.spot })
}
