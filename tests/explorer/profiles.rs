//! Profiles: how a schedule spends its steps, so that some kind of trouble becomes likely. A profile never decides
//! what is right; the clean protocol must hold under every one of them.

use crate::source::TABLES;
use crate::target::Kind;

pub const ACTORS: usize = 10;

/// Weights of the actors, in the order of `world::ACTOR_*`, of the tables written, of what is done to a row, and the
/// chances (of 64) of everything that may go wrong.
#[derive(Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    pub actors: [u8; ACTORS],
    pub tables: [u8; TABLES],
    /// Delete, move to another parent, change.
    pub edits: [u8; 3],
    /// A transaction changes two rows.
    pub pairs: u8,
    /// At most so many steps; and so many after the last commit.
    pub steps: (u16, u16),
    pub tail: u16,
    /// How many transactions INIT may see, and how many may have been made when the copy ends.
    pub quota: [u8; 2],
    /// How long a lease and a write's deadline are, in ticks.
    pub lease: u16,
    pub deadline: u16,
    /// An answer does not arrive, though the write has landed.
    pub lost: u8,
    /// A write never arrives.
    pub dropped: u8,
    /// A write dawdles on its way.
    pub slow: u8,
    /// A write that dawdles, or whose sender is dead, lands when its turn comes.
    pub late: u8,
    /// The copy holds its lookups in memory.
    pub cached: u8,
    /// While streaming, an event is recorded and not kept in memory.
    pub recorded: u8,
    /// Nothing goes wrong before the stream is reached.
    pub quiet_copy: u8,
    /// Capture does not know one of the tables when the build starts.
    pub unlisted: u8,
    /// Owner crashes, owner pauses, capture starts again from an older position.
    pub faults: [u8; 3],
    /// An owner often dies just after it has sent one of these.
    pub failpoint: Option<Kind>,
}

pub const MIXED: Profile = Profile {
    name: "mixed",
    actors: [6, 6, 6, 7, 32, 12, 7, 1, 2, 2],
    tables: [4, 4, 3, 2],
    edits: [2, 3, 3],
    pairs: 16,
    steps: (250, 200),
    tail: 60,
    quota: [4, 8],
    lease: 8,
    deadline: 4,
    lost: 5,
    dropped: 3,
    slow: 8,
    late: 5,
    cached: 24,
    recorded: 16,
    quiet_copy: 32,
    unlisted: 16,
    faults: [4, 3, 2],
    failpoint: None,
};

/// Rows become visible long after their events have been captured.
pub const LAG: Profile =
    Profile { name: "lag", actors: [8, 2, 2, 9, 36, 14, 5, 0, 2, 0], cached: 0, tail: 20, ..MIXED };

/// Builds that start while capture and source are out of step.
pub const START: Profile = Profile {
    name: "start",
    actors: [8, 3, 4, 6, 32, 9, 4, 0, 2, 0],
    quota: [9, 12],
    pairs: 48,
    unlisted: 40,
    cached: 8,
    steps: (60, 80),
    ..MIXED
};

/// Capture reads the binlog long after the rows are visible.
pub const BEHIND: Profile = Profile {
    name: "behind",
    actors: [9, 9, 9, 3, 26, 12, 4, 0, 2, 0],
    quota: [4, 16],
    tables: [4, 2, 2, 4],
    cached: 32,
    unlisted: 0,
    slow: 4,
    steps: (100, 60),
    tail: 10,
    ..MIXED
};

/// Rows that move between parents.
pub const MOVES: Profile = Profile {
    name: "moves",
    actors: [8, 6, 6, 9, 36, 12, 5, 0, 2, 0],
    tables: [1, 4, 5, 3],
    edits: [1, 6, 2],
    quota: [2, 5],
    cached: 8,
    tail: 20,
    ..MIXED
};

/// Owners that die in the stream.
pub const CRASHES: Profile = Profile {
    name: "crashes",
    actors: [6, 7, 7, 9, 32, 12, 7, 2, 8, 1],
    quota: [2, 4],
    quiet_copy: 56,
    faults: [6, 1, 2],
    ..MIXED
};

/// Roots that come and go under writes that land late.
pub const LATE: Profile = Profile {
    name: "late",
    actors: [6, 7, 7, 9, 32, 9, 6, 1, 4, 2],
    tables: [6, 1, 1, 1],
    edits: [6, 1, 2],
    quota: [3, 5],
    slow: 20,
    lost: 8,
    faults: [6, 3, 1],
    ..MIXED
};

/// Owners replaced while they live, short leases and long deadlines.
pub const REPLACED: Profile = Profile {
    name: "replaced",
    actors: [6, 9, 9, 9, 40, 12, 2, 2, 6, 8],
    tables: [6, 1, 0, 0],
    edits: [6, 0, 2],
    pairs: 0,
    quota: [1, 3],
    quiet_copy: 64,
    slow: 16,
    lost: 10,
    cached: 0,
    unlisted: 0,
    recorded: 4,
    steps: (300, 200),
    faults: [3, 5, 0],
    lease: 3,
    deadline: 12,
    ..MIXED
};

/// Chunks that are copied twice.
pub const REDO: Profile = Profile {
    name: "redo",
    actors: [7, 8, 8, 5, 28, 7, 8, 2, 6, 1],
    tables: [6, 2, 1, 1],
    edits: [5, 2, 2],
    quota: [2, 14],
    slow: 12,
    lost: 16,
    unlisted: 0,
    quiet_copy: 0,
    steps: (140, 100),
    faults: [8, 1, 0],
    ..MIXED
};

/// Renames and inserts of owners that died while they copied.
pub const RENAMES: Profile = Profile {
    name: "renames",
    actors: [1, 2, 2, 2, 32, 16, 6, 1, 10, 0],
    tables: [6, 1, 1, 1],
    edits: [1, 1, 2],
    quota: [0, 2],
    lease: 4,
    deadline: 2,
    slow: 32,
    late: 8,
    lost: 8,
    unlisted: 0,
    quiet_copy: 0,
    cached: 0,
    steps: (400, 100),
    faults: [1, 0, 0],
    failpoint: Some(Kind::Rename),
    ..MIXED
};

/// Lookup caches that grow old while roots move between lookups.
pub const CACHE: Profile = Profile {
    name: "cache",
    actors: [8, 9, 9, 9, 24, 6, 2, 0, 2, 0],
    tables: [5, 0, 0, 4],
    edits: [2, 5, 4],
    quota: [3, 14],
    cached: 64,
    unlisted: 0,
    steps: (120, 80),
    ..MIXED
};

/// Events that are recorded while records are drained.
pub const RECORDS: Profile = Profile {
    name: "records",
    actors: [8, 4, 4, 9, 36, 12, 5, 0, 2, 0],
    tables: [5, 3, 2, 2],
    quota: [2, 8],
    recorded: 64,
    tail: 20,
    ..MIXED
};

/// Nothing is ever deleted, so that a late write can only be an older version.
pub const GROWTH: Profile = Profile { name: "growth", edits: [0, 2, 6], tables: [6, 1, 1, 2], ..LATE };

pub const PROFILES: [&Profile; 13] =
    [&MIXED, &LAG, &START, &BEHIND, &MOVES, &CRASHES, &LATE, &REPLACED, &REDO, &RENAMES, &CACHE, &RECORDS, &GROWTH];
