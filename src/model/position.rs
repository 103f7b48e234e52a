//! GTIDs and sets of them, as MySQL and MariaDB write them, tags and holes included.
//!
//! Owns: [`Gtid`], [`GtidSet`] with its text form and set algebra, and [`Version`]. Does not own: where an entry lies
//! in a Redis stream. Text forms: MySQL manual, "GTID Sets" (`uuid[:tag]:1-5:7, uuid2:...`); MariaDB manual, "Global
//! Transaction ID" (`domain-server-number`). As a set, MariaDB's `0-1-5` means what it means as a position: everything that
//! server 1 wrote in domain 0 up to number 5. One with holes, which MariaDB has no form for, is written `0-1:1-3:5`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who numbered a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GtidSource {
    /// A server of MySQL, and a tag (MySQL 8.3 and later).
    Server {
        /// Its UUID's 128 bits.
        uuid: u128,
        /// The tag in lower case, mostly empty.
        tag: String,
    },
    /// A server of MariaDB in one of its replication domains. Numbers rise within a domain, whoever writes in it.
    Domain {
        /// `gtid_domain_id`.
        domain: u32,
        /// `server_id`.
        server: u32,
    },
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { uuid: u, tag } => {
                write!(
                    f,
                    "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                    u >> 96,
                    (u >> 80) & 0xffff,
                    (u >> 64) & 0xffff,
                    (u >> 48) & 0xffff,
                    u & 0xffff_ffff_ffff
                )?;
                if tag.is_empty() { Ok(()) } else { write!(f, ":{tag}") }
            }
            Self::Domain { domain, server } => write!(f, "{domain}-{server}"),
        }
    }
}

/// One transaction's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gtid {
    /// Who numbered it.
    pub source: GtidSource,
    /// Its number there, from 1.
    pub number: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            GtidSource::Server { .. } => write!(f, "{}:{}", self.source, self.number),
            GtidSource::Domain { .. } => write!(f, "{}-{}", self.source, self.number),
        }
    }
}

impl FromStr for Gtid {
    type Err = GtidParseError;

    /// One transaction, in the form of its server.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((source, number)) = parse_domain(text.trim()) {
            return Ok(Self { source, number });
        }
        let set: GtidSet = text.parse()?;
        let mut ranges = set.ranges();
        match (ranges.next(), ranges.next()) {
            (Some((source, first, last)), None) if first == last => Ok(Self { source: source.clone(), number: first }),
            _ => Err(GtidParseError(text.to_string())),
        }
    }
}

/// A text that is not a GTID set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a GTID set: {0}")]
pub struct GtidParseError(String);

/// A set of GTIDs: per source, disjoint closed intervals in order, none touching its neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GtidSet {
    intervals: BTreeMap<GtidSource, Vec<(u64, u64)>>,
}

impl GtidSet {
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// How many GTIDs it holds. The sets that one server executed only grow, so this orders them.
    pub fn count(&self) -> u64 {
        self.intervals.values().flatten().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether it holds one GTID.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.intervals.get(&gtid.source).is_some_and(|list| {
            let after = list.partition_point(|(first, _)| *first <= gtid.number);
            after > 0 && list[after - 1].1 >= gtid.number
        })
    }

    /// Adds one GTID.
    pub fn insert(&mut self, gtid: &Gtid) {
        self.insert_range(&gtid.source, gtid.number, gtid.number);
    }

    /// Adds the GTIDs `first..=last` of one source. An empty range adds nothing.
    pub fn insert_range(&mut self, source: &GtidSource, first: u64, last: u64) {
        if first > last {
            return;
        }
        if !self.intervals.contains_key(source) {
            self.intervals.insert(source.clone(), vec![(first, last)]);
            return;
        }
        let Some(list) = self.intervals.get_mut(source) else {
            return;
        };
        // All intervals that touch or overlap the new one become one with it.
        let from = list.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = list.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let merged = list[from..to].iter().fold((first, last), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        list.splice(from..to, [merged]);
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Self) {
        for (source, first, last) in other.ranges() {
            self.insert_range(source, first, last);
        }
    }

    /// Removes one GTID.
    pub fn remove(&mut self, gtid: &Gtid) {
        let mut one = Self::default();
        one.insert(gtid);
        *self = self.minus(&one);
    }

    /// Whether every GTID here is also in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.ranges().all(|(source, first, last)| {
            other.intervals.get(source).is_some_and(|list| {
                let after = list.partition_point(|(start, _)| *start <= first);
                after > 0 && list[after - 1].1 >= last
            })
        })
    }

    /// The GTIDs here that are not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (source, first, last) in self.ranges() {
            let mut next = first;
            for (start, end) in other.intervals.get(source).map_or(&[][..], Vec::as_slice) {
                if *start > last {
                    break;
                }
                if *end >= next {
                    rest.insert_range(source, next, start.saturating_sub(1));
                    next = end.saturating_add(1);
                }
            }
            rest.insert_range(source, next, last);
        }
        rest
    }

    /// The GTIDs that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    /// The GTIDs that are in all of these sets; none without a set.
    pub fn common<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sets = sets.into_iter();
        let first = sets.next().cloned().unwrap_or_default();
        sets.fold(first, |all, one| all.intersection(one))
    }

    /// Every interval: source, first, last.
    pub fn ranges(&self) -> impl Iterator<Item = (&GtidSource, u64, u64)> {
        self.intervals.iter().flat_map(|(source, list)| list.iter().map(move |(first, last)| (source, *first, *last)))
    }
}

