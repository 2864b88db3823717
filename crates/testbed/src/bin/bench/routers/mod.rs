//! The routers that are compared: how each is told to be the router of a [`Site`], and how it is started and ended.
//!
//! Each dialect is one module. All are told the same: eBGP with both sides, routes into the kernel unless the row is
//! about the speaker alone, several paths at once, our own AS accepted three times from the fabric.

mod bird;
mod frr;
mod gobgp;
mod perouter;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use testbed::{Daemon, LabError, find_program};

use crate::Result;
use crate::process;
use crate::site::{Side, Site};

/// Who plays the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Router {
    /// The binary under test.
    Perouter,
    /// BIRD of the distribution.
    Bird,
    /// FRR of the distribution.
    Frr,
    /// GoBGP of the distribution; it has no FIB.
    Gobgp,
}

impl Router {
    pub(crate) const ALL: [Self; 4] = [Self::Perouter, Self::Bird, Self::Frr, Self::Gobgp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perouter => "perouter",
            Self::Bird => "BIRD",
            Self::Frr => "FRR",
            Self::Gobgp => "GoBGP",
        }
    }

    pub(crate) fn installed(self) -> bool {
        match self {
            Self::Perouter => true,
            Self::Bird => Daemon::Bird.installed(),
            Self::Frr => Daemon::Frr.installed(),
            Self::Gobgp => Daemon::Gobgp.installed(),
        }
    }

    /// What it says of its version.
    pub(crate) fn version(self, perouter: &std::path::Path) -> String {
        let (program, args) = match self {
            Self::Perouter => (Some(perouter.to_owned()), ["--version"]),
            Self::Bird => (find_program("bird"), ["--version"]),
            Self::Frr => (find_program("zebra"), ["--version"]),
            Self::Gobgp => (find_program("gobgpd"), ["--version"]),
        };
        let said = program.and_then(|program| testbed::run(None, program, &args).ok());
        let said = said.map(|o| if o.stdout.is_empty() { o.stderr } else { o.stdout }).unwrap_or_default();
        let number = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        number.unwrap_or("?").to_owned()
    }

    /// Writes its files and starts it. `again`: after an end, with graceful restart.
    pub(crate) fn start(self, site: &Site, again: bool) -> Result<Running> {
        let dir = site.dir();
        let explain = |e: std::io::Error| LabError::new(format!("{}: {e}", dir.display()));
        fs::create_dir_all(&dir).map_err(explain)?;
        let pids = match self {
            Self::Perouter => perouter::start(site),
            Self::Bird => bird::start(site, again),
            Self::Frr => frr::start(site),
            Self::Gobgp => gobgp::start(site, again),
        }?;
        Ok(Running { pids })
    }
}

impl fmt::Display for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A router that was started; it ends with its lab.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) pids: Vec<u32>,
}

impl Running {
    pub(crate) fn settle(&self) {
        process::settle(&self.pids);
    }

    /// Ends every process of it, all at once.
    pub(crate) fn end(&self, site: &Site, signal: Signal) -> Result<()> {
        for pid in &self.pids {
            // One that ended with another one of them has ended.
            let _ = site.lab.signal(*pid, signal);
        }
        let ended = |pid: &u32| site.lab.exit_status(*pid).is_some();
        let all = || if self.pids.iter().all(ended) { Ok(()) } else { Err("the router does not end") };
        site.lab.poll(Duration::from_secs(10), all).map_err(LabError::new)
    }
}

/// Writes one of a router's files.
fn write(site: &Site, name: &str, text: &str) -> Result<PathBuf> {
    let path = site.dir().join(name);
    fs::write(&path, text).map_err(|e| LabError::new(format!("{} cannot be written: {e}", path.display())))?;
    Ok(path)
}

/// Starts one of a router's programs.
fn launch(site: &Site, name: &str, args: &[String]) -> Result<u32> {
    let program = find_program(name).ok_or_else(|| LabError::new(format!("the program `{name}` is missing")))?;
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    site.lab.spawn(&site.router, &program, &args, &site.dir().join(format!("{name}.log")))
}

/// Addresses of a side's peers.
fn peers(site: &Site, side: Side) -> Vec<String> {
    let count = match side {
        Side::Fabric => site.plan.fabric_peers,
        Side::Host => site.plan.host_peers,
    };
    (0..count).map(|i| site.peer(side, i).to_string()).collect()
}

/// The range that a side's peers are in.
fn range(site: &Site, side: Side) -> String {
    site.net(site.own(side)).trunc().to_string()
}
