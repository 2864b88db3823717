//! A lab with its peers around the router, and the questions put to it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;
use testbed::passthrough::{Addresses, HOST_ASN, LEAF_ASN, ROUTER_ASN, addresses_of};
use testbed::{Daemon, Family, Lab, LabError, Layout, LearnedRoute, Node, Passthrough, Peer, ip, traffic};

use crate::yaml::Yaml;

/// How long anything may take that needs a daemon's retry timers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An empty lab around the binary under test.
pub(crate) fn lab() -> Lab {
    Lab::new(Path::new(env!("CARGO_BIN_EXE_perouter"))).unwrap_or_else(|e| panic!("{e}"))
}

/// A lab without peers yet.
pub(crate) fn net(layout: Layout) -> Passthrough {
    Passthrough::build(lab(), layout).unwrap_or_else(|e| panic!("{e}"))
}

/// Autonomous systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asns {
    pub(crate) leaf: u32,
    pub(crate) router: u32,
    pub(crate) host: u32,
}

impl Default for Asns {
    fn default() -> Self {
        Self { leaf: LEAF_ASN, router: ROUTER_ASN, host: HOST_ASN }
    }
}

impl Asns {
    /// The path of a route from the leaf at the host, `theirs` being what it had at the leaf.
    fn at_host(self) -> Vec<u32> {
        external(self.host, self.router).chain(external(self.leaf, self.router).map(|_| self.leaf)).collect()
    }

    fn at_leaf(self) -> Vec<u32> {
        external(self.leaf, self.router).chain(external(self.host, self.router).map(|_| self.host)).collect()
    }

    fn own_at_leaf(self) -> Vec<u32> {
        external(self.leaf, self.router).collect()
    }
}

/// Our AS is put before the path when the other side is in another one (RFC 4271 5.1.2).
fn external(theirs: u32, ours: u32) -> impl Iterator<Item = u32> {
    (theirs != ours).then_some(ours).into_iter()
}

/// One leaf, one node, both peers running; the router is not started yet.
pub(crate) struct Fabric {
    pub(crate) net: Passthrough,
    pub(crate) leaf: Peer,
    pub(crate) host: Peer,
    pub(crate) asns: Asns,
    pub(crate) families: Vec<Family>,
}

impl Fabric {
    /// Dual stack, the AS numbers of the README, its YAML.
    pub(crate) fn new(leaf: Daemon, host: Daemon) -> Self {
        Self::with(leaf, host, &Family::ALL, Asns::default())
    }

    /// The peers speak these families only, as these autonomous systems. The router's file is the README's still.
    pub(crate) fn with(leaf: Daemon, host: Daemon, families: &[Family], asns: Asns) -> Self {
        println!("lab: {leaf} as leaf, perouter, {host} as host; {families:?}; {asns:?}");
        let net = net(Layout::default());
        let mut of_leaf = net.leaf_config(0);
        let mut of_host = net.host_config(0);
        for (config, asn) in [(&mut of_leaf, asns.leaf), (&mut of_host, asns.host)] {
            config.asn = asn;
            config.neighbors.retain(|n| families.iter().any(|f| n.families.contains(f)));
            config.neighbors.iter_mut().for_each(|n| n.asn = asns.router);
            config.networks.retain(|n| families.contains(&Family::of(*n)));
        }
        let leaf = Peer::start(&net.lab, leaf, net.leaf_ns(), of_leaf).unwrap_or_else(|e| panic!("{e}"));
        let host = Peer::start(&net.lab, host, &net.node().ns, of_host).unwrap_or_else(|e| panic!("{e}"));
        Self { net, leaf, host, asns, families: families.to_vec() }
    }

    pub(crate) fn node(&self) -> &Node {
        self.net.node()
    }

    /// Writes the router's file, before its start or while it runs.
    pub(crate) fn configure(&self, yaml: &Yaml) {
        self.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    }

    /// The plans of the families that this lab speaks.
    pub(crate) fn plans(&self) -> Vec<Addresses> {
        self.families.iter().map(|f| addresses_of(*f, 0, 0)).collect()
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, condition: impl FnMut() -> Result<(), String>) {
        self.net.lab.wait_until(what, PATIENCE, condition);
    }

    /// Every session that the peers' configurations name is up, as the peers see it.
    #[track_caller]
    pub(crate) fn sessions_up(&self) {
        for peer in [&self.leaf, &self.host] {
            sessions_up(&self.net.lab, peer);
        }
    }

