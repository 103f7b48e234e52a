//! How a session of capture begins: from waiting for the lease to the record of the new session.
//!
//! Owns: the order of looks. The source's state is read *before* the tables' definitions: so these are at least as new as
//! what was captured. Does not own: what follows from them (`logic::capturing::planning`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Career, Publisher, Standby};
use crate::error::{Error, Result};
use crate::logic::capturing::planning::{self, Facts};
use crate::logic::capturing::{self, Bookmarks};
use crate::logic::envelope;
use crate::model::change::SourceState;
use crate::model::schema::{Table, TableName};
use crate::model::stream::{EntryId, Epoch, Member, Meta, Position, RawEntry, stream_key};
use crate::ops::failpoint;
use crate::ops::shutdown::Shutdown;
use crate::ports::{Begin, CaptureSource, Clock, Look, StreamStore, group_name};

/// A lease that somebody else holds is looked at this often.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How long a transaction may stand in the binlog before `gtid_executed` holds it. Semi-synchronous replication holds it
/// back for up to 10 s by default.
const VISIBLE_WITHIN: Duration = Duration::from_secs(12);
/// The source is asked this often meanwhile.
const VISIBLE_EVERY: Duration = Duration::from_millis(200);

/// A session that has begun: its record is written.
pub(super) struct Opened {
    pub generation: String,
    pub epoch: u64,
    pub record: Epoch,
    /// The tables of the record, in the order of their names.
    pub tables: Vec<Table>,
    pub members: BTreeMap<String, Member>,
    /// The last ID of each table's stream.
    pub last: Vec<EntryId>,
}

impl<T: StreamStore, S: CaptureSource, C: Clock> Publisher<T, S, C> {
    /// Begins a session as soon as nobody else holds the lease. `None` if asked to stop.
    pub(super) async fn open(&self, standby: Standby, stop: &Shutdown, career: &mut Career) -> Result<Option<Opened>> {
        let Some((look, filled)) = self.look_free(standby, stop).await? else { return Ok(None) };
        let seen = look.meta.as_ref().map(|meta| (meta.generation.clone(), meta.epoch));
        let meta = look.meta.unwrap_or_default();
        // Room first: a record cannot be written while Redis is full, and nobody else trims.
        if !meta.generation.is_empty() {
            self.trim_before(&meta, &filled).await?;
        }
        let Some(source) = self.visible(&meta, stop).await? else { return Ok(None) };
        let wanted: Vec<TableName> = planning::wanted(&self.tables, &meta).into_iter().collect();
        let mut tables = self.source.tables(&wanted).await?;
        let readable: BTreeSet<TableName> = tables.iter().map(|table| table.name.clone()).collect();
        let facts = Facts {
            prefix: &self.prefix,
            own: &self.tables,
            meta: &meta,
            filled: &filled,
            readable: &readable,
            source: &source,
        };
        let session = planning::plan(facts)?;
        tables.retain(|table| session.record.tables.contains(&table.name));
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let generation = if meta.generation.is_empty() {
            // The owner's name holds a random word of this process; the rest tells its lives of streams apart.
            format!("{}.{}.{}", self.owner, look.now_ms, career.begun)
        } else {
            meta.generation.clone()
        };
        for (id, reason) in &session.refused {
            tracing::warn!(member = %id, %reason, "a build cannot be served");
        }
        career.begun += 1;
        career.last = Some((generation.clone(), session.epoch));
        let begin = Begin {
            seen,
            generation: generation.clone(),
            epoch: session.epoch,
            record: session.record.clone(),
            source: source.server_uuid.clone(),
            owner: self.owner.clone(),
            lease: self.lease,
            served: session.served,
            refused: session.refused,
            starters: session.starters.iter().map(|(table, id)| self.starter(table, *id)).collect(),
            forget: session.forget,
            imported: meta.imported,
        };
        if !self.streams.begin(&begin).await? {
            return Err(Error::retry(format!("{}: the record changed before the session could begin", self.what())));
        }
        failpoint::hit("capture.begun").await;
        tracing::info!(
            epoch = session.epoch,
            tables = tables.len(),
            behind_transactions = source.executed.minus(&session.record.from).count(),
            requests = begin.served.len(),
            prefix = %self.prefix,
            place = %self.streams.place(),
            "capture began a session"
        );
        let end = |table: &Table| session.record.base.get(&stream_key(&self.prefix, &table.name));
        let last = tables.iter().map(|table| end(table).map_or(EntryId::ZERO, |at| at.id)).collect();
        let (epoch, record, members) = (session.epoch, session.record, meta.members);
        Ok(Some(Opened { generation, epoch, record, tables, members, last }))
    }

