//! A commit that hangs between the binlog and the engine: the visibility gap, as long as one likes.
//! Owns: the semi-sync settings of the server while it lives, and putting them back. Does not own: who may use it when
//! (`harness::alone`).

use super::servers::{ask, execute, is_mariadb, mysql_at, mysql_url, server_id};
use futures_util::StreamExt;
use mysql_async::binlog::events::EventData;
use mysql_async::binlog::row::BinlogRow;
use mysql_async::binlog::value::BinlogValue;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Value};
use std::time::Duration;

/// How long a commit hangs. Nobody acknowledges, so it is the time-out that lets it go.
pub const STALL: Duration = Duration::from_millis(3000);
const LOCK: &str = "rf_e2e_stall";

/// While it lives, a commit is in the binlog for three seconds before anyone sees it.
pub struct Stall {
    /// Keeps other runs of these tests away from the settings.
    _lock: Conn,
    url: String,
    /// What the settings begin with, and what a replica is called in them.
    names: (&'static str, &'static str),
    installed: bool,
}

impl Stall {
    /// On the server that all tests share.
    pub async fn prepare() -> Stall {
        Stall::on(&mysql_url()).await
    }

    pub async fn on(url: &str) -> Stall {
        let mut conn = mysql_at(url, None).await;
        if is_mariadb(&mut conn).await {
            // Always there, under older names.
            let names = ("rpl_semi_sync_master", "slave");
            return Stall { _lock: conn, url: url.to_owned(), names, installed: false };
        }
        assert_eq!(ask::<u8>(&mut conn, &format!("SELECT GET_LOCK('{LOCK}', 120)")).await, 1, "another run is at it");
        let known = "SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name = 'rpl_semi_sync_source'";
        let installed = ask::<u8>(&mut conn, known).await == 0;
        if installed {
            execute(&mut conn, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'").await;
        }
        Stall { _lock: conn, url: url.to_owned(), names: ("rpl_semi_sync_source", "replica"), installed }
    }

    /// A statement for a setting.
    fn set(&self, name: &str, value: &str) -> String {
        let (prefix, replica) = self.names;
        format!("SET GLOBAL {prefix}_{} = {value}", name.replace("replica", replica))
    }

    /// The next commit hangs. It has to be said again for each: the time-out switches semi-sync off.
    pub async fn arm(&self) {
        let mut conn = mysql_at(&self.url, None).await;
        let timeout = STALL.as_millis().to_string();
        execute(&mut conn, &self.set("enabled", "0")).await;
        let wanted = [("wait_point", "AFTER_SYNC"), ("wait_no_replica", "1"), ("timeout", &timeout), ("enabled", "1")];
        for (name, value) in wanted {
            execute(&mut conn, &self.set(name, value)).await;
        }
    }

    pub async fn disarm(&self) {
        execute(&mut mysql_at(&self.url, None).await, &self.set("enabled", "0")).await;
    }
}

impl Drop for Stall {
    /// Also after a failed assertion: every other test relies on a server without this.
    fn drop(&mut self) {
        let (installed, url, off) = (self.installed, self.url.clone(), self.set("enabled", "0"));
        let restored = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut conn = mysql_at(&url, None).await;
                execute(&mut conn, &off).await;
                if installed {
                    execute(&mut conn, "UNINSTALL PLUGIN rpl_semi_sync_source").await;
                }
            });
        })
        .join();
        if restored.is_err() {
            eprintln!("semi-sync could not be switched off at {}", self.url.rsplit('@').next().unwrap_or(""));
        }
    }
}

/// A change log client of our own, to see when an event can be seen at the earliest.
pub struct Listener {
    stream: BinlogStream,
}

impl Listener {
    /// From now on.
    pub async fn connect() -> Listener {
        Self::connect_as(server_id()).await
    }

    /// Under a server id of one's choice.
    pub async fn connect_as(server_id: u32) -> Listener {
        Self::connect_to(&mysql_url(), server_id).await
    }

    pub async fn connect_to(url: &str, server_id: u32) -> Listener {
        let mut conn = mysql_at(url, None).await;
        let status = if is_mariadb(&mut conn).await { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
        let row: mysql_async::Row = conn.query_first(status).await.expect("may be asked").expect("the binlog is on");
        let (file, position): (String, u64) = (row.get(0).expect("a file"), row.get(1).expect("a position"));
        let request = BinlogStreamRequest::new(server_id).with_filename(file.as_bytes()).with_pos(position);
        Listener { stream: conn.get_binlog_stream(request).await.expect("the binlog can be read") }
    }

    /// Returns when a row event of this table has arrived.
    pub async fn wait_rows(&mut self, database: &str, table: &str, limit: Duration) {
        let next = self.next_rows(database, table);
        // A cut read spoils the connection, but nobody reads on after a panic.
        tokio::time::timeout(limit, next).await.unwrap_or_else(|_| panic!("no row event of {table} in {limit:?}"));
    }

    /// The number of the transaction that carried the next rows of this table, and the first two columns of each
    /// (whole numbers, not negative).
    pub async fn next_rows(&mut self, database: &str, table: &str) -> (u64, Vec<[u64; 2]>) {
        let mut transaction = 0;
        while let Some(event) = self.stream.next().await {
            let event = event.expect("the binlog can be read");
            match event.read_data().expect("a readable event") {
                Some(EventData::GtidEvent(gtid)) => transaction = gtid.gno(),
                Some(EventData::RowsEvent(rows)) => {
                    let map = self.stream.get_tme(rows.table_id()).expect("a table map comes first");
                    if map.database_name() == database && map.table_name() == table {
                        return (
                            transaction,
                            rows.rows(map).map(|row| first_two(row.expect("a readable row"))).collect(),
                        );
                    }
                }
                _ => {}
            }
        }
        panic!("the binlog ended");
    }
}

fn first_two((before, after): (Option<BinlogRow>, Option<BinlogRow>)) -> [u64; 2] {
    let row = after.or(before).expect("an image");
    [0, 1].map(|i| match row.as_ref(i) {
        Some(BinlogValue::Value(Value::Int(n))) => u64::try_from(*n).expect("not negative"),
        other => panic!("not a whole number: {other:?}"),
    })
}
