//! Routing daemons as BGP neighbours: one way to start them and to ask them, whoever they are.
//!
//! Owns the text of their configuration and the reading of their answers; each daemon's dialect is one module.
//! Is told what a neighbour is ([`PeerConfig`]). Emits sessions and learned routes. Does not judge them.

mod bird;
mod frr;
mod gobgp;
mod perouter;

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;

use crate::process::find_program;
use crate::{Lab, LabError, Result};

/// A routing daemon that labs know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// FRRouting: zebra and bgpd.
    Frr,
    /// BIRD 2.
    Bird,
    /// GoBGP, which installs no routes in the kernel.
    Gobgp,
    /// The binary under test, as a plain speaker.
    Perouter,
}

impl Daemon {
    /// Every one, in the order of preference of a demonstration.
    pub const ALL: [Self; 4] = [Self::Frr, Self::Bird, Self::Gobgp, Self::Perouter];

    /// Whether this machine has it.
    pub fn installed(self) -> bool {
        self.programs().iter().all(|p| find_program(p).is_some())
    }

    /// An error that says how to get it, unless it is there.
    pub fn require(self) -> Result<()> {
        if self.installed() {
            return Ok(());
        }
        let package = self.package();
        Err(LabError::new(format!(
            "{self} is not installed: run `scripts/install-peers`, or `apt-get install {package}`"
        )))
    }

    /// Whether it puts what it learns into the kernel.
    pub fn installs_routes(self) -> bool {
        self != Self::Gobgp
    }

    fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Frr => &["zebra", "bgpd", "vtysh"],
            Self::Bird => &["bird", "birdc"],
            Self::Gobgp => &["gobgpd", "gobgp"],
            Self::Perouter => &[],
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Frr => "frr",
            Self::Bird => "bird2",
            Self::Gobgp => "gobgpd",
            Self::Perouter => "perouter",
        }
    }
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frr => "FRR",
            Self::Bird => "BIRD",
            Self::Gobgp => "GoBGP",
            Self::Perouter => "perouter",
        })
    }
}

impl FromStr for Daemon {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|d| d.to_string().eq_ignore_ascii_case(text));
        found.ok_or_else(|| LabError::new(format!("`{text}` is not one of frr, bird, gobgp, perouter")))
    }
}

/// An address family; unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 unicast.
    Ipv4,
    /// IPv6 unicast.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of a prefix.
    pub fn of(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(_) => Self::Ipv4,
            IpNet::V6(_) => Self::Ipv6,
        }
    }
}

/// One neighbour of a peer.
#[derive(Clone, Debug)]
pub struct NeighborConfig {
    /// Its address.
    pub address: IpAddr,
    /// Its autonomous system.
    pub asn: u32,
    /// What the session carries.
    pub families: Vec<Family>,
}

/// A peer as a lab wants it.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Name of its directory in the lab: `leaf`, `host`, ..
    pub name: String,
    /// Its autonomous system.
    pub asn: u32,
    /// BGP identifier.
    pub router_id: Ipv4Addr,
    /// Whom it speaks to.
    pub neighbors: Vec<NeighborConfig>,
    /// What it announces, whether or not its kernel has it.
    pub networks: Vec<IpNet>,
    /// Whether it accepts connections, where the daemon leaves the choice. It dials in any case.
    pub listen: bool,
    /// Whether it puts learned routes into the kernel, where the daemon can.
    pub install: bool,
    /// More lines in the daemon's own language: of `router bgp` in FRR, of every session in BIRD, of the file in
    /// the others.
    pub lines: String,
    /// More of every session's families: lines of a channel in BIRD, what follows `neighbor ADDRESS` in FRR. The others
    /// have no such place.
    pub family_lines: Vec<String>,
    /// What is done to every route that is announced: statements of a filter in BIRD, lines of a route map's entry in
    /// FRR. The others have no such place.
    pub export: String,
    /// The daemon's whole configuration instead of one made from the fields above. What is asked of the peer later
    /// still counts on `neighbors`: BIRD's sessions are called `n0`, `n1`, .. in their order.
    pub text: Option<String>,
    /// Configuration of FRR's bfdd, which then runs beside bgpd, and the content of BIRD's `protocol bfd`. Which sessions
    /// use it is said in `lines`.
    pub bfd: Option<String>,
}

