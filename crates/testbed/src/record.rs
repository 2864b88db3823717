//! What a lab made, on disk, so that it can be removed by somebody else: `perouter lab down`, or the next lab
//! after one whose process was killed outright.
//!
//! Each lab has a directory `/run/perouter-lab/ID` with its logs, sockets and `lab.json`. A process is known by
//! pid and start time together, because pids come round again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::process;
use crate::{LabError, Result};

/// Where labs live. Short, because it ends up in the paths of sockets, which hold 108 bytes.
pub(crate) const ROOT: &str = "/run/perouter-lab";

/// A process that we started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    /// Clock ticks since boot at which it began.
    pub(crate) since: u64,
}

impl Started {
    /// The process with this pid as it is at the moment; `None` when there is none or it is a zombie.
    pub(crate) fn now(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name stands in parentheses and may itself hold spaces and parentheses.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split_ascii_whitespace();
        if fields.next() == Some("Z") {
            return None;
        }
        Some(Self { pid, since: fields.nth(18)?.parse().ok()? })
    }

    pub(crate) fn alive(&self) -> bool {
        Self::now(self.pid).as_ref() == Some(self)
    }

    fn kill(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.alive(), i32::try_from(self.pid).ok().and_then(Pid::from_raw)) {
            // It may end between the look and the kill; that is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Everything that a lab made outside its own directory.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) dir: PathBuf,
    pub(crate) owner: Option<Started>,
    pub(crate) kept: bool,
    pub(crate) namespaces: Vec<String>,
    pub(crate) processes: Vec<Started>,
}

impl Record {
    pub(crate) fn save(&self) -> Result<()> {
        let one = |p: &Started| json!({"pid": p.pid, "since": p.since});
        let text = json!({
            "owner": self.owner.as_ref().map(one),
            "kept": self.kept,
            "namespaces": self.namespaces,
            "processes": self.processes.iter().map(one).collect::<Vec<_>>(),
        });
        let file = self.dir.join("lab.json");
        fs::write(&file, text.to_string())
            .map_err(|e| LabError::new(format!("{} cannot be written: {e}", file.display())))
    }

    fn load(dir: &Path) -> Option<Self> {
        let text: Value = serde_json::from_str(&fs::read_to_string(dir.join("lab.json")).ok()?).ok()?;
        let one =
            |v: &Value| Some(Started { pid: u32::try_from(v["pid"].as_u64()?).ok()?, since: v["since"].as_u64()? });
        Some(Self {
            dir: dir.to_owned(),
            owner: one(&text["owner"]),
            kept: text["kept"].as_bool()?,
            namespaces: text["namespaces"].as_array()?.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            processes: text["processes"].as_array()?.iter().filter_map(one).collect(),
        })
    }

    /// Ends the processes, removes the namespaces and the directory. Goes on after a failure and returns every one.
    pub(crate) fn remove(&self, reap: &mut dyn FnMut()) -> Vec<LabError> {
        let mut errors = Vec::new();
        for (signal, patience) in [(Signal::TERM, 3), (Signal::KILL, 5)] {
            self.processes.iter().for_each(|p| p.kill(signal));
            let deadline = Instant::now() + Duration::from_secs(patience);
            loop {
                reap();
                if !self.processes.iter().any(Started::alive) || Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for p in self.processes.iter().filter(|p| p.alive()) {
            errors.push(LabError::new(format!("process {} does not end", p.pid)));
        }
        for ns in &self.namespaces {
            if Path::new("/var/run/netns").join(ns).exists() {
                errors.extend(process::ip(&["netns", "del", ns]).err());
            }
        }
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            errors.push(LabError::new(format!("{} cannot be removed: {e}", self.dir.display())));
        }
        errors
    }
}

/// Removes the labs that nobody owns any more; with `kept` also those that were left up on purpose.
/// Returns their names.
fn sweep(kept: bool) -> (Vec<String>, Vec<LabError>) {
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(ROOT).into_iter().flatten().flatten() {
        let Some(record) = Record::load(&entry.path()) else {
            continue;
        };
        let owned = record.owner.as_ref().is_some_and(Started::alive);
        if !owned && (kept || !record.kept) {
            errors.extend(record.remove(&mut || ()));
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    (names, errors)
}

/// Removes what killed labs left behind.
pub(crate) fn sweep_orphans() {
    // Another process may be at it too; whatever cannot be removed is met again by the next lab.
    let _ = sweep(false);
}

/// Removes every lab whose owner has ended, kept or not, and returns their names.
pub fn remove_all() -> Result<Vec<String>> {
    let (names, errors) = sweep(true);
    if errors.is_empty() {
        return Ok(names);
    }
    Err(LabError::new(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}