    /// The first entry of a stream that does not exist.
    fn starter(&self, table: &TableName, id: EntryId) -> (String, RawEntry) {
        let entry = envelope::starter(&self.prefix, table, self.clock.unix_ms());
        (stream_key(&self.prefix, table), RawEntry { id, fields: vec![entry] })
    }

    /// Looks at the record and all wanted streams until nobody else holds the lease. `None` if asked to stop.
    async fn look_free(
        &self,
        standby: Standby,
        stop: &Shutdown,
    ) -> Result<Option<(Look, BTreeMap<TableName, Position>)>> {
        let mut wanted = self.tables.clone();
        let mut held: Option<(String, u64)> = None;
        loop {
            let keys: Vec<String> = wanted.iter().map(|table| stream_key(&self.prefix, table)).collect();
            let look = self.streams.look(&keys).await?;
            let none = Meta::default();
            let meta = look.meta.as_ref().unwrap_or(&none);
            if let Some((holder, left)) = capturing::holder(meta, look.now_ms, &self.owner) {
                let now = (holder.to_string(), meta.until_ms);
                match &held {
                    Some(before) if *before != now && standby == Standby::Refuse => {
                        return Err(Error::config(format!(
                            "E-LEASE: {holder} captures for prefix {} at {}, its lease lasts another {} ms and is being \
                             renewed; stop that one first, or choose another stream.prefix",
                            self.prefix,
                            self.streams.place(),
                            left.as_millis()
                        )));
                    }
                    Some((before, _)) if before == holder => {}
                    _ => tracing::info!(
                        %holder,
                        left_ms = left.as_millis() as u64,
                        prefix = %self.prefix,
                        "another owner captures; standing by"
                    ),
                }
                held = Some(now);
                if !self.pause(ASK_EVERY, stop).await {
                    return Ok(None);
                }
                continue;
            }
            let all = planning::wanted(&self.tables, meta);
            if all != wanted {
                wanted = all;
                continue;
            }
            let filled =
                wanted.into_iter().zip(&look.streams).filter_map(|(table, at)| Some((table, (*at)?))).collect();
            return Ok(Some((look, filled)));
        }
    }

    /// The source, when it shows what was captured, or long enough after that. `None` if asked to stop.
    async fn visible(&self, meta: &Meta, stop: &Shutdown) -> Result<Option<SourceState>> {
        let began_ms = self.clock.monotonic_ms();
        loop {
            let source = self.source.state().await?;
            planning::same_source(&self.prefix, meta, &source)?;
            let shows = planning::captured(meta).is_none_or(|captured| captured.is_subset(&source.executed));
            let waited_ms = self.clock.monotonic_ms().saturating_sub(began_ms);
            if shows || waited_ms > VISIBLE_WITHIN.as_millis() as u64 {
                return Ok(Some(source));
            }
            if !self.pause(VISIBLE_EVERY, stop).await {
                return Ok(None);
            }
        }
    }

    async fn trim_before(&self, meta: &Meta, filled: &BTreeMap<TableName, Position>) -> Result<()> {
        let streams: Vec<(&TableName, EntryId)> = filled.iter().map(|(table, at)| (table, at.id)).collect();
        self.trim(&meta.members, &streams).await.map(drop)
    }

    /// Removes from these tables' streams what everybody has read. Returns who has read how much.
    pub(super) async fn trim(
        &self,
        members: &BTreeMap<String, Member>,
        streams: &[(&TableName, EntryId)],
    ) -> Result<Vec<Bookmarks>> {
        let keys: Vec<String> = streams.iter().map(|(table, _)| stream_key(&self.prefix, table)).collect();
        let groups = self.streams.groups(&keys).await?;
        let bookmarks: Vec<Bookmarks> = streams
            .iter()
            .zip(keys)
            .zip(groups)
            .map(|(((table, last), stream), groups)| {
                let reads = members.iter().filter(|(_, member)| member.tables.contains(*table));
                let readers = reads.map(|(id, _)| group_name(id)).collect();
                Bookmarks { stream, readers, delivered: groups.delivered, first: groups.first, last: *last }
            })
            .collect();
        let below: Vec<(String, EntryId)> =
            bookmarks.iter().filter_map(|one| Some((one.stream.clone(), one.trim_below()?))).collect();
        if !below.is_empty() {
            self.streams.trim(&below).await?;
            failpoint::hit("capture.trimmed").await;
        }
        Ok(bookmarks)
    }
}