    #[track_caller]
    pub(crate) fn session(&self, peer: &Peer, router: IpAddr, wanted: bool) {
        session(&self.net.lab, peer, router, wanted);
    }

    /// The peer's best route for a prefix is this one, or it has none.
    #[track_caller]
    pub(crate) fn learns(&self, peer: &Peer, prefix: IpNet, wanted: Option<(IpAddr, &[u32])>) {
        learns(&self.net.lab, peer, prefix, wanted);
    }

    /// The kernel of a namespace reaches a prefix through these gateways, or not at all.
    #[track_caller]
    pub(crate) fn kernel_route(&self, ns: &str, prefix: IpNet, wanted: Option<IpAddr>) {
        reaches(&self.net.lab, ns, prefix, wanted.map(|w| vec![w]).as_deref());
    }

    /// What the router must do with the routes of one family, as long as both sides announce theirs.
    #[track_caller]
    pub(crate) fn routes_pass(&self, a: &Addresses) {
        let router_ns = &self.node().router_ns;
        self.learns(&self.host, a.leaf_network, Some((a.router, &self.asns.at_host())));
        self.learns(&self.leaf, a.host_network, Some((a.nic.addr(), &self.asns.at_leaf())));
        self.learns(&self.leaf, a.host_route(), Some((a.nic.addr(), &self.asns.own_at_leaf())));
        self.kernel_route(router_ns, a.leaf_network, Some(a.leaf));
        self.kernel_route(router_ns, a.host_network, Some(a.host));
    }

    /// Packets of one family get through, started from either side.
    #[track_caller]
    pub(crate) fn packets_pass(&self, a: &Addresses) {
        packets_pass(&self.net.lab, (&self.node().ns, a.host_server), (self.net.leaf_ns(), a.leaf_server));
        // Without anything announced behind it, the host is reached by the address that the router announces.
        traffic::ping(self.net.leaf_ns(), a.leaf_server, a.host).unwrap_or_else(|e| panic!("{e}"));
    }

    /// The routes that a lab adds by hand for peers whose daemon installs none.
    pub(crate) fn help_the_kernels(&self) {
        let (leaf, host) = (&self.leaf, &self.host);
        for a in self.plans() {
            let lab = &self.net.lab;
            if !host.daemon().installs_routes() {
                lab.add_route(&self.node().ns, a.leaf_network, a.router).unwrap();
            }
            if !leaf.daemon().installs_routes() {
                for prefix in [a.host_network, a.host_route()] {
                    lab.add_route(self.net.leaf_ns(), prefix, a.nic.addr()).unwrap();
                }
            }
        }
    }

    /// `status` until it shows every one of `words`, whatever else it shows; returns what it said last.
    #[track_caller]
    pub(crate) fn status_says(&self, words: &[&str]) -> String {
        status_says(self.node(), words)
    }

    /// How many established sessions the router has lost since its start.
    pub(crate) fn flaps(&self) -> u64 {
        flaps(self.node())
    }
}

#[track_caller]
pub(crate) fn sessions_up(lab: &Lab, peer: &Peer) {
    for n in &peer.config().neighbors {
        session(lab, peer, n.address, true);
    }
}

#[track_caller]
pub(crate) fn session(lab: &Lab, peer: &Peer, router: IpAddr, wanted: bool) {
    let what = format!("session of the {} with {router} up: {wanted}", peer.config().name);
    lab.wait_until(&what, PATIENCE, || match peer.established(router) {
        Ok(up) if up == wanted => Ok(()),
        Ok(up) => Err(format!("up: {up}")),
        Err(e) => Err(e.to_string()),
    });
}

