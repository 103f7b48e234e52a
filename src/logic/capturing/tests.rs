//! What the owner of capture decides, over generated records, sources and bookmarks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::planning::{Facts, Session, plan, wanted};
use super::*;
use crate::error::Kind;
use crate::model::change::SourceState;
use crate::model::position::{GtidSet, GtidSource};
use crate::model::stream::{Epoch, Member, Position, stream_key};

const PREFIX: &str = "cdc";
const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn table(name: &str) -> TableName {
    TableName::new("shop", name)
}

fn tables(names: &[&str]) -> BTreeSet<TableName> {
    names.iter().map(|name| table(name)).collect()
}

fn of(numbers: &BTreeSet<u64>) -> GtidSet {
    let source = GtidSource::Server { uuid: 7, tag: String::new() };
    let mut set = GtidSet::default();
    numbers.iter().for_each(|number| set.insert_range(&source, *number, *number));
    set
}

fn up_to(last: u64) -> GtidSet {
    of(&(1..=last).collect())
}

fn member(names: &[&str]) -> Member {
    Member { job: "shop".into(), tables: tables(names) }
}

/// All that a plan needs, owned.
#[derive(Clone, Debug)]
struct World {
    own: BTreeSet<TableName>,
    meta: Meta,
    filled: BTreeMap<TableName, Position>,
    readable: BTreeSet<TableName>,
    source: SourceState,
}

impl World {
    fn plan(&self) -> Result<Session> {
        let Self { own, meta, filled, readable, source } = self;
        plan(Facts { prefix: PREFIX, own, meta, filled, readable, source })
    }

    /// Ten transactions, seven captured by epoch 3 and two purged.
    fn usual() -> Self {
        let epoch = Epoch { captured: up_to(7), tables: tables(&["a"]), ..Epoch::default() };
        Self {
            own: tables(&["a"]),
            meta: Meta {
                generation: "g".into(),
                epoch: 3,
                source: SERVER.into(),
                epochs: [(3, epoch)].into(),
                ..Meta::default()
            },
            filled: BTreeMap::new(),
            readable: tables(&["a", "b", "c"]),
            source: SourceState { server_uuid: SERVER.into(), executed: up_to(10), purged: up_to(2) },
        }
    }
}

fn refusal(result: Result<Session>) -> (Kind, String) {
    let error = result.expect_err("a plan that cannot be");
    (error.kind(), error.chain())
}

#[test]
fn a_session_goes_on_where_the_last_one_stopped() {
    let mut world = World::usual();
    let session = world.plan().expect("a plan");
    assert_eq!((session.epoch, &session.record.from), (4, &up_to(7)));
    // Without a life of the streams, from now on; their IDs tell of sessions that no record names.
    world.meta = Meta::default();
    let id = EntryId::of(9, 1, 4, 0).expect("an ID");
    world.filled.insert(table("a"), Position { id, count: 5 });
    let session = world.plan().expect("a plan");
    assert_eq!((session.epoch, &session.record.from), (10, &up_to(10)));
    assert_eq!(session.record.base, [(stream_key(PREFIX, &table("a")), Position { id, count: 5 })].into());
}

#[test]
fn what_cannot_be_captured_is_refused_with_the_fix() {
    let usual = World::usual();
    let with = |change: fn(&mut World)| {
        let mut world = usual.clone();
        change(&mut world);
        refusal(world.plan())
    };
    let says = |(kind, text): (Kind, String), expected: Kind, words: &str| {
        assert_eq!(kind, expected, "{text}");
        assert!(text.contains(words), "{text}");
    };
    says(with(|world| world.meta.source = "another".into()), Kind::Config, "E-STREAM-SOURCE");
    says(with(|world| world.source.executed = up_to(6)), Kind::Config, "E-SOURCE-CHANGED");
    says(with(|world| world.source.purged = up_to(8)), Kind::Halt, "missing 00000000-0000-0000-0000-000000000007:8;");
    says(with(|world| world.own = tables(&["a", "gone"])), Kind::Config, "E-MISSING: table shop.gone");
    let foreign: fn(&mut World) = |world| {
        let position = Position { id: "1795241077141-0".parse().expect("an ID"), count: 1 };
        world.filled.insert(table("a"), position);
    };
    says(with(foreign), Kind::Config, "E-STREAM-FOREIGN");
    let mut imported = usual.clone();
    foreign(&mut imported);
    imported.meta.imported = true;
    assert!(imported.plan().is_ok(), "its producer was stopped, and its position taken over");
}

