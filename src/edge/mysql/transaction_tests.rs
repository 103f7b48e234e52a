//! Streams of hand-made events, and what they are put together to.

use super::*;
use crate::edge::mysql::charset::Charsets;
use crate::model::change::{Cell, Spot, Unlogged};
use crate::model::plan::{JobPlan, TableUse, UsedColumn};
use crate::model::position::GtidSource;
use crate::model::schema::{ColumnKind, TableName};
use crate::model::value::Value;

fn gtid(number: u64) -> Gtid {
    Gtid { source: GtidSource::Server { uuid: 1, tag: String::new() }, number }
}

fn used(name: &str, kind: ColumnKind, routes: bool) -> UsedColumn {
    UsedColumn { name: name.into(), kind, declared: String::new(), collation: None, routes }
}

/// An event; every one is 100 bytes long in its file.
fn incoming(kind: u8, flags: u16, data: &[u8], begun: Option<u64>) -> Incoming<'_> {
    let begun = begun.map(|number| {
        let (skipped, shape) = (GtidSet::default(), Shape::Unsaid);
        Begun { gtid: gtid(number), skipped, shape, committed_unix_us: 5_000 }
    });
    Incoming { kind, flags, size: 100, log_pos: 0, server_id: 9, data, begun }
}

struct Stream(Assembler);

impl Stream {
    fn new() -> Self {
        Self::of(vec![
            used("id", ColumnKind::Int { bits: 32, unsigned: false }, true),
            used("text", ColumnKind::Binary, false),
        ])
    }

    fn of(columns: Vec<UsedColumn>) -> Self {
        let tables = vec![TableUse { name: TableName::new("d", "t"), columns }];
        let plan = JobPlan { name: "job".into(), projections: Vec::new(), tables };
        Self(Assembler::new(Tables::used(Arc::new(plan), Charsets::default(), false), "db:1"))
    }

    fn send(&mut self, kind: u8, data: &[u8]) -> Result<Fed> {
        self.0.feed(incoming(kind, 0, data, None))
    }

    fn begin(&mut self, number: u64) {
        self.0.feed(incoming(kind::GTID, 0, &[], Some(number))).expect("a GTID");
    }

    fn query(&mut self, text: &str) -> Result<Fed> {
        let data = [&[7, 0, 0, 0, 0, 0, 0, 0][..], &[1, 0, 0, 2, 0], &[9, 9], b"d\0", text.as_bytes()].concat();
        self.send(kind::QUERY, &data)
    }

    /// A table map of (id int, text blob) and one insert of a text of the given size.
    fn insert(&mut self, id: u8, size: u16) {
        let head = [7, 0, 0, 0, 0, 0, 1, 0];
        let names = [4, 8, 2, b'i', b'd', 4, b't', b'e', b'x', b't'];
        let map = [&head[..], b"\x01d\0\x01t\0", &[2, 3, 252, 1, 2, 3], &names].concat();
        self.send(kind::TABLE_MAP, &map).expect("a table map");
        let size_bytes = size.to_le_bytes();
        let row = [&head[..], &[2, 0, 2, 3], &[0, id, 0, 0, 0], &size_bytes, &vec![1; size.into()]].concat();
        self.send(30, &row).expect("a row");
    }

    fn prepare(&mut self, one_phase: u8) {
        let data = [&[one_phase][..], &[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0], b"ab"].concat();
        self.send(kind::XA_PREPARE, &data).expect("an XA event");
    }