impl PeerConfig {
    /// A peer that speaks to nobody and announces nothing yet, listens and installs.
    pub fn new(name: &str, asn: u32, router_id: Ipv4Addr) -> Self {
        Self {
            name: name.to_owned(),
            asn,
            router_id,
            neighbors: Vec::new(),
            networks: Vec::new(),
            listen: true,
            install: true,
            lines: String::new(),
            family_lines: Vec::new(),
            export: String::new(),
            text: None,
            bfd: None,
        }
    }
}

/// A route that a peer has learned over BGP and considers best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedRoute {
    /// Destination.
    pub prefix: IpNet,
    /// Next hop as received; the global one where a link-local one came with it.
    pub next_hop: IpAddr,
    /// Autonomous systems, the neighbour's first.
    pub as_path: Vec<u32>,
}

impl fmt::Display for LearnedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<_> = self.as_path.iter().map(u32::to_string).collect();
        write!(f, "{} via {} path {}", self.prefix, self.next_hop, path.join(" "))
    }
}

/// A running daemon. It ends with its lab.
#[derive(Debug)]
pub struct Peer {
    lab: Lab,
    ns: String,
    dir: PathBuf,
    daemon: Daemon,
    config: PeerConfig,
    /// The process that answers signals: the BGP one.
    pid: u32,
    /// The process that speaks BFD, where it is another one.
    bfd_pid: Option<u32>,
}

impl Peer {
    /// Writes its configuration and starts it; returns when it answers.
    pub fn start(lab: &Lab, daemon: Daemon, ns: &str, config: PeerConfig) -> Result<Self> {
        daemon.require()?;
        let dir = lab.dir().join(&config.name);
        fs::create_dir_all(&dir).map_err(|e| LabError::new(format!("{} cannot be made: {e}", dir.display())))?;
        let mut peer = Self { lab: lab.clone(), ns: ns.to_owned(), dir, daemon, config, pid: 0, bfd_pid: None };
        peer.pid = match daemon {
            Daemon::Frr => frr::start(&peer)?,
            Daemon::Bird => bird::start(&peer, false)?,
            Daemon::Gobgp => gobgp::start(&peer)?,
            Daemon::Perouter => perouter::start(&peer)?,
        };
        if daemon == Daemon::Frr && peer.config.bfd.is_some() {
            peer.bfd_pid = Some(frr::start_bfd(&peer)?);
        }
        Ok(peer)
    }

    /// Ends its BGP process and waits for the end. FRR's zebra goes on.
    pub fn stop(&self, signal: Signal) -> Result<()> {
        self.lab.end(self.pid, signal, Duration::from_secs(10)).map(drop)
    }

    /// Starts its BGP process again after [`Peer::stop`]; BIRD as one that recovers from a restart, for graceful restart.
    pub fn start_again(&mut self) -> Result<()> {
        self.pid = match self.daemon {
            Daemon::Frr => frr::start_bgpd(self)?,
            Daemon::Bird => bird::start(self, true)?,
            Daemon::Gobgp => gobgp::start(self)?,
            Daemon::Perouter => perouter::start(self)?,
        };
        Ok(())
    }

    /// Which daemon it is.
    pub fn daemon(&self) -> Daemon {
        self.daemon
    }

    /// What it was told.
    pub fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// Whether the session with a neighbour is established.
    pub fn established(&self, neighbor: IpAddr) -> Result<bool> {
        match self.daemon {
            Daemon::Frr => frr::established(self, neighbor),
            Daemon::Bird => bird::established(self, neighbor),
            Daemon::Gobgp => gobgp::established(self, neighbor),
            Daemon::Perouter => perouter::established(self, neighbor),
        }
    }

    /// What its command line says: to vtysh each element is a command, to the others a word.
    pub fn ask(&self, question: &[&str]) -> Result<String> {
        match self.daemon {
            Daemon::Frr => frr::vtysh(self, "bgpd", question),
            Daemon::Bird => bird::birdc(self, question),
            Daemon::Gobgp => gobgp::gobgp(self, question),
            Daemon::Perouter => perouter::say(self, question),
        }
    }

    /// As [`Peer::ask`], of the process that knows links.
    pub fn ask_links(&self, question: &[&str]) -> Result<String> {
        match self.daemon {
            Daemon::Frr => frr::vtysh(self, "zebra", question),
            Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => self.ask(question),
        }
    }

