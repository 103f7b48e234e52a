//! The rules of the protocol that can be switched off, each a planted bug. The code that obeys a rule asks here;
//! which schedules find a bug quickly is decided in `profiles`.

use std::fmt;
use std::str::FromStr;

/// How the protocol with every rule obeyed is called.
const CLEAN: &str = "clean";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Bug {
    /// A read discharges every mark it was made for, and edges are looked up in any snapshot.
    NoFence,
    /// P0 is the end of the binlog, which runs ahead of what a snapshot sees.
    StartFromBinlogEnd,
    /// INIT does not wait until `gtid_executed` contains C.
    NoInitWait,
    /// C is read before the streams' start is noted.
    CapturedReadFirst,
    /// INIT leaves out a transaction of which only the first part has been appended.
    HalfNotCounted,
    /// An update marks only the roots of its after-image.
    AfterImageOnly,
    /// Upper path edges are looked up in the target's documents.
    RootsThroughTarget,
    /// A position is passed as soon as its entry is read.
    PassedBeforeWrite,
    /// A create carries no deadline to the server.
    NoDeadline,
    /// A replace, a create or a delete ignores the stored version.
    NoGuard,
    /// A redone chunk covers by its last attempt's E.
    SecondE,
    /// A chunk stores its E after its documents.
    EAfterWrites,
    /// Events of a cached lookup table are covered by c0, all others by E.
    CacheByTable,
    /// Discharging removes the mark's whole record.
    MarkRemovedWhole,
    /// The snapshot is opened before E is taken.
    SnapshotBeforeE,
    /// E is the end of the binlog.
    EFromBinlogEnd,
    /// A build starts though capture has not acknowledged its table list.
    TablesNotAcknowledged,
    /// Plain inserts go to one name for ever.
    NotSealed,
    /// The take-over renames, the end of the copy does not.
    NotSealedAtEnd,
    /// The end of the copy renames, the take-over does not. A belt: see `main`.
    NotSealedAtTakeOver,
    /// A rename is sent without a durable intent, from whatever name is the newest to the owner's own.
    NoRenameIntent,
    /// A rename replaces what has the new name.
    RenameDropsTarget,
    /// A taker waits for the lease, not for the write deadline.
    NoTakeOverWait,
    /// A key whose write has an unknown outcome is read again at once.
    UnknownReleased,
    /// Not a bug but one rule more: replaces and deletes carry the deadline to the server as creates do.
    DeadlineOnAll,
    /// Marks are drained while chunks are still copied.
    DrainDuringCopy,
    /// An owner past its lease goes on writing.
    LeaseNotChecked,
}

const BUGS: [Bug; 27] = [
    Bug::NoFence,
    Bug::StartFromBinlogEnd,
    Bug::NoInitWait,
    Bug::CapturedReadFirst,
    Bug::HalfNotCounted,
    Bug::AfterImageOnly,
    Bug::RootsThroughTarget,
    Bug::PassedBeforeWrite,
    Bug::NoDeadline,
    Bug::NoGuard,
    Bug::SecondE,
    Bug::EAfterWrites,
    Bug::CacheByTable,
    Bug::MarkRemovedWhole,
    Bug::SnapshotBeforeE,
    Bug::EFromBinlogEnd,
    Bug::TablesNotAcknowledged,
    Bug::NotSealed,
    Bug::NotSealedAtEnd,
    Bug::NotSealedAtTakeOver,
    Bug::NoRenameIntent,
    Bug::RenameDropsTarget,
    Bug::NoTakeOverWait,
    Bug::UnknownReleased,
    Bug::DeadlineOnAll,
    Bug::DrainDuringCopy,
    Bug::LeaseNotChecked,
];

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rules(u32);

impl Rules {
    /// Every rule obeyed.
    pub const CLEAN: Rules = Rules(0);

    pub const fn without(bugs: &[Bug]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < bugs.len() {
            bits |= 1 << bugs[i] as u32;
            i += 1;
        }
        Rules(bits)
    }

    pub fn has(self, bug: Bug) -> bool {
        self.0 >> bug as u32 & 1 == 1
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<String> = BUGS.into_iter().filter(|bug| self.has(*bug)).map(|bug| format!("{bug:?}")).collect();
        f.write_str(if names.is_empty() { CLEAN.to_string() } else { names.join("+") }.as_str())
    }
}

impl FromStr for Rules {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == CLEAN {
            return Ok(Rules::CLEAN);
        }
        let mut rules = Rules::CLEAN;
        for name in text.split('+') {
            let bug = BUGS.into_iter().find(|bug| format!("{bug:?}") == name).ok_or(())?;
            rules.0 |= 1 << bug as u32;
        }
        Ok(rules)
    }
}
