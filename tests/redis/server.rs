//! A Redis that only one test uses, because that test harms it or needs other settings.
//!
//! Owns: that it ends with the test, even a killed one. Does not own: where the binary comes from (`scripts/services`).

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that is started again on the same port when it is asked to.
pub struct PrivateRedis {
    pub port: u16,
    options: Vec<String>,
    child: Child,
}

impl PrivateRedis {
    /// With options as on the command line: `--maxmemory 3mb`. None, and the reason printed, where there is no Redis that a
    /// test could start (the servers run in Docker, or are somebody else's).
    pub fn start(options: &str) -> Option<Self> {
        if binary().is_none() {
            println!("NOT TESTED, for want of a Redis that may be harmed: there is no redis-server on this machine");
            return None;
        }
        let options: Vec<String> = options.split_whitespace().map(str::to_string).collect();
        // Somebody may take the port between asking for it and using it.
        for _ in 0..5 {
            let port = free_port();
            let mut child = spawn(port, &options);
            if answers(port, &mut child) {
                return Some(Self { port, options, child });
            }
            end(&mut child);
        }
        panic!("redis-server does not start with {options:?}");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, and starts it again without what it held.
    pub fn restart(&mut self) {
        end(&mut self.child);
        self.child = spawn(self.port, &self.options);
        assert!(answers(self.port, &mut self.child), "redis-server does not start again");
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        end(&mut self.child);
        let _ = std::fs::remove_dir_all(folder(self.port));
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn free_port() -> u16 {
    // A cluster node takes the port 10000 above for itself.
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        if port < 55_000 {
            return port;
        }
    }
}

/// `redis-server` of this machine, or inside the root that `scripts/services` made: then with that root.
fn binary() -> Option<Option<PathBuf>> {
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).find(|folder| folder.join("redis-server").is_file()));
    if found.is_some() {
        return Some(None);
    }
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = home("ROWFOLD_CACHE_DIR")
        .or_else(|| home("XDG_CACHE_HOME").map(|path| path.join("rowfold")))
        .or_else(|| home("HOME").map(|path| path.join(".cache/rowfold")))?;
    let entries = std::fs::read_dir(cache).ok()?;
    let mut roots: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join(".complete").exists() && path.join("usr/bin/redis-server").exists())
        .collect();
    roots.sort();
    roots.pop().map(Some)
}

fn folder(port: u16) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{port}"))
}

/// The kernel kills the server when the thread that started it ends, which is the test's own.
fn spawn(port: u16, options: &[String]) -> Child {
    let folder = folder(port);
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    let inside = match binary().expect("a redis-server") {
        Some(root) => {
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/in-root")).arg(root).arg(&folder);
            "/srv/services".to_string()
        }
        None => folder.display().to_string(),
    };
    command.args(["redis-server", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", &inside]);
    command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]).args(options);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.unwrap_or_else(|error| panic!("setpriv does not start: {error}"))
}

fn answers(port: u16, child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
