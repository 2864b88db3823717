//! A site with two leaves that hold the same many routes, and a host that is told all of them.
//!
//! ```text
//!   leaf  192.168.11.2, all of 16.0.0.0/4 --- eth1 [ router ] --- host 10.244.1.1
//!   leaf1 192.168.12.2, all of 16.0.0.0/4 --- eth2
//! ```
//!
//! IPv4 only, with BFD of 3 x 50 ms between leaves and router. All of them are BIRD: it reads half a million routes in a second.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use testbed::passthrough::{LEAF_ASN, ROUTER_ASN, addresses_of};
use testbed::{Daemon, Family, Layout, NeighborConfig, Passthrough, Peer, PeerConfig, find_program, ip, run};

use crate::fabric;
use crate::yaml::Yaml;

/// The environment variable that says how many routes there are.
const ROUTES: &str = "PEROUTER_RESILIENCE_ROUTES";
/// For a debug build on a small machine; `scripts/resilience` says more.
const FEW: u32 = 100_000;
/// For the whole table through three daemons and a kernel.
const PATIENCE: Duration = Duration::from_secs(600);
/// Every route lies in it.
const ALL: &str = "16.0.0.0/4";

/// How many routes the leaves hold.
pub(crate) fn how_many() -> u32 {
    env::var(ROUTES).map_or(FEW, |text| text.parse().unwrap())
}

/// An address that a route leads to.
pub(crate) fn target(route: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from((20 << 24) + (route << 8) + 1))
}

/// How a leaf goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// `kill -9`; its kernel goes on forwarding.
    Process,
    /// Its end of the link is set down.
    Link,
    /// Nothing passes the link any more in either direction; both ends stay up.
    Silence,
}

/// See the module page.
pub(crate) struct Many {
    pub(crate) net: Passthrough,
    pub(crate) leaves: Vec<Peer>,
    pub(crate) host: Peer,
    pub(crate) routes: u32,
}

impl Many {
    /// Builds and starts it all; returns when every route is everywhere.
    pub(crate) fn start(routes: u32) -> Self {
        let net = fabric::net(Layout { leaves: 2, ..Layout::default() });
        let lab = &net.lab;
        let mut leaves = Vec::new();
        for (l, ns) in (0..).zip(&net.leaves) {
            // Every target is the leaf's own.
            ip::change(ns, &["route", "add", "local", ALL, "dev", "lo"]).unwrap();
            way_back(&net, l);
            let config = PeerConfig { neighbors: vec![router(l)], text: Some(leaf(l, routes)), ..net.leaf_config(l) };
            leaves.push(Peer::start(lab, Daemon::Bird, ns, config).unwrap_or_else(|e| panic!("{e}")));
        }
        let a = addresses_of(Family::Ipv4, 0, 0);
        let mut config = PeerConfig { install: false, ..net.host_config(0) };
        config.neighbors.retain(|n| n.address == a.router);
        config.networks.retain(|n| Family::of(*n) == Family::Ipv4);
        let host = Peer::start(lab, Daemon::Bird, &net.node().ns, config).unwrap_or_else(|e| panic!("{e}"));
        let mut yaml = Yaml::with_leaves(2, &[Family::Ipv4]);
        for neighbor in &mut yaml.neighbors {
            neighbor.push_str(", bfd: {receiveInterval: 50, transmitInterval: 50, detectMultiplier: 3}");
        }
        net.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
        net.node().start_router().unwrap();
        lab.wait_until("the host has a way to the router", PATIENCE, || {
            lab.add_route(&net.node().ns, ALL.parse().unwrap(), a.router)
        });
        let site = Self { net, leaves, host, routes };
        site.holds(&[0, 1]);
        site
    }

