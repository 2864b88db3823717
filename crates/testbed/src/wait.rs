//! Waiting for a condition, and what to show when it does not come.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Lab;
use crate::process;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(50);
/// Lines of each log that a failure shows.
const TAIL: usize = 25;

impl Lab {
    /// Waits until `condition` holds; `Err` says what was seen instead, and the last such sentence is returned
    /// when `patience` ends.
    pub fn poll<T, E: ToString>(
        &self,
        patience: Duration,
        mut condition: impl FnMut() -> Result<T, E>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + patience;
        loop {
            match condition() {
                Ok(value) => return Ok(value),
                Err(seen) if Instant::now() > deadline => return Err(seen.to_string()),
                Err(_) => std::thread::sleep(INTERVAL),
            }
        }
    }

    /// As [`Lab::poll`], for tests: panics with `what`, what was seen last, the logs and the kernel's state.
    #[track_caller]
    pub fn wait_until<T, E: ToString>(
        &self,
        what: &str,
        patience: Duration,
        condition: impl FnMut() -> Result<T, E>,
    ) -> T {
        match self.poll(patience, condition) {
            Ok(value) => value,
            Err(seen) => panic!("not within {patience:?}: {what}; last seen: {seen}\n{}", self.diagnostics()),
        }
    }

    /// Addresses and routes of each namespace and the end of each log.
    pub fn diagnostics(&self) -> String {
        let mut text = String::new();
        for ns in self.namespaces() {
            for args in [&["-br", "address"][..], &["route"], &["-6", "route"], &["nexthop"]] {
                let mut full = vec!["-n", ns.as_str()];
                full.extend_from_slice(args);
                let said = process::ip(&full).unwrap_or_else(|e| e.to_string());
                let lines: Vec<_> = said.lines().take(TAIL).collect();
                let _ = writeln!(text, "--- ip -n {ns} {}\n{}", args.join(" "), lines.join("\n"));
            }
        }
        append_logs(&mut text, self.dir());
        text
    }
}

fn append_logs(text: &mut String, dir: &Path) {
    let mut entries: Vec<_> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            append_logs(text, &path);
        } else if path.extension().is_some_and(|e| e == "log") {
            let log = fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL)..];
            let _ = writeln!(text, "--- {}\n{}", path.display(), tail.join("\n"));
        }
    }
}
