//! The streams are lost and the binlog that could fill them again is purged: the job stops and says so.
//! Owns: that nothing goes on in silence. Does not own: losses that can be mended (`losses`).

use super::rig::{Runs, section, start_over};
use crate::harness;
use crate::harness::library::{AUTHORS, Library};
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::private::{PrivateSql, Sql};
use crate::harness::servers::{ask, execute, executed};
use mysql_async::prelude::Queryable;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_cannot_be_filled_again_stop_the_job() {
    let _seat = harness::seat().await;
    let Some(mysql) = PrivateSql::start(Sql::MySql) else { return };
    let Some(redis) = MortalRedis::start(Keeps::Nothing).await else { return };
    for (runs, name) in [(Runs::Whole, "rpurgedrun"), (Runs::Halves, "rpurgedhalves")] {
        let mut library = Library::create_over(name, &mysql.url, section(&redis, name, "64MiB")).await;
        let mut running = runs.start(&library.job);
        running.wait_quiescent(&library.job).await;
        running.stop().await;
        let before = executed(&mut library.conn).await;
        library.change(1).await;
        execute(&mut library.conn, "FLUSH BINARY LOGS").await;
        let logs: Vec<mysql_async::Row> = library.conn.query("SHOW BINARY LOGS").await.expect("the binlog's files");
        let newest: String = logs.last().and_then(|row| row.get(0)).expect("a file");
        execute(&mut library.conn, &format!("PURGE BINARY LOGS TO '{newest}'")).await;
        let lost: String =
            ask(&mut library.conn, &format!("SELECT GTID_SUBTRACT(@@GLOBAL.gtid_purged, '{before}')")).await;
        assert!(!lost.is_empty(), "nothing was purged");
        let _: String = redis.ask(&["FLUSHALL"]).await;
        let documents = library.contents(false).await;

        let mut running = runs.start(&library.job);
        harness::until_true("the job to stop", LIMIT, || running.apply.ended().is_some()).await;
        assert_eq!(running.apply.ended(), Some(1), "{}", running.apply.log_tail());
        for word in ["E-BINLOG-LOST", "--start-over"] {
            assert!(running.apply.log().contains(word), "it does not say {word}: {}", running.apply.log());
        }
        assert_eq!(library.contents(false).await, documents, "documents were written after the loss");
        let status = library.job.command("status").arg("--json").finish(LIMIT).await;
        assert!(status.stdout.contains("E-BINLOG-LOST"), "status does not say why: {}", status.stdout);
        // Capture has done nothing wrong: it serves whoever can be served.
        if let Some(capture) = &mut running.capture {
            assert_eq!(capture.ended(), None, "{}", capture.log_tail());
        }

        let command = if runs == Runs::Whole { "run" } else { "apply" };
        running.apply = start_over(&library.job, command).await;
        running.wait_quiescent(&library.job).await;
        library.change(2).await;
        running.wait_quiescent(&library.job).await;
        library.assert_equal(AUTHORS).await;
        running.stop().await;
        library.scratch.remove().await;
    }
}
