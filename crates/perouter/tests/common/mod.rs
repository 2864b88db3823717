//! What the interop tests share: the fabric with real peers around the router, and the questions put to it.
#![allow(dead_code, clippy::print_stdout)] // each test file uses its part; the labs are named

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use testbed::passthrough::{Addresses, HOST_ASN, LEAF_ASN, ROUTER_ASN, addresses};
use testbed::{Daemon, Family, Lab, LabError, LearnedRoute, Passthrough, Peer, ip, traffic};

/// How long anything may take that needs a daemon's retry timers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An empty lab around the binary under test.
pub(crate) fn lab() -> Lab {
    Lab::new(Path::new(env!("CARGO_BIN_EXE_perouter"))).unwrap_or_else(|e| panic!("{e}"))
}

/// The fabric with both peers running; the router is not started yet.
pub(crate) struct Fabric {
    pub(crate) net: Passthrough,
    pub(crate) leaf: Peer,
    pub(crate) host: Peer,
}

impl Fabric {
    pub(crate) fn new(leaf: Daemon, host: Daemon) -> Self {
        println!("lab: {leaf} as leaf, perouter, {host} as host");
        let net = Passthrough::build(lab()).unwrap_or_else(|e| panic!("{e}"));
        let leaf = net.start_leaf(leaf).unwrap_or_else(|e| panic!("{e}"));
        let host = net.start_host(host).unwrap_or_else(|e| panic!("{e}"));
        Self { net, leaf, host }
    }

    #[track_caller]
    pub(crate) fn wait(&self, what: &str, condition: impl FnMut() -> Result<(), String>) {
        self.net.lab.wait_until(what, PATIENCE, condition);
    }

    /// Every session that the configuration names is up, as the peers see it.
    #[track_caller]
    pub(crate) fn sessions_up(&self) {
        for peer in [&self.leaf, &self.host] {
            for n in &peer.config().neighbors {
                self.session(peer, n.address, true);
            }
        }
    }

    #[track_caller]
    pub(crate) fn session(&self, peer: &Peer, router: IpAddr, wanted: bool) {
        let what = format!("session of the {} with {router} up: {wanted}", peer.config().name);
        self.wait(&what, || match peer.established(router) {
            Ok(up) if up == wanted => Ok(()),
            Ok(up) => Err(format!("up: {up}")),
            Err(e) => Err(e.to_string()),
        });
    }

    /// The peer's best route for a prefix is this one, or it has none.
    #[track_caller]
    pub(crate) fn learns(&self, peer: &Peer, prefix: IpNet, wanted: Option<(IpAddr, &[u32])>) {
        let wanted = wanted.map(|(next_hop, path)| LearnedRoute { prefix, next_hop, as_path: path.to_vec() });
        let what = match &wanted {
            Some(w) => format!("the {} has {w}", peer.config().name),
            None => format!("the {} has nothing for {prefix}", peer.config().name),
        };
        self.wait(&what, || {
            let routes = peer.routes(Family::of(prefix)).map_err(|e| e.to_string())?;
            let found = routes.iter().find(|r| r.prefix == prefix);
            if found == wanted.as_ref() { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }

    /// The kernel of a namespace reaches a prefix through this gateway, or not at all.
    #[track_caller]
    pub(crate) fn kernel_route(&self, ns: &str, prefix: IpNet, wanted: Option<IpAddr>) {
        self.wait(&format!("the kernel of {ns} has {prefix} via {wanted:?}"), || {
            let found = kernel_route(ns, prefix)?.map(|r| r.gateways);
            if found == wanted.map(|w| vec![w]) { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }

    /// What the router must do with the routes of one family, as long as both sides announce theirs.
    #[track_caller]
    pub(crate) fn routes_pass(&self, a: &Addresses) {
        self.learns(&self.host, a.leaf_network, Some((a.router, &[ROUTER_ASN, LEAF_ASN])));
        self.learns(&self.leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        self.learns(&self.leaf, a.host_route(), Some((a.nic.addr(), &[ROUTER_ASN])));
        self.kernel_route(&self.net.router_ns, a.leaf_network, Some(a.leaf));
        self.kernel_route(&self.net.router_ns, a.host_network, Some(a.host));
    }

    /// Packets of one family get through, started from either side.
    #[track_caller]
    pub(crate) fn packets_pass(&self, a: &Addresses) {
        let leaf = (self.net.leaf_ns.as_str(), a.leaf_server);
        let host = (self.net.node_ns.as_str(), a.host_server);
        // The peers' kernels get their routes a moment after the peers show them.
        self.wait("ping from host to leaf", || traffic::ping(host.0, host.1, leaf.1).map_err(|e| e.to_string()));
        self.wait("ping from leaf to host", || traffic::ping(leaf.0, leaf.1, host.1).map_err(|e| e.to_string()));
        traffic::tcp(host, leaf).unwrap_or_else(|e| panic!("{e}"));
        traffic::tcp(leaf, host).unwrap_or_else(|e| panic!("{e}"));
        // Without anything announced behind it, the host is reached by the address that the router announces.
        traffic::ping(leaf.0, leaf.1, a.host).unwrap_or_else(|e| panic!("{e}"));
    }

    /// The routes that a lab adds by hand for a host whose speaker installs none.
    pub(crate) fn help_the_host(&self) {
        if !self.host.daemon().installs_routes() {
            self.net.add_host_routes().unwrap_or_else(|e| panic!("{e}"));
        }
    }

    /// `status` until it shows every one of `words`, whatever else it shows; returns what it said last.
    #[track_caller]
    pub(crate) fn status_says(&self, words: &[&str]) -> String {
        self.net.lab.wait_until(&format!("status says {words:?}"), PATIENCE, || {
            let said = self.net.ask(&["status"])?;
            match words.iter().find(|w| !said.stdout.contains(*w)) {
                None => Ok(said.stdout),
                Some(w) => Err(LabError::new(format!("no `{w}` in:\n{}{}", said.stdout, said.stderr))),
            }
        })
    }
}

/// Both families' plans.
pub(crate) fn plans() -> [Addresses; 2] {
    Family::ALL.map(addresses)
}

/// The kernel's route for exactly this prefix.
pub(crate) fn kernel_route(ns: &str, prefix: IpNet) -> Result<Option<ip::Route>, String> {
    let routes = ip::routes(ns, Family::of(prefix)).map_err(|e| e.to_string())?;
    Ok(routes.into_iter().find(|r| r.prefix == prefix))
}