#[test]
fn one_build_that_cannot_be_served_does_not_stop_the_others() {
    let mut world = World::usual();
    let foreign = Position { id: "1795241077141-0".parse().expect("an ID"), count: 1 };
    world.filled.insert(table("c"), foreign);
    world.meta.members = [
        ("good".to_string(), member(&["a", "b"])),
        ("gone".to_string(), member(&["a", "gone"])),
        ("foreign".to_string(), member(&["c"])),
        ("late".to_string(), member(&["a"])),
    ]
    .into();
    world.meta.requests = ["good", "gone", "late"].map(|id| (id.to_string(), up_to(4))).into();
    world.meta.requests.insert("late".into(), up_to(1));
    let session = world.plan().expect("a plan");
    assert_eq!(session.record.tables, tables(&["a", "b"]));
    assert_eq!((session.served, session.record.from), (vec!["good".to_string()], up_to(4)));
    let refused: BTreeMap<String, String> = session.refused.into_iter().collect();
    assert_eq!(refused.keys().collect::<Vec<_>>(), ["foreign", "gone", "late"]);
    assert!(refused["gone"].contains("E-MISSING"));
    assert!(refused["foreign"].contains("E-STREAM-FOREIGN"));
    assert!(refused["late"].contains("E-BINLOG-LOST") && refused["late"].contains(":2;"), "{}", refused["late"]);
}

#[test]
fn old_sessions_are_forgotten() {
    let mut world = World::usual();
    world.meta.epochs = (1..=100).map(|epoch| (epoch, world.meta.epochs[&3].clone())).collect();
    let forget: BTreeSet<u64> = world.plan().expect("a plan").forget.into_iter().collect();
    assert_eq!(forget, (1..=37).collect(), "63 and the new one stay");
}

#[test]
fn the_record_says_how_a_session_stands() {
    let world = World::usual();
    let standing = |change: fn(&mut Meta)| {
        let mut meta = world.meta.clone();
        change(&mut meta);
        super::standing(Some(&meta), "g", 3, &tables(&["a"]))
    };
    assert_eq!(super::standing(None, "g", 3, &tables(&["a"])), Standing::Lost);
    assert_eq!(standing(|_| ()), Standing::Current);
    assert_eq!(standing(|meta| meta.generation = "h".into()), Standing::Lost);
    assert_eq!(standing(|meta| meta.epoch = 2), Standing::Lost);
    assert_eq!(standing(|meta| meta.epoch = 4), Standing::Superseded);
    assert_eq!(standing(|meta| meta.requests = [("m".into(), up_to(1))].into()), Standing::Outgrown);
    assert_eq!(standing(|meta| meta.members = [("m".into(), member(&["a"]))].into()), Standing::Current);
    assert_eq!(standing(|meta| meta.members = [("m".into(), member(&["b"]))].into()), Standing::Outgrown);
    let refused: fn(&mut Meta) = |meta| {
        meta.members = [("m".into(), member(&["b"]))].into();
        meta.refused = [("m".into(), "why".into())].into();
    };
    assert_eq!(standing(refused), Standing::Current);
}

#[test]
fn a_lease_ends_by_the_clock_of_redis() {
    let meta = Meta { owner: "a".into(), until_ms: 5_000, ..Meta::default() };
    assert_eq!(holder(&meta, 4_000, "b"), Some(("a", Duration::from_secs(1))));
    assert_eq!(holder(&meta, 5_000, "b"), None);
    assert_eq!(holder(&meta, 4_000, "a"), None);
    assert_eq!(holder(&Meta { until_ms: 5_000, ..Meta::default() }, 4_000, "b"), None);
}