    /// Waits until every route leads to exactly these leaves, in the kernel and for the host, and their BFD is up; without leaves
    /// there is no route.
    #[track_caller]
    pub(crate) fn holds(&self, leaves: &[u8]) {
        let mut wanted = BTreeMap::new();
        let gateways: Vec<IpAddr> = leaves.iter().map(|l| addresses_of(Family::Ipv4, *l, 0).leaf).collect();
        let routes = if leaves.is_empty() { 0 } else { self.routes };
        if routes > 0 {
            wanted.insert(gateways, routes as usize);
        }
        let lab = &self.net.lab;
        lab.wait_until(&format!("every route leads to the leaves {leaves:?}"), PATIENCE, || {
            let found = self.installed()?;
            if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
        });
        lab.wait_until(&format!("the host has {routes} routes"), PATIENCE, || {
            match self.host.count(Family::Ipv4).map_err(|e| e.to_string())? {
                // One more: the router announces the host's address.
                n if n == routes as usize + 1 => Ok(()),
                n => Err(format!("{n} routes")),
            }
        });
        // BIRD does not speak BFD while it is busy with its table, and sessions can go down meanwhile.
        for leaf in leaves.iter().map(|l| &self.leaves[usize::from(*l)]) {
            lab.wait_until(&format!("BFD of the {} is up", leaf.config().name), PATIENCE, || {
                let said = leaf.ask(&["show", "bfd", "sessions"]).map_err(|e| e.to_string())?;
                if said.split_whitespace().any(|word| word == "Up") { Ok(()) } else { Err(said) }
            });
        }
        // Up at first means with intervals of a second.
        lab.wait_until("BFD has its intervals", PATIENCE, || {
            let peers = self.net.node().ask_json(&["peers"]).map_err(|e| e.to_string())?;
            let quick = |peer: &&serde_json::Value| peer["bfd"]["detection_time_ms"] == 150;
            let count = peers.as_array().into_iter().flatten().filter(quick).count();
            if count >= leaves.len() { Ok(()) } else { Err(peers.to_string()) }
        });
        lab.wait_until("nothing waits for the kernel", PATIENCE, || {
            let status = self.net.node().ask_json(&["status"]).map_err(|e| e.to_string())?;
            let left = [&status["router"]["fib"]["pending"], &status["router"]["fib"]["failed"]];
            if left.iter().all(|n| **n == 0) { Ok(()) } else { Err(status.to_string()) }
        });
    }

    /// Routes to the leaves in the router's kernel, counted by their gateways.
    pub(crate) fn installed(&self) -> Result<BTreeMap<Vec<IpAddr>, usize>, String> {
        let groups = self.groups()?;
        let text = self.ip(&["-4", "route", "show", "proto", "168"])?;
        let mut found = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with('2')) {
            let mut words = line.split_whitespace().skip_while(|word| *word != "nhid");
            let group = words.nth(1).and_then(|id| id.parse().ok());
            let gateways = group.and_then(|id: u64| groups.get(&id)).cloned().unwrap_or_default();
            *found.entry(gateways).or_default() += 1;
        }
        Ok(found)
    }

    /// Our next-hop groups in the router's kernel, with their gateways.
    pub(crate) fn groups(&self) -> Result<BTreeMap<u64, Vec<IpAddr>>, String> {
        let text = self.ip(&["-j", "nexthop"])?;
        let objects: Vec<serde_json::Value> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let gateway = |id: &serde_json::Value| {
            let object = objects.iter().find(|object| object["id"] == *id)?;
            object["gateway"].as_str()?.parse::<IpAddr>().ok()
        };
        let group = |object: &serde_json::Value| {
            let mut gateways: Vec<_> = object["group"].as_array()?.iter().filter_map(|m| gateway(&m["id"])).collect();
            gateways.sort();
            Some((object["id"].as_u64()?, gateways))
        };
        Ok(objects.iter().filter_map(group).collect())
    }

    fn ip(&self, args: &[&str]) -> Result<String, String> {
        let said = run(Some(&self.net.node().router_ns), "ip", args).map_err(|e| e.to_string())?;
        if said.ok() { Ok(said.stdout) } else { Err(said.stderr) }
    }

    /// Ends a leaf.
    pub(crate) fn kill(&self, l: u8, death: Death) {
        let ns = &self.net.leaves[usize::from(l)];
        match death {
            Death::Process => self.leaves[usize::from(l)].stop(Signal::KILL).unwrap(),
            Death::Link => ip::change(ns, &["link", "set", "tonode", "down"]).unwrap(),
            // Packets longer than the bucket are dropped: all of them.
            Death::Silence => self.ends(l, &["add", "root", "tbf", "rate", "1kbit", "burst", "1", "latency", "1ms"]),
        }
    }

    /// Brings it back; does not wait for anything.
    pub(crate) fn revive(&mut self, l: u8, death: Death) {
        let ns = &self.net.leaves[usize::from(l)];
        match death {
            Death::Process => self.leaves[usize::from(l)].start_again().unwrap(),
            Death::Link => {
                ip::change(ns, &["link", "set", "tonode", "up"]).unwrap();
                way_back(&self.net, l);
            }
            Death::Silence => self.ends(l, &["del", "root"]),
        }
    }

    /// Changes the queue of both ends of a leaf's link.
    fn ends(&self, l: u8, change: &[&str]) {
        let nic = testbed::passthrough::nic_name(l);
        let ends = [(self.net.leaves[usize::from(l)].as_str(), "tonode"), (&self.net.node().router_ns, nic.as_str())];
        for (ns, link) in ends {
            let args = [&["qdisc", change[0], "dev", link], &change[1..]].concat();
            let said = run(Some(ns), find_program("tc").unwrap(), &args).unwrap();
            assert!(said.ok(), "tc {args:?}: {}", said.stderr);
        }
    }

    /// Begins to write down what happens to next hops and routes in the router's kernel.
    pub(crate) fn record(&self, name: &str) -> Record<'_> {
        let file = self.net.lab.dir().join(format!("{name}.monitor"));
        let args = ["-o", "monitor", "nexthop", "route"];
        let program = find_program("ip").unwrap();
        let pid = self.net.lab.spawn(&self.net.node().router_ns, &program, &args, &file).unwrap();
        let record = Record { site: self, pid, file };
        record.listens();
        record
    }
}

