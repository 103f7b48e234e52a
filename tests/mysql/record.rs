//! Events of a real binlog, kept in memory as the server sent them.
//!
//! Owns: [`Recording`]: reading them from MySQL or MariaDB by file and position, and taking the optional metadata out of
//! TABLE_MAP events as a server with less `binlog_row_metadata` would. Decodes nothing.

use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStreamRequest, Conn, Row};

/// Type code of TABLE_MAP.
pub const TABLE_MAP: u8 = 19;

/// One event: its type code, and what follows its common header, without the checksum.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub code: u8,
    pub data: Vec<u8>,
}

/// Where a server's binlog ends.
pub async fn end_of_log(conn: &mut Conn) -> (String, u64) {
    for ask in ["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"] {
        if let Ok(Some(row)) = conn.query_first::<Row, _>(ask).await {
            return (row.get(0).expect("a file"), row.get(1).expect("a position"));
        }
    }
    panic!("the server does not tell where its binlog ends");
}

/// All TABLE_MAP and row events of a database's tables between two places. `server_id` is that of the reader.
pub async fn record(conn: &Conn, database: &str, server_id: u32, from: (String, u64)) -> Vec<Recorded> {
    let mut conn = Conn::new(conn.opts().clone()).await.expect("a connection");
    let until = end_of_log(&mut conn).await;
    conn.query_drop("SET @mariadb_slave_capability = 4").await.expect("a variable");
    let request = BinlogStreamRequest::new(server_id).with_filename(from.0.as_bytes()).with_pos(from.1);
    let mut stream = conn.get_binlog_stream(request).await.expect("a binlog");
    let (mut file, mut events, mut ours) = (from.0, Vec::new(), std::collections::HashSet::new());
    loop {
        let event = tokio::time::timeout(std::time::Duration::from_secs(30), stream.next());
        let event = event.await.expect("in time").expect("an event").expect("an event");
        let (code, data) = (event.header().event_type_raw(), event.data());
        let number = data.get(..6).map(<[u8]>::to_vec);
        match code {
            TABLE_MAP if table(data).0 == database.as_bytes() => {
                ours.extend(number);
                events.push(Recorded { code, data: data.to_vec() });
            }
            // The last ones are MariaDB's compressed ones.
            23..=25 | 30..=32 | 39 | 166..=171 if number.as_ref().is_some_and(|number| ours.contains(number)) => {
                events.push(Recorded { code, data: data.to_vec() });
            }
            4 => file = String::from_utf8_lossy(data.get(8..).unwrap_or_default()).into_owned(),
            _ => {}
        }
        // MariaDB glues a checksum to the first name. A ROTATE itself still stands in the file before.
        if code != 4 && file.starts_with(&until.0) && u64::from(event.header().log_pos()) >= until.1 {
            return events;
        }
    }
}

/// Database and table of a TABLE_MAP event.
pub fn table(data: &[u8]) -> (&[u8], &[u8]) {
    let name = |at: usize| &data[at + 1..at + 1 + usize::from(data[at])];
    let database = name(8);
    (database, name(8 + 1 + database.len() + 1))
}

/// How much a server tells of columns beside their types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// What `binlog_row_metadata=FULL` logs.
    Full,
    /// What MINIMAL logs: signs and character sets.
    Minimal,
    /// What MariaDB logs by default, and MySQL before 8.0.1.
    None,
}

/// The same event, as a server with less metadata writes it.
pub fn with_metadata(event: &Recorded, metadata: Metadata) -> Recorded {
    if event.code != TABLE_MAP || metadata == Metadata::Full {
        return event.clone();
    }
    let data = &event.data;
    let (database, table) = table(data);
    let mut at = 8 + 2 + database.len() + 2 + table.len();
    let columns = packed(data, &mut at);
    at += columns;
    let length = packed(data, &mut at);
    at += length + columns.div_ceil(8);
    let mut kept = data[..at].to_vec();
    while at < data.len() {
        let start = at;
        let field = data[at];
        at += 1;
        let length = packed(data, &mut at);
        at += length;
        if metadata == Metadata::Minimal && matches!(field, 1..=3 | 7) {
            kept.extend_from_slice(&data[start..at]);
        }
    }
    Recorded { code: event.code, data: kept }
}

/// A length-encoded number.
fn packed(data: &[u8], at: &mut usize) -> usize {
    let first = data[*at];
    let size = match first {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        small => {
            *at += 1;
            return usize::from(small);
        }
    };
    let number = data[*at + 1..*at + 1 + size].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
    *at += 1 + size;
    number
}
