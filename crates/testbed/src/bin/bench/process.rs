//! What processes and the machine spend: CPU time and memory, as /proc tells it.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// Clock ticks in a second; fixed in the kernel's interface.
const TICKS: f64 = 100.0;

/// CPU seconds of processes so far: by ticks, and by thread in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Cpu {
    pids: Vec<u32>,
    ticks: f64,
    threads: HashMap<String, u64>,
}

impl Cpu {
    pub(crate) fn of(pids: &[u32]) -> Self {
        let ticks = pids.iter().map(|pid| ticks(*pid)).sum();
        let threads = pids.iter().flat_map(|pid| threads(*pid)).collect();
        Self { pids: pids.to_vec(), ticks, threads }
    }

    /// Seconds spent since then. Threads are exact but forget those that have ended; ticks forget nobody and are coarse.
    pub(crate) fn since(&self) -> f64 {
        let now = Self::of(&self.pids);
        let exact: u64 = now
            .threads
            .iter()
            .map(|(thread, ns)| ns.saturating_sub(self.threads.get(thread).copied().unwrap_or(0)))
            .sum();
        let (exact, coarse) = (exact as f64 / 1e9, (now.ticks - self.ticks) / TICKS);
        if coarse > exact + 0.03 { coarse } else { exact }
    }
}

/// User and system ticks of a process.
fn ticks(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum()
}

fn threads(pid: u32) -> Vec<(String, u64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let one = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        Some((task.path().to_string_lossy().into_owned(), text.split_whitespace().next()?.parse().ok()?))
    };
    tasks.filter_map(one).collect()
}

/// MiB that processes have in memory, and the most that they ever had.
pub(crate) fn memory(pids: &[u32]) -> (f64, f64) {
    (field(pids, "VmRSS"), field(pids, "VmHWM"))
}

/// MiB that processes have for themselves: the pages of a program come and go with what it does.
pub(crate) fn own_memory(pids: &[u32]) -> f64 {
    field(pids, "RssAnon")
}

/// A field of /proc/PID/status in KiB, added up, in MiB.
fn field(pids: &[u32], name: &str) -> f64 {
    let one = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.to_owned();
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    pids.iter().filter_map(one).sum::<f64>() / 1024.0
}

/// Busy seconds of all cores since boot.
fn busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().filter_map(|i| fields.get(*i)).sum::<f64>() / TICKS
}

/// Waits until processes have been idle for a while.
pub(crate) fn settle(pids: &[u32]) {
    let (mut last, mut since) = (Cpu::of(pids), Instant::now());
    let deadline = Instant::now() + Duration::from_secs(60);
    while since.elapsed() < Duration::from_millis(400) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        if last.since() > 0.005 {
            since = Instant::now();
        }
        last = Cpu::of(pids);
    }
}

/// Waits until the machine has been idle for a while: the kernel takes routes of a removed namespace away in its own time.
pub(crate) fn settle_machine() {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut calm = 0;
    while calm < 3 && Instant::now() < deadline {
        let before = busy();
        std::thread::sleep(Duration::from_millis(100));
        calm = if busy() - before < 0.025 { calm + 1 } else { 0 };
    }
}
