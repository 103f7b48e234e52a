//! Row events from memory, decoded as those of a log are.
//!
//! Owns: [`Replay`]. For benches that measure the decoder alone, and for tests that feed it with damaged events or with events
//! of several servers; not for programs. Does not own: decoding (`decode`), a log itself (`binlog`).

use std::sync::Arc;

use super::charset::Charsets;
use super::event::{Begun, Incoming, Shape, kind};
use super::mariadb;
use super::needs::Need;
use super::server::MySqlServer;
use super::tables::Tables;
use super::transaction::{Assembler, Fed};
use crate::error::{Error, Result};
use crate::model::change::{LogEvent, RowChange};
use crate::model::plan::JobPlan;
use crate::model::position::{Gtid, GtidSet, GtidSource};
use crate::model::schema::Table;

/// Decodes TABLE_MAP and row events, each as a transaction of its own.
pub struct Replay {
    server: MySqlServer,
    assembler: Assembler,
}

impl Replay {
    /// For rows of a server. Knows no table yet.
    pub async fn of(server: &MySqlServer) -> Result<Self> {
        let charsets = Charsets::read(server).await?;
        let tables = Tables::whole(&[], charsets, false);
        Ok(Self { server: server.clone(), assembler: Assembler::new(tables, server.place()) })
    }

    /// From now on for the used columns of a job.
    pub fn used(&mut self, plan: Arc<JobPlan>) {
        let charsets = std::mem::take(&mut self.assembler.tables.charsets);
        self.assembler = Assembler::new(Tables::used(plan, charsets, false), self.server.place());
    }

    /// From now on for whole rows of these tables.
    pub fn whole(&mut self, tables: &[Table]) {
        let charsets = std::mem::take(&mut self.assembler.tables.charsets);
        self.assembler = Assembler::new(Tables::whole(tables, charsets, false), self.server.place());
    }

    /// Takes one event: its type code, and what follows its common header, without the checksum. Hands its rows over. Asks
    /// the server as a log does.
    pub async fn feed(&mut self, code: u8, data: &[u8]) -> Result<Vec<RowChange>> {
        loop {
            match self.once(code, data)? {
                Ok(rows) => return Ok(rows),
                Err(need) => need.meet(&self.server, &mut self.assembler).await?,
            }
        }
    }

    /// The same without a server: what would have to be asked for is an error.
    pub fn feed_alone(&mut self, code: u8, data: &[u8]) -> Result<Vec<RowChange>> {
        self.once(code, data)?.map_err(|need| Error::halt(format!("{need:?} is not known")))
    }

    fn once(&mut self, code: u8, data: &[u8]) -> Result<std::result::Result<Vec<RowChange>, Need>> {
        let gtid = Gtid { source: GtidSource::Server { uuid: 1, tag: String::new() }, number: 1 };
        let begun = Begun { gtid, skipped: GtidSet::default(), shape: Shape::Unsaid, committed_unix_us: 0 };
        self.assembler.feed(incoming(kind::GTID, &[], Some(begun)))?;
        let fed = match mariadb::inflate(code, data) {
            Ok(Some((code, data))) => self.assembler.feed(incoming(code, &data, None)),
            Ok(None) => self.assembler.feed(incoming(code, data, None)),
            Err(error) => Err(Error::halt("a compressed event cannot be read").because(error)),
        };
        self.assembler.feed(incoming(kind::XID, &[], None))?;
        let mut rows = Vec::new();
        while let Some(event) = self.assembler.pop() {
            match event {
                LogEvent::Part { changes, .. } => rows.extend(changes),
                LogEvent::Commit(done) => rows.extend(done.changes),
                _ => {}
            }
        }
        match fed? {
            Fed::Taken => Ok(Ok(rows)),
            Fed::Needs(need) => Ok(Err(need)),
        }
    }
}

fn incoming(kind: u8, data: &[u8], begun: Option<Begun>) -> Incoming<'_> {
    Incoming { kind, flags: 0, size: 0, log_pos: 0, server_id: 1, data, begun }
}
