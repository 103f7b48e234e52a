//! Streams of change entries: where an entry lies, how far somebody is, and what is written beside the streams.
//!
//! Owns: [`EntryId`], [`Position`], [`StreamCheckpoint`] and the records of `<prefix>.__meta` as data. Does not own:
//! Redis (`edge::redis`), the text of entries (`logic::envelope`), what follows from all that (`logic::following`).
//!
//! A position says where an entry lies: for reading on, for trimming, for the lag. It never decides which write wins.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::position::{Gtid, GtidSet};
use super::schema::TableName;

/// Bits of an entry ID's first number below the epoch. An epoch of 1 lies above every millisecond ID up to the year 2109,
/// so that our entries can follow those of another producer in the same stream.
const EPOCH_SHIFT: u32 = 42;
/// Bits of the second number that hold the ordinal of an entry within its binlog event.
const ORDINAL_BITS: u32 = 24;

/// The ID of a stream entry. Ours are `epoch << 42 | binlog file number` and `byte position << 24 | ordinal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The number before the dash.
    pub high: u64,
    /// The number after the dash.
    pub low: u64,
}

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { high: 0, low: 0 };

    /// The ID of the `ordinal`-th entry made of the binlog event at `pos` of the file with this number. Rises with the
    /// epoch, then as the binlog goes on. `None` if a number is too large for its bits.
    pub fn of(epoch: u64, file: u64, pos: u64, ordinal: u64) -> Option<Self> {
        let fits = epoch < 1 << (64 - EPOCH_SHIFT)
            && file < 1 << EPOCH_SHIFT
            && pos < 1 << (64 - ORDINAL_BITS)
            && ordinal < 1 << ORDINAL_BITS;
        fits.then_some(Self { high: epoch << EPOCH_SHIFT | file, low: pos << ORDINAL_BITS | ordinal })
    }

    /// The ID of the first entry of a stream that a session of capture begins. Below all that it makes of the binlog.
    pub fn starter(epoch: u64) -> Option<Self> {
        Self::of(epoch, 0, 0, 0)
    }

    /// The epoch of the capture that wrote it; 0 for entries of another producer.
    pub fn epoch(self) -> u64 {
        self.high >> EPOCH_SHIFT
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.high, self.low)
    }
}

/// A text that is not an entry ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an entry ID: {0}")]
pub struct EntryIdError(String);

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (high, low) = text.split_once('-')?;
            Some(Self { high: high.parse().ok()?, low: low.parse().ok()? })
        };
        read().ok_or_else(|| EntryIdError(text.to_string()))
    }
}

impl Serialize for EntryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far a stream was filled, or read. Redis counts the entries that were ever added to a stream (`entries-added`);
/// who has read up to `id` without missing one has counted as many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last entry.
    pub id: EntryId,
    /// How many entries had been added to the stream with it.
    pub count: u64,
}

/// Where a build stands in the streams. A part of its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamCheckpoint {
    /// The life of the streams that the positions belong to ([`Meta::generation`]); [`DEBEZIUM`] for another producer's.
    pub generation: String,
    /// The newest epoch whose record was seen.
    pub epoch: u64,
    /// Per stream (its Redis key) what has been applied.
    pub positions: BTreeMap<String, Position>,
}

/// What stands for a generation when a Debezium Server writes the streams.
pub const DEBEZIUM: &str = "debezium";

/// `<prefix>.__meta`: what capture and the builds that read its streams tell each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// A random word, made when capture first began. Another one means that the streams were lost. Empty as long as no
    /// capture has begun.
    pub generation: String,
    /// The newest capture session. Each begins a new one.
    pub epoch: u64,
    /// `@@server_uuid` of the source.
    pub source: String,
    /// Who captures: host, process, random word.
    pub owner: String,
    /// When that owner's lease ends, by the Redis server's clock, milliseconds since 1970.
    pub until_ms: u64,
    /// When capture last showed that it is alive, by the same clock.
    pub beat_ms: u64,
    /// Whether the streams were begun by a Debezium Server from which capture took over.
    pub imported: bool,
    /// The last capture sessions.
    pub epochs: BTreeMap<u64, Epoch>,
    /// The builds that read the streams, by [`super::build::BuildRecord::id`] (with the target's name in front).
    pub members: BTreeMap<String, Member>,
    /// Builds that miss entries and ask for everything after what they have applied, by the same ID.
    pub requests: BTreeMap<String, GtidSet>,
    /// Requests and tables that cannot be served, with the reason, by the same ID.
    pub refused: BTreeMap<String, String>,
}

