//! What holds in every calm: the kernel has what the tables say, and nothing is left of what was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use testbed::{ip, run};

use crate::events::FOREIGN;
use crate::fabric::{PATIENCE, kernel_route};
use crate::harness::Site;

/// Kibibytes that a router may need more than in the beginning: what allocators keep.
const MEMORY: u64 = 8 << 10;

/// What there is of a running router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Router {
    descriptors: usize,
    threads: usize,
    /// Its own, in kibibytes: not the pages of its program, which come and go.
    memory: u64,
}

impl Router {
    fn of(pid: u32) -> Self {
        let entries = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let memory =
            status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse().ok());
        Self { descriptors: entries("fd"), threads: entries("task"), memory: memory.unwrap() }
    }
}

impl fmt::Display for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, threads, memory } = self;
        write!(f, "{memory} KiB of its own, {descriptors} descriptors, {threads} threads")
    }
}

/// How it is when nothing happens.
pub(crate) struct Calm {
    /// The router in the beginning.
    pub(crate) router: Router,
    /// The most that one had in any calm.
    pub(crate) most: Router,
    namespaces: BTreeSet<String>,
    links: Vec<BTreeSet<String>>,
}

impl Calm {
    /// As it is now.
    pub(crate) fn of(site: &Site) -> Self {
        tables_agree(site);
        let router = Router::of(site.router);
        Self { router, most: router, namespaces: namespaces(site), links: links(site) }
    }

    /// Waits until it is so again, and checks what must never be otherwise. Returns the router as it is.
    #[track_caller]
    pub(crate) fn holds(&mut self, site: &Site) -> Router {
        tables_agree(site);
        let lab = &site.net.lab;
        lab.wait_until("links are as they were", PATIENCE, || {
            let links = links(site);
            if links == self.links { Ok(()) } else { Err(format!("{links:?}, not {:?}", self.links)) }
        });
        assert_eq!(namespaces(site), self.namespaces);
        let foreign = kernel_route(&site.node().router_ns, FOREIGN.parse().unwrap()).unwrap();
        assert!(foreign.is_some(), "a stranger's route is untouched");
        let now = lab.wait_until("the router needs no more than in the beginning", PATIENCE, || {
            let now = Router::of(site.router);
            let flat = now.descriptors <= self.router.descriptors
                && now.threads <= self.router.threads
                && now.memory <= self.router.memory + MEMORY;
            if flat { Ok(now) } else { Err(format!("{now:?}, and {:?} in the beginning", self.router)) }
        });
        let log = site.log();
        let panic = log.lines().find(|line| line.contains("panicked"));
        assert_eq!(panic, None, "{log}");
        let most = &mut self.most;
        most.memory = most.memory.max(now.memory);
        most.descriptors = most.descriptors.max(now.descriptors);
        most.threads = most.threads.max(now.threads);
        now
    }
}

/// Namespaces of this lab.
fn namespaces(site: &Site) -> BTreeSet<String> {
    let names = fs::read_dir("/var/run/netns").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("{}-", site.net.lab.id()))).collect()
}

/// Links of the host and of the router.
fn links(site: &Site) -> Vec<BTreeSet<String>> {
    let of = |ns: &String| ip::links(ns).unwrap().into_iter().map(|link| link.name).collect();
    [&site.node().ns, &site.node().router_ns].map(of).to_vec()
}

/// The kernel has the router's best paths, through groups and next hops all of which are needed.
#[track_caller]
fn tables_agree(site: &Site) {
    site.net.lab.wait_until("the kernel has what the tables say", PATIENCE, || {
        let (wanted, installed) = (wanted(site)?, installed(site)?);
        if wanted != installed {
            let differs = |a: &Table, b: &Table| {
                a.iter()
                    .filter(|(prefix, hops)| b.get(*prefix) != Some(hops))
                    .map(|(p, h)| format!("{p} {h:?}"))
                    .collect()
            };
            let (missing, foreign): (Vec<_>, Vec<_>) = (differs(&wanted, &installed), differs(&installed, &wanted));
            return Err(format!("tables: {missing:?}, kernel: {foreign:?}"));
        }
        objects_needed(&site.node().router_ns)
    });
}

type Table = BTreeMap<IpNet, BTreeSet<IpAddr>>;

/// Destinations and next hops by the router's own tables.
fn wanted(site: &Site) -> Result<Table, String> {
    let routes = site.node().ask_json(&["routes"]).map_err(|e| e.to_string())?;
    let routes = routes.as_array().or_else(|| routes["routes"].as_array()).ok_or_else(|| routes.to_string())?;
    let mut table = Table::new();
    for route in routes {
        if route["kernel"] == "not_wanted" {
            continue;
        }
        if route["kernel"] != "installed" {
            return Err(route.to_string());
        }
        let paths = route["paths"].as_array().ok_or_else(|| route.to_string())?;
        let used = paths.iter().filter(|path| path["best"] == true || path["multipath"] == true);
        let hops = used.filter_map(|path| path["next_hop"].as_str()?.parse().ok()).collect();
        table.insert(parse(&route["prefix"])?, hops);
    }
    Ok(table)
}

fn parse(prefix: &Value) -> Result<IpNet, String> {
    prefix.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| prefix.to_string())
}

fn installed(site: &Site) -> Result<Table, String> {
    Ok(site.installed().into_iter().map(|(prefix, gateways)| (prefix, gateways.into_iter().collect())).collect())
}

/// Every group of ours has a route, and every next hop a group.
fn objects_needed(ns: &str) -> Result<(), String> {
    let json = |args: &[&str]| -> Result<Vec<Value>, String> {
        let said = run(Some(ns), "ip", args).map_err(|e| e.to_string())?;
        if said.stdout.trim().is_empty() {
            return Ok(Vec::new());
        }
        serde_json::from_str(&said.stdout).map_err(|e| e.to_string())
    };
    let objects = json(&["-j", "nexthop", "show", "proto", "168"])?;
    let mut routes = json(&["-j", "-4", "route"])?;
    routes.extend(json(&["-j", "-6", "route"])?);
    let named: BTreeSet<u64> = routes.iter().filter_map(|route| route["nhid"].as_u64()).collect();
    let members: BTreeSet<u64> =
        objects.iter().filter_map(|o| o["group"].as_array()).flatten().filter_map(|m| m["id"].as_u64()).collect();
    let needed = |object: &&Value| {
        let id = object["id"].as_u64().unwrap_or_default();
        if object["group"].is_array() { named.contains(&id) } else { members.contains(&id) }
    };
    match objects.iter().find(|object| !needed(object)) {
        None => Ok(()),
        Some(object) => Err(format!("nothing needs {object}")),
    }
}