#[test]
fn entries_are_numbered_within_their_event() {
    let mut ids = Numbering::new(2);
    let mut next = |file: &str, pos| ids.next(file, pos);
    let id = |file, pos, ordinal| EntryId::of(2, file, pos, ordinal).expect("an ID");
    assert_eq!(next("binlog.000007", 4).expect("an ID"), id(7, 4, 0));
    assert_eq!(next("binlog.000007", 4).expect("an ID"), id(7, 4, 1));
    assert_eq!(next("binlog.000007", 9).expect("an ID"), id(7, 9, 0));
    assert_eq!(next("bin.log.1000000", 4).expect("an ID"), id(1_000_000, 4, 0));
    for (file, pos) in
        [("bin.log.1000000", 3), ("binlog", 4), ("binlog.", 4), ("binlog.00x", 4), ("bin.2000000", 1 << 40)]
    {
        assert_eq!(next(file, pos).expect_err("no ID").kind(), Kind::Halt, "{file} {pos}");
    }
    let mut ids = Numbering { epoch: 2, at: (7, 4), ordinal: (1 << 24) - 1 };
    assert_eq!(ids.next("binlog.000007", 4).expect_err("no ID").kind(), Kind::Halt);
}

#[test]
fn who_waits_for_room_needs_more_of_it() {
    let filled = Filled { stream_bytes: 900, appended_bytes: 100, server_bytes: 750, server_bytes_max: 1_000 };
    assert_eq!(shortage(filled, Some(1_000), false), None);
    let short = Shortage { what: "streams", bytes: 1_000, bytes_max: 1_000 };
    assert_eq!(shortage(filled, Some(1_000), true), Some(short));
    let bytes = |shortage: Option<Shortage>| shortage.map(|short| (short.what, short.bytes_max));
    assert_eq!(bytes(shortage(filled, None, true)), Some(("server", 800)));
    assert_eq!(bytes(shortage(Filled { server_bytes: 801, ..filled }, None, false)), Some(("server", 800)));
    assert_eq!(shortage(Filled { server_bytes: u64::MAX, server_bytes_max: 0, ..filled }, None, true), None);
}

#[test]
fn a_warning_names_what_holds_the_streams() {
    let id = |low| EntryId { high: 1, low };
    let stream = |readers: &[&str], delivered: &[(&str, u64)]| Bookmarks {
        stream: "cdc.shop.a".into(),
        readers: readers.iter().map(ToString::to_string).collect(),
        delivered: delivered.iter().map(|(name, low)| (name.to_string(), id(*low))).collect(),
        first: Some(id(1)),
        last: id(9),
    };
    assert!(held_by(&[stream(&["x"], &[("x", 5), ("y", 3)])]).starts_with("y is"));
    assert!(held_by(&[stream(&["x", "z"], &[("x", 5)])]).starts_with("z has no bookmark"));
    assert!(held_by(&[stream(&[], &[("y", 3)])]).starts_with("no build"));
    assert!(held_by(&[stream(&["x"], &[("x", 9)])]).starts_with("nobody"));
    assert!(held_by(&[Bookmarks { first: None, ..stream(&[], &[]) }]).starts_with("nobody"));
}

fn numbers() -> impl Strategy<Value = BTreeSet<u64>> {
    proptest::collection::btree_set(1u64..12, 0..12)
}

fn some_tables() -> impl Strategy<Value = BTreeSet<TableName>> {
    proptest::sample::subsequence(vec!["a", "b", "c", "gone"], 0..4).prop_map(|names| tables(&names))
}

prop_compose! {
    fn worlds()(
        began in any::<bool>(),
        captured in numbers(),
        sound in proptest::bool::weighted(0.8),
        executed in numbers(),
        purged in 0u64..4,
        epochs in proptest::collection::btree_set(1u64..9, 1..4),
        readers in proptest::collection::btree_map("[pqr]", some_tables(), 0..3),
        requests in proptest::collection::btree_map("[pqrs]", numbers(), 0..4),
        filled in proptest::collection::btree_map(0usize..3, (0u64..12, 1u64..50), 0..3),
        own in proptest::sample::subsequence(vec!["a", "b"], 0..3).prop_map(|names| tables(&names)),
    ) -> World {
        let executed: BTreeSet<u64> = executed.into_iter().chain(1..=purged).collect();
        let captured: BTreeSet<u64> =
            if sound { captured.intersection(&executed).copied().chain(1..=purged).collect() } else { captured };
        let (executed, purged) = (of(&executed), up_to(purged));
        let record = Epoch { captured: of(&captured), ..Epoch::default() };
        let newest = epochs.last().copied().unwrap_or_default();
        let names = ["a", "b", "c"];
        let at = |(epoch, low): (u64, u64)| Position { id: EntryId { high: epoch << 42 | 1, low }, count: 1 };
        World {
            own,
            meta: Meta {
                generation: if began { "g".into() } else { String::new() },
                epoch: newest,
                source: SERVER.into(),
                epochs: epochs.into_iter().map(|epoch| (epoch, record.clone())).collect(),
                members: readers.into_iter().map(|(id, tables)| (id, Member { job: "j".into(), tables })).collect(),
                requests: requests.into_iter().map(|(id, set)| (id, of(&set))).collect(),
                ..Meta::default()
            },
            filled: filled.into_iter().map(|(table_at, id)| (table(names[table_at]), at(id))).collect(),
            readable: tables(&names),
            source: SourceState { server_uuid: SERVER.into(), executed, purged },
        }
    }
}

