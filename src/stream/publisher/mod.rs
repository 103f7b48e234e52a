//! The owner of capture: the source's row changes into Redis streams.
//!
//! Owns: [`Publisher`]: holding the lease, and one session after the other. `opening` begins one, `session` is one from
//! the log to the streams, `room` waits for room and trims. Does not own: decisions (`logic::capturing`), the text of
//! entries (`logic::envelope`), what readers make of it (`logic::following`).
//!
//! Every change of what is captured, and every failure, ends a session; the next one begins from what the record says. Two
//! owners at once do no harm: each writes C of its own session only, and entries are mere marks.

mod opening;
mod room;
mod session;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::logic::backoff;
use crate::logic::envelope::{self, Entry};
use crate::model::change::{Origin, RowChange, Spot, Unlogged};
use crate::model::position::Gtid;
use crate::model::schema::{Table, TableName};
use crate::ops::progress::Progress;
use crate::ops::shutdown::Shutdown;
use crate::ports::{CaptureSource, Clock, StreamStore};

/// Failures in a row, none of which appended anything, after which capture gives up.
const FAILURES_MAX: u32 = 10;

/// Entries, as the name and value of each one's only field.
pub type Encoded = Vec<Entry>;

/// How changes become entries. Arguments: the prefix, the table, the transaction, where the log has it, what changed, and
/// now in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// A row change.
    pub change: fn(&str, &Table, &Gtid, &Origin, &RowChange, u64) -> Encoded,
    /// A change without row events.
    pub unlogged: fn(&str, &TableName, &Gtid, &Origin, Spot, Unlogged, u64) -> Entry,
}

impl Encoder {
    /// Debezium's JSON.
    pub const ENVELOPE: Self = Self { change: envelope::entries, unlogged: envelope::unlogged };
}

/// What to do when somebody else captures for this prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    /// Wait, and take over when that one's lease has run out.
    Wait,
    /// Fail. A dead owner's lease runs out by itself; one that is renewed meanwhile belongs to a living one.
    Refuse,
}

/// Captures for one prefix.
pub struct Publisher<T, S, C> {
    /// The streams.
    pub streams: Arc<T>,
    /// Where changes come from.
    pub source: Arc<S>,
    /// Time.
    pub clock: Arc<C>,
    /// How entries are written.
    pub encoder: Encoder,
    /// What the streams' keys begin with.
    pub prefix: String,
    /// Tables that are captured whoever else reads.
    pub tables: BTreeSet<TableName>,
    /// What the streams may take of Redis' memory.
    pub max_bytes: Option<u64>,
    /// How long the lease lasts without a sign of life.
    pub lease: Duration,
    /// Host, process and a random word: who we are.
    pub owner: String,
    /// Figures.
    pub progress: Arc<Progress>,
}

/// How a session ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was asked to stop.
    Stopped,
    /// Another one has to begin.
    Renew,
}

/// What outlives a session.
#[derive(Default)]
struct Career {
    /// Sessions that began, or may have.
    begun: u64,
    /// Generation and epoch of the last one.
    last: Option<(String, u64)>,
    /// Whether it appended anything.
    appended: bool,
}

impl<T: StreamStore, S: CaptureSource, C: Clock> Publisher<T, S, C> {
    /// Captures until asked to stop.
    ///
    /// # Errors
    /// `Config` if the streams or tables cannot be captured as the job wants it, or another owner is there and `standby` says
    /// so; `Halt` if going on would lose changes; `Retry` when failures did not pass.
    pub async fn run(self, standby: Standby, stop: &Shutdown) -> Result<()> {
        let mut career = Career::default();
        let ended = self.sessions(standby, stop, &mut career).await;
        if let Some((generation, epoch)) = &career.last {
            // So that nobody has to wait for the lease to run out. If it was lost, this does nothing.
            if let Err(error) = self.streams.release(generation, *epoch).await {
                tracing::warn!(error = %error.chain(), "the lease of capture could not be given back, it will run out");
            }
        }
        ended
    }

    async fn sessions(&self, standby: Standby, stop: &Shutdown, career: &mut Career) -> Result<()> {
        let mut failures = 0;
        loop {
            career.appended = false;
            let error = match self.session(standby, stop, career).await {
                Ok(Ended::Stopped) => return Ok(()),
                Ok(Ended::Renew) => {
                    failures = 0;
                    continue;
                }
                Err(error) => error,
            };
            failures = if career.appended { 1 } else { failures + 1 };
            if error.kind() != Kind::Retry || failures >= FAILURES_MAX {
                return Err(error);
            }
            let wait = backoff::delay(failures, self.clock.monotonic_ms());
            tracing::warn!(failures, wait_ms = wait.as_millis() as u64, error = %error.chain(), "capture broke off, will begin again");
            if !self.pause(wait, stop).await {
                return Ok(());
            }
        }
    }

    async fn session(&self, standby: Standby, stop: &Shutdown, career: &mut Career) -> Result<Ended> {
        // Who has captured before has not been started twice by mistake: it waits.
        let standby = if career.begun == 0 { standby } else { Standby::Wait };
        let Some(opened) = self.open(standby, stop, career).await? else { return Ok(Ended::Stopped) };
        let mut session = session::Session::start(self, opened).await?;
        let ended = session.run(stop).await;
        career.appended = session.has_appended();
        ended
    }

    /// Waits. False if asked to stop.
    async fn pause(&self, duration: Duration, stop: &Shutdown) -> bool {
        tokio::select! {
            biased;
            () = stop.requested() => false,
            () = self.clock.sleep(duration) => true,
        }
    }

    /// What this is, for messages.
    fn what(&self) -> String {
        format!("capture for prefix {} at {}", self.prefix, self.streams.place())
    }

    fn lost(&self) -> Error {
        Error::retry(format!("{}: the record beside the streams is gone or another one", self.what()))
    }

    fn superseded(&self) -> Error {
        Error::retry(format!("{}: another owner has begun a later session", self.what()))
    }
}

#[cfg(test)]
mod tests;