    /// What is finished: `part`, `unlogged`, or the numbers of a commit with the IDs of its changes.
    fn taken(&mut self) -> Vec<String> {
        let ids = |changes: &[RowChange]| {
            let id = |change: &RowChange| match &change.after.as_ref().expect("an insert").0[0] {
                Cell::Value(Value::Int(id)) => id.to_string(),
                other => panic!("{other:?}"),
            };
            changes.iter().map(id).collect::<Vec<_>>().join(",")
        };
        std::iter::from_fn(|| self.0.pop())
            .map(|event| match event {
                LogEvent::Part { gtid, changes, .. } => format!("part {}: {}", gtid.number, changes.len()),
                LogEvent::Commit(done) => {
                    let also: String = done
                        .also
                        .ranges()
                        .map(|(_, first, last)| {
                            format!("+{first}{}", if first == last { String::new() } else { format!("-{last}") })
                        })
                        .collect();
                    format!("{}{also}: {}", done.gtid.number, ids(&done.changes))
                }
                LogEvent::Unlogged { gtid, table, what, .. } => format!("unlogged {} {table} {what:?}", gtid.number),
                LogEvent::Passed(_) => "passed".into(),
                LogEvent::Heartbeat => "heartbeat".into(),
            })
            .collect()
    }
}

#[test]
fn a_plain_transaction() {
    let mut stream = Stream::new();
    stream.begin(1);
    stream.query("BEGIN").expect("a statement");
    stream.insert(4, 10);
    stream.query("SAVEPOINT `s`").expect("a statement");
    stream.insert(5, 10);
    assert!(stream.taken().is_empty());
    stream.send(kind::XID, &[0; 8]).expect("a commit");
    assert_eq!(stream.taken(), ["1: 4,5"]);
    assert_eq!(stream.query("BEGIN").expect_err("no GTID").kind(), crate::error::Kind::Halt);
}

#[test]
fn large_ones_come_in_parts() {
    let mut stream = Stream::new();
    stream.begin(1);
    stream.query("BEGIN").expect("a statement");
    for _ in 0..100 {
        stream.insert(4, 60_000);
    }
    stream.send(kind::XID, &[0; 8]).expect("a commit");
    let taken = stream.taken();
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert!(taken[0].starts_with("part 1: ") && taken[1].starts_with("1: 4,4"));
}

#[test]
fn xa_holds_its_rows() {
    let mut stream = Stream::new();
    stream.begin(1);
    stream.query("XA START X'6162',X'',1").expect("a statement");
    for _ in 0..100 {
        stream.insert(4, 60_000);
    }
    stream.query("XA END X'6162',X'',1").expect("a statement");
    stream.prepare(0);
    assert!(stream.taken().is_empty());
    stream.begin(2);
    stream.query("XA COMMIT X'6162',X'',1").expect("a statement");
    let taken = stream.taken();
    // Held without the bytes that only serve comparison, so in one piece.
    assert!(taken.len() == 1 && taken[0].starts_with("2+1: 4,4"), "{taken:?}");

    stream.begin(3);
    stream.query("XA START X'6162',X'',1").expect("a statement");
    stream.insert(5, 1);
    stream.prepare(0);
    stream.begin(4);
    stream.query("XA ROLLBACK X'6162',X'',1").expect("a statement");
    stream.begin(5);
    stream.query("XA START X'6162',X'',1").expect("a statement");
    stream.insert(6, 1);
    stream.prepare(1);
    assert_eq!(stream.taken(), ["4+3: ", "5: 6"]);

    stream.begin(6);
    assert_eq!(stream.query("XA COMMIT X'6162',X'',1").expect_err("unknown").kind(), crate::error::Kind::Halt);
}

#[test]
fn statements_that_leave_no_rows() {
    let mut stream = Stream::new();
    stream.begin(1);
    stream.query("TRUNCATE TABLE t").expect("a statement");
    stream.begin(2);
    stream.query("CREATE TABLE other (id int)").expect("a statement");
    stream.begin(3);
    stream.query("BEGIN").expect("a statement");
    stream.query("UPDATE t SET a=1").expect("a statement");
    stream.query("COMMIT").expect("a statement");
    stream.begin(4);
    stream.query("CREATE TABLE `t` (id int) START TRANSACTION").expect("a statement");
    stream.insert(7, 1);
    stream.send(kind::XID, &[0; 8]).expect("a commit");
    assert_eq!(
        stream.taken(),
        ["unlogged 1 d.t Rows", "1: ", "2: ", "unlogged 3 d.t Statement", "3: ", "unlogged 4 d.t Definition", "4: 7",]
    );
}

