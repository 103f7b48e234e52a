//! What is MariaDB's own in a binlog: its GTID events, compressed events, and how a reader asks for a position.
//!
//! Owns: [`Numbers`], [`inflate`], [`connect_state`]. Does not own: the connection (`binlog`), what a transaction is
//! (`transaction`).
//! Formats: MariaDB source, `sql/log_event.h` (`Gtid_log_event`), `sql/log_event.cc` (`binlog_buf_uncompress`).

use std::collections::BTreeMap;
use std::io::Read as _;

use super::cursor::{Cursor, Truncated};
use super::event::{Begun, Shape, kind};
use crate::model::position::{Gtid, GtidSet, GtidSource};

/// Flags of a GTID event (`Gtid_log_event::FL_*`).
mod flag {
    /// One event, without a commit of its own.
    pub const STANDALONE: u8 = 1;
    pub const PREPARED_XA: u8 = 64;
}

/// The largest event that is inflated; the protocol's packets are no larger.
const EVENT_BYTES_MAX: usize = 1 << 30;

/// Why an event of MariaDB's cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadEvent {
    /// See [`Truncated`].
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// Not compressed as MariaDB compresses, or not to what it says.
    #[error("its compressed part cannot be read")]
    Compressed,
    /// A domain's numbers do not rise, so a position does not say what was before it.
    #[error(
        "{0} comes after number {1} of its domain; without gtid_strict_mode=ON numbers can go back, and nobody knows what a position \
         contains: set it on every server that writes in this domain, then run with --start-over"
    )]
    Order(Gtid, u64),
}

/// The numbers seen in each domain. They rise, but some can be missing; then they never come.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The last number of each server in each domain.
    last: BTreeMap<GtidSource, u64>,
    /// What the reader has already, as far as it comes again.
    from: GtidSet,
}

impl Numbers {
    /// For a log that begins behind `from`.
    pub(super) fn after(from: &GtidSet) -> Self {
        let last = from.ranges().filter(|(_, first, _)| *first == 1).map(|(source, _, last)| (source.clone(), last));
        Self { last: last.collect(), from: from.clone() }
    }

    /// Reads a GTID event. `server` and `seconds` are its header's server and time.
    pub(super) fn begun(&mut self, data: &[u8], server: u32, seconds: u32) -> Result<Begun, BadEvent> {
        let mut cursor = Cursor(data);
        let number = cursor.little(8)?;
        let domain = cursor.little(4)? as u32;
        let flags = cursor.byte()?;
        let gtid = Gtid { source: GtidSource::Domain { domain, server }, number };
        let last = self.last.get(&gtid.source).copied().unwrap_or(0);
        if number <= last {
            return Err(BadEvent::Order(gtid, last));
        }
        let mut skipped = GtidSet::default();
        skipped.insert_range(&gtid.source, last + 1, number - 1);
        self.last.insert(gtid.source.clone(), number);
        let shape = match (flags & flag::STANDALONE != 0, flags & flag::PREPARED_XA != 0) {
            (_, true) => Shape::Xa,
            (true, _) => Shape::Unsaid,
            (false, _) => Shape::Begun,
        };
        Ok(Begun { gtid, skipped, shape, committed_unix_us: u64::from(seconds) * 1_000_000 })
    }

    /// Whether the reader has this transaction already: behind a hole it comes once more.
    pub(super) fn has(&self, gtid: &Gtid) -> bool {
        self.from.contains(gtid)
    }
}

/// The position after which everything that is not in `from` comes, as `@slave_connect_state` wants it: one GTID per domain.
/// Behind the first hole of a domain everything comes again.
pub(super) fn connect_state(from: &GtidSet) -> String {
    let mut whole: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
    let mut holes: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
    let mut at: Option<&GtidSource> = None;
    for (source, first, last) in from.ranges() {
        let GtidSource::Domain { domain, server } = source else { continue };
        if at == Some(source) {
            continue;
        }
        at = Some(source);
        let end = if first == 1 { last } else { 0 };
        let complete = from.ranges().filter(|(other, ..)| *other == source).count() == 1 && first == 1;
        if complete {
            let newest = whole.entry(*domain).or_default();
            *newest = (*newest).max((end, *server));
        } else {
            let oldest = holes.entry(*domain).or_insert((end, *server));
            *oldest = (*oldest).min((end, *server));
        }
    }
    whole.extend(holes);
    let gtids = whole.iter().filter(|(_, (number, _))| *number > 0);
    gtids.map(|(domain, (number, server))| format!("{domain}-{server}-{number}")).collect::<Vec<_>>().join(",")
}

/// The event that a compressed one stands for: its type and content; `None` if it is not compressed.
pub(super) fn inflate(code: u8, data: &[u8]) -> Result<Option<(u8, Vec<u8>)>, BadEvent> {
    let [first, last] = kind::MARIADB_ROWS_COMPRESSED;
    let mut cursor = Cursor(data);
    let plain_code = match code {
        kind::MARIADB_QUERY_COMPRESSED => {
            let mut head = Cursor(cursor.take(13)?);
            head.take(8)?;
            let database = head.byte()?;
            head.take(2)?;
            let variables = head.little(2)? as usize;
            cursor.take(variables + usize::from(database) + 1)?;
            kind::QUERY
        }
        code if (first..=last).contains(&code) => {
            // Write, update, delete of version 1, then of version 2.
            let number = code - first;
            cursor.take(8)?;
            if number >= 3 {
                let extra = cursor.little(2)? as usize;
                cursor.take(extra.saturating_sub(2))?;
            }
            let columns = cursor.packed_length()?;
            let images = if number % 3 == 1 { 2 } else { 1 };
            cursor.take(columns.div_ceil(8).checked_mul(images).ok_or(Truncated)?)?;
            if number < 3 { 23 + number } else { 30 + number - 3 }
        }
        _ => return Ok(None),
    };
    let mut plain = data[..data.len() - cursor.0.len()].to_vec();
    let head = cursor.byte()?;
    // The upper bits name the algorithm, of which there is one; the lower ones say how many bytes hold the length.
    let length = cursor.big(usize::from(head & 7))? as usize;
    if head & 0xf0 != 0x80 || length > EVENT_BYTES_MAX {
        return Err(BadEvent::Compressed);
    }
    let before = plain.len();
    let mut stream = flate2::read::ZlibDecoder::new(cursor.0).take(length as u64 + 1);
    stream.read_to_end(&mut plain).map_err(|_| BadEvent::Compressed)?;
    if plain.len() - before != length {
        return Err(BadEvent::Compressed);
    }
    Ok(Some((plain_code, plain)))
}

#[cfg(test)]
#[path = "mariadb_tests.rs"]
mod tests;
