//! A MySQL or MariaDB that only one test uses, because that test harms it: `scripts/services private-mysql`, `private-mariadb`.
//! Owns: that it ends with the test, and that those of dead runs are ended by the next one.
//! Does not own: how it is started.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "private-sql-";
/// The script's word for "not on this machine".
const CANNOT_HERE: i32 = 3;

/// Which of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not every test program uses both")]
pub enum Sql {
    MySql,
    MariaDb,
}

pub struct PrivateSql {
    sql: Sql,
    folder: PathBuf,
    pub url: String,
}

/// The script's exit code and what it said.
fn services(sql: Sql, folder: &Path, what: &str) -> (i32, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
    let mut command = Command::new(script);
    let private = match sql {
        Sql::MySql => "private-mysql",
        Sql::MariaDb => "private-mariadb",
    };
    command.arg(private).arg(folder).arg(what).env("ROWFOLD_SQL_BUFFER", "64M");
    let output = command.output().unwrap_or_else(|e| panic!("{script} does not start: {e}"));
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

impl PrivateSql {
    /// None, and the reason printed, where the servers are in Docker or somebody else's. Where `scripts/services` runs
    /// its own ones natively there is no such excuse: then a server that does not start fails the test.
    pub fn start(sql: Sql) -> Option<PrivateSql> {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        end_leftovers(root);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        let private = PrivateSql { sql, url: format!("mysql://rowfold:rowfold@127.0.0.1:{port}"), folder };
        match services(sql, &private.folder, &port.to_string()) {
            (0, _) => Some(private),
            (CANNOT_HERE, said) => {
                println!("NOT TESTED, for want of a {sql:?} that may be harmed: {}", said.trim());
                None
            }
            (code, said) => panic!("scripts/services did not start a private {sql:?}: {code}: {said}"),
        }
    }
}

impl Drop for PrivateSql {
    fn drop(&mut self) {
        services(self.sql, &self.folder, "down");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn end_leftovers(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            // Whichever of the two it was.
            services(Sql::MySql, &path, "down");
            services(Sql::MariaDb, &path, "down");
            let _ = fs::remove_dir_all(&path);
        }
    }
}
