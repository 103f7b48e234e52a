//! Statements that change tables while the engine is live.
//! Owns: which of them it goes on after, which stop it, and how it is mended. Does not own: finding them in the log.

use crate::harness;
use crate::harness::engine::Finished;
use crate::harness::library::{AUTHORS, Library};
use crate::harness::servers::execute;
use crate::harness::status;
use crate::harness::world::REST;
use std::time::Duration;

const IN_ORDER: Duration = Duration::from_secs(10);

fn says(finished: &Finished, words: &[&str]) {
    for word in words {
        assert!(finished.stderr.contains(word), "does not say {word}: {}", finished.stderr);
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_stops_the_job_until_it_is_started_over() {
    let _seat = harness::seat().await;
    let mut library = Library::create("truncate").await;
    let mut engine = library.job.run();
    status::wait_live(&library.job, &mut engine, REST).await;
    library.change(1).await;
    status::wait_quiescent(&library.job, &mut engine, REST).await;
    library.assert_equal(AUTHORS).await;
    let before = library.contents(false).await;
    execute(&mut library.conn, "TRUNCATE TABLE book").await;
    let book = format!("{}.book", library.scratch.name);
    let stopped = engine.finish(REST).await;
    assert_eq!(stopped.code, 1, "{}", stopped.stderr);
    says(&stopped, &[&book, "TRUNCATE", "--start-over"]);
    let said = status::status(&library.job).await.expect("a status");
    assert!(said.all_in("halted"), "{}", said.phases());
    assert!(said.projections[0].error.as_ref().is_some_and(|e| e.contains(&book)), "{said:?}");

    // It stays stopped, whatever is tried and whatever comes after it in the log.
    execute(&mut library.conn, "INSERT INTO book VALUES (1, 1, 'again')").await;
    for command in ["run", "snapshot"] {
        let again = library.job.command(command).finish(REST).await;
        assert_eq!(again.code, 1, "{command}: {}", again.stderr);
        says(&again, &[&book, "--start-over"]);
    }
    assert_eq!(library.contents(false).await, before, "documents were touched after the TRUNCATE");

    let mended = library.job.command("snapshot").arg("--start-over").finish(REST).await;
    assert_eq!(mended.code, 0, "{}", mended.stderr);
    let mut engine = library.job.run();
    status::wait_live(&library.job, &mut engine, REST).await;
    library.change(2).await;
    status::wait_quiescent(&library.job, &mut engine, REST).await;
    library.assert_equal(AUTHORS).await;
    assert_eq!(engine.stop(IN_ORDER).await.code, 0);
    library.scratch.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_is_ignored_with_a_warning() {
    let _seat = harness::seat().await;
    let mut library = Library::create("add_column").await;
    let mut engine = library.job.run();
    status::wait_live(&library.job, &mut engine, REST).await;
    // At the end and in the middle: places of columns shift.
    execute(&mut library.conn, "ALTER TABLE author ADD COLUMN note varchar(20) NOT NULL DEFAULT 'x'").await;
    execute(&mut library.conn, "ALTER TABLE book ADD COLUMN isbn int NULL AFTER id").await;
    for sql in [
        "UPDATE author SET name = 'after the change', note = 'y' WHERE id = 7",
        "INSERT INTO author VALUES (2000, 'new', NULL, 'z')",
        "UPDATE book SET author_id = 2000 WHERE id IN (3, 4)",
        "INSERT INTO book VALUES (2000, 5, 2000, 'new')",
        "DELETE FROM book WHERE id = 9",
    ] {
        execute(&mut library.conn, sql).await;
    }
    status::wait_quiescent(&library.job, &mut engine, REST).await;
    library.assert_equal(AUTHORS).await;
    let log = engine.log();
    for table in ["author", "book"] {
        let warned = |l: &str| l.contains("WARN") && l.contains(&format!("{}.{table}", library.scratch.name));
        assert!(log.lines().any(warned), "no warning about {table}: {log}");
    }
    assert_eq!(engine.stop(IN_ORDER).await.code, 0);

    // `author` is mapped whole, so now the job file means one column more than the build has. That is said, not guessed.
    let before = library.contents(true).await;
    let refused = library.job.run().finish(REST).await;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    says(&refused, &["E-NEEDS-REBUILD", "authors", "exclude", "--start-over"]);
    assert_eq!(library.contents(true).await, before, "documents or records were written");
    let yaml = std::fs::read_to_string(&library.job.file).expect("the job file");
    library.job.rewrite(&yaml.replace(".author\n", ".author\n    exclude: [note]\n"));
    let mut engine = library.job.run();
    status::wait_live(&library.job, &mut engine, REST).await;
    execute(&mut library.conn, "UPDATE author SET name = 'after a restart' WHERE id = 8").await;
    status::wait_quiescent(&library.job, &mut engine, REST).await;
    library.assert_equal(AUTHORS).await;
    assert_eq!(engine.stop(IN_ORDER).await.code, 0);
    library.scratch.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_column_that_is_dropped_stops_the_job() {
    let _seat = harness::seat().await;
    let mut library = Library::create("drop_column").await;
    let mut engine = library.job.run();
    status::wait_live(&library.job, &mut engine, REST).await;
    status::wait_quiescent(&library.job, &mut engine, REST).await;
    let before = library.contents(false).await;
    execute(&mut library.conn, "ALTER TABLE book DROP COLUMN title").await;
    let stopped = engine.finish(REST).await;
    assert_eq!(stopped.code, 1, "{}", stopped.stderr);
    let book = format!("{}.book", library.scratch.name);
    says(&stopped, &["title", &book, "--start-over"]);
    // The job file names the column: it is wrong now.
    let again = library.job.run().finish(REST).await;
    assert_eq!(again.code, 2, "{}", again.stderr);
    says(&again, &["title", &book]);
    assert_eq!(library.contents(false).await, before, "documents were touched");
    library.scratch.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapped_column_of_another_type_stops_the_job() {
    let _seat = harness::seat().await;
    let mut library = Library::create("retype_column").await;
    let mut engine = library.job.run();
    status::wait_live(&library.job, &mut engine, REST).await;
    execute(&mut library.conn, "ALTER TABLE author MODIFY COLUMN born varchar(10) NULL").await;
    let stopped = engine.finish(REST).await;
    assert_eq!(stopped.code, 1, "{}", stopped.stderr);
    says(&stopped, &["born", &format!("{}.author", library.scratch.name), "--start-over"]);
    let again = library.job.run().finish(REST).await;
    assert_ne!(again.code, 0, "{}", again.stderr);
    says(&again, &["--start-over"]);
    library.scratch.remove().await;
}
