//! The in-process queue between capture and consumer, bounded in bytes.
//!
//! Owns: the bound: a sender waits while the queue holds more. Does not own: durability: what is in here is read again
//! from the change log after a crash, because the checkpoint has not passed it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::model::change::LogEvent;

/// Bytes of one permit: semaphores count in 32 bits.
const UNIT_BYTES: usize = 1024;
/// Events in the queue, however small.
const EVENTS_MAX: usize = 65_536;

/// The end of capture.
pub(super) struct Sender {
    events: mpsc::Sender<(LogEvent, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    units: usize,
}

/// The end of the consumer.
pub(super) struct Receiver {
    events: mpsc::Receiver<(LogEvent, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    units: usize,
}

/// A queue that holds at most `bytes_max`, or one event if that is larger.
pub(super) fn bounded(bytes_max: usize) -> (Sender, Receiver) {
    let units = (bytes_max / UNIT_BYTES).clamp(1, u32::MAX as usize >> 1);
    let room = Arc::new(Semaphore::new(units));
    let (send, receive) = mpsc::channel(EVENTS_MAX);
    (Sender { events: send, room: room.clone(), units }, Receiver { events: receive, room, units })
}

impl Sender {
    /// Waits for room, then hands the event over. False if nobody listens any more.
    pub(super) async fn send(&self, event: LogEvent) -> bool {
        let changes = match &event {
            LogEvent::Part { changes, .. } => changes,
            LogEvent::Commit(transaction) => &transaction.changes,
            LogEvent::Unlogged { .. } | LogEvent::Passed(_) | LogEvent::Heartbeat => &Vec::new(),
        };
        let bytes: usize = changes.iter().map(crate::model::change::RowChange::bytes).sum();
        let units = (bytes / UNIT_BYTES + 1).min(self.units) as u32;
        let Ok(permit) = self.room.clone().acquire_many_owned(units).await else { return false };
        self.events.send((event, permit)).await.is_ok()
    }
}

impl Receiver {
    /// The next event, or `None` when capture has ended and everything was taken. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<LogEvent> {
        self.events.recv().await.map(|(event, _)| event)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes that wait, in units of the bound.
    pub(super) fn bytes(&self) -> u64 {
        ((self.units - self.room.available_permits()) * UNIT_BYTES) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::change::{Cell, Image, RowChange, Spot, Transaction};
    use crate::model::position::{Gtid, GtidSet, GtidSource};

    fn transaction(bytes: usize) -> LogEvent {
        let after = Some(Image(vec![Cell::Raw(vec![0; bytes])]));
        LogEvent::Commit(Transaction {
            gtid: Gtid { source: GtidSource::Server { uuid: 1, tag: String::new() }, number: 1 },
            also: GtidSet::default(),
            changes: vec![RowChange { table: 0, before: None, after, spot: Spot::default() }],
            committed_unix_ms: 0,
            origin: Arc::default(),
        })
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait() {
        let (sender, mut receiver) = bounded(10 * UNIT_BYTES);
        assert!(sender.send(transaction(6 * UNIT_BYTES)).await);
        let mut second = Box::pin(sender.send(transaction(6 * UNIT_BYTES)));
        assert!(futures_util::poll!(&mut second).is_pending(), "the bound holds");
        assert!(receiver.bytes() > 0);
        assert!(receiver.next().await.is_some());
        assert!(second.await, "room was made");
        // One event larger than the whole bound still passes, alone.
        assert!(receiver.next().await.is_some());
        assert!(sender.send(transaction(100 * UNIT_BYTES)).await);
        drop(sender);
        assert!(receiver.next().await.is_some());
        assert!(receiver.next().await.is_none(), "capture has ended");
        assert_eq!(receiver.bytes(), 0);
    }
}
