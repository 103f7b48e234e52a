//! The planted bugs: which rules are switched off together, under which profile and in which modes the schedules that
//! show it are common, and within how many it must be caught.

use crate::explore::MODES;
use crate::profiles::{
    BEHIND, CACHE, CRASHES, GROWTH, LAG, LATE, MOVES, Profile, RECORDS, REDO, RENAMES, REPLACED, START,
};
use crate::rules::{Bug, Rules};
use crate::world::Mode;

pub struct Hunt {
    pub name: &'static str,
    pub rules: Rules,
    pub profile: &'static Profile,
    pub modes: &'static [Mode],
    /// About twenty times the usual number, so that a miss means something.
    pub bound: u64,
}

/// Rules about E, covers, records and C have nothing to say where the queue starts after the copy.
const STREAMS: &[Mode] = &[Mode::Streams];
const BOTH: &[Mode] = &MODES;

const fn hunt(name: &'static str, bugs: &[Bug], profile: &'static Profile, modes: &'static [Mode], bound: u64) -> Hunt {
    Hunt { name, rules: Rules::without(bugs), profile, modes, bound }
}

pub const HUNTS: &[Hunt] = &[
    hunt("no fence", &[Bug::NoFence], &LAG, BOTH, 1_000),
    hunt("P0 from the binlog's end", &[Bug::StartFromBinlogEnd], &START, BOTH, 1_000),
    hunt("INIT does not wait for C", &[Bug::NoInitWait], &START, STREAMS, 1_000),
    hunt("C read before the start is noted", &[Bug::CapturedReadFirst], &START, STREAMS, 8_000),
    hunt("half a transaction not waited for", &[Bug::HalfNotCounted], &START, STREAMS, 80_000),
    hunt("table list not acknowledged", &[Bug::TablesNotAcknowledged], &START, STREAMS, 3_000),
    hunt("roots from the after-image only", &[Bug::AfterImageOnly], &MOVES, BOTH, 1_000),
    hunt("roots through the target", &[Bug::RootsThroughTarget], &MOVES, BOTH, 10_000),
    hunt("position passed before the write", &[Bug::PassedBeforeWrite], &CRASHES, BOTH, 1_000),
    hunt("no write deadline", &[Bug::NoDeadline], &LATE, BOTH, 8_000),
    hunt("no guard", &[Bug::NoGuard], &RECORDS, BOTH, 1_000),
    hunt("no guard, deadline off", &[Bug::NoGuard, Bug::NoDeadline], &GROWTH, BOTH, 5_000),
    hunt("cover by the redone chunk's second E", &[Bug::SecondE], &REDO, STREAMS, 3_000),
    hunt("E stored after the chunk's writes", &[Bug::EAfterWrites], &REDO, STREAMS, 3_000),
    hunt("snapshot opened before E is taken", &[Bug::SnapshotBeforeE], &BEHIND, STREAMS, 10_000),
    hunt("snapshot opened before E is taken", &[Bug::SnapshotBeforeE], &MOVES, &[Mode::Queue], 5_000),
    hunt("E from the binlog's end", &[Bug::EFromBinlogEnd], &LAG, BOTH, 1_000),
    hunt("cached lookup covers by table", &[Bug::CacheByTable], &CACHE, STREAMS, 40_000),
    hunt("mark removed whole", &[Bug::MarkRemovedWhole], &RECORDS, STREAMS, 1_000),
    hunt("marks drained during the copy", &[Bug::DrainDuringCopy], &RECORDS, STREAMS, 5_000),
    hunt("copy not sealed", &[Bug::NotSealed], &LATE, BOTH, 8_000),
    hunt("copy not sealed at its end", &[Bug::NotSealedAtEnd], &LATE, BOTH, 40_000),
    hunt("rename without a durable intent", &[Bug::NoRenameIntent], &RENAMES, BOTH, 150_000),
    hunt("rename replaces what is there", &[Bug::RenameDropsTarget], &RENAMES, BOTH, 150_000),
    hunt("take-over without the write deadline", &[Bug::NoTakeOverWait], &REPLACED, BOTH, 150_000),
    hunt("unknown outcome released at once", &[Bug::UnknownReleased], &REPLACED, BOTH, 30_000),
    hunt("lease not checked when writing", &[Bug::LeaseNotChecked], &LATE, BOTH, 50_000),
];
