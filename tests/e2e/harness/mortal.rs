//! A Redis that only one test uses, because that test harms it: `scripts/services mortal-redis`.
//! Owns: that it ends with the test, how it is killed and comes back, and asking it. Does not own: what is in it.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisError};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PREFIX: &str = "mortal-redis-";
/// The script's word for "not on this machine".
const CANNOT_HERE: i32 = 3;
const STARTED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(20);

/// What a server still knows after kill -9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing: neither AOF nor snapshots.
    Nothing,
    /// All but the last second: an AOF that is flushed each second.
    AllButASecond,
    /// All that it has acknowledged: an AOF that is flushed with each write.
    Everything,
}

impl Keeps {
    fn options(self) -> [&'static str; 4] {
        match self {
            Keeps::Nothing => ["--appendonly", "no", "--appendfsync", "no"],
            Keeps::AllButASecond => ["--appendonly", "yes", "--appendfsync", "everysec"],
            Keeps::Everything => ["--appendonly", "yes", "--appendfsync", "always"],
        }
    }
}

pub struct MortalRedis {
    folder: PathBuf,
    port: u16,
    keeps: Keeps,
    options: Vec<String>,
    child: Child,
    lives: u32,
}

impl MortalRedis {
    /// None, and the reason printed, where the servers are in Docker or somebody else's.
    pub async fn start(keeps: Keeps) -> Option<MortalRedis> {
        MortalRedis::start_with(keeps, &[]).await
    }

    /// The same with options of redis-server, which win over what it has else.
    pub async fn start_with(keeps: Keeps, options: &[&str]) -> Option<MortalRedis> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        sweep(root);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = spawn(&folder, port, keeps, &options, 0);
        let mut redis = MortalRedis { folder, port, keeps, options, child, lives: 0 };
        redis.wait_ready().await.then_some(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.place())
    }

    /// `host:port`.
    pub fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The server ends without a word. What it keeps stays on disk.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a child of ours can be waited for");
    }

    /// The same server again on what it kept.
    pub async fn restart(&mut self) {
        self.kill();
        self.come_back().await;
    }

    /// After [`MortalRedis::kill`].
    pub async fn come_back(&mut self) {
        self.lives += 1;
        self.child = spawn(&self.folder, self.port, self.keeps, &self.options, self.lives);
        assert!(self.wait_ready().await, "it ran before");
    }

    /// Another server at the same address, that never heard of us.
    pub async fn replace(&mut self) {
        self.kill();
        for entry in fs::read_dir(&self.folder).expect("its folder").flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        self.come_back().await;
    }

    /// A connection that outlives neither the server nor the test.
    pub async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWERED));
        redis::Client::open(self.url())?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// One command; the server has to be there and to agree.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap_or_else(|e| panic!("{e}\nin: {}", words.join(" ")))
    }

    pub async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, RedisError> {
        let mut connection = self.connect().await?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    async fn wait_ready(&mut self) -> bool {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                let said = fs::read_to_string(log(&self.folder, self.lives)).unwrap_or_default();
                assert_eq!(status.code(), Some(CANNOT_HERE), "the mortal Redis ended: {said}");
                println!("NOT TESTED, for want of a Redis that may be harmed: {}", said.trim());
                return false;
            }
            match self.try_ask::<String>(&["PING"]).await {
                Ok(_) => return true,
                // It asks for a password, so it is there.
                Err(error) if error.code() == Some("NOAUTH") => return true,
                Err(_) => {}
            }
            assert!(start.elapsed() < STARTED, "the mortal Redis does not answer after {STARTED:?}");
            tokio::time::sleep(super::POLL).await;
        }
    }
}

fn log(folder: &Path, life: u32) -> PathBuf {
    folder.with_extension(format!("{life}.log"))
}

fn spawn(folder: &Path, port: u16, keeps: Keeps, options: &[String], life: u32) -> Child {
    fs::create_dir_all(folder).expect("the target folder can be written");
    let said = File::create(log(folder, life)).expect("a log");
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services"))
        .arg("mortal-redis")
        .arg(folder)
        .args(["--port", &port.to_string(), "--save", "", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"])
        .args(keeps.options())
        .args(options)
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("a log"))
        .stderr(said)
        .spawn()
        .unwrap_or_else(|e| panic!("scripts/services does not start: {e}"))
}

impl Drop for MortalRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    for life in 0.. {
        if fs::remove_file(log(folder, life)).is_err() {
            return;
        }
    }
}

/// Folders of runs that have ended; their servers died with them.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for path in entries.flatten().map(|e| e.path()).filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&path);
        }
    }
}
