//! The engine as a user runs it: the binary, a job file, its output and its end.
//! Owns: that no process outlives its test, and that what it said is kept for the reader of a failure.
//! Does not own: what it is asked to do.

use super::servers;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A job file on disk, in a folder of its own beside what its engines wrote.
pub struct Job {
    pub folder: PathBuf,
    pub file: PathBuf,
    /// The source.
    pub mysql: String,
    started: AtomicU32,
}

impl Job {
    pub fn create(name: &str, yaml: &str) -> Job {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let job =
            Job { file: folder.join("job.yaml"), folder, mysql: servers::mysql_url(), started: AtomicU32::new(0) };
        job.rewrite(yaml);
        job
    }

    pub fn rewrite(&self, yaml: &str) {
        fs::write(&self.file, yaml).expect("the target folder can be written");
    }

    /// `rowfold COMMAND JOB`, not yet started. The command may be several words.
    pub fn command(&self, command: &str) -> Call {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let mut process = Command::new(binary());
        process
            .args(command.split(' '))
            .arg(&self.file)
            .env("ROWFOLD_MYSQL_URL", &self.mysql)
            .env("ROWFOLD_MONGO_URL", servers::mongo_url())
            .env("ROWFOLD_REDIS_URL", servers::redis_url())
            .env_remove("ROWFOLD_FAILPOINT")
            .env_remove("ROWFOLD_HOLD")
            .env_remove("ROWFOLD_PLANT")
            .stdin(Stdio::null());
        Call { process, log: self.folder.join(format!("{number:03}-{}.log", command.replace(' ', "-"))) }
    }

    pub fn run(&self) -> Engine {
        self.command("run").start()
    }

    pub fn snapshot(&self) -> Engine {
        self.command("snapshot").start()
    }
}

/// The binary under test: the one just built, or another one, for example an optimized build.
fn binary() -> PathBuf {
    std::env::var_os("ROWFOLD_E2E_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_rowfold").into(), PathBuf::from)
}

pub struct Call {
    process: Command,
    log: PathBuf,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Call {
    pub fn arg(mut self, arg: &str) -> Call {
        self.process.arg(arg);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Call {
        self.process.env(name, value);
        self
    }

    /// Holds every task that reaches this point from the `nth` time on, until a file is at `path`.
    pub fn hold(self, name: &str, nth: u32, path: &std::path::Path) -> Call {
        self.env("ROWFOLD_HOLD", &format!("{name}:{nth}={}", path.display()))
    }

    /// Stops for ever where the engine reaches this point for the `nth` time.
    pub fn failpoint(self, name: &str, nth: u32) -> Call {
        self.env("ROWFOLD_FAILPOINT", &format!("{name}:{nth}"))
    }

    pub fn start(mut self) -> Engine {
        let out = self.log.with_extension("out");
        self.process.stderr(File::create(&self.log).expect("a log")).stdout(File::create(&out).expect("a log"));
        let child = self.process.spawn().unwrap_or_else(|e| panic!("{:?} does not start: {e}", self.process));
        Engine { child, log: self.log, out, code: None }
    }

    pub async fn finish(self, limit: Duration) -> Finished {
        self.start().finish(limit).await
    }
}

pub struct Engine {
    child: Child,
    log: PathBuf,
    out: PathBuf,
    code: Option<i32>,
}

/// The exit code, or 128 + the signal, as a shell tells it.
fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

impl Engine {
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(25)..].join("\n");
        format!("last lines of {}:\n{tail}", self.log.display())
    }

    pub fn ended(&mut self) -> Option<i32> {
        if self.code.is_none() {
            self.code = self.child.try_wait().expect("a child of ours").map(code_of);
        }
        self.code
    }

    pub async fn finish(mut self, limit: Duration) -> Finished {
        let start = std::time::Instant::now();
        let code = loop {
            if let Some(code) = self.ended() {
                break code;
            }
            assert!(start.elapsed() < limit, "after {limit:?} it has not ended\n{}", self.log_tail());
            tokio::time::sleep(super::POLL).await;
        };
        let stdout = String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).into_owned();
        Finished { code, stdout, stderr: self.log() }
    }

    /// Waits for a line on stderr.
    pub async fn wait_line(&mut self, text: &str, limit: Duration) {
        let start = std::time::Instant::now();
        while !self.log().contains(text) {
            if let Some(code) = self.ended()
                && !self.log().contains(text)
            {
                panic!("the engine ended with {code} before saying {text:?}\n{}", self.log_tail());
            }
            assert!(start.elapsed() < limit, "after {limit:?} it has not said {text:?}\n{}", self.log_tail());
            tokio::time::sleep(super::POLL).await;
        }
    }

    pub async fn wait_failpoint(&mut self, name: &str, limit: Duration) {
        self.wait_line(&format!("failpoint {name} reached"), limit).await;
    }

    /// `INT` or `TERM`, to this process alone.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg("-s").arg(name).arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "signal {name} could not be sent");
    }

    /// kill -9, and the process is gone when this returns.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a child of ours can be waited for");
    }

    /// Asks it to stop, in order.
    pub async fn stop(self, limit: Duration) -> Finished {
        self.signal("TERM");
        self.finish(limit).await
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