#[test]
fn changes_of_used_columns_are_told_from_others() {
    let told = |kind: ColumnKind, text: &str| {
        let mut stream = Stream::of(vec![used("Name", kind, false)]);
        stream.begin(1);
        stream.query(text).expect("a statement");
        stream.taken().remove(0)
    };
    for text in
        ["ALTER TABLE t MODIFY `name` TEXT", "alter table d.t drop NAME", "ALTER TABLE t CONVERT TO CHARSET latin1"]
    {
        assert_eq!(told(ColumnKind::Text, text), "unlogged 1 d.t UsedColumns", "{text}");
    }
    for text in ["ALTER TABLE t ADD other INT AFTER name", "ALTER TABLE t ADD KEY name (name)"] {
        assert_eq!(told(ColumnKind::Text, text), "unlogged 1 d.t Definition", "{text}");
    }
    assert_eq!(told(ColumnKind::Date, "ALTER TABLE t CONVERT TO CHARSET latin1"), "unlogged 1 d.t Definition");
    assert_eq!(told(ColumnKind::Date, "ALTER TABLE t DROP name, RENAME u"), "unlogged 1 d.t Rows");
}

#[test]
fn losses_are_noticed() {
    let halts = |outcome: Result<Fed>| assert_eq!(outcome.expect_err("halts").kind(), crate::error::Kind::Halt);
    let mut stream = Stream::new();
    stream.begin(1);
    halts(stream.0.feed(incoming(kind::GTID, 0, &[], Some(2))));
    // A compressed transaction that could not be unpacked just ends.
    let mut stream = Stream::new();
    stream.begin(1);
    stream.send(kind::TRANSACTION_PAYLOAD, &[]).expect("a payload");
    halts(stream.send(kind::HEARTBEAT, &[]));
    halts(Stream::new().send(kind::INCIDENT, &[]));
    halts(Stream::new().send(kind::ANONYMOUS_GTID, &[]));
    halts(Stream::new().send(0xa2, &[]));
    let mut stream = Stream::new();
    stream.begin(1);
    halts(stream.send(30, &[9, 0, 0, 0, 0, 0, 1, 0]));
    let ignorable = incoming(99, IGNORABLE_FLAG, &[], None);
    assert_eq!(Stream::new().0.feed(ignorable).expect("ignored"), Fed::Taken);
}

#[test]
fn rows_without_names_need_todays_definition() {
    let mut stream = Stream::new();
    stream.begin(1);
    let map = [&[7, 0, 0, 0, 0, 0, 1, 0][..], b"\x01d\0\x01t\0", &[2, 3, 252, 1, 2, 3]].concat();
    assert_eq!(stream.send(kind::TABLE_MAP, &map).expect("fed"), Fed::Needs(Need::Table(0)));
    let column = |name: &str, kind| crate::model::schema::Column {
        name: name.into(),
        kind,
        nullable: true,
        collation: None,
        length_max: None,
        declared: String::new(),
    };
    let int = ColumnKind::Int { bits: 32, unsigned: false };
    let today = Table {
        name: TableName::new("d", "t"),
        columns: vec![column("ID", int), column("text", ColumnKind::Binary)],
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        engine: "InnoDB".into(),
        rows_estimate: 0,
        row_bytes_estimate: 0,
    };
    stream.0.define(0, today);
    assert_eq!(stream.send(kind::TABLE_MAP, &map).expect("fed"), Fed::Taken);
    let row = [&[7, 0, 0, 0, 0, 0, 1, 0][..], &[2, 0, 2, 3], &[2, 9, 0, 0, 0]].concat();
    stream.send(30, &row).expect("a row");
    stream.send(kind::XID, &[0; 8]).expect("a commit");
    assert_eq!(stream.taken(), ["1: 9"]);
    stream.begin(2);
    let unused = [&[8, 0, 0, 0, 0, 0, 1, 0][..], b"\x01d\0\x01u\0", &[1, 200]].concat();
    assert_eq!(stream.send(kind::TABLE_MAP, &unused).expect("fed"), Fed::Taken);
    assert_eq!(stream.send(30, &[8, 0, 0, 0, 0, 0, 1, 0]).expect("skipped"), Fed::Taken);
}