    /// As [`Peer::ask`], of the process that speaks BFD.
    pub fn ask_bfd(&self, question: &[&str]) -> Result<String> {
        match self.bfd_pid {
            Some(_) => frr::vtysh(self, "bfdd", question),
            None => self.ask(question),
        }
    }

    /// Best routes learned over BGP, sorted by prefix.
    pub fn routes(&self, family: Family) -> Result<Vec<LearnedRoute>> {
        let mut routes = match self.daemon {
            Daemon::Frr => frr::routes(self, family),
            Daemon::Bird => bird::routes(self, family),
            Daemon::Gobgp => gobgp::routes(self, family),
            Daemon::Perouter => perouter::routes(self, family),
        }?;
        routes.sort_by_key(|r| r.prefix);
        Ok(routes)
    }

    /// How many routes [`Peer::routes`] would return, for tables that are too large to list often.
    pub fn count(&self, family: Family) -> Result<usize> {
        match self.daemon {
            Daemon::Bird => bird::count(self, family),
            Daemon::Frr | Daemon::Gobgp | Daemon::Perouter => self.routes(family).map(|r| r.len()),
        }
    }

    /// Starts announcing a prefix.
    pub fn announce(&mut self, prefix: IpNet) -> Result<()> {
        if !self.config.networks.contains(&prefix) {
            self.config.networks.push(prefix);
        }
        self.networks_changed(prefix, true)
    }

    /// Stops announcing a prefix.
    pub fn withdraw(&mut self, prefix: IpNet) -> Result<()> {
        self.config.networks.retain(|n| *n != prefix);
        self.networks_changed(prefix, false)
    }

    /// Changes what it was told while it runs. FRR and GoBGP take commands instead ([`Peer::ask`]).
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut PeerConfig)) -> Result<()> {
        change(&mut self.config);
        match self.daemon {
            Daemon::Bird => bird::reload(self),
            Daemon::Perouter => perouter::reload(self),
            Daemon::Frr | Daemon::Gobgp => Err(LabError::new(format!("{} reads no changed file", self.daemon))),
        }
    }

    fn networks_changed(&self, prefix: IpNet, announced: bool) -> Result<()> {
        match self.daemon {
            Daemon::Frr => frr::network(self, prefix, announced),
            Daemon::Bird => bird::reload(self),
            Daemon::Gobgp => gobgp::network(self, prefix, announced),
            Daemon::Perouter => perouter::reload(self),
        }
    }

    /// Its networks of one family.
    fn networks(&self, family: Family) -> impl Iterator<Item = IpNet> {
        self.config.networks.iter().copied().filter(move |n| Family::of(*n) == family)
    }

    /// Its process, for signals.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The process that speaks BFD, for signals.
    pub fn bfd_pid(&self) -> u32 {
        self.bfd_pid.unwrap_or(self.pid)
    }

    /// What its file says: the text it was given, or the one made from its fields.
    fn config_text(&self, make: impl Fn(&Self) -> String) -> String {
        self.config.text.clone().unwrap_or_else(|| make(self))
    }

    fn write(&self, file: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(file);
        fs::write(&path, text).map_err(|e| LabError::new(format!("{} cannot be written: {e}", path.display())))?;
        Ok(path)
    }

    /// Waits until the daemon that was just started answers.
    fn until_ready<T>(&self, pid: u32, ask: impl FnMut() -> Result<T>) -> Result<()> {
        let mut ask = ask;
        let patience = Duration::from_secs(20);
        let answer = self.lab.poll(patience, || match self.lab.exit_status(pid) {
            Some(status) => Ok(Err(LabError::new(format!("it ended: {status}")))),
            None => ask().map(Ok),
        });
        let why = match answer {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(e)) => e.to_string(),
            Err(e) => e,
        };
        Err(LabError::new(format!(
            "{} in {} does not come up: {why}\n{}",
            self.daemon,
            self.ns,
            self.lab.diagnostics()
        )))
    }
}

/// The path of a program that [`Daemon::installed`] found a moment ago.
fn program(name: &str) -> Result<PathBuf> {
    find_program(name).ok_or_else(|| LabError::new(format!("the program `{name}` is missing")))
}

/// A file's path as text; ours have no strange characters in them.
fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}
