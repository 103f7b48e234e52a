//! Passwords are in URLs, and URLs are in nobody's log.
//! Owns: that no output and no record holds one, whatever is asked and however it ends. Does not own: the outputs.

use crate::harness;
use crate::harness::engine::{Call, Finished};
use crate::harness::library::Library;
use crate::harness::mortal::{Keeps, MortalRedis};
use crate::harness::servers::{self, execute, server_id};
use crate::harness::status;
use crate::harness::world::REST;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
/// As it is, as it stands in a URL.
const PASSWORD: (&str, &str) = ("Hush7!@Quiet/Zx", "Hush7!%40Quiet%2FZx");
/// Pieces that stay whole in any spelling.
const PIECES: [&str; 2] = ["Hush7", "Quiet"];
/// Ours, and every library's.
const LOGS: [&str; 2] = ["trace", "trace,rowfold=trace"];

fn silent(what: &str, finished: &Finished) {
    for (name, text) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
        let line = text.lines().find(|l| PIECES.iter().any(|p| l.contains(p)));
        assert!(line.is_none(), "{what}: a password on {name}: {line:?}");
    }
}

/// `user:password@` put into a URL.
fn with_account(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{user}:{}@{place}", PASSWORD.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_ever_printed() {
    let _seat = harness::seat().await;
    let mut library = Library::create("secrets").await;
    let user = format!("rf_e2e_{}", server_id());
    for sql in [
        format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{}'", PASSWORD.0),
        format!("GRANT ALL PRIVILEGES ON *.* TO '{user}'@'%'"),
    ] {
        execute(&mut library.conn, &sql).await;
    }
    let mysql = with_account(&servers::mysql_url(), &user);
    let own = MortalRedis::start_with(Keeps::Nothing, &["--requirepass", PASSWORD.0]).await;
    let redis = own.as_ref().map_or_else(servers::redis_url, |own| with_account(&own.url(), "default"));
    let yaml = fs::read_to_string(&library.job.file).expect("the job");
    let stream = format!("stream:\n  url: ${{ROWFOLD_REDIS_URL}}\n  prefix: {}\n", library.scratch.name);
    library.job.rewrite(&(yaml + &stream));
    let call = |command: &str, log: &str| {
        let call = library.job.command(command).env("ROWFOLD_MYSQL_URL", &mysql).env("ROWFOLD_REDIS_URL", &redis);
        call.arg("--log").arg(log)
    };

    // What works.
    for log in LOGS {
        for command in ["check", "preview", "snapshot", "status", "position show"] {
            let finished = call(command, log).finish(LIMIT).await;
            // A status before the first start is a failure to tell one.
            assert_eq!(finished.code, 0, "{command}: {}", finished.stderr);
            silent(command, &finished);
        }
        let mut engine = call("run", log).start();
        status::wait_live(&library.job, &mut engine, REST).await;
        silent("status --json", &library.job.command("status").arg("--json").finish(LIMIT).await);
        let finished = engine.stop(Duration::from_secs(20)).await;
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        silent("run", &finished);
    }

    // What does not: a wrong password, a wrong place, a wrong spelling, on either side.
    let wrong_place = |url: &str| format!("{}1", url.rsplit_once(':').expect("a port").0.to_owned() + ":");
    let mongo = with_account(&servers::mongo_url(), "nobody");
    let failing: [(&str, String); 11] = [
        ("ROWFOLD_MYSQL_URL", with_account(&servers::mysql_url(), "nobody")),
        ("ROWFOLD_MYSQL_URL", wrong_place(&mysql)),
        ("ROWFOLD_MYSQL_URL", mysql.replace("mysql://", "mysqll://")),
        ("ROWFOLD_MYSQL_URL", format!("{mysql}?no_such_setting=1")),
        ("ROWFOLD_MONGO_URL", mongo.replace("mongodb://", "mongo://")),
        ("ROWFOLD_MONGO_URL", mongo.replace("%40", "@")),
        ("ROWFOLD_REDIS_URL", with_account(&redis, "nobody")),
        ("ROWFOLD_REDIS_URL", wrong_place(&with_account(&redis, "default"))),
        ("ROWFOLD_REDIS_URL", with_account(&redis, "default").replace("redis://", "http://")),
        ("ROWFOLD_REDIS_URL", with_account(&redis, "default").replace("%40", "@").replace("%2F", "/")),
        ("ROWFOLD_REDIS_URL", format!("{}/no-database", with_account(&redis, "default"))),
    ];
    for (name, url) in failing {
        for (command, log) in [("check", LOGS[0]), ("run", LOGS[1]), ("capture", LOGS[1])] {
            // Capture does not ask the target.
            if command == "capture" && name == "ROWFOLD_MONGO_URL" {
                continue;
            }
            let finished = call(command, log).env(name, &url).finish(LIMIT).await;
            assert_eq!(finished.code, 2, "{command} with {name}={url}: {}", finished.stderr);
            silent(&format!("{command} with {name}={url}"), &finished);
        }
    }
    // That Redis does not let us in is shown by commands that can do without it.
    for command in ["status", "position show"] {
        let call = call(command, LOGS[1]).env("ROWFOLD_REDIS_URL", &with_account(&redis, "nobody"));
        silent(command, &call.finish(LIMIT).await);
    }
    // Whether a server without accounts lets somebody in is its own affair.
    let call: Call = call("check", LOGS[1]).env("ROWFOLD_MONGO_URL", &mongo);
    silent("check with a password for the target", &call.finish(LIMIT).await);

    let records = format!("{:?}", library.contents(true).await);
    assert!(records.contains("job_secrets") && !PIECES.iter().any(|p| records.contains(p)), "a password in a record");
    execute(&mut library.conn, &format!("DROP USER '{user}'@'%'")).await;
    library.scratch.remove().await;
}
