//! Events that are damaged on their way are refused, by their checksum or their length, and read right when the log is opened
//! again; events larger than the server lets a client send are read too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rowfold::config::SourceSettings;
use rowfold::edge::mysql::MySqlServer;
use rowfold::error::{Error, Kind};
use rowfold::model::change::{Cell, LogEvent, RowChange};
use rowfold::model::value::Value;
use rowfold::ports::{CaptureSource, ChangeLog};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Database, Engine};

/// What the event holds that is to be damaged.
const MARK: &[u8] = b"the row that is damaged on its way";

/// Changes one packet: a byte that says "event", its header of 19 bytes (the size at byte 9), its content.
type Damage = fn(&mut Vec<u8>);

/// Passes everything on, but for the packets with [`MARK`] while it is armed: these are damaged, in place or in length.
async fn proxy(upstream: String, damage: Damage, armed: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.expect("the server");
            tokio::spawn(pass(client, server, damage, armed.clone()));
        }
    });
    address
}

async fn pass(client: TcpStream, server: TcpStream, damage: Damage, armed: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let down = async {
        loop {
            let mut head = [0; 4];
            from_server.read_exact(&mut head).await?;
            let mut packet = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
            from_server.read_exact(&mut packet).await?;
            // A row event: 1 + 4 bytes before its type.
            let is_event = packet.get(5).is_some_and(|code| matches!(code, 23 | 30 | 166 | 169));
            if armed.load(Ordering::SeqCst) && is_event && packet.windows(MARK.len()).any(|part| part == MARK) {
                damage(&mut packet);
                head[..3].copy_from_slice(&(packet.len() as u32).to_le_bytes()[..3]);
            }
            to_client.write_all(&head).await?;
            to_client.write_all(&packet).await?;
        }
        #[expect(unreachable_code, reason = "it says what the errors are")]
        Ok::<(), std::io::Error>(())
    };
    let _ = tokio::try_join!(up, down);
}

/// The first row of a table with the mark, or why the log ended.
async fn first_row(log: &mut impl ChangeLog) -> Result<RowChange, Error> {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(60), log.next()).await.expect("in time")?;
        if let LogEvent::Commit(done) = next
            && let Some(change) = done.changes.into_iter().next()
        {
            return Ok(change);
        }
    }
}

async fn is_refused(engine: Engine, name: &str, reader: u32, damage: Damage, says: &str) {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(200))";
    let mut database = Database::on(engine, name, reader, &[create]).await;
    let table = database.definition("t").await;
    let from = CaptureSource::state(&database.server).await.expect("a state").executed;
    let mark = String::from_utf8_lossy(MARK).into_owned();
    database.run(&[&format!("INSERT INTO t VALUES (7, '{mark}')")]).await;
    let opts = database.conn.opts().clone();
    let armed = Arc::new(AtomicBool::new(true));
    let address = proxy(format!("{}:{}", opts.ip_or_hostname(), opts.tcp_port()), damage, armed.clone()).await;
    let login = format!("{}:{}", opts.user().unwrap_or_default(), opts.pass().unwrap_or_default());
    let url = format!("mysql://{login}@{address}");
    let settings = SourceSettings { url: url.into(), server_id: reader + 1, allow_unsafe_source: true };
    let server = MySqlServer::new(&settings).expect("settings");
    let mut log = server.row_log(&from, std::slice::from_ref(&table)).await.expect("a log");
    let error = first_row(&mut log).await.expect_err("damaged");
    // It may have happened on the way: the engine opens the log again.
    assert_eq!(error.kind(), Kind::Retry, "{error:?}");
    assert!(error.to_string().contains(says), "{error:?}");
    drop(log);
    armed.store(false, Ordering::SeqCst);
    let mut log = server.row_log(&from, std::slice::from_ref(&table)).await.expect("a log");
    let row = first_row(&mut log).await.expect("whole");
    let read = [Cell::Value(Value::Int(7)), Cell::Value(Value::Text(mark))];
    assert_eq!(row.after.expect("an insert").0, read);
}

/// One bit of the row's text.
#[expect(clippy::ptr_arg, reason = "it is one of those that may change the length")]
fn flip(packet: &mut Vec<u8>) {
    let at = packet.windows(MARK.len()).position(|part| part == MARK).expect("the mark");
    packet[at + 3] ^= 4;
}

/// The event ends early, unlike its header says.
fn cut(packet: &mut Vec<u8>) {
    packet.truncate(packet.len() - 12);
}

/// Not even a header is left.
fn behead(packet: &mut Vec<u8>) {
    packet.truncate(9);
}

#[tokio::test]
async fn a_flipped_bit_is_noticed() {
    is_refused(Engine::MySql, "flipped", 71_511, flip, "is damaged").await;
    is_refused(Engine::MariaDb, "flipped", 71_513, flip, "is damaged").await;
}

#[tokio::test]
async fn an_event_that_ends_early_is_noticed() {
    is_refused(Engine::MySql, "cut", 71_515, cut, "broken event").await;
    is_refused(Engine::MySql, "beheaded", 71_517, behead, "").await;
}

async fn larger_than_a_packet(engine: Engine, reader: u32) {
    let create = "CREATE TABLE t (id INT PRIMARY KEY, a LONGBLOB)";
    let mut database = Database::on(engine, "large_event", reader, &[create]).await;
    let table = database.definition("t").await;
    let packet: u64 = database.texts("SELECT @@max_allowed_packet").await[0].parse().expect("a number");
    let size = packet * 2 / 3;
    database.run(&[&format!("INSERT INTO t VALUES (1, REPEAT('x', {size}))")]).await;
    let from = CaptureSource::state(&database.server).await.expect("a state").executed;
    // Both images are in one event, which is larger than any packet that the server takes.
    database.run(&[&format!("UPDATE t SET a = REPEAT('y', {size})")]).await;
    let mut log = database.server.row_log(&from, &[table]).await.expect("a log");
    let mut images = Vec::new();
    while images.is_empty() {
        let next = tokio::time::timeout(Duration::from_secs(60), log.next()).await.expect("in time");
        let (LogEvent::Part { changes, .. } | LogEvent::Commit(rowfold::model::change::Transaction { changes, .. })) =
            next.expect("an event")
        else {
            continue;
        };
        for change in changes {
            images.extend([change.before.expect("before"), change.after.expect("after")]);
        }
    }
    for (image, letter) in images.iter().zip(*b"xy") {
        let Cell::Value(Value::Bytes(bytes)) = &image.0[1] else { panic!("{image:?}") };
        assert!(bytes.len() as u64 == size && bytes.iter().all(|byte| *byte == letter));
    }
    database.run(&["DROP TABLE t"]).await;
}

#[tokio::test]
async fn events_larger_than_a_packet_are_read() {
    larger_than_a_packet(Engine::MySql, 71_521).await;
    larger_than_a_packet(Engine::MariaDb, 71_522).await;
}