/// One capture session: it appends, for its tables, every transaction that is not in `from`, in binlog order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// What was left out: transactions that had been captured before, or that nobody needs.
    pub from: GtidSet,
    /// The captured tables.
    pub tables: BTreeSet<TableName>,
    /// How far each stream (its Redis key) was filled when the session began.
    pub base: BTreeMap<String, Position>,
    /// C: everything in it was appended, or left out by `from`. Written in the same MULTI as its entries.
    pub captured: GtidSet,
    /// A transaction of which only a part has been appended.
    pub open: Option<Gtid>,
}

/// A build that reads the streams. Nothing that it has not passed is trimmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The job's name, for messages.
    pub job: String,
    /// The tables that it reads.
    pub tables: BTreeSet<TableName>,
}

/// One entry as it stands in a stream, or is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// Its ID.
    pub id: EntryId,
    /// Its fields and values, in order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The Redis key of a table's stream. A `.` in a name is written `%2E` (and so a `%` is `%25`): else the table `b.c` of `a`
/// and the table `c` of `a.b` would have the same one.
pub fn stream_key(prefix: &str, table: &TableName) -> String {
    let part = |name: &str| name.replace('%', "%25").replace('.', "%2E");
    format!("{prefix}.{}.{}", part(&table.database), part(&table.table))
}

/// The key of the stream that a Debezium Server has for a table: what its topics cannot hold is `_` there.
pub fn foreign_stream_key(prefix: &str, table: &TableName) -> String {
    let held = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part = |name: &str| name.chars().map(|c| if held(c) { c } else { '_' }).collect::<String>();
    format!("{prefix}.{}.{}", part(&table.database), part(&table.table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_lie_above_those_of_another_producer() {
        let ours = EntryId::of(1, 1, 4, 0).expect("an ID");
        let theirs: EntryId = "4102444800000-7".parse().expect("an ID of the year 2100");
        assert!(ours > theirs);
        assert_eq!((ours.epoch(), theirs.epoch()), (1, 0));
        assert_eq!(EntryId::of(1, 1, 4, 1 << 24), None);
        assert_eq!(EntryId::of(1 << 22, 1, 4, 0), None);
        for bad in ["", "1", "1-", "-1", "a-b", "1-2-3"] {
            assert!(bad.parse::<EntryId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_table_has_a_stream_of_its_own() {
        let table = TableName::new;
        assert_eq!(stream_key("cdc", &table("shop", "order line")), "cdc.shop.order line");
        assert_eq!(stream_key("cdc", &table("a.b", "c")), "cdc.a%2Eb.c");
        assert_eq!(stream_key("cdc", &table("a", "b.c")), "cdc.a.b%2Ec");
        assert_ne!(stream_key("cdc", &table("a", "b%2Ec")), stream_key("cdc", &table("a", "b.c")));
        assert_eq!(foreign_stream_key("cdc", &table("a.b", "größe 1-$")), "cdc.a.b.gr__e_1-_");
    }

    proptest! {
        #[test]
        fn ids_order_as_the_binlog_does(a in (1u64..9, 0u64..99, 0u64..1 << 40, 0u64..1 << 24), b in (1u64..9, 0u64..99, 0u64..1 << 40, 0u64..1 << 24)) {
            let id = |(epoch, file, pos, ordinal)| EntryId::of(epoch, file, pos, ordinal).expect("an ID");
            prop_assert_eq!(id(a).cmp(&id(b)), a.cmp(&b));
            prop_assert_eq!(id(a).to_string().parse::<EntryId>().expect("an ID"), id(a));
            prop_assert_eq!(id(a).epoch(), a.0);
        }
    }
}