/// The peer's best route for a prefix is this one, or it has none.
#[track_caller]
pub(crate) fn learns(lab: &Lab, peer: &Peer, prefix: IpNet, wanted: Option<(IpAddr, &[u32])>) {
    let wanted = wanted.map(|(next_hop, path)| LearnedRoute { prefix, next_hop, as_path: path.to_vec() });
    let what = match &wanted {
        Some(w) => format!("the {} has {w}", peer.config().name),
        None => format!("the {} has nothing for {prefix}", peer.config().name),
    };
    lab.wait_until(&what, PATIENCE, || {
        let routes = peer.routes(Family::of(prefix)).map_err(|e| e.to_string())?;
        let found = routes.iter().find(|r| r.prefix == prefix);
        if found == wanted.as_ref() { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

/// The peer has some route for a prefix.
#[track_caller]
pub(crate) fn knows(lab: &Lab, peer: &Peer, prefix: IpNet) {
    lab.wait_until(&format!("the {} knows {prefix}", peer.config().name), PATIENCE, || {
        let routes = peer.routes(Family::of(prefix)).map_err(|e| e.to_string())?;
        if routes.iter().any(|r| r.prefix == prefix) { Ok(()) } else { Err(format!("{routes:?}")) }
    });
}

/// The kernel of a namespace reaches a prefix through these gateways, or not at all.
#[track_caller]
pub(crate) fn reaches(lab: &Lab, ns: &str, prefix: IpNet, wanted: Option<&[IpAddr]>) {
    lab.wait_until(&format!("the kernel of {ns} has {prefix} via {wanted:?}"), PATIENCE, || {
        let mut found = kernel_route(ns, prefix)?.map(|r| r.gateways);
        found.iter_mut().for_each(|gateways| gateways.sort());
        if found.as_deref() == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

/// Ping and a transfer over TCP, started from either side. The peers' kernels get their routes a moment after the
/// peers show them.
#[track_caller]
pub(crate) fn packets_pass(lab: &Lab, a: (&str, IpAddr), b: (&str, IpAddr)) {
    for (from, to) in [(a, b), (b, a)] {
        lab.wait_until(&format!("ping from {} in {} to {}", from.1, from.0, to.1), PATIENCE, || {
            traffic::ping(from.0, from.1, to.1)
        });
        traffic::tcp(from, to).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// `status` until it shows every one of `words`, whatever else it shows; returns what it said last.
#[track_caller]
pub(crate) fn status_says(node: &Node, words: &[&str]) -> String {
    node.lab.wait_until(&format!("status says {words:?}"), PATIENCE, || {
        let said = node.ask(&["status"])?;
        match words.iter().find(|w| !said.stdout.contains(*w)) {
            None => Ok(said.stdout),
            Some(w) => Err(LabError::new(format!("no `{w}` in:\n{}{}", said.stdout, said.stderr))),
        }
    })
}

/// `status` until everything is in order.
#[track_caller]
pub(crate) fn healthy(node: &Node) {
    node.lab.wait_until("the node is healthy", PATIENCE, || {
        let said = node.ask(&["status"]).map_err(|e| e.to_string())?;
        if said.ok() { Ok(()) } else { Err(said.stdout + &said.stderr) }
    });
}

/// The router's peers, as `peers -o json` lists them.
pub(crate) fn peers(node: &Node) -> Vec<Value> {
    node.ask_json(&["peers"]).unwrap_or_else(|e| panic!("{e}")).as_array().cloned().unwrap_or_default()
}

/// How many established sessions the router has lost since its start.
pub(crate) fn flaps(node: &Node) -> u64 {
    let peers = peers(node);
    let lost = peers.iter().filter(|p| p["flaps"] != 0);
    lost.clone().for_each(|p| println!("lost at least once: {p}")); // shown with a test that fails
    let count = lost.filter_map(|p| p["flaps"].as_u64()).sum();
    if count > 0 {
        println!("{}", node.lab.diagnostics());
    }
    count
}

/// A peer of the router by its address, once the router shows it in this state.
#[track_caller]
pub(crate) fn peer_is(node: &Node, address: IpAddr, state: &str) -> Value {
    node.lab.wait_until(&format!("the router has {address} as {state}"), PATIENCE, || {
        let peers = node.ask_json(&["peers"]).map_err(|e| e.to_string())?;
        let address = address.to_string();
        let found = peers.as_array().into_iter().flatten().find(|p| p["address"] == address.as_str());
        match found {
            Some(p) if p["state"] == state => Ok(p.clone()),
            Some(_) | None => Err(format!("{peers:#}")),
        }
    })
}

/// The kernel's route for exactly this prefix.
pub(crate) fn kernel_route(ns: &str, prefix: IpNet) -> Result<Option<ip::Route>, String> {
    let routes = ip::routes(ns, Family::of(prefix)).map_err(|e| e.to_string())?;
    Ok(routes.into_iter().find(|r| r.prefix == prefix))
}

/// The host's end of the veth pair has its addresses: a host that dials does not do so in vain.
#[track_caller]
pub(crate) fn veth_is_up(node: &Node) {
    node.lab.wait_until("pt-host is up", PATIENCE, || {
        let link = ip::link_named(&node.ns, "pt-host")?;
        if link.up && !link.addresses.is_empty() { Ok(()) } else { Err(LabError::new(format!("{link:?}"))) }
    });
}
