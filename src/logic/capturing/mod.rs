//! What the owner of capture decides: whether it may begin, goes on or begins again, what its entries are called, whether
//! there is room, and what may be trimmed.
//!
//! Owns: these decisions, as functions of what was seen; [`planning`] those about the next session. Does not own: seeing
//! and doing (`stream::publisher`), when history counts as lost for a reader (`logic::following`).

pub mod planning;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::schema::TableName;
use crate::model::stream::{EntryId, Meta};

/// Above this part of the server's memory bound nothing is appended, in percent: the server's other users need some too.
const SERVER_PERCENT_MAX: u64 = 80;
/// Who has waited for room goes on below this part of the bound, in percent.
const GO_ON_PERCENT: u64 = 90;

/// Who else holds the lease at this moment of the same clock, and for how long yet.
pub fn holder<'a>(meta: &'a Meta, now_ms: u64, owner: &str) -> Option<(&'a str, Duration)> {
    let held = !meta.owner.is_empty() && meta.owner != owner && meta.until_ms > now_ms;
    held.then(|| (meta.owner.as_str(), Duration::from_millis(meta.until_ms - now_ms)))
}

/// What the record beside the streams means for a session under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The session goes on.
    Current,
    /// It has to end in order, because somebody needs what only a new one can give: more tables, or older transactions.
    Outgrown,
    /// A later one has begun.
    Superseded,
    /// The record is another one, or gone.
    Lost,
}

/// How the session of this generation and epoch, with these tables, stands.
pub fn standing(meta: Option<&Meta>, generation: &str, epoch: u64, tables: &BTreeSet<TableName>) -> Standing {
    let Some(meta) = meta.filter(|meta| meta.generation == generation && meta.epoch >= epoch) else {
        return Standing::Lost;
    };
    if meta.epoch > epoch {
        return Standing::Superseded;
    }
    // A refused member waits for its operator. To look for its tables again and again would begin sessions without end.
    let lacks = meta.members.iter().any(|(id, member)| {
        !meta.refused.contains_key(id) && member.tables.iter().any(|table| !tables.contains(table))
    });
    if lacks || !meta.requests.is_empty() { Standing::Outgrown } else { Standing::Current }
}

/// Gives entries their IDs, in the order of the binlog.
#[derive(Debug)]
pub struct Numbering {
    epoch: u64,
    at: (u64, u64),
    ordinal: u64,
}

impl Numbering {
    /// For a session of this epoch.
    pub fn new(epoch: u64) -> Self {
        Self { epoch, at: (0, 0), ordinal: 0 }
    }

    /// The ID of the next entry that is made of the event at `pos` of `file`.
    ///
    /// # Errors
    /// `Halt` if the file's name has no number, the binlog goes back, or a number is too large for its bits.
    pub fn next(&mut self, file: &str, pos: u64) -> Result<EntryId> {
        let number = file.rsplit_once('.').and_then(|(_, digits)| {
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        });
        let Some(number) = number else {
            return Err(Error::halt(format!(
                "the binlog file {file} has no number at its end, from which the IDs of entries are made; give the \
                 source a plain log_bin name"
            )));
        };
        let at = (number, pos);
        if at < self.at {
            return Err(Error::halt(format!("the binlog went back, to position {pos} of {file}")));
        }
        self.ordinal = if at == self.at { self.ordinal + 1 } else { 0 };
        self.at = at;
        EntryId::of(self.epoch, number, pos, self.ordinal).ok_or_else(|| {
            Error::halt(format!(
                "entry {} of position {pos} of {file}, epoch {}: too large a number for an entry ID",
                self.ordinal, self.epoch
            ))
        })
    }
}

/// How full Redis is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Bytes of the streams when they were measured.
    pub stream_bytes: u64,
    /// Bytes that were appended since.
    pub appended_bytes: u64,
    /// Bytes that the whole server uses.
    pub server_bytes: u64,
    /// The server's bound; 0 if it has none.
    pub server_bytes_max: u64,
}

/// A bound that leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is bounded, for messages.
    pub what: &'static str,
    /// Its bytes.
    pub bytes: u64,
    /// What it may have.
    pub bytes_max: u64,
}

/// Whether there is no room to append; who waits already needs some more, so that it does not stutter.
pub fn shortage(filled: Filled, stream_bytes_max: Option<u64>, waiting: bool) -> Option<Shortage> {
    let server = (filled.server_bytes_max > 0).then_some(filled.server_bytes_max);
    let bounds = [
        ("streams", filled.stream_bytes.saturating_add(filled.appended_bytes), stream_bytes_max),
        ("server", filled.server_bytes, server.map(|bytes| percent(bytes, SERVER_PERCENT_MAX))),
    ];
    bounds.into_iter().find_map(|(what, bytes, bytes_max)| {
        let bytes_max = bytes_max?;
        let short = if waiting { bytes >= percent(bytes_max, GO_ON_PERCENT) } else { bytes > bytes_max };
        short.then_some(Shortage { what, bytes, bytes_max })
    })
}

fn percent(of: u64, percent: u64) -> u64 {
    (u128::from(of) * u128::from(percent) / 100) as u64
}

/// Who has read how much of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bookmarks {
    /// The stream's Redis key.
    pub stream: String,
    /// The bookmarks of the members that read it: nothing is trimmed as long as one of them is missing.
    pub readers: Vec<String>,
    /// The last ID that was delivered to each group of the stream, whosever it is.
    pub delivered: Vec<(String, EntryId)>,
    /// The oldest entry that is there.
    pub first: Option<EntryId>,
    /// The newest entry that was appended.
    pub last: EntryId,
}

impl Bookmarks {
    /// The ID below which everything may be removed, if that removes something. The entry at the ID itself stays.
    pub fn trim_below(&self) -> Option<EntryId> {
        if self.readers.is_empty() || self.missing().is_some() {
            return None;
        }
        let bound = self.delivered.iter().map(|(_, id)| *id).min()?;
        self.first.filter(|first| *first < bound).map(|_| bound)
    }

    /// A member that reads the stream and has no bookmark there.
    fn missing(&self) -> Option<&String> {
        self.readers.iter().find(|reader| !self.delivered.iter().any(|(name, _)| name == *reader))
    }
}

/// What keeps these streams from being trimmed further, in words.
pub fn held_by(streams: &[Bookmarks]) -> String {
    let filled = || streams.iter().filter(|stream| stream.first.is_some());
    if let Some((missing, stream)) = filled().find_map(|stream| Some((stream.missing()?, &stream.stream))) {
        return format!("{missing} has no bookmark in {stream} yet");
    }
    if let Some(unread) = filled().find(|stream| stream.readers.is_empty()) {
        return format!("no build is registered that reads {}", unread.stream);
    }
    let behind = filled().flat_map(|stream| {
        stream.delivered.iter().filter(|(_, id)| *id < stream.last).map(|(name, id)| (*id, name, &stream.stream))
    });
    behind.min().map_or_else(
        || "nobody, everything was read".to_string(),
        |(_, name, stream)| format!("{name} is the furthest behind, in {stream}"),
    )
}

#[cfg(test)]
mod tests;
