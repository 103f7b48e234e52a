//! What a program takes: seconds, processor time and memory.
//!
//! Owns: reading `/proc` while the program runs. Processor time is read when it has ended and nobody has taken its exit
//! code yet; the memory's high-water mark a moment before, so what it gains in its last milliseconds is not seen.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Clock ticks of a second in `/proc/PID/stat`: USER_HZ, 100 on every Linux of today.
const TICKS: f64 = 100.0;
const PAUSE: Duration = Duration::from_millis(10);

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Usage {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_bytes: u64,
    /// What it printed.
    pub stdout: String,
}

/// Runs a program to its end, its stderr going to `log`. Fails if it does.
pub fn run(program: &Path, arguments: &[&str], log: &Path) -> Outcome<Usage> {
    let name = program.display();
    let (out, err) = (log.with_extension("out"), File::create(log)?);
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(err)
        .spawn()
        .map_err(|error| format!("{name} does not run: {error}"))?;
    let folder = format!("/proc/{}", child.id());
    let (mut peak_bytes, mut cpu_seconds) = (0, 0.0);
    let seconds = loop {
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name, in brackets, may hold blanks. After it: state, then 10 fields, utime, stime.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        cpu_seconds = f64::max(cpu_seconds, (ticks(11) + ticks(12)) / TICKS);
        if fields.first() == Some(&"Z") {
            break start.elapsed().as_secs_f64();
        }
        peak_bytes = peak_bytes.max(high_water(&folder));
        std::thread::sleep(PAUSE);
    };
    let status = child.wait()?;
    if !status.success() {
        let text = fs::read_to_string(log)?;
        let tail: Vec<&str> = text.lines().rev().take(15).collect();
        let tail: String = tail.into_iter().rev().map(|line| format!("\n  {line}")).collect();
        return Err(format!("{name} {} ended with {status}; {}:{tail}", arguments.join(" "), log.display()).into());
    }
    Ok(Usage { seconds, cpu_seconds, peak_bytes, stdout: fs::read_to_string(&out)? })
}

fn high_water(folder: &str) -> u64 {
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
}