proptest! {
    #[test]
    fn no_session_leaves_out_what_somebody_lacks(world in worlds()) {
        let Ok(session) = world.plan() else { return Ok(()) };
        let (record, meta) = (&session.record, &world.meta);
        // It leaves out only what was captured before, or on the first day what was executed before.
        let before = if meta.generation.is_empty() {
            &world.source.executed
        } else {
            &meta.epochs.last_key_value().expect("an epoch").1.captured
        };
        prop_assert!(record.from.is_subset(before));
        prop_assert!(before.is_subset(&world.source.executed));
        prop_assert_eq!(&record.captured, &record.from);
        // What it has to append is still in the binlog.
        prop_assert!(world.source.purged.is_subset(&record.from));
        // Each request is answered, one way or the other, and what is served is served in full.
        let refused: BTreeSet<&String> = session.refused.iter().map(|(id, _)| id).collect();
        for (id, applied) in &meta.requests {
            let served = session.served.contains(id);
            prop_assert!(served != refused.contains(id));
            prop_assert!(!served || record.from.is_subset(applied));
        }
        for (id, member) in &meta.members {
            prop_assert!(member.tables.is_subset(&record.tables) || refused.contains(id));
        }
        // It lies above all that was written before.
        prop_assert!(session.epoch > meta.epoch && meta.epochs.keys().all(|epoch| session.epoch > *epoch));
        prop_assert!(world.filled.values().all(|at| session.epoch > at.id.epoch()));
        prop_assert!(world.own.is_subset(&record.tables) && record.tables.is_subset(&world.readable));
        prop_assert!(record.tables.is_subset(&wanted(&world.own, meta)));
        for table in &record.tables {
            let started = session.starters.iter().find(|(started, _)| started == table).map(|(_, id)| *id);
            prop_assert_eq!(started.is_some(), !world.filled.contains_key(table), "every stream has a first entry");
            prop_assert!(started.is_none_or(|id| id.epoch() == session.epoch));
            let first = started.map(|id| Position { id, count: 1 });
            prop_assert_eq!(record.base.get(&stream_key(PREFIX, table)).copied(), world.filled.get(table).copied().or(first));
        }
    }

    #[test]
    fn nothing_unread_is_trimmed(
        readers in proptest::collection::btree_set("[abc]", 0..3),
        delivered in proptest::collection::btree_map("[abcx]", 0u64..20, 0..4),
        first in proptest::option::of(0u64..20),
    ) {
        let id = |low| EntryId { high: 1, low };
        let bookmarks = Bookmarks {
            stream: "s".into(),
            readers: readers.iter().cloned().collect(),
            delivered: delivered.iter().map(|(name, low)| (name.clone(), id(*low))).collect(),
            first: first.map(id),
            last: id(20),
        };
        let below = bookmarks.trim_below();
        if let Some(below) = below {
            prop_assert!(delivered.values().all(|low| below <= id(*low)));
            prop_assert!(!readers.is_empty() && readers.iter().all(|reader| delivered.contains_key(reader)));
            prop_assert!(id(first.expect("an entry")) < below);
        }
        // And what everybody has read does not stay.
        let all = !readers.is_empty() && readers.iter().all(|reader| delivered.contains_key(reader));
        let read = delivered.values().min().zip(first).is_some_and(|(low, first)| first < *low);
        prop_assert_eq!(below.is_some(), all && read);
    }
}
