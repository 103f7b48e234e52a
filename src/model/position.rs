//! GTIDs and sets of them, as MySQL writes them, tags and holes included.
//!
//! Owns: [`Gtid`], [`GtidSet`] with its text form and set algebra, and [`Version`]. Does not own: where an entry lies
//! in a Redis stream. Text form: MySQL manual, "GTID Sets" (`uuid[:tag]:1-5:7, uuid2:...`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who numbered a transaction: a server's UUID (as 128 bits) and a tag, mostly empty (MySQL 8.3 and later).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GtidSource {
    /// The UUID's 128 bits.
    pub uuid: u128,
    /// The tag in lower case, or empty.
    pub tag: String,
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let u = self.uuid;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            u >> 96,
            (u >> 80) & 0xffff,
            (u >> 64) & 0xffff,
            (u >> 48) & 0xffff,
            u & 0xffff_ffff_ffff
        )?;
        if self.tag.is_empty() { Ok(()) } else { write!(f, ":{}", self.tag) }
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
        write!(f, "{}:{}", self.source, self.number)
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

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (source, list)) in self.intervals.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{source}")?;
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
            let mut fields = part.split(':').map(str::trim);
            let uuid = parse_uuid(fields.next().unwrap_or_default()).ok_or_else(bad)?;
            let mut source = GtidSource { uuid, tag: String::new() };
            for field in fields {
                if field.starts_with(|c: char| c.is_ascii_digit()) {
                    let (first, last) = field.split_once('-').unwrap_or((field, field));
                    let first: u64 = first.trim().parse().map_err(|_| bad())?;
                    let last: u64 = last.trim().parse().map_err(|_| bad())?;
                    if first == 0 || first > last {
                        return Err(bad());
                    }
                    set.insert_range(&source, first, last);
                } else if is_tag(field) {
                    source.tag = field.to_ascii_lowercase();
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        text.parse().expect("a GTID set")
    }

    #[test]
    fn text_forms() {
        let tagged = set(&format!("{A}:1-5:7:blue:1-2,\n{}:9", A.replace('3', "4").to_uppercase()));
        assert_eq!(tagged.to_string(), format!("{A}:1-5:7,{A}:blue:1-2,{}:9", A.replace('3', "4")));
        assert_eq!(tagged.count(), 9);
        assert_eq!(set(&tagged.to_string()), tagged);
        assert_eq!(set(""), GtidSet::default());
        for bad in ["x", "3e11:1", &format!("{A}:0-2"), &format!("{A}:5-2"), &format!("{A}:1-"), &format!("{A}:-2")] {
            assert!(bad.parse::<GtidSet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn touching_intervals_join() {
        assert_eq!(set(&format!("{A}:1-3:5:4")).to_string(), format!("{A}:1-5"));
        assert!(Version::of(1, &set(&format!("{A}:1-5"))) > Version::of(0, &set(&format!("{A}:1-500"))));
    }

    fn numbers() -> impl Strategy<Value = BTreeSet<u64>> {
        proptest::collection::btree_set(1u64..40, 0..25)
    }

    fn of(numbers: &BTreeSet<u64>) -> GtidSet {
        let source = GtidSource { uuid: 7, tag: String::new() };
        let mut set = GtidSet::default();
        for number in numbers.iter().rev() {
            set.insert(&Gtid { source: source.clone(), number: *number });
        }
        set
    }

    proptest! {
        #[test]
        fn algebra_agrees_with_plain_sets(a in numbers(), b in numbers()) {
            let (x, y) = (of(&a), of(&b));
            prop_assert_eq!(x.count() as usize, a.len());
            prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
            prop_assert_eq!(x.minus(&y), of(&a.difference(&b).copied().collect()));
            prop_assert_eq!(x.intersection(&y), of(&a.intersection(&b).copied().collect()));
            prop_assert_eq!(GtidSet::common([&x, &y]), x.intersection(&y));
            let mut union = x.clone();
            union.extend(&y);
            prop_assert_eq!(&union, &of(&a.union(&b).copied().collect()));
            prop_assert_eq!(set(&union.to_string()), union);
            for number in 1..40 {
                let gtid = Gtid { source: GtidSource { uuid: 7, tag: String::new() }, number };
                prop_assert_eq!(x.contains(&gtid), a.contains(&number));
            }
        }
    }
}