impl FromIterator<Gtid> for GtidSet {
    fn from_iter<I: IntoIterator<Item = Gtid>>(gtids: I) -> Self {
        let mut set = Self::default();
        gtids.into_iter().for_each(|gtid| set.insert(&gtid));
        set
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (source, list)) in self.intervals.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{source}")?;
            if let (GtidSource::Domain { .. }, [(1, last)]) = (source, &list[..]) {
                write!(f, "-{last}")?;
                continue;
            }
            for (first, last) in list {
                if first == last {
                    write!(f, ":{first}")?;
                } else {
                    write!(f, ":{first}-{last}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = GtidParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let bad = || GtidParseError(part.to_string());
            if let Some((source, last)) = parse_domain(part) {
                set.insert_range(&source, 1, last);
                continue;
            }
            let mut fields = part.split(':').map(str::trim);
            let mut source = parse_source(fields.next().unwrap_or_default()).ok_or_else(bad)?;
            for field in fields {
                if field.starts_with(|c: char| c.is_ascii_digit()) {
                    let (first, last) = field.split_once('-').unwrap_or((field, field));
                    let first: u64 = first.trim().parse().map_err(|_| bad())?;
                    let last: u64 = last.trim().parse().map_err(|_| bad())?;
                    if first == 0 || first > last {
                        return Err(bad());
                    }
                    set.insert_range(&source, first, last);
                } else if let (GtidSource::Server { tag, .. }, true) = (&mut source, is_tag(field)) {
                    *tag = field.to_ascii_lowercase();
                } else {
                    return Err(bad());
                }
            }
        }
        Ok(set)
    }
}

/// A tag: a letter or underscore, then up to 31 letters, digits or underscores (MySQL manual, "GTID Format").
fn is_tag(field: &str) -> bool {
    (1..=32).contains(&field.len())
        && field.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
        && !field.starts_with(|c: char| c.is_ascii_digit())
}

/// `domain-server-number`.
fn parse_domain(text: &str) -> Option<(GtidSource, u64)> {
    let (source, number) = text.rsplit_once('-')?;
    Some((parse_pair(source)?, parse_number(number)?))
}

/// `domain-server`.
fn parse_pair(text: &str) -> Option<GtidSource> {
    let (domain, server) = text.split_once('-')?;
    let part = |text: &str| parse_number(text).and_then(|number| u32::try_from(number).ok());
    Some(GtidSource::Domain { domain: part(domain)?, server: part(server)? })
}

/// Digits only, without a sign.
fn parse_number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn parse_source(text: &str) -> Option<GtidSource> {
    parse_pair(text).or_else(|| Some(GtidSource::Server { uuid: parse_uuid(text)?, tag: String::new() }))
}

fn parse_uuid(text: &str) -> Option<u128> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok()
}

impl Serialize for GtidSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GtidSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a read contains, as one number that is stored in `_rf.v` and decides which write wins:
/// `epoch << 48 | number of GTIDs in E`. The epoch rises when another server is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub i64);

impl Version {
    /// The version of a read of a snapshot that contains `executed`, or `None` beyond 2^48 transactions or 2^15 epochs.
    pub fn of(epoch: u16, executed: &GtidSet) -> Option<Self> {
        let count = i64::try_from(executed.count()).ok().filter(|count| *count < 1 << 48)?;
        (epoch < 1 << 15).then_some(Self(i64::from(epoch) << 48 | count))
    }
}

#[cfg(test)]
#[path = "position_tests.rs"]
mod tests;