/// The spots of all changes, in order.
fn spots(events: &[LogEvent]) -> Vec<(u64, u32)> {
    let changes = events.iter().flat_map(|event| match event {
        LogEvent::Part { changes, .. } => &changes[..],
        LogEvent::Commit(done) => &done.changes,
        _ => &[],
    });
    changes.map(|change| (change.spot.pos, change.spot.row)).collect()
}

#[test]
fn changes_know_where_they_stand() {
    let mut stream = Stream::new();
    let rotate = [&[4, 0, 0, 0, 0, 0, 0, 0][..], b"log.000012"].concat();
    stream.send(kind::ROTATE, &rotate).expect("a rotate event");
    // Every event is 100 bytes long: GTID at 4 + 100 (the ROTATE is the server's own in truth), BEGIN, TABLE_MAP, rows.
    stream.begin(1);
    stream.query("BEGIN").expect("a statement");
    stream.insert(4, 1);
    stream.insert(5, 1);
    stream.send(kind::XID, &[0; 8]).expect("a commit");
    let events: Vec<LogEvent> = std::iter::from_fn(|| stream.0.pop()).collect();
    assert_eq!(spots(&events), [(304, 0), (504, 0)]);
    let LogEvent::Commit(done) = &events[0] else { panic!("{events:?}") };
    let origin = Origin { file: "log.000012".into(), server_id: 9, thread: Some(7), committed_unix_us: 5_000 };
    assert_eq!((&*done.origin, done.committed_unix_ms), (&origin, 5));
    // All rows of a compressed transaction stand at its one event.
    stream.begin(2);
    stream.send(kind::TRANSACTION_PAYLOAD, &[]).expect("a payload");
    stream.query("BEGIN").expect("a statement");
    stream.insert(4, 1);
    stream.insert(5, 1);
    stream.send(kind::XID, &[0; 8]).expect("a commit");
    // Those of an XA transaction at its XA COMMIT.
    stream.begin(3);
    stream.query("XA START X'6162',X'',1").expect("a statement");
    (0..100).for_each(|_| stream.insert(6, 60_000));
    stream.prepare(0);
    stream.begin(4);
    stream.query("XA COMMIT X'6162',X'',1").expect("a statement");
    let events: Vec<LogEvent> = std::iter::from_fn(|| stream.0.pop()).collect();
    assert_eq!(spots(&events)[..2], [(804, 0), (804, 1)]);
    let at_commit = 904 + 100 + 100 + 200 * 100 + 100 + 100;
    assert_eq!(spots(&events)[2..], (0..100).map(|row| (at_commit, row)).collect::<Vec<_>>());
    stream.begin(5);
    stream.query("DROP TABLE t, other").expect("a statement");
    match stream.0.pop().expect("an event") {
        LogEvent::Unlogged { what: Unlogged::Rows, spot, origin, .. } => {
            assert_eq!((spot, origin.thread), (Spot { pos: at_commit + 200, row: 0 }, Some(7)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_type_that_nobody_knows_is_told_with_its_table_and_column() {
    let mut stream = Stream::new();
    stream.begin(1);
    let map = |table: &[u8]| [&[7, 0, 0, 0, 0, 0, 1, 0][..], b"\x01d\0\x01", table, &[0, 2, 3, 200, 0, 0]].concat();
    assert_eq!(stream.send(kind::TABLE_MAP, &map(b"u")).expect("nobody uses it"), Fed::Taken);
    let error = stream.send(kind::TABLE_MAP, &map(b"t")).expect_err("unknown");
    assert_eq!(error.kind(), crate::error::Kind::Halt);
    let told = error.chain();
    for part in ["d.t", "column 2", "type 200"] {
        assert!(told.contains(part), "{told}");
    }
}