/// What `ip monitor` says.
pub(crate) struct Record<'a> {
    site: &'a Many,
    pid: u32,
    file: PathBuf,
}

impl Record<'_> {
    /// A route of nobody's comes and goes until it is heard of; in a table that the router does not read, which takes long.
    fn listens(&self) {
        let ns = &self.site.net.node().router_ns;
        self.site.net.lab.wait_until("the monitor listens", PATIENCE, || {
            let probe = |verb| ip::change(ns, &["route", verb, "blackhole", "198.51.100.0/24", "table", "99"]);
            probe("add").and_then(|()| probe("del")).map_err(|e| e.to_string())?;
            let said = fs::read_to_string(&self.file).map_err(|e| e.to_string())?;
            if said.contains("Deleted blackhole 198.51.100.0/24") { Ok(()) } else { Err("nothing".to_owned()) }
        });
    }

    /// Ends it. What happened to our groups before the first change of a route to a leaf.
    pub(crate) fn groups_first(self) -> Vec<String> {
        self.site.net.lab.end(self.pid, Signal::TERM, PATIENCE).unwrap();
        let said = fs::read_to_string(&self.file).unwrap();
        fs::remove_file(&self.file).unwrap();
        let ours = said.lines().filter(|line| line.contains("proto 168"));
        let before = ours.take_while(|line| !line.contains(" nhid "));
        before.filter(|line| line.contains(" group ")).map(str::to_owned).collect()
    }
}

fn router(l: u8) -> NeighborConfig {
    let address = addresses_of(Family::Ipv4, l, 0).nic.addr();
    NeighborConfig { address, asn: ROUTER_ASN, families: vec![Family::Ipv4] }
}

/// So that a leaf does not take the host's packets for strangers'.
fn way_back(net: &Passthrough, l: u8) {
    let a = addresses_of(Family::Ipv4, l, 0);
    net.lab.add_route(&net.leaves[usize::from(l)], a.host_network, a.nic.addr()).unwrap();
}

fn leaf(l: u8, routes: u32) -> String {
    let a = addresses_of(Family::Ipv4, l, 0);
    let (asn, router) = (LEAF_ASN + u32::from(l), a.nic.addr());
    let mut out = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ scan time 1; }}\n\
         protocol bfd {{ interface \"*\" {{ interval 50 ms; multiplier 3; }}; }}\n\
         protocol bgp n0 {{\n  local as {asn};\n  neighbor {router} as {ROUTER_ASN};\n  hold time 9;\n  bfd on;\n  \
         connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 2;\n  \
         ipv4 {{ import all; export where source = RTS_STATIC; }};\n}}\nprotocol static {{\n  ipv4;\n",
        a.leaf
    );
    for route in 0..routes {
        let _ = writeln!(out, "  route {}/24 blackhole;", Ipv4Addr::from((20 << 24) + (route << 8)));
    }
    out.push_str("}\n");
    out
}
