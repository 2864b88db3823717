//! The process under test, and a namespace beside it that has every address of 10.10.0.0/16.
//!
//! ```text
//!  [perouter speak] 10.9.0.1 ---- 10.9.0.2 [10.10.0.0/16, all of them local]
//!   AS 65000
//! ```

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Daemon, Namespace, has, ip, perouter, wait_until};

/// The AS of the process under test.
pub(crate) const ASN: u16 = 65000;
/// Its address, and its identifier.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const TARGET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(ROUTER), 179);
/// The AS of strangers, unless a test needs several.
pub(crate) const PEER_ASN: u16 = 65001;

/// The stranger's address number `number`.
pub(crate) fn host(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 10, high, low)
}

/// A neighbour of the file: AS 65001 at that address, IPv4 unicast, and more options in YAML's flow style.
pub(crate) fn neighbor(number: u16, more: &str) -> String {
    format!(
        "  - {{name: peer{number}, address: {}, asn: {PEER_ASN}, addressFamilies: [ipv4unicast]{more}}}\n",
        host(number)
    )
}

/// All of those addresses, of any other AS.
pub(crate) fn everybody(more: &str) -> String {
    format!("  - {{name: all, listenRange: 10.10.0.0/16, type: External, addressFamilies: [ipv4unicast]{more}}}\n")
}

pub(crate) struct Lab {
    /// Where the stranger lives.
    pub(crate) outside: kernel::netns::Namespace,
    pub(crate) daemon: Daemon,
    // The process ends before its namespaces do.
    router: Namespace,
    _outside: Namespace,
    folder: TempDir,
    forwarding: bool,
}

impl Lab {
    /// Starts the process with these neighbours, and waits until it listens and answers.
    pub(crate) fn new(neighbors: &str) -> Self {
        Self::start(neighbors, false)
    }

    /// One that gives its routes to the kernel.
    pub(crate) fn forwarding(neighbors: &str) -> Self {
        Self::start(neighbors, true)
    }

    fn start(neighbors: &str, forwarding: bool) -> Self {
        let (router, outside) = (Namespace::new("router"), Namespace::new("outside"));
        ip(&format!("link add name veth0 netns {router} type veth peer name veth0 netns {outside}"));
        for (namespace, host) in [(&router, 1), (&outside, 2)] {
            ip(&format!("-n {namespace} address add 10.9.0.{host}/30 dev veth0"));
            ip(&format!("-n {namespace} address add 2001:db8:9::{host}/64 dev veth0 nodad"));
            ip(&format!("-n {namespace} link set veth0 up"));
        }
        ip(&format!("-n {outside} route add local 10.10.0.0/16 dev lo"));
        ip(&format!("-n {router} route add 10.10.0.0/16 via 10.9.0.2"));
        let folder = tempfile::tempdir().unwrap();
        let file = write(&folder, forwarding, neighbors);
        let daemon = Daemon::start(&router, &folder.path().join("log"), &["speak".as_ref(), &file]);
        let inside = kernel::netns::Namespace::open(&outside.0).unwrap().unwrap();
        let lab = Self { outside: inside, daemon, router, _outside: outside, folder, forwarding };
        wait_until("the process answers", || lab.folder.path().join("state/perouter.sock").exists());
        wait_until("it has its configuration", || lab.ask(&["-o", "json", "status"]).json()["router"]["asn"] == ASN);
        lab
    }

    /// Replaces the neighbours, adds lines to the file, and has it read again.
    pub(crate) fn reload(&self, neighbors_and_more: &str) {
        let before = self.lines("read again");
        write(&self.folder, self.forwarding, neighbors_and_more);
        self.daemon.signal("-HUP");
        wait_until("the file is read again", || self.lines("read again") > before);
    }

    /// `ip ARGS` in the namespace of the process under test.
    pub(crate) fn inside(&self, args: &str) {
        ip(&format!("-n {} {args}", self.router));
    }

    /// Whether its kernel has a route to exactly this prefix.
    pub(crate) fn has_route(&self, prefix: &str) -> bool {
        has(&self.router.0, prefix)
    }

    /// How many routes of ours its kernel has.
    pub(crate) fn kernel_routes(&self) -> usize {
        let namespace = kernel::netns::Namespace::open(&self.router.0).unwrap().unwrap();
        kernel::fib::Fib::open(&namespace).unwrap().len().unwrap()
    }

    pub(crate) fn ask(&self, args: &[&str]) -> crate::support::Answer {
        perouter(&self.router, &self.folder.path().join("state"), args)
    }

    pub(crate) fn peers(&self) -> Vec<Value> {
        self.ask(&["-o", "json", "peers"]).json().as_array().unwrap().clone()
    }

    /// What `perouter peers` says about the one with that address; null when there is none.
    pub(crate) fn peer(&self, number: u16) -> Value {
        let address = host(number).to_string();
        self.peers().into_iter().find(|peer| peer["address"] == *address).unwrap_or_default()
    }

    pub(crate) fn established(&self) -> usize {
        self.peers().iter().filter(|peer| peer["state"] == "established").count()
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// How many lines of the log have this in them.
    pub(crate) fn lines(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Of /proc/PID/status, in KiB: "VmRSS", "VmHWM".
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

fn write(folder: &TempDir, forwarding: bool, neighbors: &str) -> PathBuf {
    let file = folder.path().join("speak.yaml");
    let state = folder.path().join("state");
    let text = format!(
        "asn: {ASN}\nrouterID: {ROUTER}\nlisten: [\"0.0.0.0:179\"]\nconnectRetrySeconds: 1\nkernelRoutes: {forwarding}\nstateDir: {}\n\
         neighbors:\n{neighbors}",
        state.display()
    );
    fs::write(&file, text).unwrap();
    file
}
