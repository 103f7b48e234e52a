//! The history that a job stands on is gone: purged, reset, or it was another server's.
//! Owns: that this is said, that no document is touched, and how it is mended. Does not own: DDL (`ddl`).
//!
//! On a MySQL of its own: purging the one of all tests would harm the others.

use crate::harness;
use crate::harness::engine::Finished;
use crate::harness::library::{self, AUTHORS, Library};
use crate::harness::private::{PrivateSql, Sql};
use crate::harness::servers::{ask, execute, executed, is_mariadb};
use mysql_async::prelude::Queryable;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

/// `rowfold COMMAND` on this server.
async fn on(url: &str, library: &Library, command: &str, start_over: bool) -> Finished {
    let mut call = library.job.command(command).env("ROWFOLD_MYSQL_URL", url);
    if start_over {
        call = call.arg("--start-over");
    }
    call.finish(LIMIT).await
}

async fn done(url: &str, library: &Library, start_over: bool) {
    let finished = on(url, library, "snapshot", start_over).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

/// Refused by both commands, with these words, and nothing in the target has changed.
async fn refused(url: &str, library: &Library, code: i32, words: &[&str]) {
    // A halt is noted in the build's record; before a refusal nothing is.
    let records = code == 2;
    let before = library.contents(records).await;
    assert!(!before.is_empty());
    for command in ["run", "snapshot"] {
        let finished = on(url, library, command, false).await;
        assert_eq!(finished.code, code, "{command}: {}", finished.stderr);
        for word in words {
            assert!(finished.stderr.contains(word), "{command} does not say {word}: {}", finished.stderr);
        }
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
    assert_eq!(library.contents(records).await, before, "documents or records were written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_gone_is_noticed_before_a_document_is_touched() {
    let _seat = harness::seat().await;
    let Some(private) = PrivateSql::start(Sql::MySql) else { return };
    gone(&private.url, "", "RESET BINARY LOGS AND GTIDS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_mariadb_a_history_that_is_gone_is_noticed_too() {
    let _seat = harness::seat().await;
    let Some(private) = PrivateSql::start(Sql::MariaDb) else { return };
    gone(&private.url, "_mariadb", "RESET MASTER").await;
}

async fn gone(url: &str, suffix: &str, forget: &str) {
    purged(url, suffix).await;
    another_server(url, suffix).await;
    reset(url, suffix, forget).await;
}

/// Everything in the binlog but its newest file.
async fn purge(library: &mut Library) {
    if is_mariadb(&mut library.conn).await {
        // Since 11.4 nothing is purged while no replica is connected.
        let setting = "SELECT COUNT(*) FROM information_schema.SYSTEM_VARIABLES \
                       WHERE VARIABLE_NAME = 'SLAVE_CONNECTIONS_NEEDED_FOR_PURGE'";
        if ask::<u8>(&mut library.conn, setting).await == 1 {
            execute(&mut library.conn, "SET GLOBAL slave_connections_needed_for_purge = 0").await;
        }
    }
    execute(&mut library.conn, "FLUSH BINARY LOGS").await;
    let logs = async |conn: &mut mysql_async::Conn| -> Vec<String> {
        let rows: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await.expect("the binlog's files");
        rows.iter().filter_map(|row| row.get(0)).collect()
    };
    let newest = logs(&mut library.conn).await.pop().expect("a file");
    // A file that recovery would still need is kept for a moment.
    harness::until("the files to be purged", LIMIT, async || {
        execute(&mut library.conn, &format!("PURGE BINARY LOGS TO '{newest}'")).await;
        (logs(&mut library.conn).await == [newest.as_str()]).then_some(())
    })
    .await;
}

async fn purged(url: &str, suffix: &str) {
    let mut library = Library::create_at(&format!("lost_purged{suffix}"), url).await;
    done(url, &library, false).await;
    library.assert_equal(AUTHORS).await;

    // What is purged was applied: nothing is lost.
    purge(&mut library).await;
    library.change(1).await;
    done(url, &library, false).await;
    library.assert_equal(AUTHORS).await;

    let before = executed(&mut library.conn).await;
    library.change(2).await;
    purge(&mut library).await;
    let lost = if is_mariadb(&mut library.conn).await {
        // Its servers write one domain here: what is missing begins behind the number that was applied.
        let next = before.rsplit_once('-').and_then(|(source, number)| Some((source, number.parse::<u64>().ok()? + 1)));
        next.map(|(source, number)| format!("{source}:{number}-")).expect("a position")
    } else {
        ask(&mut library.conn, &format!("SELECT GTID_SUBTRACT(@@GLOBAL.gtid_purged, '{before}')")).await
    };
    assert!(!lost.is_empty(), "nothing was purged");
    refused(url, &library, 1, &["E-BINLOG-LOST", "authors", &lost, "--start-over"]).await;
    let status = library.job.command("status").arg("--json").finish(LIMIT).await;
    assert!(status.stdout.contains("E-BINLOG-LOST"), "status does not say why: {}", status.stdout);

    done(url, &library, true).await;
    library.assert_equal(AUTHORS).await;
    library.change(3).await;
    done(url, &library, false).await;
    library.assert_equal(AUTHORS).await;
    library.scratch.remove().await;
}

async fn another_server(url: &str, suffix: &str) {
    let shared = harness::servers::mysql_url();
    let mut library = Library::create(&format!("lost_other{suffix}")).await;
    // The same tables with the same rows: only the history tells the servers apart.
    library::fill(url, &library.scratch.name).await;
    done(&shared, &library, false).await;
    refused(url, &library, 2, &["E-SOURCE-CHANGED", "authors", "--start-over"]).await;
    library.change(1).await;
    done(&shared, &library, false).await;
    library.assert_equal(AUTHORS).await;
    library.scratch.remove().await;
}

async fn reset(url: &str, suffix: &str, forget: &str) {
    let mut library = Library::create_at(&format!("lost_reset{suffix}"), url).await;
    done(url, &library, false).await;
    execute(&mut library.conn, forget).await;
    // The history begins anew, shorter than the one that was applied.
    library.change(1).await;
    refused(url, &library, 2, &["E-SOURCE-CHANGED", "authors", "--start-over"]).await;
    done(url, &library, true).await;
    library.assert_equal(AUTHORS).await;
    library.scratch.remove().await;
}
